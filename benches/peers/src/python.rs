//! A Python environment with the packages of `requirements.txt`.

use std::path::{Path, PathBuf};
use std::process::Command;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A command that runs one of the scripts in this folder.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(environment().join("bin/python"));
    command.arg(Path::new(HERE).join(name));
    // joblib warns of its own temporary folders.
    command.env("PYTHONWARNINGS", "ignore");
    command
}

/// The versions that are measured, for the table's caption.
pub fn versions() -> String {
    let output = Command::new(environment().join("bin/python"))
        .arg("--version")
        .output();
    let python = output.expect("the environment has a Python").stdout;
    let packages = requirements()
        .lines()
        .filter(|line| ["joblib", "loky", "mpire"].contains(&line.split('=').next().unwrap_or("")))
        .map(|line| line.replace("==", " "))
        .collect::<Vec<_>>()
        .join(", ");
    format!("{}, {packages}", String::from_utf8_lossy(&python).trim())
}

/// Makes the environment unless one with these packages is there.
fn environment() -> PathBuf {
    let folder = Path::new(HERE).join("target/python");
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements()) {
        return folder;
    }
    eprintln!("making a Python environment in {}", folder.display());
    succeed(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    );
    succeed(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(Path::new(HERE).join("requirements.txt")),
    );
    std::fs::write(&stamp, requirements()).expect("the environment can be written to");
    folder
}

fn requirements() -> String {
    std::fs::read_to_string(Path::new(HERE).join("requirements.txt")).expect("requirements.txt")
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("Python 3 with venv is installed");
    assert!(status.success(), "{command:?} failed: {status}");
}
