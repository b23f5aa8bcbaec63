//! A session's actions other than running Rust: the other half of the magics (see `cell` for the
//! first).

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::evaluate::Form;
use super::outcome::SUPERVISOR_LOST;
use super::{CellError, Inspection, Session};
use crate::cell::{Action, MemoryLimit, Mistake, Profile, Script, bytes_in_words};
use crate::output;
use crate::protocol::{Checkpoint, Limit, Output, Status};
use crate::session::export;
use crate::sys::procs;

/// Through these variables the library knows the settings of `:fmt` and `:types`.
const PRETTY_VARIABLE: &str = "FORKLORE_PRETTY";
const TYPES_VARIABLE: &str = "FORKLORE_TYPES";

impl From<Mistake> for CellError {
    fn from(mistake: Mistake) -> CellError {
        CellError::new(mistake.name, mistake.message)
    }
}

impl Session {
    pub(super) fn act(&mut self, action: Action) -> Result<(), CellError> {
        match action {
            Action::Variables => self.say(&self.list_variables()),
            Action::Processes => self.say(&self.list_processes()?),
            Action::Reset => return self.reset(),
            Action::Checkpoint(policy) => {
                if let Some(policy) = &policy {
                    let set = self.control().set_checkpoint(policy);
                    set.map_err(|error| CellError::new("UsageError", error))?;
                }
                let status = self.status()?;
                self.say(&checkpoint_in_words(&status));
            }
            Action::Limit(limit) => return self.limit(limit),
            Action::Warnings(are_shown) => {
                self.shows_warnings = are_shown.unwrap_or(self.shows_warnings);
                self.say(if self.shows_warnings {
                    "warnings are shown\n"
                } else {
                    "warnings are not shown\n"
                });
            }
            Action::Profile(profile) => return self.choose_profile(profile),
            Action::Optimise(level) => return self.optimise(level),
            Action::Pretty(is_pretty) => return self.choose_format(is_pretty),
            Action::ToggleTypes => return self.toggle_types(),
            Action::Explain(number) => return self.explain_error(number),
            Action::Export(folder) => return self.export(&folder),
            Action::Script(script) => return self.script(&script),
            Action::Write {
                path,
                appends,
                text,
            } => return self.write(&path, appends, &text),
            Action::Show { mime_type, text } => {
                let contents = HashMap::from([(mime_type.to_owned(), text)]);
                self.link.show(Output::Display(contents));
            }
            Action::Pin(text) => return self.pin(&text),
            Action::Capture(what) => self.link.capture(what),
            Action::Assign(variable) => return self.assign_captured(variable),
            Action::Describe(_) | Action::Lock => {}
        }
        Ok(())
    }

    pub(super) fn say(&self, text: &str) {
        self.link.show(Output::Stdout(text.as_bytes().to_vec()));
    }

    pub(super) fn status(&self) -> Result<Status, CellError> {
        let gone = || {
            CellError::new(
                SUPERVISOR_LOST,
                "the processes of the session are gone; run a cell to start new ones",
            )
        };
        self.link.status().ok_or_else(gone)
    }

    fn list_variables(&self) -> String {
        let mut variables = self.variables();
        if variables.is_empty() {
            return "no variables\n".to_owned();
        }
        variables.sort();
        let width = variables
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        let lines = variables
            .iter()
            .map(|(name, type_name)| format!("{name:width$}  {type_name}\n"));
        lines.collect()
    }

    fn limit(&mut self, limit: Option<MemoryLimit>) -> Result<(), CellError> {
        let limit = match limit {
            None => {
                let status = self.status()?;
                self.say(&limit_in_words(&status));
                return Ok(());
            }
            Some(MemoryLimit::Auto) => None,
            Some(MemoryLimit::Off) => Some(Limit {
                bytes: None,
                origin: "`%limit off`".to_owned(),
            }),
            Some(MemoryLimit::Bytes(bytes)) => {
                let used = self.status()?.used_bytes;
                if used >= bytes {
                    let (used, bytes) = (bytes_in_words(used), bytes_in_words(bytes));
                    let message = format!(
                        "the cells use {used} already; a limit of {bytes} would end every cell"
                    );
                    return Err(CellError::new("UsageError", message));
                }
                let origin = format!("`%limit memory {}`", bytes_in_words(bytes));
                Some(Limit {
                    bytes: Some(bytes),
                    origin,
                })
            }
        };
        self.link.set_limit(limit);
        let status = self.status()?;
        self.say(&limit_in_words(&status));
        Ok(())
    }

    fn choose_profile(&mut self, profile: Option<Profile>) -> Result<(), CellError> {
        if let Some(profile) = profile {
            let (level, checks) = match profile {
                Profile::Debug => ("0", "true"),
                Profile::Release => ("2", "false"),
            };
            self.opt_level = level;
            for (name, value) in [
                ("OPT_LEVEL", level),
                ("DEBUG_ASSERTIONS", checks),
                ("OVERFLOW_CHECKS", checks),
            ] {
                self.set_for_cells(name, value)?;
            }
            self.profile = profile;
        }
        self.say(match self.profile {
            Profile::Debug => "debug: cells are compiled with overflow checks and debug assertions, without optimisation; the library keeps its own\n",
            Profile::Release => "release: cells are compiled with optimisation, without overflow checks and debug assertions\n",
        });
        Ok(())
    }

    /// Set through cargo's environment: in evcxr's manifest, the level has further effects (see
    /// `evcxr::manifest`).
    fn optimise(&mut self, level: Option<&'static str>) -> Result<(), CellError> {
        let other = if self.opt_level == "2" { "0" } else { "2" };
        self.set_opt_level(level.unwrap_or(other))?;
        self.say(&format!("Optimization: {}\n", self.opt_level));
        Ok(())
    }

    pub(super) fn set_opt_level(&mut self, level: &'static str) -> Result<(), CellError> {
        self.set_for_cells("OPT_LEVEL", level)?;
        self.opt_level = level;
        Ok(())
    }

    /// Changes cargo's profile for cells, which does not apply to the library.
    fn set_for_cells(&mut self, name: &str, value: &str) -> Result<(), CellError> {
        let command = format!(":build_env CARGO_PROFILE_DEV_{name}={value}");
        let set = self.context.execute(&command);
        set.map_err(|error| CellError::new("Error", error.to_string()))?;
        Ok(())
    }

    /// evcxr needs the setting too, because it shows values whose display moves a variable.
    fn choose_format(&mut self, is_pretty: bool) -> Result<(), CellError> {
        let (format, call) = match is_pretty {
            true => ("{:#?}", format!("set_var({PRETTY_VARIABLE:?}, \"1\")")),
            false => ("{:?}", format!("remove_var({PRETTY_VARIABLE:?})")),
        };
        let format = output::value_format(format);
        self.run(Form::from(format!(
            ":fmt {format}\nunsafe {{ std::env::{call} }};"
        )))
    }

    fn toggle_types(&mut self) -> Result<(), CellError> {
        let name = TYPES_VARIABLE;
        self.run(Form::from(format!(
            ":types\nunsafe {{ match std::env::var_os({name:?}) {{ \
             Some(_) => std::env::remove_var({name:?}), None => std::env::set_var({name:?}, \"1\") }} }};"
        )))
    }

    fn export(&self, folder: &str) -> Result<(), CellError> {
        let path = self.place(folder);
        let written = export::write(
            &path,
            &self.committed,
            self.library.as_deref(),
            &self.folder.path().join("Cargo.lock"),
        );
        written.map_err(|error| CellError::new("ExportError", format!("{error:#}")))?;
        self.say(&format!("{}: run it with `cargo run`\n", path.display()));
        Ok(())
    }

    fn script(&mut self, script: &Script) -> Result<(), CellError> {
        let file = self.folder.path().join(script.file);
        let mut words = Vec::new();
        if script.program == "python3" {
            // The program's output is shown at once, and it finds modules beside the notebook.
            words.push("PYTHONUNBUFFERED=1".to_owned());
            let path = std::env::var("PYTHONPATH").map(|path| format!(":{path}"));
            words.push(format!("PYTHONPATH=.{}", path.unwrap_or_default()));
        }
        words.push(script.program.to_owned());
        words.extend(script.arguments.iter().cloned());
        match fs::write(&file, &script.text) {
            Ok(()) => words.push(file.display().to_string()),
            // On a full disk, this script may be what frees space. All of these programs also
            // accept their text as an argument.
            Err(_) => words.extend(["-c".to_owned(), script.text.clone()]),
        }
        let end = self.link.run_script(words)?;
        match end.failure {
            // An interrupt ends the cell in any case.
            Some(failure) if script.may_fail && !end.was_interrupted => {
                self.link.warn(&failure.message);
                Ok(())
            }
            Some(failure) => Err(CellError::new(&failure.name, failure.message)),
            None => Ok(()),
        }
    }

    fn write(&self, path: &str, appends: bool, text: &str) -> Result<(), CellError> {
        let path = self.place(path);
        let mut options = fs::OpenOptions::new();
        options
            .create(true)
            .write(true)
            .append(appends)
            .truncate(!appends);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| {
            CellError::new(
                "WriteError",
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
        self.say(&format!(
            "{} {}\n",
            if appends { "appended to" } else { "wrote" },
            path.display()
        ));
        Ok(())
    }

    /// A path as the cells would resolve it: one of them may have changed the folder.
    fn place(&self, path: &str) -> PathBuf {
        let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => PathBuf::from(path),
        };
        match path.is_absolute() {
            true => path,
            false => self.cells_folder().join(path),
        }
    }

    /// The current folder of the cells.
    pub fn cells_folder(&self) -> PathBuf {
        let status = self.link.status();
        let folder = status.and_then(|status| procs::current_folder(status.user_pid));
        folder.unwrap_or_default()
    }

    pub(super) fn describe_name(&mut self, name: &str) -> Result<Inspection, CellError> {
        let found = self.inspect(name, name.len()).ok().flatten();
        found.ok_or_else(|| CellError::new("NotFound", format!("nothing is known about `{name}`")))
    }
}

fn checkpoint_in_words(status: &Status) -> String {
    let policy = match status.checkpoint {
        Checkpoint::Auto { limit_bytes } => format!(
            "auto: a cell that fails is rolled back while at most {} are in use",
            bytes_in_words(limit_bytes)
        ),
        Checkpoint::On => "on: a cell that fails is rolled back".to_owned(),
        Checkpoint::Off => "off: a cell that crashes takes all variables with it".to_owned(),
    };
    let resident = bytes_in_words(status.resident_bytes);
    let snapshot = match status.has_snapshot {
        true => format!(
            "the next cell can be rolled back; the snapshot took {} µs",
            status.snapshot_micros
        ),
        false => "the next cell cannot be rolled back".to_owned(),
    };
    format!("{policy}\n{resident} are in use; {snapshot}\n")
}

fn limit_in_words(status: &Status) -> String {
    let used = bytes_in_words(status.used_bytes);
    let origin = &status.limit.origin;
    match status.limit.bytes {
        Some(bytes) => format!(
            "the cells may use {} of memory together ({origin}); {used} are in use\n",
            bytes_in_words(bytes)
        ),
        None => {
            format!("the cells may use as much memory as there is ({origin}); {used} are in use\n")
        }
    }
}
