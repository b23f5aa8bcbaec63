//! Problems of this machine that keep a session from working, each with a sentence that says what
//! to do.

use std::path::Path;

use anyhow::{Error, Result, anyhow};
use nix::sys::statvfs::statvfs;

use crate::library::cache;
use crate::library::toolchain;
use crate::library::workspace;
use crate::session::outcome::CellError;

/// With less free space than this, a disk counts as full: a compiled cell takes more.
const FULL_BYTES: u64 = 1 << 20;
/// The end of an error of rustc, cargo or the linker if the disk is full.
const NO_ROOM: &str = "No space left on device";
/// evcxr's message if rustc failed without one.
const NOTHING_SAID: &str = "no parsable errors were found";

/// Fails if a program is missing that every compile needs.
pub(in crate::session) fn check_tools() -> Result<()> {
    toolchain::missing_tool().map_or(Ok(()), |missing| Err(anyhow!(missing)))
}

/// Fails if cells cannot be compiled in the folder for temporary files.
pub(in crate::session) fn check_folder() -> Result<()> {
    let way_out = "set TMPDIR to a folder elsewhere and start the kernel again";
    workspace::refuse(&std::env::temp_dir(), way_out)
}

/// Adds what to do to an error about the session's folder.
pub(in crate::session) fn about_folder(error: Error) -> Error {
    let folder = std::env::temp_dir();
    if !cache::is_full(&error) && !is_full(&folder) {
        return error;
    }
    error.context(format!(
        "there is no room in {}, where cells are compiled: free some of it, or set TMPDIR to a folder elsewhere and start the kernel again",
        folder.display()
    ))
}

/// The error of a cell that was not compiled because the disk is full, if that is the reason.
pub(in crate::session) fn no_room_for_cell(said: &str, folder: &Path) -> Option<CellError> {
    let is_why = said.contains(NO_ROOM) || (said.contains(NOTHING_SAID) && is_full(folder));
    let place = folder.parent().unwrap_or(folder).display();
    is_why.then(|| {
        CellError::new(
            "DiskFull",
            format!("there is no room left in {place}, where cells are compiled: free some of it (`!rm FILE` works) and run the cell again"),
        )
    })
}

fn is_full(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|stat| stat.blocks_available() * stat.fragment_size() < FULL_BYTES)
}
