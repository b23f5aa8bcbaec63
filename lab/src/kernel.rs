//! The kernel that lessons run on, with its own kernelspecs.
//!
//! They are in the program's own folder, which Jupyter finds through `JUPYTER_PATH`: several
//! programs may share a Python environment, and each must run its own kernel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::python::Environment;
use crate::steps::Step;

/// The kernel's program and its kernelspecs' folder.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The program `forklore`.
    pub program: PathBuf,
    /// The folder given to `forklore install --prefix`.
    pub prefix: PathBuf,
    /// The program `forklore-node`, if this session's cells are to find it where it was built.
    pub node_program: Option<PathBuf>,
}

impl Kernel {
    /// Installs the kernelspecs of `program` below `prefix`, and prepares its warm start.
    ///
    /// # Errors
    ///
    /// If the program's `install` or `warm` fails.
    pub fn install(program: PathBuf, prefix: PathBuf, environment: &Environment) -> Result<Kernel> {
        let kernel = Kernel {
            program,
            prefix,
            node_program: None,
        };
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

    /// Adds to a command's environment what Jupyter needs to find the kernelspecs, and removes what
    /// cargo added for this program, because a separate cargo compiles the cells.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(program) = &self.node_program {
            command.env("FORKLORE_NODE", program);
        }
        forget_cargo(command)
            .env("JUPYTER_PATH", self.prefix.join("share/jupyter"))
            .env("JUPYTER_CONFIG_PATH", self.prefix.join("etc/jupyter"))
            // Lessons promise to run offline: everything that they need was fetched earlier.
            .env("CARGO_NET_OFFLINE", "true")
    }
}

/// Turns off JupyterLab's question about news, which would cover the lesson.
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

/// Removes the variables that `cargo run` and `cargo test` set for the programs that they start.
pub(crate) fn forget_cargo(command: &mut Command) -> &mut Command {
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
    const OF_CARGO: [&str; 4] = ["debug", "release", "rustlib", "toolchains"];
    let is_of_cargo = |path: &Path| {
        let mut names = path.components().map(|component| component.as_os_str());
        names.any(|name| OF_CARGO.iter().any(|of_cargo| name == *of_cargo))
    };
    let kept = std::env::split_paths(paths).filter(|path| !is_of_cargo(path));
    std::env::join_paths(kept).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_paths_of_cargo_are_left_out() {
        let paths = "/x/target/debug/deps:/x/target/debug:/opt/lib:/r/toolchains/stable/lib".into();
        assert_eq!(foreign_paths(&paths), "/opt/lib");
    }
}
