//! Faults of the cells: noted on the board before they have their way.

use std::sync::OnceLock;

use super::board::Board;
use crate::sys::trap::{self, Fault};

/// A signal handler has nothing else to reach it by. Written once, before the handlers are
/// installed.
static BOARD: OnceLock<&Board> = OnceLock::new();

/// Notes the faults of this process, and of what takes over from it, on the board.
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
