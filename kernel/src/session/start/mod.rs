//! How a session starts: the library, a folder, the compiler's environment, the processes, and a
//! first cell.

mod environment;
pub(super) mod folder;
pub(super) mod home;
pub(super) mod obstacles;
pub(crate) mod prebuild;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use folder::Folder;
use home::Home;

use super::evaluate::Form;
use super::link::{Control, Link};
use super::{CellError, Options, Session};
use crate::cell::{self, Profile};
use crate::definitions::Definitions;
use crate::evcxr::Evcxr;
use crate::evcxr::analysis::CellsOnly;
use crate::evcxr::manifest;
use crate::evcxr::tools::Tools;
use crate::library::toolchain::Compiler;
use crate::library::warm;
use crate::output;
use crate::protocol::Output;
use crate::supervisor;
use crate::sys::this_process::adopt_orphans;
use crate::sys::variables;

impl Session {
    /// Starts the processes and prepares for a first cell.
    ///
    /// # Errors
    ///
    /// If there is no compiler, the session's folder cannot be created, or a process cannot be
    /// started.
    pub fn start(options: Options) -> Result<(Session, Control)> {
        let program = match options.program {
            Some(program) => program,
            None => std::env::current_exe().context("could not find the running program")?,
        };
        obstacles::check_tools()?;
        obstacles::check_folder()?;
        let warm = if options.library {
            find_library(&program, &options.output)?
        } else {
            None
        };
        let folder = Folder::create().map_err(obstacles::about_folder)?;
        if let Some(warm) = &warm {
            warm.copy_to(folder.path())
                .context("could not copy the prebuilt library")
                .map_err(obstacles::about_folder)?;
        }
        Session::in_folder(folder, &program, warm.as_ref(), options.output)
            .map_err(obstacles::about_folder)
    }

    /// Starts a session in a folder that exists and stays.
    pub(crate) fn start_in(
        folder: &Path,
        program: &Path,
        warm: &warm::Warm,
        output: Box<dyn Fn(Output) + Send + Sync>,
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
        output: Box<dyn Fn(Output) + Send + Sync>,
    ) -> Result<(Session, Control)> {
        // Adopts the processes that a killed supervisor leaves behind. If that fails, they are
        // found by their environment.
        let _ = adopt_orphans();
        let link = Link::open(&folder, output).context("could not open the supervisor's socket")?;
        let control = Control { link: link.clone() };
        let mut command = supervisor_command(program, &folder, warm, &link);
        let home = warm.and_then(warm::Warm::cargo_home);
        let home = home.map(|home| Home::enter(home, &mut command));
        // Crates for all users stay in the home that all of them use.
        let home = home.filter(|_| !warm.is_some_and(warm::Warm::is_for_all));
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
        let cells_only = warm.map(|_| CellsOnly::enter(folder.path(), &mut command));
        let cells_only = cells_only.transpose()?;
        let tools = Tools::install(folder.path(), program, warm)?;
        command.env("PATH", tools.path());
        let (context, said) = Evcxr::start(command).map_err(|error| match Compiler::find() {
            Err(reason) => reason.context("could not start the compiler"),
            Ok(_) => anyhow!("could not start the compiler: {error}"),
        })?;
        let opt_level = configuration.as_ref().and_then(|own| own.opt_level());
        drop((configuration, tools));
        // No cell's output comes this way: only the supervisor's own complaints.
        let complaints = link.clone();
        std::thread::Builder::new()
            .name("complaints".to_owned())
            .spawn(move || {
                for line in said {
                    complaints.show(Output::Stderr((line + "\n").into_bytes()));
                }
            })?;
        let mut session = Session {
            context,
            link,
            is_offline: warm.is_some_and(warm::Warm::is_complete),
            stores: warm.and_then(warm::Warm::stores),
            home,
            has_rust_src: warm.is_none_or(|warm| warm.standard_library().is_some()),
            cells_only,
            is_analysis_stale: false,
            profile: Profile::Release,
            opt_level: "2",
            definitions: Definitions::default(),
            told_statics: Vec::new(),
            written: String::new(),
            shows_warnings: true,
            last_error: None,
            number: 0,
            pins: Vec::new(),
            committed: Vec::new(),
            numbers: Vec::new(),
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

    /// Runs a hidden first cell that imports the library and allows `?`, so that no later cell is
    /// compiled twice for it.
    fn open(&mut self, warm: Option<&warm::Warm>) -> Result<(), CellError> {
        // If showing a value moves a variable, evcxr shows it by its own means.
        let mut code = format!(":fmt {}\n", output::value_format("{:?}"));
        if warm.is_some() {
            code.push_str(cell::PRELUDE);
        }
        self.run(Form::from(format!("{code}\nOk::<(), String>(())?;")))
    }
}

/// The command that starts the supervisor. This process's environment becomes the compiler's.
fn supervisor_command(
    program: &Path,
    folder: &Folder,
    warm: Option<&warm::Warm>,
    link: &Link,
) -> Command {
    let mut command = Command::new(program);
    for name in environment::clear(&mut command) {
        link.warn(&format!(
            "{name} names a program that is not there: cells are compiled without it"
        ));
    }
    set_compiler_environment(folder.path(), warm, &mut command);
    command.env(supervisor::SOCKET_VARIABLE, folder.socket());
    if folder.is_owned() {
        command.env(supervisor::OWNED_VARIABLE, "1");
    }
    match warm.map_or_else(warm::find_or_build_prelude, warm::Warm::prelude) {
        Ok(prelude) => drop(command.env(crate::runtime::PRELUDE_VARIABLE, prelude)),
        Err(error) => link.warn(&format!("panics have no message: {error:#}")),
    }
    command
}

/// The prebuilt library. A session without it is better than none, but a session needs a compiler.
fn find_library(
    program: &Path,
    output: &(dyn Fn(Output) + Send + Sync),
) -> Result<Option<warm::Warm>> {
    let say = |text: String| output(Output::Stderr(format!("forklore: {text}\n").into_bytes()));
    match warm::find_or_build(program) {
        Ok(warm) => {
            if let Some(warning) = warm.warning() {
                say(warning.to_owned());
            }
            Ok(Some(warm))
        }
        Err(error) => {
            Compiler::find()?;
            say(format!("cells cannot use the library: {error:#}"));
            Ok(None)
        }
    }
}

/// evcxr reads its folder from the environment, cargo the profile of the cells, and rust-analyzer
/// what to read. Only the folder is passed on to the `user`'s process.
fn set_compiler_environment(folder: &Path, warm: Option<&warm::Warm>, user: &mut Command) {
    variables::set(supervisor::FOLDER_VARIABLE, Some(folder.as_os_str()));
    for (name, value) in manifest::environment(warm) {
        user.env_remove(&name);
        variables::set(name, Some(&value));
    }
}
