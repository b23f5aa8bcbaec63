//! A Python environment with the packages that a benchmark's `requirements.txt` names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment's Python. Creates the environment, under the folder's `target/`, unless one with
/// these packages exists.
pub fn python(folder: &str) -> PathBuf {
    let environment = Path::new(folder).join("target/python");
    let stamp = environment.join("requirements.txt");
    let required = requirements(folder);
    if !std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == required) {
        eprintln!("making a Python environment in {}", environment.display());
        succeed(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        );
        succeed(
            Command::new(environment.join("bin/pip"))
                .args(["install", "--quiet", "--requirement"])
                .arg(Path::new(folder).join("requirements.txt")),
        );
        std::fs::write(&stamp, required).expect("the environment can be written to");
    }
    environment.join("bin/python")
}

/// The versions of Python and of some packages, for a table's caption.
pub fn versions(folder: &str, packages: &[&str]) -> String {
    let output = Command::new(python(folder)).arg("--version").output();
    let python = output.expect("the environment has a Python").stdout;
    let packages = requirements(folder)
        .lines()
        .filter(|line| packages.contains(&line.split('=').next().unwrap_or("")))
        .map(|line| line.replace("==", " "))
        .collect::<Vec<_>>()
        .join(", ");
    format!("{}, {packages}", String::from_utf8_lossy(&python).trim())
}

fn requirements(folder: &str) -> String {
    std::fs::read_to_string(Path::new(folder).join("requirements.txt")).expect("requirements.txt")
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("Python 3 with venv is installed");
    assert!(status.success(), "{command:?} failed: {status}");
}
