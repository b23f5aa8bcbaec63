//! A session's folder: private to the user, and removed with the session.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::sys::procs::{self, Pid};

const SOCKET: &str = "kernel.sock";
/// A session that is still starting has no socket.
const LONG_ENOUGH: Duration = Duration::from_secs(600);

/// A folder that only its user can enter. Removed when it is dropped, unless another owns it.
pub(crate) struct Folder {
    path: PathBuf,
    is_owned: bool,
}

impl Folder {
    /// Creates a new one in the folder for temporary files.
    pub(crate) fn create() -> Result<Folder> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let parent = parent();
        remove_abandoned(&parent);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}{number}", own_prefix()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    return Ok(Folder {
                        path,
                        is_owned: true,
                    });
                }
                // Left by an earlier process with the same pid.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("could not make a folder in {}: set TMPDIR to one that can be written to", parent.display())
                    });
                }
            }
        }
    }

    /// Uses a folder that exists and stays.
    pub(crate) fn existing(path: PathBuf) -> Folder {
        Folder {
            path,
            is_owned: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.is_owned
    }

    /// Where the supervisor finds the kernel.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        if self.is_owned {
            remove(&self.path);
        }
    }
}

/// Removes a session's folder. Retries, because a compiler that was just killed may have left a
/// file while the folder was being emptied.
pub(crate) fn remove(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(1);
    while fs::remove_dir_all(folder).is_err() && folder.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn parent() -> PathBuf {
    let parent = std::env::temp_dir();
    parent.canonicalize().unwrap_or(parent)
}

/// The prefix of the names of this process's folders.
fn own_prefix() -> String {
    format!("forklore-{}-", std::process::id())
}

/// Removes the folders of this process's sessions, which can no longer do it themselves.
pub(crate) fn remove_own() {
    let entries = fs::read_dir(parent()).into_iter().flatten().flatten();
    let is_own = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(own_prefix().as_bytes())
    };
    for entry in entries.filter(is_own) {
        remove(&entry.path());
    }
}

/// Removes the folders of sessions whose kernel and supervisor were both killed.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            name.strip_prefix("forklore-")?
                .split('-')
                .next()?
                .parse()
                .ok()
        });
        if pid.is_some_and(|pid| is_abandoned(&entry.path(), pid)) {
            remove(&entry.path());
        }
    }
}

/// Whether a folder has no session any more. Where containers share the parent folder, a pid is not
/// enough: the socket must have no listener, either.
fn is_abandoned(folder: &Path, pid: Pid) -> bool {
    let Ok(metadata) = folder.symlink_metadata() else {
        return false;
    };
    let is_mine = metadata.is_dir() && metadata.uid() == procs::own_uid();
    let is_old = metadata
        .modified()
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LONG_ENOUGH));
    is_mine
        && is_old
        && procs::Stat::of(pid).is_none()
        && UnixStream::connect(folder.join(SOCKET)).is_err()
}
