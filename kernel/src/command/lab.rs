//! `forklore lab`: starts JupyterLab with this kernel, wherever it is installed.
//!
//! (In a clone of the repository, `cargo lab` also creates the Python environment.)

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use forklore_lab::{find_program, places};

use crate::command::install;
use crate::command::progress;
use crate::library::cache;

/// What `forklore lab` can be asked.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder to open [default: this one]
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// The port of JupyterLab [default: the first free one from 8888 on]
    #[arg(long)]
    port: Option<u16>,

    /// Only print the address
    #[arg(long)]
    no_browser: bool,
}

/// Becomes JupyterLab.
///
/// # Errors
///
/// If JupyterLab is not installed, the port is taken, or the folder does not exist.
pub fn run(options: &Options) -> Result<()> {
    // This program may have been started by its path, in an environment that is not active.
    let beside =
        || Some(places::prefix().ok()?.join("bin/jupyter-lab")).filter(|path| path.is_file());
    let Some(jupyter) = find_program("jupyter-lab").or_else(beside) else {
        bail!(
            "there is no `jupyter-lab` on the PATH, nor beside this program: `python3 -m pip install jupyterlab` \
             brings it, or activate the environment that has it"
        );
    };
    let folder = options.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot open the folder {}", folder.display()))?;
    let mut command = Command::new(jupyter);
    command.current_dir(&folder).args([
        "--ServerApp.ip=127.0.0.1",
        // In a container, the user is often root. The server listens only on this machine, and only
        // accepts its token.
        "--ServerApp.allow_root=True",
        "--MultiKernelManager.default_kernel_name=forklore",
    ]);
    if let Some(port) = options.port {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            bail!(
                "port {port} is taken by another program; choose another with --port, or leave it out"
            );
        }
        command.args([
            format!("--ServerApp.port={port}"),
            "--ServerApp.port_retries=0".to_owned(),
        ]);
    }
    if options.no_browser {
        command.arg("--no-browser");
    }
    command.env(
        "JUPYTER_PATH",
        with_own_kernels(&cache::folder()?.join("jupyter"))?,
    );
    // Sessions work without the library too, so an error here is no reason to give up.
    if let Err(error) = progress::prepare_library() {
        eprintln!("warning: {error:#}");
    }
    Err(command.exec()).context("cannot start jupyter-lab")
}

/// The search path for kernels, with this program's own first: they need no installation.
fn with_own_kernels(data: &Path) -> Result<std::ffi::OsString> {
    install::write_specs(&data.join("kernels")).with_context(|| {
        format!(
            "cannot write the kernels' descriptions below {}",
            data.display()
        )
    })?;
    let others = env::var_os("JUPYTER_PATH").unwrap_or_default();
    let others = env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    Ok(env::join_paths(
        std::iter::once(data.to_path_buf()).chain(others),
    )?)
}
