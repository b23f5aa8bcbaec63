//! What rust-analyzer reads, and when: see `evcxr::analysis`.

use super::Session;
use crate::cell;
use crate::evcxr::manifest;

/// A completion that makes rust-analyzer read the standard library, which takes seconds.
const ANALYSED_FIRST: &str = "let list = vec![1]; list.";

impl Session {
    /// Whether rust-analyzer has seen only the cells so far.
    pub fn has_unread(&self) -> bool {
        self.cells_only.is_some()
    }

    /// Makes rust-analyzer read everything now, while no cell waits for it.
    pub fn read_ahead(&mut self) {
        // The result does not matter.
        let _ = self.complete(ANALYSED_FIRST, ANALYSED_FIRST.len());
    }

    /// Makes rust-analyzer read everything that cells use at its next request.
    pub(super) fn see_all(&mut self) {
        let (Some(cells_only), Some(library)) = (self.cells_only.take(), &self.library) else {
            return;
        };
        drop(cells_only);
        // It fails only for an empty level.
        let _ = self.context.set_level(&manifest::level(library, ""));
    }

    /// The same, if rust-analyzer has to infer a type in this code.
    pub(super) fn see_what_is_needed(&mut self, code: &str) {
        if self.cells_only.is_some() && cell::leaves_types_out(code) {
            self.see_all();
        }
    }
}
