//! What runs in the place of a cell as it was written: its definitions in the form that stays the same, and its dependencies.

use std::collections::HashSet;
use std::fs;

use super::outcome::CellError;
use super::{SUPERVISOR_LOST, Session, diagnostic};
use crate::cell;
use crate::definitions::{Definitions, Prepared, lost, rewrite, statics};
use crate::evcxr::awaited;
use crate::evcxr::build::{SOURCE, TOOLS};
use crate::protocol::frame::ToSupervisor;

impl Session {
    /// The cell that comes has this number: messages about what it starts name it so.
    pub fn count(&mut self, number: u32) {
        self.number = number;
    }

    /// Runs a cell. Everything it wrote has been given to the output before this returns.
    ///
    /// # Errors
    ///
    /// When the cell does not compile, or ended in any other way than by reaching its end.
    /// Then the variables have their values from before, or the error names those that do not.
    pub fn execute(&mut self, code: &str) -> Result<(), CellError> {
        self.execute_for(code, code)
    }

    /// Runs Rust in the place of what was `written`, which differs from it within lines only.
    pub(super) fn execute_for(&mut self, written: &str, code: &str) -> Result<(), CellError> {
        written.clone_into(&mut self.written);
        let result = self.execute_written(code);
        self.written.clear();
        result
    }

    fn execute_written(&mut self, code: &str) -> Result<(), CellError> {
        if self.is_analysis_stale {
            // Completion loads the manifest again when it differs from what was loaded last.
            let _ = self.context.completions("", 0);
            self.is_analysis_stale = false;
        }
        let before: HashSet<String> = self.variables().into_iter().map(|(name, _)| name).collect();
        match code.trim() {
            ":restart" => return self.restart(),
            ":clear" => return self.reset(),
            _ => self.execute_code(code)?,
        }
        self.note_gone(before, code);
        self.tell_unkept();
        self.committed.push(code.to_owned());
        self.numbers.push(self.number);
        Ok(())
    }

    /// Takes note of the variables that the cell which has just ended has moved away: earlier ones and its own.
    fn note_gone(&mut self, mut before: HashSet<String>, code: &str) {
        let after: HashSet<String> = self.variables().into_iter().map(|(name, _)| name).collect();
        self.gone.retain(|name, _| !after.contains(name));
        before.extend(cell::own_variables(code));
        for (name, _) in &self.unkept {
            before.remove(name);
        }
        let cell = self.committed.len();
        let gone = before.difference(&after).cloned();
        self.gone.extend(gone.map(|name| (name, cell)));
    }

    fn execute_code(&mut self, code: &str) -> Result<(), CellError> {
        if let Some(error) = diagnostic::wrong_main(self.cells(code)) {
            return Err(error);
        }
        if let Some(error) = diagnostic::hidden(self.cells(code), self.folder.path()) {
            return Err(error);
        }
        let without = cell::without_own_crates(code);
        let code = without.as_deref().unwrap_or(code);
        let (commands, rust) = code.split_at(cell::commands_end(code));
        let variables = self.variables();
        let defined = self
            .context
            .defined_item_names()
            .map(str::to_owned)
            .collect();
        let mut prepared = self.definitions.prepare(rust, &variables, &defined);
        self.tell_compiler(&prepared)?;
        let may_lose = !prepared.lost.is_empty() || adds_dependency(code);
        // Where there is nothing to run evcxr would not look at the variables, and say a cell later what is lost.
        let looks = if prepared.only_defines && may_lose && !variables.is_empty() {
            "\n();"
        } else {
            ""
        };
        let rewritten = prepared.rewritten.as_deref().unwrap_or(rust);
        let makes_runtime = self.lacks_runtime(commands, rust);
        let first = if makes_runtime {
            awaited::MAKE_RUNTIME
        } else {
            ""
        };
        let run = [commands, first, rewritten, looks].concat();
        let mut result = self.run_with_dependencies(&run);
        if let Err(error) = &result
            && is_about_text(error)
            && (makes_runtime || prepared.rewritten.is_some() && shows_changed(error, code, &run))
        {
            // What evcxr says of the cell as it was written has its columns, if it says the same.
            let written = match prepared.rewritten {
                Some(_) => code.to_owned() + &prepared.after.clearing(),
                None => code.to_owned(),
            };
            match self.run_with_dependencies(&written) {
                Err(other) if is_about_text(&other) => result = Err(other),
                Err(_) => {}
                Ok(()) => {
                    prepared.after = prepared.after.written_after(&self.definitions);
                    result = Ok(());
                }
            }
        }
        result?;
        for (name, because_of) in &prepared.restarted {
            self.link.warn(&format!(
                "the static `{name}` starts again: `{because_of}` is another one from this cell on"
            ));
        }
        for (header, name) in prepared.after.dropped() {
            self.link.warn(&format!(
                "`{name}` of the earlier `{header}` is gone: this cell's takes its place; add `{name}` to keep it"
            ));
        }
        self.definitions = prepared.after;
        Ok(())
    }

    /// Whether a cell needs a tokio runtime, and none before has made evcxr make one.
    fn lacks_runtime(&self, commands: &str, rust: &str) -> bool {
        let mut cells = self.committed.iter().map(String::as_str).chain([rust]);
        if !awaited::lacks_runtime(rust, cells.any(|code| code.contains("use tokio::"))) {
            return false;
        }
        let read = |file| fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        let has_tokio = |text: &str| text.lines().any(|line| line.contains("tokio ="));
        (has_tokio(commands) || has_tokio(&read("Cargo.toml"))) && !awaited::is_async(&read(SOURCE))
    }

    fn run_with_dependencies(&mut self, code: &str) -> Result<(), CellError> {
        if !adds_dependency(code) {
            return self.run_online_if_needed(code);
        }
        // evcxr asks cargo about the manifest before it writes the next one: with a dependency that cannot be had, it
        // would ask in vain from then on.
        let manifest = self.folder.path().join("Cargo.toml");
        let before = fs::read(&manifest);
        let result = self.run_online_if_needed(code);
        if let (Err(_), Ok(before)) = (&result, before) {
            // Where this fails, so will evcxr, which then says so.
            let _ = fs::write(&manifest, before);
        }
        result
    }

    fn run_online_if_needed(&mut self, code: &str) -> Result<(), CellError> {
        if self.is_offline && may_add_dependency(code) {
            self.run_online(code)
        } else {
            self.run_with_closures(code)
        }
    }

    /// Tells `evcxr::build` what it cannot see of the cell that comes.
    fn tell_compiler(&mut self, prepared: &Prepared) -> Result<(), CellError> {
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

    /// Runs the first cell that may add a dependency.
    fn run_online(&mut self, code: &str) -> Result<(), CellError> {
        self.set_offline(false);
        // evcxr writes it again when it compiles, but tries the dependency before that.
        let _ = fs::remove_file(self.folder.path().join(".cargo/config.toml"));
        let Some(home) = self.home.take() else {
            return self.run_with_closures(code);
        };
        let before = self.dependencies();
        home.use_own();
        let result = self.run_with_closures(code);
        if self.dependencies() == before {
            // It added none, perhaps because there is no network: then the shared library still serves.
            home.use_shared();
            self.home = Some(home);
            self.set_offline(true);
        }
        result
    }

    /// Whether cargo may use the network. What evcxr answers is nothing that a cell asked for.
    fn set_offline(&mut self, is_offline: bool) {
        let command = format!(":offline {}", u8::from(is_offline));
        // It has no other way to fail than to be unknown.
        if self.context.execute(&command).is_ok() {
            self.is_offline = is_offline;
        }
    }

    /// What cells have added, as evcxr shows it.
    fn dependencies(&mut self) -> Option<String> {
        let outputs = self.context.execute(":show_deps").ok()?;
        outputs.get("text/plain").map(str::to_owned)
    }

    /// Starts new processes, without variables. (evcxr's own `:restart` forgets to forget them.)
    fn restart(&mut self) -> Result<(), CellError> {
        self.link.tell(&ToSupervisor::Shutdown);
        match self.run("();") {
            Err(error) if error.ename == SUPERVISOR_LOST => Ok(()),
            other => other,
        }
    }

    /// Forgets all variables, definitions and added crates; settings stay.
    pub(super) fn reset(&mut self) -> Result<(), CellError> {
        self.run(":clear")?;
        self.committed.clear();
        self.numbers.clear();
        self.gone.clear();
        self.definitions = Definitions::default();
        let prelude = if self.library.is_some() {
            cell::PRELUDE
        } else {
            ""
        };
        self.run(&format!("{prelude}\nOk::<(), String>(())?;"))
    }
}

/// Whether the cell may need a crate that is not there yet (a first `.await` adds tokio).
fn may_add_dependency(code: &str) -> bool {
    adds_dependency(code) || code.contains(".await")
}

/// Whether it is a compile error, and not about what the cell as it was written has twice.
fn is_about_text(error: &CellError) -> bool {
    let is_double = ["E0592", "E0119", "E0428"]
        .iter()
        .any(|code| error.evalue.contains(code));
    error.ename == "CompileError" && !is_double
}

/// Whether the error shows a line of the cell that was not compiled as it was written; or none, or what was added.
fn shows_changed(error: &CellError, code: &str, run: &str) -> bool {
    let text = error.traceback.join("\n");
    // Its place, or its number in colour before the line itself.
    let shows =
        |n: usize| text.contains(&format!("cell:{n}:")) || text.contains(&format!("m{n}\u{1b}[0m"));
    let mut lines = (1..).zip(code.lines().zip(run.lines()));
    !text.contains("cell:")
        || text.contains(rewrite::PREFIX)
        || lines.any(|(n, (as_written, as_run))| as_written != as_run && shows(n))
}

fn adds_dependency(code: &str) -> bool {
    let adds = |line: &str| {
        line.starts_with(":dep")
            || line.starts_with(":load_config")
            || line.starts_with("extern crate")
    };
    code.lines().any(|line| adds(line.trim_start()))
}
