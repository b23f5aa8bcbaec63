//! One evaluation of code by evcxr, and how its output is handled.

use std::collections::{BTreeMap, HashMap};

use super::outcome::SUPERVISOR_LOST;
use super::start::obstacles;
use super::{CellError, Session, compiler, diagnostic};
use crate::evcxr::refusal::Why;
use crate::evcxr::{Error, EvalOutputs, build, retrace};
use crate::output;
use crate::protocol::{Aftermath, Failure, Output, ToSupervisor};

/// A form of a cell, as evcxr gets it.
pub(super) struct Form {
    /// The code.
    pub(super) code: String,
    /// The variables that no later cell has after this form has run.
    pub(super) unkept: Vec<(String, Why)>,
}

impl<T: Into<String>> From<T> for Form {
    /// The code unchanged.
    fn from(code: T) -> Form {
        Form {
            code: code.into(),
            unkept: Vec::new(),
        }
    }
}

/// The outcome of an evaluation that did not fail.
enum Evaluated {
    /// The code has run.
    Ended,
    /// No code has run; this form may work instead.
    Refused(Form),
}

impl Session {
    /// Runs code of a cell; in another form, if evcxr refuses this one.
    ///
    /// # Errors
    ///
    /// If it does not compile, or has not reached its end.
    pub(super) fn run(&mut self, form: Form) -> Result<(), CellError> {
        let Form {
            mut code,
            mut unkept,
        } = form;
        while let Evaluated::Refused(next) = self.evaluate(&code)? {
            code = next.code;
            unkept.extend(next.unkept);
        }
        self.unkept = unkept;
        Ok(())
    }

    fn evaluate(&mut self, code: &str) -> Result<Evaluated, CellError> {
        self.see_what_is_needed(code);
        self.link.begin_cell()?;
        self.link.tell(&ToSupervisor::Cell(self.number));
        compiler::forget(self.folder.path());
        let generated = self.folder.path().join(build::SOURCE);
        let places = &self.link.places;
        places.begin(self.cells(code), generated);
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
            && let Some(form) = self.instead(&result, &said, code)
        {
            return Ok(Evaluated::Refused(form));
        }
        if !matches!(result, Err(Error::CompilationErrors(_))) {
            self.warn(&said, code);
        }
        match (result, end.failure) {
            (_, Some(failure)) => Err(self.describe(&failure, code)),
            (Ok(outputs), None) => {
                self.show_answer(outputs);
                Ok(Evaluated::Ended)
            }
            (Err(_), None) if end.was_interrupted => {
                self.is_analysis_stale = true;
                Err(CellError::new(
                    "Interrupt",
                    "the cell was interrupted while it was compiled; nothing has run",
                ))
            }
            (Err(error), None) => self.explain(&error, &said, code),
        }
    }

    /// Why code has not run, or the form to run instead.
    fn explain(
        &self,
        error: &Error,
        said: &[serde_json::Value],
        code: &str,
    ) -> Result<Evaluated, CellError> {
        let text = error.to_string();
        if let Some(full) = obstacles::no_room_for_cell(&text, self.folder.path()) {
            return Err(full);
        }
        let cells = self.cells(code);
        match error {
            Error::CompilationErrors(errors) => {
                let shows = self.shows_warnings;
                let generated = self.context.last_source();
                match diagnostic::with_types(said, cells, generated.clone()) {
                    Some(typed) => Ok(Evaluated::Refused(Form::from(typed))),
                    None => Err(diagnostic::compile_error(
                        errors, said, cells, generated, shows,
                    )),
                }
            }
            Error::SubprocessTerminated(_) => Err(CellError::new(
                SUPERVISOR_LOST,
                "the processes of the session were killed from outside: all variables are lost",
            )),
            _ => {
                let said = diagnostic::without_level(&text);
                let refused = diagnostic::refused(said, cells, self.has_rust_src);
                Err(refused.unwrap_or_else(|| CellError::new("Error", said)))
            }
        }
    }

    /// Shows the output of evcxr's own commands, and the duration of the code if `:timing` is on.
    fn show_answer(&self, outputs: EvalOutputs) {
        self.show(outputs.content_by_mime_type);
        if let Some(elapsed) = outputs.timing {
            let line = format!("Took {} ms\n", elapsed.as_millis());
            self.link.show(Output::Stdout(line.into_bytes()));
        }
    }

    /// Shows one output of evcxr's own commands, in one or more MIME types.
    fn show(&self, mut contents: HashMap<String, String>) {
        let mark = output::value_format("");
        for text in contents.values_mut() {
            *text = text.replace(&mark, "");
        }
        if !contents.is_empty() {
            self.link.show(Output::Display(contents));
        }
    }

    /// Shows the compiler's warnings about a cell that has compiled.
    fn warn(&self, said: &[serde_json::Value], code: &str) {
        if !self.shows_warnings {
            return;
        }
        let generated = || self.context.last_source();
        for text in diagnostic::warnings(said, self.cells(code), generated) {
            // Front ends show standard error on red, as if something had failed.
            let contents = HashMap::from([("text/plain".to_owned(), text)]);
            self.link.show(Output::Display(contents));
        }
    }

    pub(super) fn cells<'a>(&'a self, code: &'a str) -> diagnostic::Cells<'a> {
        diagnostic::Cells {
            code,
            // Empty for code that the kernel itself runs.
            written: match self.written.is_empty() {
                true => code,
                false => &self.written,
            },
            earlier: &self.committed,
            numbers: &self.numbers,
            gone: &self.gone,
        }
    }

    fn describe(&self, failure: &Failure, code: &str) -> CellError {
        let message = self.link.places.reword_whole(&failure.message);
        let mut error = CellError::new(&failure.name, message);
        let causes = failure.causes.iter().map(|cause| {
            let cause = self.link.places.reword_whole(cause);
            format!("caused by: {cause}")
        });
        error.traceback.extend(causes);
        error.traceback.extend(self.traceback(failure, code));
        let lost = self.lost_with_threads(&failure.aftermath);
        error.traceback.push(format!("{}{lost}", failure.aftermath));
        error
    }

    /// Where the cell failed, and the calls in cells that led there.
    fn traceback(&self, failure: &Failure, code: &str) -> Vec<String> {
        let source = self.context.last_source();
        let mut offsets: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for frame in &failure.frames {
            offsets.entry(frame.object).or_default().push(frame.offset);
        }
        let cells = self.cells(code);
        let programs = offsets.iter().filter_map(|(object, offsets)| {
            let traced = retrace::trace(self.folder.path(), *object, offsets)?;
            Some((*object, diagnostic::Program::new(traced, cells, &source)))
        });
        let programs = programs.collect();
        let (place, frames) = (failure.place.as_ref(), &failure.frames);
        diagnostic::traceback(place, frames, &programs, cells, source)
    }

    /// The variables that were lost because they need threads that have ended, as a sentence.
    fn lost_with_threads(&self, aftermath: &Aftermath) -> String {
        if !matches!(aftermath, Aftermath::RolledBack(ended) if !ended.is_empty()) {
            return String::new();
        }
        let mut variables = self.variables();
        variables.retain(|(_, type_name)| is_threaded(type_name));
        variables.sort();
        let names = variables.iter().map(|(name, _)| format!("`{name}`"));
        match names.collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => names,
            names => format!(" Lost with them: {names}."),
        }
    }
}

/// Whether the library's store forgets values of this type when their threads have ended (see
/// `forklore::store`).
fn is_threaded(type_name: &str) -> bool {
    let has = |path: &str, name: &str| type_name.contains(path) && type_name.contains(name);
    has("tokio::runtime::", "Runtime") || has("rayon", "ThreadPool")
}
