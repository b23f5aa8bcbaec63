//! The progress of a cell's compile: shows in the cell what evcxr prints about it for the server's
//! log.
//!
//! evcxr runs cargo, and prints `Compiling NAME` to standard error when cargo compiles a
//! dependency; cargo's earlier messages arrive there too (see `session/tools.rs`). So this module
//! takes over standard error: it passes those lines to the running cell, and all others to the
//! previous standard error, the server's log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::log;
use super::relay::Feeder;
use crate::evcxr::other_sessions::COMPLAINT;
use crate::protocol::Output;
use crate::sys::descriptors::replace_standard;

/// Printed when the library itself is compiled because of a crate that a cell adds.
const AGAIN: &str = "        note: a crate of this cell changes what the library is made of, so it is compiled again (a minute or so); \
    variables with pools, locks and the like are lost\n";
/// A line that no other code writes: when it arrives, everything before it has been passed on.
const MARK: &str = "\x1fforklore\x1f";
/// A limit in case the reader has died.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines in transit.
pub(super) struct Progress {
    is_shown: Arc<AtomicBool>,
    /// Whether there is a session, which has the library.
    has_library: Arc<AtomicBool>,
    marks: mpsc::Receiver<()>,
}

impl Progress {
    /// Takes over standard error. Call it only once.
    pub(super) fn start(feeder: Feeder) -> io::Result<Progress> {
        let mut log = log::keep()?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let is_shown = Arc::new(AtomicBool::new(false));
        let (mark, marks) = mpsc::channel();
        let has_library = Arc::new(AtomicBool::new(false));
        let (shows, has) = (is_shown.clone(), has_library.clone());
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
                        let is_again = is_library(&line) && has.load(Ordering::SeqCst);
                        feeder.write(Output::Stdout(line));
                        if is_again {
                            feeder.write(Output::Stdout(AGAIN.into()));
                        }
                    } else {
                        let _ = log.write_all(&line);
                    }
                }
            })?;
        replace_standard(2, &writer)?;
        Ok(Progress {
            is_shown,
            has_library,
            marks,
        })
    }

    /// A cell begins: later compiles are for it, or for the session, if that is still starting.
    pub(super) fn begin(&self, has_session: bool) {
        self.has_library.store(has_session, Ordering::SeqCst);
        self.is_shown.store(true, Ordering::SeqCst);
    }

    /// The session that the cell waited for is ready: later compiles are for the cell.
    pub(super) fn session_is_there(&self) {
        self.has_library.store(true, Ordering::SeqCst);
    }

    /// The cell has ended: returns when everything that was printed has been passed on.
    pub(super) fn end(&self) {
        eprintln!("{MARK}");
        let _ = self.marks.recv_timeout(PATIENCE);
        self.is_shown.store(false, Ordering::SeqCst);
    }
}

/// Whether a line is like cargo's `   Compiling NAME v1.2.3`: the verb ends in column 12.
fn is_progress(line: &[u8]) -> bool {
    // Without those about versions: they concern the manifest in which a dependency is tried alone.
    const VERBS: [&str; 5] = [
        "Updating",
        "Downloading",
        "Downloaded",
        "Compiling",
        "Blocking",
    ];
    let is_cargo = |verb: &&str| line.starts_with(format!("{verb:>12} ").as_bytes());
    VERBS.iter().any(is_cargo) || line.starts_with(COMPLAINT.as_bytes())
}

fn is_library(line: &[u8]) -> bool {
    line.starts_with(b"   Compiling forklore v")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_from_the_log() {
        assert!(is_progress(b"   Compiling serde v1.0.0\n"));
        assert!(is_progress(b"    Updating crates.io index\n"));
        let library = format!("{:>12} forklore v0.1.0 (/a/folder)\n", "Compiling");
        assert!(is_progress(library.as_bytes()) && is_library(library.as_bytes()));
        assert!(!is_library(b"   Compiling forklore-sys v0.1.0\n"));
        assert!(!is_progress(b"     Locking 1 package to latest version\n"));
        assert!(!is_progress(b"[forklore] Compiling\n"));
        assert!(!is_progress(b"thread panicked\n"));
    }
}
