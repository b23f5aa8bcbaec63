//! The hub's own tests: its form, what it says about bad input and silent schedulers, seats,
//! control groups.
//!
//! The session tests (a browser, real schedulers) need root and Debian's packages:
//! `binder/hub/test` runs these.

use std::process::{Command, ExitCode};

use forklore_lab::places;
use forklore_lab::python::{self, Environment, Interpreter};
use xtask::repository;

/// The oldest Python that JupyterHub runs on.
const OLDEST: [u32; 2] = [3, 10];
/// What pytest says when no test's name contains the word.
const NOTHING_FOUND: i32 = 5;

fn main() -> ExitCode {
    let interpreter = python::find_interpreter().expect("a Python interpreter");
    if release(&interpreter) < OLDEST {
        println!(
            "hub tests: skipped, as JupyterHub needs a newer Python than {}",
            interpreter.version
        );
        return ExitCode::SUCCESS;
    }
    let status = pytest(&environment(&interpreter))
        .status()
        .expect("pytest can be run");
    if status.success() || status.code() == Some(NOTHING_FOUND) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn release(interpreter: &Interpreter) -> [u32; 2] {
    let mut numbers = interpreter
        .version
        .split('.')
        .map(|part| part.parse().unwrap_or(0));
    [0; 2].map(|_| numbers.next().unwrap_or(0))
}

fn environment(interpreter: &Interpreter) -> Environment {
    let requirements = repository().join("binder/hub/requirements.txt");
    let cache = places::cache_folder().expect("a cache folder");
    python::ensure_in(&cache, interpreter, &requirements).expect("the hub's environment")
}

fn pytest(environment: &Environment) -> Command {
    let mut pytest = environment.command("pytest");
    pytest
        .args([
            "-q",
            "-p",
            "no:cacheprovider",
            "--timeout",
            "120",
            "tests/unit",
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(repository().join("binder/hub"));
    // libtest's flags mean nothing here; a word is a filter.
    if let Some(word) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
    {
        pytest.args(["-k", &word]);
    }
    pytest
}
