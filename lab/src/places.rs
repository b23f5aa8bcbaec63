//! Paths on this machine: programs, the cache folder, and the files that a wheel installed beside
//! this program.
//!
//! Nothing here knows the folder that this program was built in.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The part of a folder's name that identifies the content that it was made from.
pub(crate) fn key(content: Sha256) -> String {
    let digest = content.finalize();
    let bytes = digest.iter().take(6);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The first file with that name in the folders of `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|file| file.is_file())
}

/// The folder that this program was installed into: the parent of its `bin`.
///
/// # Errors
///
/// If the OS does not say which file this program is.
pub fn prefix() -> Result<PathBuf> {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let program = program.context("cannot find this program's own file")?;
    let prefix = program.ancestors().nth(2);
    Ok(prefix
        .context("this program is in no folder")?
        .to_path_buf())
}

/// Where an installation keeps its data: `share/forklore` in its environment.
///
/// # Errors
///
/// As [`prefix`].
pub fn data_folder() -> Result<PathBuf> {
    Ok(prefix()?.join("share/forklore"))
}

/// The folder for files that Forklore can make again: `forklore` in the user's cache folder,
/// whether or not it exists. Sessions, `forklore doctor` and `cargo lab` all use this function.
///
/// # Errors
///
/// If there is neither a home folder nor an absolute path in `XDG_CACHE_HOME`.
pub fn cache_folder() -> Result<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    // The XDG Base Directory Specification says to ignore a relative path there.
    let set = std::env::var_os("XDG_CACHE_HOME").and_then(|path| absolute(path.into()));
    // If HOME is not set, this looks it up in the OS's list of users.
    let home = || std::env::home_dir().and_then(absolute);
    let cache = set.or_else(|| Some(home()?.join(".cache")));
    let cache = cache.context("there is no cache folder: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("forklore"))
}
