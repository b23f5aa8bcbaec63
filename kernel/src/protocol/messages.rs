//! All messages, by who sends them to whom.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::envelope::Message;
use super::{Checkpoint, Failure};
use crate::sys::procs::Pid;

/// What a cell shows and asks, in the order in which it came: bytes as the user's processes wrote
/// them, and what the kernel shows in the cell's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Written to standard output.
    Stdout(Vec<u8>),
    /// Written to standard error.
    Stderr(Vec<u8>),
    /// Shown by the kernel: one thing, as content by MIME type.
    Display(HashMap<String, String>),
    /// The cell waits for input, after it was given this many answers.
    Waits(u64),
}

/// From the supervisor to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKernel {
    /// The first message: the supervisor's process id.
    Hello(Pid),
    /// What the cell shows.
    Output(Output),
    /// The code that evcxr sent has run; its output is in the messages before this one.
    Ended(Option<Failure>),
    /// Everything that was asked for before the question with this number has been answered.
    Synced(u64),
    /// The processes' state: comes before the `Synced` of its question.
    Status(Status),
}

/// From the kernel to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// To be answered with `Synced`.
    Sync(u64),
    /// Ends the cell that runs, if any. To be answered with `Synced`.
    Interrupt(u64),
    /// When snapshots are taken.
    Checkpoint(Checkpoint),
    /// Ends every process, then the supervisor.
    Shutdown,
    /// Whether the next cell may wait for input. If not, it finds the end of file.
    AllowInput(bool),
    /// What it was waiting for. Answers are counted from each `AllowInput`.
    Input(Vec<u8>),
    /// Runs a program where the cells are: `NAME=VALUE` for its environment, its name, its
    /// arguments. To be answered with `Ended`.
    Script(Vec<String>),
    /// How much memory the cells may use. `None` for what the environment gives.
    Limit(Option<Limit>),
    /// To be answered with `Status`, then `Synced`.
    AskStatus(u64),
    /// The next code is of this cell, as the user counts them.
    Cell(u32),
}

/// From the supervisor to the user process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToUser {
    /// Loads the shared object and calls the function. To be answered with `Done` or `Failed`; if
    /// the cell is guarded, with `Returned` before that.
    Run {
        /// Where the snapshot after the cell sleeps.
        slot: usize,
        /// The shared object's path.
        object: String,
        /// The function's name.
        function: String,
    },
    /// Takes a snapshot in this slot. To be answered with `Ready`.
    Snapshot {
        /// Where it sleeps.
        slot: usize,
    },
    /// The next cell may change these variables, separated by spaces: they are copied before it
    /// runs.
    Guard(String),
    /// The answer to `Returned`.
    Settle {
        /// Whether the copies take the place of what the cell has left.
        restores: bool,
        /// Children that were killed, and for which only the user process can wait.
        killed: Vec<Pid>,
    },
    /// As [`ToSupervisor::Script`]. To be answered with `Scripted` or `Failed`.
    Script(Vec<String>),
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
    /// It can run cells.
    Ready(Saved),
    /// The cell has run, and is over.
    Done(Saved),
    /// A guarded cell's function has returned, and these variables can be restored, separated by
    /// spaces. To be answered with `Settle`.
    Returned(String),
    /// The script has ended with this status of `wait`.
    Scripted(i32),
    /// The cell or script could not be started; why.
    Failed(String),
}

/// What a rollback starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The snapshot of what the user process is now, if one was taken.
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

/// How much memory the user process, and all that cells start, may use together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The most; `None` for as much as there is.
    pub bytes: Option<u64>,
    /// Where the limit comes from, in words.
    pub origin: String,
}

/// The processes' state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process that runs the cells.
    pub user_pid: Pid,
    /// When snapshots are taken.
    pub checkpoint: Checkpoint,
    /// Whether there is a snapshot of what the last cell left.
    pub has_snapshot: bool,
    /// How long the last one held up the user process.
    pub snapshot_micros: u32,
    /// Memory that the user process uses.
    pub resident_bytes: u64,
    /// Memory that all processes of the session's cells use together, snapshots included.
    pub used_bytes: u64,
    /// The limit for it.
    pub limit: Limit,
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
