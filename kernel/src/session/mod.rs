//! A session: compiles cells with evcxr and runs them in a process of their own.
//!
//! ```text
//!  server ── execute ──▶ Session ── evcxr::CommandContext ──LOAD_AND_RUN──▶ supervisor ──▶ user process
//!    │                      ▲ ended, output                                    │
//!    └── interrupt ──▶ Control ◀─────────────── frames ────────────────────────┘
//! ```
//!
//! This is the only module that uses evcxr. A [`Session`] lives on one thread; its [`Control`] may be used on any.

mod act;
mod analysis;
mod compiler;
mod diagnostic;
mod environment;
mod folder;
mod home;
mod link;
mod locals;
mod manifest;
mod places;
mod tools;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use evcxr::{CommandContext, EvalContext};

use crate::build::TOOLS;
use crate::cell::{self, Profile};
use crate::definitions::statics::{self, Numbered};
use crate::definitions::{Definitions, Prepared, lost, rewrite};
use crate::frame::{Failure, ToSupervisor};
use crate::output;
use crate::procs;
use crate::supervisor;
use crate::toolchain::Compiler;
use crate::warm;
use folder::Folder;
pub(crate) use folder::remove_own as remove_folders;
use home::Home;
pub use link::Control;
use link::Link;
use tools::Tools;

/// The error's kind when supervisor and user process are gone, variables included.
const SUPERVISOR_LOST: &str = "Killed";

/// Bytes as the user's process wrote them, in the order in which they came, and that it waits for input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Written to standard output.
    Stdout(Vec<u8>),
    /// Written to standard error.
    Stderr(Vec<u8>),
    /// The cell waits for input, after it was given this many answers ([`Control::answer`]).
    Waits(u64),
}

/// What a session is started with.
pub struct Options {
    /// Called with everything that the user's process writes and asks, as it comes, from another thread.
    /// While it blocks, the cell is slowed down, and nothing is lost.
    pub output: Box<dyn Fn(Raw) + Send + Sync>,
    /// The program that serves as supervisor: by default the running one.
    /// Its `main` has to call [`crate::supervisor::run_if_asked`] first.
    pub program: Option<PathBuf>,
    /// Whether `use forklore::*;` works without `:dep`. On by default.
    pub library: bool,
}

impl Options {
    /// The usual options, with `output` as the place where the bytes go.
    pub fn new(output: impl Fn(Raw) + Send + Sync + 'static) -> Options {
        Options {
            output: Box::new(output),
            program: None,
            library: true,
        }
    }
}

/// Why a cell failed, in the parts of a Jupyter error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// The error's kind: `Panic`, `QuestionMark`, `CompileError`, `Interrupt`, `Exit`, `Abort`, `SegmentationFault`,
    /// `StackOverflow`, `BusError`, `IllegalInstruction`, `ArithmeticFault`, `OutOfMemory`, `Killed`, `Error`.
    pub ename: String,
    /// What happened, in a sentence.
    pub evalue: String,
    /// The lines to show, with ANSI colours.
    pub traceback: Vec<String>,
}

impl CellError {
    fn new(ename: &str, evalue: impl Into<String>) -> CellError {
        let evalue = evalue.into();
        let traceback = vec![format!("\x1b[1;31m{ename}\x1b[0m: {evalue}")];
        CellError {
            ename: ename.to_owned(),
            evalue,
            traceback,
        }
    }
}

/// What could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completions {
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// First byte that a candidate replaces.
    pub start_bytes: usize,
    /// First byte after what a candidate replaces.
    pub end_bytes: usize,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What is put in.
    pub text: String,
    /// Jupyter's word for its kind, such as `function`.
    pub kind: String,
    /// What is shown in the list.
    pub label: String,
}

/// What is known about the thing at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// As plain text.
    pub plain: String,
    /// As HTML.
    pub html: String,
}

/// A session: compiler, variables and the process that runs the cells. Lives on one thread.
pub struct Session {
    context: CommandContext,
    link: Arc<Link>,
    /// Whether cargo must not use the network: until the first cell that adds a dependency.
    is_offline: bool,
    /// Cargo's home and the user's own, where they are not the same.
    home: Option<Home>,
    /// Whether rust-analyzer has the standard library's sources to infer types from.
    has_rust_src: bool,
    /// Whether a compile was killed, so that rust-analyzer may have seen half of a manifest.
    is_analysis_stale: bool,
    /// How cells are compiled.
    profile: Profile,
    opt_level: &'static str,
    /// What the cells have defined.
    definitions: Definitions,
    /// What `definitions::statics` was told last.
    told_statics: Vec<Numbered>,
    /// The cell as it was written, where what runs is not the same.
    written: String,
    shows_warnings: bool,
    /// The number of the cell that runs, as the user counts them.
    number: u32,
    /// The code that has run and was not rolled back, cell by cell.
    committed: Vec<String>,
    /// The variables of the running cell that no later one has.
    unkept: Vec<(String, locals::Why)>,
    /// Variables that are no longer there, and the index of the cell which that is due to.
    gone: HashMap<String, usize>,
    /// The library's sources, if cells can use it.
    library: Option<PathBuf>,
    // Last: its processes are gone when the folder goes.
    folder: Folder,
}

impl Session {
    /// Starts the processes and gets ready for a first cell.
    ///
    /// # Errors
    ///
    /// When there is no compiler, no place for the session's folder, or a process cannot be started.
    pub fn start(options: Options) -> Result<(Session, Control)> {
        let program = match options.program {
            Some(program) => program,
            None => std::env::current_exe().context("could not find the running program")?,
        };
        let warm = if options.library {
            find_library(&program, &options.output)
        } else {
            None
        };
        let folder = Folder::create()?;
        if let Some(warm) = &warm {
            warm.copy_to(folder.path())
                .context("could not copy the prebuilt library")?;
        }
        Session::in_folder(folder, &program, warm.as_ref(), options.output)
    }

    /// Starts a session in a folder that exists and stays.
    pub(crate) fn start_in(
        folder: &Path,
        program: &Path,
        warm: &warm::Warm,
        output: Box<dyn Fn(Raw) + Send + Sync>,
    ) -> Result<(Session, Control)> {
        Session::in_folder(
            Folder::existing(folder.to_owned()),
            program,
            Some(warm),
            output,
        )
    }

    fn in_folder(
        folder: Folder,
        program: &Path,
        warm: Option<&warm::Warm>,
        output: Box<dyn Fn(Raw) + Send + Sync>,
    ) -> Result<(Session, Control)> {
        adopt_orphans();
        let link = Link::open(&folder, output).context("could not open the supervisor's socket")?;
        let control = Control { link: link.clone() };
        let mut command = Command::new(program);
        for name in environment::clear(&mut command) {
            link.warn(&format!(
                "{name} names a program that is not there: cells are compiled without it"
            ));
        }
        set_compiler_environment(folder.path(), warm, &mut command);
        let home = warm.and_then(warm::Warm::cargo_home);
        let home = home.map(|home| Home::enter(home, &mut command));
        command.env(supervisor::SOCKET_VARIABLE, folder.socket());
        if folder.is_owned() {
            command.env(supervisor::OWNED_VARIABLE, "1");
        }
        match warm.map_or_else(warm::find_or_build_prelude, warm::Warm::prelude) {
            Ok(prelude) => drop(command.env(crate::runtime::PRELUDE_VARIABLE, prelude)),
            Err(error) => link.warn(&format!("panics have no message: {error:#}")),
        }
        let configuration = match warm {
            Some(warm) => Some(manifest::Configuration::write(
                folder.path(),
                warm,
                &mut command,
            )?),
            None => None,
        };
        if let Some(warm) = warm {
            warm.copy_lock_to(folder.path())?;
        }
        let tools = Tools::install(folder.path(), program, warm)?;
        command.env("PATH", tools.path());
        let (context, outputs) = EvalContext::with_subprocess_command(command).map_err(
            |error| match Compiler::find() {
                Err(reason) => reason.context("could not start the compiler"),
                Ok(_) => anyhow!("could not start the compiler: {error}"),
            },
        )?;
        let opt_level = configuration.as_ref().and_then(|own| own.opt_level());
        drop((configuration, tools));
        // Nothing of a cell's comes this way: only what the supervisor itself complains about.
        let complaints = link.clone();
        std::thread::Builder::new()
            .name("complaints".to_owned())
            .spawn(move || {
                for line in outputs.stderr {
                    complaints.show(Raw::Stderr((line + "\n").into_bytes()));
                }
            })?;
        let context = CommandContext::with_eval_context(context);
        let mut session = Session {
            context,
            link,
            is_offline: warm.is_some_and(warm::Warm::is_complete),
            home,
            has_rust_src: warm.is_none_or(|warm| warm.standard_library().is_some()),
            is_analysis_stale: false,
            profile: Profile::Release,
            opt_level: "2",
            definitions: Definitions::default(),
            told_statics: Vec::new(),
            written: String::new(),
            shows_warnings: true,
            number: 0,
            committed: Vec::new(),
            unkept: Vec::new(),
            gone: HashMap::new(),
            library: warm.map(|warm| warm.library().to_owned()),
            folder,
        };
        session.open(warm).map_err(|error| {
            anyhow!(
                "could not prepare the first cell: {}",
                error.traceback.join("\n")
            )
        })?;
        if let Some(level) = opt_level {
            let set = session.set_opt_level(level);
            set.map_err(|error| anyhow!("{}", error.evalue))?;
        }
        session.link.speak();
        Ok((session, control))
    }

    /// The first cell, which nobody sees: makes the library known and allows `?`, so that no later cell is compiled
    /// twice for it.
    fn open(&mut self, warm: Option<&warm::Warm>) -> Result<(), CellError> {
        // Where a value moves a variable away, evcxr shows it by its own means.
        let mut code = format!(":fmt {}\n", output::value_format("{:?}"));
        if warm.is_some() {
            code.push_str(cell::PRELUDE);
        }
        self.run(&format!("{code}\nOk::<(), String>(())?;"))
    }

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
    fn execute_for(&mut self, written: &str, code: &str) -> Result<(), CellError> {
        written.clone_into(&mut self.written);
        let result = self.execute_written(code);
        self.written.clear();
        result
    }

    fn execute_written(&mut self, code: &str) -> Result<(), CellError> {
        if self.is_analysis_stale {
            // Completion loads the manifest anew when it differs from what was loaded last.
            let _ = self.context.completions("", 0);
            self.is_analysis_stale = false;
        }
        let before: HashSet<String> = self.variables().into_iter().map(|(name, _)| name).collect();
        match code.trim() {
            ":restart" => return self.restart(),
            ":clear" => return self.reset(),
            _ => self.execute_code(code)?,
        }
        self.tell_unkept();
        self.note_gone(&before);
        self.committed.push(code.to_owned());
        Ok(())
    }

    /// Takes note of the variables that the cell which has just ended has moved away.
    fn note_gone(&mut self, before: &HashSet<String>) {
        let after: HashSet<String> = self.variables().into_iter().map(|(name, _)| name).collect();
        self.gone.retain(|name, _| !after.contains(name));
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
        let run = [commands, rewritten, looks].concat();
        let mut result = self.run_with_dependencies(&run);
        if let (Err(error), Some(_)) = (&result, &prepared.rewritten)
            && is_about_text(error)
        {
            // What evcxr says of the cell as it was written has its columns, if it says the same.
            match self.run_with_dependencies(code) {
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
        self.definitions = prepared.after;
        Ok(())
    }

    fn run_with_dependencies(&mut self, code: &str) -> Result<(), CellError> {
        if !adds_dependency(code) {
            return self.run_online_if_needed(code);
        }
        // evcxr asks cargo about the manifest before it writes the next one: with a dependency that cannot be had, it
        // would ask in vain from then on.
        let manifest = self.folder.path().join("Cargo.toml");
        let before = std::fs::read(&manifest);
        let result = self.run_online_if_needed(code);
        if let (Err(_), Ok(before)) = (&result, before) {
            // Where this fails, so will evcxr, which then says so.
            let _ = std::fs::write(&manifest, before);
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

    /// Tells `build` what it cannot see of the cell that comes.
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
        // evcxr writes it anew when it compiles, but tries the dependency before that.
        let _ = std::fs::remove_file(self.folder.path().join(".cargo/config.toml"));
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

    /// Starts the processes anew, without variables. (evcxr's own `:restart` forgets to forget them.)
    fn restart(&mut self) -> Result<(), CellError> {
        self.link.tell(&ToSupervisor::Shutdown);
        match self.run("();") {
            Err(error) if error.ename == SUPERVISOR_LOST => Ok(()),
            other => other,
        }
    }

    /// Forgets all variables, definitions and added crates; settings stay.
    fn reset(&mut self) -> Result<(), CellError> {
        self.run(":clear")?;
        self.committed.clear();
        self.gone.clear();
        self.definitions = Definitions::default();
        let prelude = if self.library.is_some() {
            cell::PRELUDE
        } else {
            ""
        };
        self.run(&format!("{prelude}\nOk::<(), String>(())?;"))
    }

    fn control(&self) -> Control {
        Control {
            link: self.link.clone(),
        }
    }

    fn run(&mut self, code: &str) -> Result<(), CellError> {
        if !self.link.begin_cell() {
            return Err(CellError::new("Error", "the session has been shut down"));
        }
        self.link.tell(&ToSupervisor::Cell(self.number));
        compiler::forget(self.folder.path());
        let generated = self.folder.path().join("src/lib.rs");
        self.link.places.begin(self.cells(code), generated);
        let result = self.context.execute(code);
        let end = self.link.end_cell();
        self.link.show(Raw::Stderr(self.link.places.end()));
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
                    self.link.show(Raw::Stdout(line.into_bytes()));
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
            self.link
                .show(Raw::Stdout(output::display_frame(&contents)));
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
            let frame = output::display_frame(&contents);
            self.link.show(Raw::Stdout(frame));
        }
    }

    fn cells<'a>(&'a self, code: &'a str) -> diagnostic::Cells<'a> {
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
        if let Some(place) = &failure.place {
            let source = self.context.last_source().unwrap_or_default();
            error
                .traceback
                .extend(diagnostic::place(place, self.cells(code), source));
        }
        error.traceback.push(failure.aftermath.to_string());
        error
    }

    /// What could stand at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub fn complete(&mut self, code: &str, cursor_bytes: usize) -> Result<Completions> {
        let found = self.context.completions(code, cursor_bytes)?;
        let candidates = found.completions.into_iter();
        Ok(Completions {
            candidates: candidates
                .filter(|c| !c.code.starts_with(rewrite::PREFIX))
                .map(|c| Candidate {
                    text: c.code,
                    kind: c.kind.to_owned(),
                    label: c.label,
                })
                .collect(),
            start_bytes: found.start_offset,
            end_bytes: found.end_offset,
        })
    }

    /// What is known about the thing that ends at byte `cursor_bytes` of `code`.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub fn inspect(&mut self, code: &str, cursor_bytes: usize) -> Result<Option<Inspection>> {
        let (plain, html) = self.context.hover_at(code, cursor_bytes)?;
        if plain == "No documentation found" {
            return Ok(None);
        }
        Ok(Some(Inspection { plain, html }))
    }

    /// The variables' names and types.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = self.context.variables_and_types();
        variables
            .map(|(name, type_name)| (name.to_owned(), type_name.to_owned()))
            .collect()
    }

    /// Ends the session when the program is about to end too: its processes and its folder go at once.
    /// Its memory stays for the system to take: rust-analyzer's database needs seconds to be taken apart.
    pub fn abandon(mut self) {
        // Asked before it ends, when the link forgets it.
        let supervisor = self.link.supervisor_pid();
        self.control().shutdown();
        // Its parent is evcxr's part of this process, which is not dropped and so will not wait for it.
        if let Some(supervisor) = supervisor {
            procs::reap(supervisor);
        }
        let nothing = Folder::existing(PathBuf::new());
        drop(std::mem::replace(&mut self.folder, nothing));
        std::mem::forget(self);
    }

    /// The session's private folder: cargo's files and the cells' shared objects.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.control().shutdown();
    }
}

/// The prebuilt library. A session without it is better than none.
fn find_library(program: &Path, output: &(dyn Fn(Raw) + Send + Sync)) -> Option<warm::Warm> {
    let say = |text: String| output(Raw::Stderr(format!("forklore: {text}\n").into_bytes()));
    warm::find_or_build(program)
        .inspect(|warm| {
            if let Some(warning) = warm.warning() {
                say(warning.to_owned());
            }
        })
        .inspect_err(|error| say(format!("cells cannot use the library: {error:#}")))
        .ok()
}

/// Makes this process adopt what its supervisor leaves behind when that is killed.
fn adopt_orphans() {
    // SAFETY: only changes this process' own attribute.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// evcxr takes its folder from the environment, cargo the profile of the cells, and rust-analyzer what it shall read.
/// Only the folder is passed on to the `user`'s process.
fn set_compiler_environment(folder: &Path, warm: Option<&warm::Warm>, user: &mut Command) {
    // SAFETY: std's own readers take std's lock, and no other thread of this program reads the environment through C
    // while a session starts.
    unsafe {
        std::env::set_var(supervisor::FOLDER_VARIABLE, folder);
        for (name, value) in manifest::environment(warm) {
            user.env_remove(&name);
            std::env::set_var(name, value);
        }
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

fn adds_dependency(code: &str) -> bool {
    let adds = |line: &str| {
        line.starts_with(":dep")
            || line.starts_with(":load_config")
            || line.starts_with("extern crate")
    };
    code.lines().any(|line| adds(line.trim_start()))
}
