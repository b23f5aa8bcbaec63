//! The server's log, which goes where standard error was when the kernel started.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Standard error as it was before [`cargo_progress`](super::cargo_progress) took it over.
static LOG: OnceLock<File> = OnceLock::new();

/// Keeps what standard error is now for the log. From the second call on it gives what the first
/// one kept.
pub(super) fn keep() -> io::Result<&'static File> {
    let log = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(LOG.get_or_init(|| log))
}

/// Writes a line to the log.
pub(super) fn log(what: std::fmt::Arguments<'_>) {
    match LOG.get() {
        Some(mut log) => drop(writeln!(log, "[forklore] {what}")),
        None => eprintln!("[forklore] {what}"),
    }
}
