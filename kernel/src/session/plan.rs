//! What evcxr gets in the place of a cell's Rust: its definitions in the form that stays the same.

use super::dependencies::adds_dependency;
use super::{CellError, Session, diagnostic};
use crate::cell;
use crate::definitions::Prepared;

/// What to compile for a cell.
pub(super) struct Planned {
    /// What evcxr gets.
    pub(super) code: String,
    /// The cell as it was written, where that is not the same.
    pub(super) as_written: Option<String>,
    /// What the cell changes about the session's definitions.
    pub(super) prepared: Prepared,
}

impl Session {
    /// Plans a cell's Rust.
    ///
    /// # Errors
    ///
    /// Mistakes that evcxr does not let rustc see.
    pub(super) fn plan(&mut self, code: &str) -> Result<Planned, CellError> {
        let hidden = diagnostic::wrong_main(self.cells(code))
            .or_else(|| diagnostic::hidden(self.cells(code), self.folder.path()));
        if let Some(error) = hidden {
            return Err(error);
        }
        let without = cell::without_own_crates(code);
        let code = without.as_deref().unwrap_or(code);
        let (commands, rust) = code.split_at(cell::commands_end(code));
        let variables = self.variables();
        let defined = self.context.items();
        let defined = defined.map(str::to_owned).collect();
        let prepared = self.definitions.prepare(rust, &variables, &defined);
        let may_lose = !prepared.lost.is_empty() || adds_dependency(code);
        // Where there is nothing to run evcxr would not look at the variables, and say a cell later what is lost.
        let looks = if prepared.only_defines && may_lose && !variables.is_empty() {
            "\n();"
        } else {
            ""
        };
        let rewritten = prepared.rewritten.as_deref();
        Ok(Planned {
            code: [commands, rewritten.unwrap_or(rust), looks].concat(),
            as_written: rewritten.map(|_| code.to_owned()),
            prepared,
        })
    }
}
