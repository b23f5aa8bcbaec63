//! Snapshots: a forked copy of the user process that sleeps, and is there when a cell goes wrong.
//!
//! ```text
//!  user process ──fork──▶ process between ──fork──▶ snapshot: sleeps on its slot until TakeOver or the end of file
//!       └── waits for it ──────┘ ends at once           (a child of the supervisor from now on)
//! ```
//!
//! The process between makes the snapshot an orphan that the supervisor adopts. So a cell that
//! calls `wait` for any child does not meet it, and it lives when the user process dies.
//!
//! There is one snapshot of every state that evcxr has committed. The next one is taken when a
//! cell's function has returned, and the supervisor decides which of the two is kept: the new one
//! when the cell is done, the old one when it panicked. So also a user process that is killed
//! between two cells loses nothing.

use std::os::fd::AsRawFd;
use std::time::Instant;

use super::Wires;
use super::board::Board;
use super::keeper::{self, Keeper};
use crate::protocol::{Checkpoint, ToSnapshot, Wire};
use crate::sys::descriptors::Open;
use crate::sys::fork::{exit_now, fork};
use crate::sys::{procs, this_process};

/// Which side of a snapshot this process is on.
pub(super) enum Side {
    /// The one that goes on. The snapshot's pid, if one was taken.
    User(Option<i32>),
    /// The copy, which was asked to take over, and the slot for the next snapshot.
    Restored {
        /// Where the next snapshot sleeps.
        next_slot: usize,
    },
}

/// Takes a snapshot that sleeps on `slot`, if the policy wants one. Returns twice.
pub(super) fn take(
    board: &'static Board,
    wires: &mut Wires,
    slot: usize,
    keeper: &mut Option<Keeper>,
) -> Side {
    let wanted = match board.checkpoint() {
        Checkpoint::Off => false,
        Checkpoint::On => true,
        Checkpoint::Auto { limit_bytes } => {
            procs::resident_bytes(std::process::id() as i32) <= limit_bytes
        }
    };
    if !wanted {
        return Side::User(None);
    }
    board.announced_snapshot();
    let started = Instant::now();
    let [first, second] = &wires.slots;
    let private = [&wires.control, first, second].map(Wire::as_raw_fd);
    let mut delicate = keeper::delicate(&private, keeper.as_ref());
    if !delicate.is_empty() && keeper.is_none() {
        *keeper = Keeper::start();
    }
    if keeper.is_none() {
        delicate.clear();
    }
    // SAFETY: the child only forks, stores a number and ends. If other threads of the user process
    // hold locks now, they are held forever in the snapshot: fork of libc takes care of its own
    // (malloc's), not of the cell's.
    match unsafe { fork() } {
        Err(_) => Side::User(None),
        Ok(0) => between(board, &mut wires.slots[slot], &delicate, keeper),
        Ok(pid) => {
            // Should the cell's own SIGCHLD handler have reaped it, that is fine too.
            procs::wait(pid);
            board.note_snapshot_took(started.elapsed());
            let snapshot = board.announced_snapshot();
            Side::User((snapshot > 0).then_some(snapshot))
        }
    }
}

/// The process between: forks the snapshot, says its pid and ends.
fn between(
    board: &'static Board,
    slot: &mut Wire,
    delicate: &[Open],
    keeper: &mut Option<Keeper>,
) -> Side {
    // SAFETY: this process has one thread; the child goes on in `sleep`.
    let pid = unsafe { fork() }.unwrap_or(-1);
    if pid != 0 {
        board.announce_snapshot(pid);
        exit_now(0);
    }
    Keeper::let_go(delicate);
    let side = sleep(slot);
    // The keeper's table is that of the process which has died.
    if let Some(keeper) = keeper.take() {
        keeper.take_back(delicate);
    }
    side
}

/// The snapshot: sleeps until it is told to take over, and ends with its supervisor.
fn sleep(slot: &mut Wire) -> Side {
    // A process group of its own: `kill(0, …)` in a cell does not mean the snapshot.
    this_process::lead_group();
    this_process::set_name(c"forklore-snap");
    let Some(ToSnapshot::TakeOver { next_slot }) = slot.receive() else {
        exit_now(0)
    };
    Side::Restored { next_slot }
}
