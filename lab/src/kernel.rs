//! Builds the kernel and installs its two kernelspecs for this checkout.
//!
//! They go into a folder of the checkout's own, found by Jupyter through `JUPYTER_PATH`: the
//! Python environment is shared by all checkouts of a user, and each must run its own kernel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::python::Environment;
use crate::steps::Step;

/// The kernel's program and where its kernelspecs are.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The program `forklore`.
    pub program: PathBuf,
    /// The folder given to `forklore install --prefix`.
    pub prefix: PathBuf,
}

impl Kernel {
    /// Adds to a command's environment what Jupyter needs to find the kernelspecs, and takes
    /// away what cargo added for this program: cells are compiled by a cargo of their own.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        forget_cargo(command)
            .env("JUPYTER_PATH", self.prefix.join("share/jupyter"))
            .env("JUPYTER_CONFIG_PATH", self.prefix.join("etc/jupyter"))
            // Offline is a promise to the learner: what a lesson needs was fetched by the build.
            .env("CARGO_NET_OFFLINE", "true")
    }
}

/// Builds the kernel, installs its kernelspecs and prepares its warm start.
///
/// # Errors
///
/// When cargo fails (its messages are on stderr), or the kernel's `install` or `warm` do.
pub fn ensure(environment: &Environment) -> Result<Kernel> {
    let program = build()?;
    fetch();
    let prefix = crate::lab_folder().join("jupyter");
    let kernel = Kernel { program, prefix };
    let mut install = Command::new(&kernel.program);
    install.arg("install").arg("--prefix").arg(&kernel.prefix);
    say("Kernelspecs", environment, &mut install)?;
    quiet_jupyterlab(&kernel.prefix)?;
    let mut warm = Command::new(&kernel.program);
    warm.arg("warm");
    say(
        "The library, compiled once for all sessions",
        environment,
        &mut warm,
    )?;
    Ok(kernel)
}

/// Fetches what the library depends on for every platform: the stock kernel's `:dep` asks `cargo
/// metadata`, which wants to see all of it, and lessons run offline. Ours does without.
fn fetch() {
    let step = Step::start("Crates that the stock kernel looks at");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(crate::repository())
        .args(["fetch", "--locked", "--quiet"])
        .stdin(Stdio::null());
    match forget_cargo(&mut command).status() {
        Ok(status) if status.success() => step.done(),
        _ => step.failed(),
    }
}

/// Turns off JupyterLab's question about news from the network, which covers the lesson.
fn quiet_jupyterlab(prefix: &Path) -> Result<()> {
    let folder = prefix.join("etc/jupyter/labconfig");
    let path = folder.join("page_config.json");
    std::fs::create_dir_all(&folder)
        .and_then(|()| {
            let news = "@jupyterlab/apputils-extension:announcements";
            std::fs::write(
                &path,
                format!("{{\"disabledExtensions\": {{\"{news}\": true}}}}\n"),
            )
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

fn say(title: &str, environment: &Environment, command: &mut Command) -> Result<()> {
    let step = Step::start(title);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = line.join(" ");
    forget_cargo(command)
        .env("FORKLORE_PYTHON", environment.python())
        .stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    if output.status.success() {
        step.done();
        return Ok(());
    }
    step.failed();
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let said = said.iter().find(|text| !text.trim().is_empty());
    let said = said.map_or("it said nothing", |text| text.trim());
    bail!("`{line}` failed ({}): {said}", output.status);
}

/// One line of cargo's `--message-format json`.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the program `forklore`, with the features that `cargo test --workspace` gives its
/// dependencies, so that the two commands share one build.
///
/// # Errors
///
/// When cargo is not there or the build fails.
pub fn build() -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(crate::repository())
        .args(["build", "--workspace", "--bin", "forklore", "--locked"])
        .arg("--message-format=json-render-diagnostics");
    let first_time = !expected_program().exists();
    if first_time {
        eprintln!(
            "  Building the kernel. The first time this takes 6 to 10 minutes on 2 cores: it \
             contains rust-analyzer."
        );
    } else {
        command.arg("--quiet");
    }
    let step = Step::start("Kernel");
    let output = forget_cargo(&mut command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        step.failed();
        bail!(
            "the kernel could not be built ({}); see cargo's message above",
            output.status
        );
    }
    let program = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == "forklore")
        })
        .filter_map(|message| message.executable)
        .next_back()
        .context("cargo built no program named `forklore`")?;
    step.done();
    Ok(program)
}

fn expected_program() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate::repository().join("target"), PathBuf::from)
        .join("debug/forklore")
}

/// Takes away what `cargo run` and `cargo test` put into the environment of what they start.
fn forget_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        if of_cargo.iter().any(|prefix| text.starts_with(prefix))
            || ["CARGO", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&text.as_ref())
        {
            command.env_remove(&name);
        }
    }
    if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", foreign_paths(&paths));
    }
    command
}

/// The library paths that are neither in a target folder nor in a Rust toolchain.
fn foreign_paths(paths: &OsString) -> OsString {
    let of_cargo = |path: &Path| {
        let text = path.to_string_lossy();
        path.starts_with(crate::repository())
            || text.contains("/rustlib/")
            || text.contains("/toolchains/")
            || text.contains("/debug/")
    };
    let kept = std::env::split_paths(paths).filter(|path| !of_cargo(path));
    std::env::join_paths(kept).unwrap_or_default()
}
