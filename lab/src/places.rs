//! Where things are on this machine: programs, the cache folder, and what a wheel has installed beside this program.
//!
//! Nothing here knows the folder that this program was built in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The first file of that name in a folder of the `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|file| file.is_file())
}

/// The environment that this program was installed into: the folder above its `bin`.
pub fn prefix() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.canonicalize().ok()?;
    let bin = program.parent()?;
    bin.ends_with("bin")
        .then(|| bin.parent().map(Path::to_path_buf))
        .flatten()
}

/// Where an installation keeps its data: `share/forklore` in its environment.
pub fn data_folder() -> Option<PathBuf> {
    Some(prefix()?.join("share/forklore"))
}

/// Where Forklore keeps what it can make again: `forklore` in the user's cache folder, as the
/// kernel does.
///
/// # Errors
///
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
    let cache = cache.ok_or_else(|| {
        anyhow::anyhow!("no cache folder: neither XDG_CACHE_HOME nor HOME is set")
    })?;
    Ok(cache.join("forklore"))
}
