//! Compiles what was planned for a cell: one form after another, until evcxr accepts one.

use super::plan::Planned;
use super::{CellError, Session};
use crate::definitions::{Prepared, generated, lost, statics};
use crate::evcxr::build::TOOLS;

impl Session {
    /// Compiles and runs the planned code.
    ///
    /// # Errors
    ///
    /// If no form compiles, or the one that does has not reached its end.
    pub(super) fn compile(&mut self, planned: Planned) -> Result<(), CellError> {
        let Planned {
            code,
            as_written,
            prepared,
        } = planned;
        self.tell_compiler(&prepared)?;
        let mut after = prepared.after;
        let first = self.with_dependencies(&code, |session| session.try_forms(&code));
        if let Err(error) = first {
            let is_to_retry =
                |written: &String| is_about_text(&error) && shows_changed(&error, written, &code);
            let Some(written) = as_written.filter(is_to_retry) else {
                return Err(error);
            };
            // evcxr's error about the cell as it was written has the right columns, if it is the
            // same error.
            match self.with_dependencies(&written, |session| session.try_forms(&written)) {
                Ok(()) => after = after.written_after(&self.definitions),
                Err(other) if is_about_text(&other) => return Err(other),
                Err(_) => return Err(error),
            }
        }
        for (name, because_of) in &prepared.restarted {
            self.link.warn(&format!(
                "the static `{name}` starts again: `{because_of}` is another one from this cell on"
            ));
        }
        for (header, name) in after.dropped() {
            self.link.warn(&format!(
                "`{name}` of the earlier `{header}` is gone: this cell's takes its place; add `{name}` to keep it"
            ));
        }
        self.definitions = after;
        Ok(())
    }

    /// Runs the first form of the code that compiles.
    fn try_forms(&mut self, code: &str) -> Result<(), CellError> {
        let mut forms = self.forms(code).into_iter().peekable();
        while let Some(form) = forms.next() {
            match self.run(form) {
                Err(error) if error.is_before_running() && forms.peek().is_some() => {}
                ended => return ended,
            }
        }
        Ok(())
    }

    /// Gives `evcxr::build` what it cannot see of the next cell.
    pub(super) fn tell_compiler(&mut self, prepared: &Prepared) -> Result<(), CellError> {
        let tools = self.folder.path().join(TOOLS);
        let mut told = lost::write(&tools, &prepared.lost);
        if prepared.after.statics() != self.told_statics {
            told = told.and_then(|()| statics::write(&tools, prepared.after.statics()));
            self.told_statics = prepared.after.statics().to_vec();
        }
        told.map_err(|error| {
            let folder = self.folder.path().display();
            CellError::new(
                "Error",
                format!("cannot write to the session's folder {folder}: {error}"),
            )
        })
    }
}

/// Whether it is a compile error, and not about a definition that the written cell has twice.
fn is_about_text(error: &CellError) -> bool {
    let is_double = ["E0592", "E0119", "E0428"]
        .iter()
        .any(|code| error.evalue.contains(code));
    error.ename == "CompileError" && !is_double
}

/// Whether the error shows a line of the cell that was rewritten before compiling, or no line, or
/// code that was added.
fn shows_changed(error: &CellError, written: &str, compiled: &str) -> bool {
    let text = error.traceback.join("\n");
    // Its position, or its number in colour before the line itself.
    let shows =
        |n: usize| text.contains(&format!("cell:{n}:")) || text.contains(&format!("m{n}\u{1b}[0m"));
    let mut lines = (1..).zip(written.lines().zip(compiled.lines()));
    !text.contains("cell:")
        || text.contains(generated::PREFIX)
        || lines.any(|(n, (as_written, as_compiled))| as_written != as_compiled && shows(n))
}
