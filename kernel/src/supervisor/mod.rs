//! The supervisor: the process that evcxr starts, between evcxr and the user's process.
//!
//! ```text
//!  kernel ── evcxr ──LOAD_AND_RUN──▶ supervisor ──Run──▶ user process ──fork──▶ workers, children
//!    ▲         ▲                      │  │  ▲  ▲ ◀─Done──┘    │ stdout, stderr
//!    │         └────── EVCXR_… ───────┘  │  │  └─────────────┘ (pipes)
//!    └── messages: output, verdicts ─────┘  └── adopts: snapshots (asleep), orphans of cells
//! ```
//!
//! - It owns evcxr's standard input and output. Nothing that a cell writes reaches them, because
//!   evcxr trusts every line of UTF-8 that it reads.
//! - It owns the pipes of the user process and forwards their bytes immediately to the kernel.
//! - It is a child subreaper and the leader of its own session: it survives a signal to the
//!   kernel's process group, adopts every orphan, and kills all of them when the kernel ends,
//!   however it ends.
//! - It decides what the end of a cell means. To roll a cell back, it kills the user process and
//!   the processes that the cell started, wakes the snapshot, and replies to evcxr with a line that
//!   is not UTF-8: evcxr then returns an error, commits nothing, and keeps both the process and its
//!   state of the variables.
//!
//! It has one thread and never blocks for long: output that the kernel does not take stays in the
//! pipes, so a slow front end slows the cell down, but interrupts still work.

mod end;
mod event_loop;
mod in_vain;
mod input;
mod kernel;
mod lifetime;
pub(crate) mod limit;
mod looking;
mod memory;
mod origins;
mod run;
mod script;
mod threads;
mod user;
mod verdict;
mod wedge;

use std::path::Path;

/// Names the socket on which the kernel waits for its supervisor.
pub const SOCKET_VARIABLE: &str = "FORKLORE_SOCKET";
/// Whether snapshots are taken: `on`, `off`, `auto` or `auto:BYTES`.
pub const CHECKPOINT_VARIABLE: &str = "FORKLORE_CHECKPOINT";
/// Shows the library that it runs under this kernel.
pub const KERNEL_VARIABLE: &str = "FORKLORE_KERNEL";
/// Names the session's folder; it is in the environment of every process of a session.
pub const FOLDER_VARIABLE: &str = "EVCXR_TMPDIR";

/// Set if the folder belongs to the session, which then removes it at its end.
pub const OWNED_VARIABLE: &str = "FORKLORE_OWNS_FOLDER";
/// The supervisor's process id, in the environment of all programs that cells start.
pub const PID_VARIABLE: &str = "FORKLORE_SUPERVISOR";

/// evcxr sets this for its runtime.
pub const EVCXR_VARIABLE: &str = "EVCXR_IS_RUNTIME";

/// Serves as supervisor for the kernel that waits on `socket`; returns the exit status.
pub fn run(socket: &Path) -> u8 {
    match event_loop::run(socket) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("forklore: the supervisor could not start: {error}");
            1
        }
    }
}
