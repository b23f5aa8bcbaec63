//! The messages between a relay and its station.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::call::harvest::{NotedVisit, Run};
use crate::pool::stats::Counts;

/// Messages from the relay. The comment of each says what its payload is, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum ToStation {
    /// The first message: create a pool. Payload: its terms.
    Begin { n_workers: usize },
    /// An object with code, which the node may lack. Payload: its file.
    Object { object: PathBuf, version: [u64; 5] },
    /// A function, by the location of its code.
    Function { function: u64, code: Code },
    /// A context, by its name and generation on the owner's board. Payload: its bytes.
    Context { context: (u64, u64) },
    /// A context is no longer needed.
    Forget { context: (u64, u64) },
    /// Tasks to run. Payload: their arguments.
    Block(Block),
    /// Asks whether the station is alive.
    Ping,
}

/// The location of a function's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Code {
    /// The object's path on the owner's machine; empty for the program itself.
    pub(in crate::pool) object: PathBuf,
    /// Which of the files that have had this path.
    pub(in crate::pool) version: [u64; 5],
    pub(in crate::pool) offset: u64,
}

/// Tasks of one job that are sent together. They are numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Block {
    pub(in crate::pool) block: u64,
    pub(in crate::pool) function: u64,
    pub(in crate::pool) context: Option<(u64, u64)>,
    pub(in crate::pool) n_tasks: u64,
    pub(in crate::pool) args: Args,
    /// The only worker that may run them, counted from the node's first.
    pub(in crate::pool) only_worker: Option<usize>,
    pub(in crate::pool) time_limit: Option<Duration>,
    /// Whether workers record when each step happens.
    pub(in crate::pool) is_traced: bool,
}

/// The layout of arguments in a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum Args {
    /// Plain numbers of this many bytes, concatenated.
    Plain { stride: u64 },
    /// Encoded values of these lengths, concatenated.
    Encoded { lengths: Vec<u64> },
}

/// Messages from the station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum ToRelay {
    /// The pool is ready.
    Ready,
    /// The pool cannot be created.
    Failed { why: String },
    /// The results of a block's tasks. Payload: the values of the runs, concatenated.
    Results(Results),
    /// The reply to `Ping`.
    Pong,
}

/// The results of a block's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Results {
    pub(in crate::pool) block: u64,
    /// How long a task took, in ns, as far as it was measured; 0 if it was not.
    pub(in crate::pool) task_ns: u64,
    pub(in crate::pool) runs: Vec<Run>,
    /// When the block arrived, and when this message was sent, by the station's clock.
    pub(in crate::pool) received_ns: u64,
    pub(in crate::pool) sent_ns: u64,
    /// What the workers recorded, if the block is traced.
    pub(in crate::pool) visits: Vec<NotedVisit>,
    /// The counts of each worker's events other than tasks, since the station began; empty if none
    /// happened since the last results.
    pub(in crate::pool) counts: Vec<Counts>,
}
