//! The environment of Python's pools.

use std::path::Path;
use std::process::Command;

use crate::environment;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A command that runs one of the scripts in this folder.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(environment::python(HERE));
    command.arg(Path::new(HERE).join(name));
    // joblib warns about its own temporary folders.
    command.env("PYTHONWARNINGS", "ignore");
    command
}

/// The measured versions, for the table's caption.
pub fn versions() -> String {
    environment::versions(HERE, &["joblib", "loky", "mpire"])
}
