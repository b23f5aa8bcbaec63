//! The server's log, which goes to the original standard error of the kernel.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Standard error before [`cargo_progress`](super::cargo_progress) took it over.
static LOG: OnceLock<File> = OnceLock::new();

/// Keeps the current standard error for the log. Later calls return what the first one kept.
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
