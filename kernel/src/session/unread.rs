//! What rust-analyzer is given to read when it is needed: see `evcxr::analysis`.

use super::Session;
use crate::cell;
use crate::evcxr::manifest;

/// What a first completion wants to know: rust-analyzer has then read the standard library, which
/// takes seconds.
const ANALYSED_FIRST: &str = "let list = vec![1]; list.";

impl Session {
    /// Whether rust-analyzer sees the cells only, so far.
    pub fn has_unread(&self) -> bool {
        self.cells_only.is_some()
    }

    /// Has rust-analyzer read everything now, while no cell waits for it.
    pub fn read_ahead(&mut self) {
        // It answers what it can.
        let _ = self.complete(ANALYSED_FIRST, ANALYSED_FIRST.len());
    }

    /// From now on rust-analyzer reads all that cells use, when it is next asked.
    pub(super) fn see_all(&mut self) {
        let (Some(cells_only), Some(library)) = (self.cells_only.take(), &self.library) else {
            return;
        };
        drop(cells_only);
        // It fails for an empty level only.
        let _ = self.context.set_level(&manifest::level(library, ""));
    }

    /// The same, if rust-analyzer has to find a type for this code.
    pub(super) fn see_what_is_needed(&mut self, code: &str) {
        if self.cells_only.is_some() && cell::leaves_types_out(code) {
            self.see_all();
        }
    }
}
