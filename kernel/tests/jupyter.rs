//! Drives the real kernel through `jupyter_client`: runs the Python tests beside this file.
//!
//! `cargo test -p forklore-kernel --test jupyter -- WORD` runs those whose names contain the word.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("kernel tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let environment = forklore_lab::python::ensure()?;
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jupyter");
    let program = env!("CARGO_BIN_EXE_forklore");
    let mut install = Command::new(program);
    install.args(["install", "--prefix"]).arg(&prefix);
    prepare(&mut install)?;
    let shared = shared_folder()?;
    warm_twice(program, &shared)?;
    let mut pytest = environment.command("pytest");
    pytest
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"))
        .args([
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "--durations=5",
            ".",
        ])
        .env("JUPYTER_PATH", prefix.join("share/jupyter"))
        .env("FORKLORE_PROGRAM", program)
        .env("FORKLORE_SHARED", shared)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    forget_cargo(&mut pytest);
    // libtest's flags mean nothing here; a word is a filter.
    if let Some(word) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
    {
        pytest.args(["-k", &word]);
    }
    let status = pytest.status().context("cannot run pytest")?;
    if !status.success() {
        bail!("pytest found failures, named above ({status})");
    }
    println!("kernel tests: all passed");
    Ok(())
}

/// Compiles the library, or the first cell would wait for it, which no deadline of a test foresees.
/// Two at once, as two sessions with a cold cache would: both have to succeed, with the same. And
/// at the same time, for many users.
fn warm_twice(program: &str, shared: &Path) -> Result<()> {
    let start = |arguments: &[&OsStr]| {
        let mut command = Command::new(program);
        command.arg("warm").args(arguments).stdout(Stdio::piped());
        forget_cargo(&mut command).spawn()
    };
    let (first, second) = (start(&[])?, start(&[])?);
    let for_all = start(&["--system".as_ref(), shared.as_os_str()])?;
    let (first, second) = (first.wait_with_output()?, second.wait_with_output()?);
    if !first.status.success() || !second.status.success() || first.stdout != second.stdout {
        bail!("two that compiled the library at once: {first:?}, {second:?}");
    }
    let for_all = for_all.wait_with_output()?;
    if !for_all.status.success() {
        bail!("the library for many users: {for_all:?}");
    }
    Ok(())
}

/// For a library that many users share: not below the target folder, which others may be able to
/// change. One for each of these, because it is emptied when it has become large.
fn shared_folder() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
    let cache = forklore_lab::places::cache_folder()?;
    let folder = cache.join(format!("shared-for-tests-{:016x}", hasher.finish()));
    if fs::read_dir(&folder).is_ok_and(|entries| entries.count() > 10) {
        fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}

/// Runs a command of the kernel's that has to succeed.
fn prepare(command: &mut Command) -> Result<()> {
    let status = forget_cargo(command)
        .stdout(Stdio::null())
        .status()
        .context("cannot run the kernel's program")?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// The kernel must see what a learner's shell has, not what cargo adds for this program.
fn forget_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO_") && text != "CARGO_HOME";
        if of_cargo
            || [
                "CARGO",
                "FORKLORE_WARM",
                "LD_LIBRARY_PATH",
                "OUT_DIR",
                "RUST_BACKTRACE",
            ]
            .contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    command
}
