//! The command line.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use forklore_lab::command as lessons;

use crate::command::doctor;
use crate::command::install::{self, Place};
use crate::command::lab;
use crate::command::progress;
use crate::command::stored;
use crate::library::shared_cache;
use crate::library::toolchain;
use crate::server;
use crate::sys::procs;

/// The argument with which `evcxr_jupyter` is started as a kernel. `evcxr_jupyter` reads the
/// command line itself, so this program passes it arguments that it knows, and does not parse them.
const EVCXR_FLAG: &str = "--control_file";

/// A Jupyter kernel for Rust in which no cell can lose a variable.
#[derive(Parser)]
#[command(name = "forklore", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Install the two kernels, "Rust (forklore)" and "Rust (evcxr)", for Jupyter.
    Install(Where),
    /// Remove them again.
    Uninstall(Where),
    /// Say what is missing on this machine, and how to fix it; exits with 1 if no session can work.
    Doctor {
        /// For programs to read.
        #[arg(long)]
        json: bool,
    },
    /// Open JupyterLab with this kernel, installed or not.
    Lab(lab::Options),
    /// Serve the kernel that a connection file describes; Jupyter does this.
    Kernel(Connection),
    /// Compile the library for the sessions to come, so that the first of them does not have to.
    Warm {
        /// For all users, once: in this folder, which only root should be able to change
        /// [default: share/forklore/warm, where this program's sessions look].
        #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
        system: Option<Option<PathBuf>>,
        /// And these crates, separated by commas: NAME or NAME@VERSION.
        #[arg(long, value_name = "CRATES", value_delimiter = ',')]
        with: Vec<String>,
    },
    /// The crates of `:dep` that were compiled once, for all sessions.
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// The lessons of the course: list, open, run, check, status and more.
    Lessons(lessons::Lessons),
    /// Serve the unmodified evcxr_jupyter kernel instead.
    Evcxr(Connection),
}

#[derive(Subcommand)]
enum CacheCommand {
    /// Show what is there, how large it is, and when it was used.
    List,
    /// Compile crates, so that no session has to.
    Add {
        /// NAME, NAME@VERSION, or all that may stand behind `:dep`.
        #[arg(required = true)]
        crates: Vec<String>,
    },
    /// Remove all of it.
    Clear,
}

#[derive(Args)]
struct Connection {
    /// The file that Jupyter writes for a kernel.
    #[arg(long, visible_alias = "control_file", value_name = "FILE")]
    connection_file: PathBuf,
}

#[derive(Args)]
#[group(multiple = false)]
struct Where {
    /// For this user (the default).
    #[arg(long)]
    user: bool,
    /// In the Python environment that the `jupyter` command belongs to.
    #[arg(long)]
    sys_prefix: bool,
    /// Below this folder, in share/jupyter/kernels.
    #[arg(long, value_name = "FOLDER")]
    prefix: Option<PathBuf>,
}

impl Where {
    fn place(self) -> Place {
        match self {
            Where {
                prefix: Some(prefix),
                ..
            } => Place::Prefix(prefix),
            Where {
                sys_prefix: true, ..
            } => Place::SysPrefix,
            Where { .. } => Place::User,
        }
    }
}

/// Runs the command that the arguments name, and returns the exit status.
pub(super) fn main() -> u8 {
    toolchain::put_on_path();
    let outcome = if std::env::args_os().nth(1) == Some(OsString::from(EVCXR_FLAG)) {
        evcxr_jupyter::main()
    } else {
        run(Cli::parse().command)
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("forklore: {error:#}");
            1
        }
    }
}

fn run(command: Subcommands) -> Result<()> {
    match command {
        Subcommands::Install(place) => install::install(place.place()),
        Subcommands::Uninstall(place) => install::uninstall(place.place()),
        Subcommands::Doctor { json } => examine(json),
        Subcommands::Lab(options) => lab::run(&options),
        Subcommands::Kernel(connection) => server::run(&connection.connection_file),
        Subcommands::Warm { system: None, with } => prepare(&with),
        Subcommands::Warm {
            system: Some(folder),
            with,
        } => prepare_for_all(folder, &with),
        Subcommands::Cache { command } => match command {
            CacheCommand::List => stored::list(),
            CacheCommand::Add { crates } => stored::add(&crates),
            CacheCommand::Clear => stored::clear(),
        },
        Subcommands::Lessons(command) => lessons::run(&command),
        Subcommands::Evcxr(connection) => become_evcxr(&connection.connection_file),
    }
}

fn examine(as_json: bool) -> Result<()> {
    if !doctor::run(as_json, &mut std::io::stdout())? {
        // The report has explained why.
        std::process::exit(1);
    }
    Ok(())
}

fn prepare(crates: &[String]) -> Result<()> {
    let library = progress::prepare_library()?;
    if !crates.is_empty() {
        stored::add(crates)?;
    }
    println!("sessions use the library in {}", library.display());
    Ok(())
}

fn prepare_for_all(folder: Option<PathBuf>, crates: &[String]) -> Result<()> {
    let default = shared_cache::default_folder();
    let folder = folder.or_else(|| default.clone());
    let folder =
        folder.context("cannot find this program's own file; say where, with --system FOLDER")?;
    let made = progress::prepare_shared(&folder)?;
    if !crates.is_empty() {
        stored::add_for_all(&made, crates)?;
    }
    println!("the library for all users is in {}", made.display());
    if default.is_none_or(|default| default.canonicalize().ok().as_ref() != Some(&made)) {
        println!(
            "sessions use it where {}={}",
            shared_cache::VARIABLE,
            made.display()
        );
    }
    if procs::own_uid() != 0 {
        println!("it is yours and not root's, so that only your own sessions trust it");
    }
    Ok(())
}

/// Starts this program again, with arguments for `evcxr_jupyter`.
fn become_evcxr(connection_file: &Path) -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let error = Command::new(&program)
        .arg(EVCXR_FLAG)
        .arg(connection_file)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
