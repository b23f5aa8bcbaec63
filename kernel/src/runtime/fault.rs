//! Faults of the cells: recorded on the board before they end the process.

use std::sync::OnceLock;

use super::board::Board;
use crate::sys::trap::{self, Fault};

/// A static, because a signal handler has no other access to the board. Written once, before the
/// handlers are installed.
static BOARD: OnceLock<&Board> = OnceLock::new();

/// Records the faults of this process, and of snapshots that take over from it, on the board.
pub(super) fn install(board: &'static Board) {
    let _ = BOARD.set(board);
    // SAFETY: `note` asks for this process' id and stores numbers.
    unsafe { trap::watch(note) };
}

fn note(fault: Fault) {
    if let Some(board) = BOARD.get()
        && board.is_user()
    {
        board.note_fault(fault);
    }
}
