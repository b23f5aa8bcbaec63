//! From a cell's text to its effects:
//!
//! ```text
//!  run_cell ── its steps (see `cell`) ──▶ plan ──▶ compile ──▶ run ──▶ evcxr, rustc, the user process
//!      │                                   │         │          └ one form of the cell, and what becomes of it
//!      │                                   │         └ one form after the other, until one compiles
//!      │                                   └ what evcxr gets in the cell's place
//!      └ a magic's step is done by the session itself (see `act`)
//! ```

use std::collections::HashSet;

use super::evaluate::Form;
use super::outcome::SUPERVISOR_LOST;
use super::{CellError, Inspection, Session};
use crate::cell::{self, Action, Step};
use crate::definitions::Definitions;
use crate::protocol::ToSupervisor;

/// Types whose values `!` accepts.
const CAN_BE_NEGATED: [&str; 13] = [
    "bool", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize",
];

/// What the kernel replies to a cell that has run, in addition to its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Information about a name, for the front end's pager.
    Page(Inspection),
    /// The text that the front end puts into the cell.
    Cell(String),
}

impl Session {
    /// Sets the number of the next cell, which appears in messages about what that cell starts.
    pub fn count(&mut self, number: u32) {
        self.number = number;
    }

    /// Runs a cell as a learner writes it, including magics. When this returns, all of the cell's
    /// output has been passed on. Returns the information that the cell asked for.
    ///
    /// # Errors
    ///
    /// If the cell does not compile, ends in any way other than by reaching its end, or has a magic
    /// that does not exist or fails. Then the variables have their values from before, or the error
    /// names those that do not; the steps after the failed one are skipped.
    pub fn run_cell(&mut self, code: &str) -> Result<Option<Told>, CellError> {
        self.link.set_at_work(true);
        let ran = self.run_steps(code);
        if let Some(output) = self.link.end_capture() {
            // The cell failed: its hidden output may say why.
            output.into_iter().for_each(|output| self.link.show(output));
        }
        self.link.set_at_work(false);
        ran
    }

    fn run_steps(&mut self, code: &str) -> Result<Option<Told>, CellError> {
        let mut told = None;
        let negation = cell::shield_negation(code, |name, is_whole| self.negates(name, is_whole));
        for step in cell::plan(negation.as_deref().unwrap_or(code))?.steps {
            match step {
                Step::Say(text) => self.say(&text),
                Step::Run(rust) => {
                    code.clone_into(&mut self.written);
                    let ran = self.run_rust(&rust);
                    self.written.clear();
                    if let Err(error) = &ran {
                        self.note_error(error);
                    }
                    ran?;
                }
                Step::Do(Action::Describe(name)) => {
                    told = Some(Told::Page(self.describe_name(&name)?));
                }
                Step::Do(Action::Lock) => told = Some(Told::Cell(self.pinning_cell()?)),
                Step::Do(action) => self.act(action)?,
            }
        }
        Ok(told)
    }

    /// Whether such a variable exists and, if `is_whole`, can be negated as it is.
    fn negates(&self, name: &str, is_whole: bool) -> bool {
        let mut variables = self.context.variables();
        let found = variables.find(|(variable, _)| *variable == name);
        let type_name = found.map(|(_, type_name)| type_name.trim_start_matches(['&', ' ']));
        type_name.is_some_and(|type_name| !is_whole || CAN_BE_NEGATED.contains(&type_name))
    }

    /// Runs a cell's Rust, which differs from the written code only within lines.
    pub(super) fn run_rust(&mut self, rust: &str) -> Result<(), CellError> {
        if self.is_analysis_stale {
            // Completion loads the manifest again if it differs from the one that was loaded last.
            let _ = self.context.completions("", 0);
            self.is_analysis_stale = false;
        }
        match rust.trim() {
            ":restart" => return self.restart(),
            ":clear" => return self.reset(),
            _ => {}
        }
        let before = self.variable_names();
        let planned = self.plan(rust)?;
        self.compile(planned)?;
        self.note_gone(before, rust);
        self.tell_unkept();
        self.committed.push(rust.to_owned());
        self.numbers.push(self.number);
        Ok(())
    }

    fn variable_names(&self) -> HashSet<String> {
        self.variables().into_iter().map(|(name, _)| name).collect()
    }

    /// Records the variables that the cell which has just ended has moved: earlier ones and its
    /// own.
    fn note_gone(&mut self, mut before: HashSet<String>, code: &str) {
        let after = self.variable_names();
        self.gone.retain(|name, _| !after.contains(name));
        before.extend(cell::own_variables(code));
        for (name, _) in &self.unkept {
            before.remove(name);
        }
        let cell = self.committed.len();
        let gone = before.difference(&after).cloned();
        self.gone.extend(gone.map(|name| (name, cell)));
    }

    /// Starts new processes, without variables. (evcxr's own `:restart` keeps the old variables on
    /// its list.)
    fn restart(&mut self) -> Result<(), CellError> {
        self.link.tell(&ToSupervisor::Shutdown);
        match self.run(Form::from("();")) {
            Err(error) if error.ename == SUPERVISOR_LOST => Ok(()),
            other => other,
        }
    }

    /// Forgets all variables, definitions and added crates; settings stay.
    pub(super) fn reset(&mut self) -> Result<(), CellError> {
        self.run(Form::from(":clear"))?;
        self.committed.clear();
        self.numbers.clear();
        self.gone.clear();
        self.definitions = Definitions::default();
        let prelude = if self.library.is_some() {
            cell::PRELUDE
        } else {
            ""
        };
        self.run(Form::from(format!("{prelude}\nOk::<(), String>(())?;")))
    }
}
