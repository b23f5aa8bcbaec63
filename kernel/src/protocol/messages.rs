//! All messages, by sender and receiver.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::envelope::Message;
use super::{Checkpoint, Ended, Failure};
use crate::sys::procs::Pid;

/// A cell's output and input requests, in order: bytes as the user's processes wrote them, and
/// output that the kernel adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Written to standard output.
    Stdout(Vec<u8>),
    /// Written to standard error.
    Stderr(Vec<u8>),
    /// Shown by the kernel: one output, by MIME type.
    Display(HashMap<String, String>),
    /// The cell waits for input, after it has received this many lines.
    Waits(u64),
}

/// From the supervisor to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKernel {
    /// The first message: the supervisor's process id.
    Hello(Pid),
    /// What the cell shows.
    Output(Output),
    /// The code that evcxr sent has run; its output is in the earlier messages.
    Ended(Option<Failure>),
    /// All requests before the one with this number have been answered.
    Synced(u64),
    /// The processes' state: sent before the `Synced` of its request.
    Status(Status),
}

/// From the kernel to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// To be answered with `Synced`.
    Sync(u64),
    /// Ends the running cell, if any. Answered with `Synced`.
    Interrupt(u64),
    /// When snapshots are taken.
    Checkpoint(Checkpoint),
    /// Ends every process, then the supervisor.
    Shutdown,
    /// Whether the next cell may wait for input. If not, it finds the end of file.
    AllowInput(bool),
    /// The input that it was waiting for. Lines are counted from each `AllowInput`.
    Input(Vec<u8>),
    /// Runs a program in the cells' folder: `NAME=VALUE` for its environment, its name, its
    /// arguments. Answered with `Ended`.
    Script(Vec<String>),
    /// Limits the cells' memory. `None` for what the environment allows.
    Limit(Option<Limit>),
    /// Answered with `Status`, then `Synced`.
    AskStatus(u64),
    /// The next code belongs to this cell, in the user's numbering.
    Cell(u32),
    /// The next code only looks at the variables: it runs in a copy of the user process.
    Look,
}

/// From the supervisor to the user process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToUser {
    /// Loads the shared object and calls the function. Answered with `Done` or `Failed`; if the
    /// cell is guarded, with `Returned` before that.
    Run {
        /// Where the snapshot after the cell sleeps.
        slot: usize,
        /// The shared object's path.
        object: String,
        /// The function's name.
        function: String,
    },
    /// Takes a snapshot in this slot. Answered with `Ready`.
    Snapshot {
        /// Where it sleeps.
        slot: usize,
    },
    /// The next cell may change these variables, separated by spaces: they are copied before it
    /// runs.
    Guard(String),
    /// The answer to `Returned`.
    Settle {
        /// Whether to restore the variables from the copies.
        restores: bool,
        /// Killed children, which only the user process can reap.
        killed: Vec<Pid>,
    },
    /// As [`ToSupervisor::Script`]. Answered with `Scripted` or `Failed`.
    Script(Vec<String>),
    /// Calls the function in a copy of the process, and changes nothing in this one. To be answered
    /// with `Looked`.
    Look {
        /// The shared object's path.
        object: String,
        /// The function's name.
        function: String,
    },
}

/// From the supervisor to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSnapshot {
    /// Becomes the user process.
    TakeOver {
        /// Where its own next snapshot sleeps.
        next_slot: usize,
    },
}

/// From the user process to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromUser {
    /// The user process can run cells.
    Ready(Saved),
    /// The cell has run.
    Done(Saved),
    /// A guarded cell's function has returned, and these variables can be restored, separated by
    /// spaces. Answered with `Settle`.
    Returned(String),
    /// The script has ended, with this `wait` status.
    Scripted(i32),
    /// The copy that looked has ended.
    Looked,
    /// Why the cell or script could not be started.
    Failed(String),
}

/// What a rollback needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The snapshot of the user process's current state, if one was taken.
    pub snapshot: Option<Snapshot>,
    /// The process that keeps its descriptors, if there is one.
    pub keeper: Option<Pid>,
}

/// A snapshot of the user process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its process.
    pub pid: Pid,
    /// Where it sleeps.
    pub slot: usize,
}

/// A limit on the memory of the user process and all processes that cells start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The limit; `None` for no limit.
    pub bytes: Option<u64>,
    /// The source of the limit, as text.
    pub origin: String,
}

/// The processes' state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process that runs the cells.
    pub user_pid: Pid,
    /// When snapshots are taken.
    pub checkpoint: Checkpoint,
    /// Whether there is a snapshot of the state after the last cell.
    pub has_snapshot: bool,
    /// How long the last snapshot delayed the user process.
    pub snapshot_micros: u32,
    /// Memory that the user process uses.
    pub resident_bytes: u64,
    /// Memory that all processes of the session's cells use together, snapshots included.
    pub used_bytes: u64,
    /// The limit on that.
    pub limit: Limit,
    /// The processes that cells have started and that run, each with its cell's number.
    pub started: Vec<(Pid, u32)>,
    /// The threads that they have started and that run.
    pub threads: Vec<Ended>,
}

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const INPUT: u8 = 3;

impl Message for ToKernel {
    fn as_bytes(&self) -> Option<(u8, &[u8])> {
        match self {
            ToKernel::Output(Output::Stdout(bytes)) => Some((STDOUT, bytes)),
            ToKernel::Output(Output::Stderr(bytes)) => Some((STDERR, bytes)),
            _ => None,
        }
    }

    fn from_bytes(kind: u8, bytes: &[u8]) -> Option<ToKernel> {
        match kind {
            STDOUT => Some(ToKernel::Output(Output::Stdout(bytes.to_vec()))),
            STDERR => Some(ToKernel::Output(Output::Stderr(bytes.to_vec()))),
            _ => None,
        }
    }
}

impl Message for ToSupervisor {
    fn as_bytes(&self) -> Option<(u8, &[u8])> {
        match self {
            ToSupervisor::Input(bytes) => Some((INPUT, bytes)),
            _ => None,
        }
    }

    fn from_bytes(kind: u8, bytes: &[u8]) -> Option<ToSupervisor> {
        (kind == INPUT).then(|| ToSupervisor::Input(bytes.to_vec()))
    }
}

impl Message for ToUser {}
impl Message for ToSnapshot {}
impl Message for FromUser {}
