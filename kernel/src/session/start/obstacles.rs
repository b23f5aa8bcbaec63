//! What keeps a session from working on this machine, said in a sentence that says what to do.

use std::path::Path;

use anyhow::{Error, Result, anyhow};
use nix::sys::statvfs::statvfs;

use crate::library::cache;
use crate::library::toolchain;
use crate::session::outcome::CellError;

/// Less than this is full: what a cell compiles to takes more.
const FULL_BYTES: u64 = 1 << 20;
/// How rustc, cargo and the linker end an error where there is no room.
const NO_ROOM: &str = "No space left on device";
/// How evcxr says that rustc failed without a word.
const NOTHING_SAID: &str = "no parsable errors were found";

/// Fails where a program is missing without which no cell can be compiled.
pub(in crate::session) fn check_tools() -> Result<()> {
    toolchain::missing_tool().map_or(Ok(()), |missing| Err(anyhow!(missing)))
}

/// Says what to do about an error that comes from the session's folder.
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

/// The error of a cell that was not compiled because there is no room for what comes of it, if that
/// is why.
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
