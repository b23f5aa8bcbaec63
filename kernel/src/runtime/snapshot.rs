//! Snapshots: a forked copy of the user process that sleeps until a cell fails.
//!
//! ```text
//!  user process ──fork──▶ process between ──fork──▶ snapshot: sleeps on its slot until TakeOver or the end of file
//!       └── waits for it ──────┘ ends at once           (a child of the supervisor from now on)
//! ```
//!
//! The intermediate process makes the snapshot an orphan, which the supervisor adopts. So a cell
//! that calls `wait` for any child does not find it, and it survives the user process.
//!
//! There is a snapshot of the last state that evcxr has committed. The next one is taken when a
//! cell's function has returned, and the supervisor decides which of the two to keep: the new one
//! if the cell succeeded, the old one if it panicked. So even a user process that is killed between
//! two cells loses nothing.

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
    /// The process that continues, with the snapshot's pid, if one was taken.
    User(Option<i32>),
    /// The copy, which has taken over, and the slot for the next snapshot.
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
    // SAFETY: the child only forks, stores a number and exits. Locks that other threads of the user
    // process hold now stay locked forever in the snapshot: libc's fork handles its own locks
    // (malloc's), not the cell's.
    match unsafe { fork() } {
        Err(_) => Side::User(None),
        Ok(0) => between(board, &mut wires.slots[slot], &delicate, keeper),
        Ok(pid) => {
            // If the cell's own SIGCHLD handler has already reaped it, that is fine.
            procs::wait(pid);
            board.note_snapshot_took(started.elapsed());
            let snapshot = board.announced_snapshot();
            Side::User((snapshot > 0).then_some(snapshot))
        }
    }
}

/// The intermediate process: forks the snapshot, stores its pid and exits.
fn between(
    board: &'static Board,
    slot: &mut Wire,
    delicate: &[Open],
    keeper: &mut Option<Keeper>,
) -> Side {
    // SAFETY: this process has one thread; the child continues in `sleep`.
    let pid = unsafe { fork() }.unwrap_or(-1);
    if pid != 0 {
        board.announce_snapshot(pid);
        exit_now(0);
    }
    Keeper::let_go(delicate);
    let side = sleep(slot);
    // The keeper has the table of the process that died.
    if let Some(keeper) = keeper.take() {
        keeper.take_back(delicate);
    }
    side
}

/// The snapshot: sleeps until it receives the command to take over, and ends with its supervisor.
fn sleep(slot: &mut Wire) -> Side {
    // A separate process group, so that `kill(0, …)` in a cell does not kill the snapshot.
    this_process::lead_group();
    this_process::set_name(c"forklore-snap");
    let Some(ToSnapshot::TakeOver { next_slot }) = slot.receive() else {
        exit_now(0)
    };
    Side::Restored { next_slot }
}
