//! The code that evcxr gets in place of a cell's Rust: its definitions take a form that does not
//! change.

use std::fs;

use super::dependencies::adds_dependency;
use super::{CellError, Session, diagnostic};
use crate::cell;
use crate::definitions::Prepared;
use crate::evcxr::awaited::{self, MAKE_RUNTIME};
use crate::evcxr::build::SOURCE;

/// What to compile for a cell.
pub(super) struct Planned {
    /// The code that evcxr gets.
    pub(super) code: String,
    /// The cell as it was written, if that differs.
    pub(super) as_written: Option<String>,
    /// The cell's changes to the session's definitions.
    pub(super) prepared: Prepared,
}

impl Session {
    /// Plans a cell's Rust.
    ///
    /// # Errors
    ///
    /// Mistakes that evcxr hides from rustc.
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
        // If there is nothing to run, evcxr would not check the variables, and report lost ones a
        // cell too late.
        let looks = if prepared.only_defines && may_lose && !variables.is_empty() {
            "\n();"
        } else {
            ""
        };
        let rewritten = prepared.rewritten.as_deref();
        let lacks_runtime = self.lacks_runtime(commands, rust);
        let first = if lacks_runtime { MAKE_RUNTIME } else { "" };
        let as_written = rewritten.map(|_| code.to_owned() + &prepared.after.clearing());
        Ok(Planned {
            code: [commands, first, rewritten.unwrap_or(rust), looks].concat(),
            as_written: as_written.or_else(|| lacks_runtime.then(|| code.to_owned())),
            prepared,
        })
    }

    /// Whether a cell needs a tokio runtime, and no earlier cell has made evcxr create one.
    fn lacks_runtime(&self, commands: &str, rust: &str) -> bool {
        let mut cells = self.committed.iter().map(String::as_str).chain([rust]);
        if !awaited::lacks_runtime(rust, cells.any(|code| code.contains("use tokio::"))) {
            return false;
        }
        let read = |file| fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        let has_tokio = |text: &str| text.lines().any(|line| line.contains("tokio ="));
        (has_tokio(commands) || has_tokio(&read("Cargo.toml"))) && !awaited::is_async(&read(SOURCE))
    }
}
