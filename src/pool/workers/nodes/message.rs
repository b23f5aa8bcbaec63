//! What a relay and its station say to each other.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::call::harvest::{NotedVisit, Run};
use crate::pool::stats::Counts;

/// From the relay. What a message's payload is, if it has one, stands behind each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum ToStation {
    /// The first: make a pool. Payload: its terms.
    Begin { n_workers: usize },
    /// An object with code, which the node may not have. Payload: its file.
    Object { object: PathBuf, version: [u64; 5] },
    /// A function, by where its code is.
    Function { function: u64, code: Code },
    /// A context, by its name and generation on the owner's board. Payload: its bytes.
    Context { context: (u64, u64) },
    /// A context is not needed any more.
    Forget { context: (u64, u64) },
    /// Tasks to run. Payload: their arguments.
    Block(Block),
    /// Are you there?
    Ping,
}

/// Where a function's code is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Code {
    /// The object as the owner knows it; empty for the program itself.
    pub(in crate::pool) object: PathBuf,
    /// Which of the files that ever had this path.
    pub(in crate::pool) version: [u64; 5],
    pub(in crate::pool) offset: u64,
}

/// Tasks of one job that are sent together. They count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Block {
    pub(in crate::pool) block: u64,
    pub(in crate::pool) function: u64,
    pub(in crate::pool) context: Option<(u64, u64)>,
    pub(in crate::pool) n_tasks: u64,
    pub(in crate::pool) args: Args,
    /// The worker that alone may run them, counted from the node's first.
    pub(in crate::pool) only_worker: Option<usize>,
    pub(in crate::pool) time_limit: Option<Duration>,
    /// Whether workers note what happens when.
    pub(in crate::pool) is_traced: bool,
}

/// How arguments lie in a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum Args {
    /// Plain numbers of this many bytes, one behind the other.
    Plain { stride: u64 },
    /// Encoded values of these lengths, one behind the other.
    Encoded { lengths: Vec<u64> },
}

/// From the station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum ToRelay {
    /// The pool is there.
    Ready,
    /// There is no pool, and never will be.
    Failed { why: String },
    /// What became of a block's tasks. Payload: the values of the runs, one behind the other.
    Results(Results),
    /// I am.
    Pong,
}

/// What became of a block's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Results {
    pub(in crate::pool) block: u64,
    /// How long a task took, in ns, as far as that was measured; 0 if it was not.
    pub(in crate::pool) task_ns: u64,
    pub(in crate::pool) runs: Vec<Run>,
    /// When the block had come, and when this was sent, by the station's clock.
    pub(in crate::pool) received_ns: u64,
    pub(in crate::pool) sent_ns: u64,
    /// What workers have noted, if the block is traced.
    pub(in crate::pool) visits: Vec<NotedVisit>,
    /// What has happened to each worker beside its tasks, since the station began; empty if nothing
    /// has since the last results.
    pub(in crate::pool) counts: Vec<Counts>,
}
