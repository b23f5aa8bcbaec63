//! The progress of a cell's compile: what evcxr prints of it for the server's log, shown in the cell.
//!
//! evcxr runs cargo, and prints `Compiling NAME` to standard error when cargo compiles a dependency; what cargo says
//! before that comes there too (see `session/tools.rs`). So standard error is taken over: those lines go to the cell
//! that runs, all others on to where standard error was, the server's log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::log;
use super::relay::Feeder;
use crate::session::Raw;

/// A line that nobody else writes: what came before it has been passed on.
const MARK: &str = "\x1fforklore\x1f";
/// Only to catch a reader that has died.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines on their way.
pub(super) struct Progress {
    is_shown: Arc<AtomicBool>,
    marks: mpsc::Receiver<()>,
}

impl Progress {
    /// Takes standard error over. To be called once.
    pub(super) fn start(feeder: Feeder) -> io::Result<Progress> {
        let mut log = log::keep()?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let is_shown = Arc::new(AtomicBool::new(false));
        let (mark, marks) = mpsc::channel();
        let shows = is_shown.clone();
        std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                for line in BufReader::new(File::from(reader)).split(b'\n') {
                    let Ok(mut line) = line else { return };
                    if line == MARK.as_bytes() {
                        let _ = mark.send(());
                        continue;
                    }
                    line.push(b'\n');
                    if shows.load(Ordering::SeqCst) && is_progress(&line) {
                        feeder.write(Raw::Stdout(line));
                    } else {
                        let _ = log.write_all(&line);
                    }
                }
            })?;
        // SAFETY: standard error becomes another open descriptor; nobody holds the old one as a value.
        if unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Progress { is_shown, marks })
    }

    /// A cell begins: what is compiled from now on is compiled for it.
    pub(super) fn begin(&self) {
        self.is_shown.store(true, Ordering::SeqCst);
    }

    /// The cell has ended: returns when all that was printed has been passed on.
    pub(super) fn end(&self) {
        eprintln!("{MARK}");
        let _ = self.marks.recv_timeout(PATIENCE);
        self.is_shown.store(false, Ordering::SeqCst);
    }
}

/// `   Compiling NAME v1.2.3` and the like, as cargo prints them: verbs that end in column 12.
fn is_progress(line: &[u8]) -> bool {
    // Not those about versions: they are of the manifest in which a dependency is tried alone.
    const VERBS: [&str; 5] = [
        "Updating",
        "Downloading",
        "Downloaded",
        "Compiling",
        "Blocking",
    ];
    let is_cargo = |verb: &&str| line.starts_with(format!("{verb:>12} ").as_bytes());
    VERBS.iter().any(is_cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_from_the_log() {
        assert!(is_progress(b"   Compiling serde v1.0.0\n"));
        assert!(is_progress(b"    Updating crates.io index\n"));
        assert!(!is_progress(b"     Locking 1 package to latest version\n"));
        assert!(!is_progress(b"[forklore] Compiling\n"));
        assert!(!is_progress(b"thread panicked\n"));
    }
}
