//! One evaluation of code by evcxr, and what becomes of what it says.

use std::collections::HashMap;

use super::outcome::SUPERVISOR_LOST;
use super::{CellError, Session, compiler, diagnostic, obstacles};
use crate::output;
use crate::protocol::{Failure, Output, ToSupervisor};

impl Session {
    pub(super) fn run(&mut self, code: &str) -> Result<(), CellError> {
        self.link.begin_cell()?;
        self.link.tell(&ToSupervisor::Cell(self.number));
        compiler::forget(self.folder.path());
        let generated = self.folder.path().join("src/lib.rs");
        self.link.places.begin(self.cells(code), generated);
        let result = self.context.execute(code);
        let end = self.link.end_cell();
        self.link.show(Output::Stderr(self.link.places.end()));
        let said = compiler::messages(self.folder.path());
        if self.link.is_shut_down() {
            return Err(CellError::new(
                "Interrupt",
                "the session was shut down while the cell ran",
            ));
        }
        if !end.was_interrupted
            && let Some((instead, unkept)) = self.instead(&result, &said, code)
        {
            return self.run_unkept(&instead, unkept);
        }
        if !matches!(result, Err(evcxr::Error::CompilationErrors(_))) {
            self.warn(&said, code);
        }
        match (result, end.failure) {
            (_, Some(failure)) => Err(self.describe(&failure, code)),
            (Ok(outputs), None) => {
                self.show(outputs.content_by_mime_type);
                if let Some(elapsed) = outputs.timing {
                    let line = format!("Took {} ms\n", elapsed.as_millis());
                    self.link.show(Output::Stdout(line.into_bytes()));
                }
                Ok(())
            }
            (Err(_), None) if end.was_interrupted => {
                self.is_analysis_stale = true;
                Err(CellError::new(
                    "Interrupt",
                    "the cell was interrupted while it was compiled; nothing has run",
                ))
            }
            (Err(error), None)
                if let Some(full) =
                    obstacles::no_room_for_cell(&error.to_string(), self.folder.path()) =>
            {
                Err(full)
            }
            (Err(evcxr::Error::CompilationErrors(errors)), None) => {
                let cells = self.cells(code);
                let shows_warnings = self.shows_warnings;
                let generated = self.context.last_source().unwrap_or_default();
                if let Some(typed) = diagnostic::with_types(&said, cells, generated.clone()) {
                    return self.run(&typed);
                }
                Err(diagnostic::compile_error(
                    &errors,
                    &said,
                    cells,
                    generated,
                    shows_warnings,
                ))
            }
            (Err(evcxr::Error::SubprocessTerminated(_)), None) => Err(CellError::new(
                SUPERVISOR_LOST,
                "the processes of the session were killed from outside: all variables are lost",
            )),
            (Err(error), None) => {
                let said = diagnostic::without_level(&error.to_string()).to_owned();
                let refused = diagnostic::refused(&said, self.cells(code), self.has_rust_src);
                Err(refused.unwrap_or_else(|| CellError::new("Error", said)))
            }
        }
    }

    /// Shows what evcxr's own commands answer: one thing, in one or more MIME types.
    fn show(&self, mut contents: HashMap<String, String>) {
        let mark = output::value_format("");
        for text in contents.values_mut() {
            *text = text.replace(&mark, "");
        }
        if !contents.is_empty() {
            self.link.show(Output::Display(contents));
        }
    }

    /// Shows the compiler's warnings about a cell that it has compiled.
    fn warn(&self, said: &[serde_json::Value], code: &str) {
        if !self.shows_warnings {
            return;
        }
        let generated = || self.context.last_source().unwrap_or_default();
        for text in diagnostic::warnings(said, self.cells(code), generated) {
            // Front ends show standard error on red, as if something had failed.
            let contents = HashMap::from([("text/plain".to_owned(), text)]);
            self.link.show(Output::Display(contents));
        }
    }

    pub(super) fn cells<'a>(&'a self, code: &'a str) -> diagnostic::Cells<'a> {
        diagnostic::Cells {
            code,
            // Empty for what the kernel itself runs.
            written: match self.written.is_empty() {
                true => code,
                false => &self.written,
            },
            earlier: &self.committed,
            gone: &self.gone,
        }
    }

    fn describe(&self, failure: &Failure, code: &str) -> CellError {
        let mut error = CellError::new(&failure.name, failure.message.clone());
        // The panic of a closure that an earlier cell made has no place.
        if let Some(place) = failure
            .place
            .as_ref()
            .filter(|place| !place.file.is_empty())
        {
            let source = self.context.last_source().unwrap_or_default();
            let lines = diagnostic::place(place, self.cells(code), &self.numbers, source);
            error.traceback.extend(lines);
        }
        error.traceback.push(failure.aftermath.to_string());
        error
    }
}
