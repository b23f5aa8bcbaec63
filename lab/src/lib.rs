//! The repository's own commands, `forklore lessons`, and what the tests of other packages need.
//!
//! `cargo lab` has to start within seconds on a fresh machine, so this package depends on
//! neither the library nor the kernel: it builds them by calling cargo.

pub mod browser;
pub mod confine;
pub mod course;
pub mod kernel;
pub mod lab;
pub mod lesson;
pub mod pages;
pub mod prerequisites;
pub mod progress;
pub mod python;
pub mod slides;
pub mod steps;
pub mod timetable;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The root of the repository that this program was built from.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("lab lies in the repository's root")
}

/// What `cargo lab` makes for this checkout: kernelspecs, executed lessons.
pub fn lab_folder() -> PathBuf {
    repository().join("target").join("lab")
}

/// The first file of that name in a folder of the `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|file| file.is_file())
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
