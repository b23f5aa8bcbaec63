//! A session's folder: private to the user, gone with the session.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// A folder that only its user can enter. Removed when it is dropped, unless it belongs to somebody else.
pub(crate) struct Folder {
    path: PathBuf,
    is_owned: bool,
}

impl Folder {
    /// A new one in the folder for temporary files.
    pub(crate) fn create() -> Result<Folder> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir();
        let parent = parent.canonicalize().unwrap_or(parent);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("forklore-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    return Ok(Folder {
                        path,
                        is_owned: true,
                    });
                }
                // Left by a process that had this pid before us.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("could not make a folder in {}: set TMPDIR to one that can be written to", parent.display())
                    });
                }
            }
        }
    }

    /// One that exists and shall stay.
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
        self.path.join("kernel.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        if self.is_owned {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
