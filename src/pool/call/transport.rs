//! The interface between a map and what carries it: jobs to the workers, and results back.
//!
//! ```text
//!  owner:   publish ─▶ has it ended? ─▶ conclude ─▶ visit         (what lost workers have left: published again)
//!                │                        ▲
//!                ▼                        │
//!  worker:  claim ─▶ begin ─▶ argument ─▶ commit, or fail ─▶ end ─▶ claim …
//! ```
//!
//! The code above it ([`Batch`](super::batch::Batch) and [`collate`](super::collate) in the owner,
//! [`Work`](super::work::Work) in a worker) knows jobs, tasks and encoded values, but not how they
//! travel. The code below it is chosen at compile time. Pools use shared memory:
//! [`Engine`](crate::pool::shm::engine::Engine) is the owner's side,
//! [`Desk`](crate::pool::shm::desk::Desk) a worker's. The unit tests use threads that exchange
//! messages.
//!
//! Each transport decides how it creates workers and wakes them, how the owner detects a lost
//! worker, and how the owner's threads wait. Arguments are encoded before publishing, into the
//! transport's `Args`; contexts, which outlive jobs, into its
//! [`ContextMemory`](crate::pool::context::ContextMemory).

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Cause, Error, Result};
use crate::sys::atomic::AtomicU64;
use crate::wire::Sink;

use crate::caught::last_panic::LastPanic;
use crate::pool::context::Written;
use crate::pool::plan::Schedule;

/// The owner's side: publishes jobs, and reports what became of them.
pub(in crate::pool) trait Transport: Sized {
    /// How a function is named to workers.
    type Function: Copy;
    /// Encoded arguments, where workers can read them. Dropping them frees them: the jobs that use
    /// them must have ended.
    type Args;
    /// The committed results of a job. Dropping them frees them.
    type Results: Results;

    /// Publishes a job to workers, and returns the job's number.
    fn publish(&mut self, new: &NewJob<'_, Self>) -> Result<u64>;

    /// Whether a job has ended: every task has its result, or workers were lost in it and all
    /// others have left it.
    fn has_ended(&self, job: u64) -> bool;

    /// Removes a job that has ended from the transport.
    fn conclude(&mut self, job: u64) -> Ending<Self::Results>;

    /// Called when an item is tried again after a worker died of it, for the statistics. `item` is
    /// the number that the user knows.
    fn retried(&mut self, item: usize, death: &Death);

    /// Cancels all unclaimed tasks of a job.
    fn cancel(&self, job: u64);

    /// The progress of a job: the task that each worker runs, and the number of open tasks. A
    /// concluded job has none.
    fn look(&self, job: u64) -> (Look, u64);

    /// The results so far of a job that is not concluded. They must not outlive those that
    /// [`conclude`](Transport::conclude) returns for it.
    fn results_so_far(&self, job: u64) -> Self::Results;

    /// Whether there is a worker to run tasks.
    fn has_workers(&self) -> bool;

    /// Why there is no worker.
    fn start_failure(&self) -> &str;
}

/// The committed results of a job.
pub(in crate::pool) trait Results {
    /// Visits them, run by run.
    fn visit(&self, visitor: &mut dyn FnMut(CommittedRun<'_>));
}

/// A worker's side of one job.
///
/// # Safety
/// Tasks read and write through the pointers that a port gives. The port guarantees that
/// - a task belongs to only one claimed chunk, over all workers, and [`items`](Port::items), if it
///   lists any, has an item for it;
/// - the bytes of its [`context`](Port::context) are what was encoded for the job, and, if it says
///   that they stay, remain until all tasks of the job have their results;
/// - [`numbers`](Port::numbers) points to a number for each item of the job, aligned for any
///   number, if its arguments are plain numbers, for as long as the port lives;
/// - after [`begin`](Port::begin) for `n` tasks of a `stride` that is not 0,
///   [`outputs`](Port::outputs) has space for `n` numbers of this size, aligned for any number,
///   which no other process touches until they are committed.
pub(in crate::pool) unsafe trait Port {
    /// Claims a chunk for this worker only: returns the first task and one past the last.
    fn claim(&mut self) -> Option<(u64, u64)>;

    /// The item of each task; `None` if task and item numbers are equal.
    fn items(&self) -> Option<&[u64]>;

    /// The bytes of an item's argument.
    ///
    /// # Errors
    /// If it could not be encoded.
    fn argument(&self, item: usize) -> Result<&[u8]>;

    /// The arguments that are plain numbers: one for each item, aligned.
    fn numbers(&self) -> *const u8;

    /// The context of the job's tasks, if there is one. Called only while a chunk is claimed and
    /// not done.
    fn context(&self) -> Option<Arrived<'_>>;

    /// Where to record panics that this worker may not survive; `None` if the owner could not read
    /// them.
    fn last_panic(&self) -> Option<&'static LastPanic>;

    /// Begins a run: the results of `n` tasks starting at `first`, numbers of `stride` bytes each,
    /// or encoded values if `stride` is 0. A worker exits here if there is no memory for its
    /// results.
    fn begin(&mut self, first: u64, n: u64, stride: usize);

    /// Where to write the numbers of the current run.
    fn outputs(&self) -> Outputs<'_>;

    /// Notes that the next argument is decoded.
    fn decoded(&self);

    /// Commits the next encoded value of the run.
    ///
    /// # Errors
    /// The error of `encode`, or that there is no memory; the run then keeps what it had.
    fn commit(&mut self, encode: &mut dyn FnMut(&mut dyn Sink) -> Result<()>) -> Result<()>;

    /// Commits why a task has no result, which ends the run.
    fn fail(&mut self, task: u64, cause: &Cause);

    /// Ends the run; `n_run` tasks have their results, including a failure.
    fn end(&mut self, n_run: u64);
}

/// Space for the plain numbers of a run.
pub(in crate::pool) struct Outputs<'a> {
    /// Where to write the first number that is not committed; the others follow it. Aligned.
    pub(in crate::pool) first: *mut u8,
    /// The number of committed values: the worker stores it, with release, after each number.
    pub(in crate::pool) n_committed: &'a AtomicU64,
}

/// The number of groups in which the owner's threads wait. A group is woken as a whole: the fewer
/// threads it has, the fewer wake needlessly.
pub(in crate::pool) const N_WAITERS: usize = 16;
/// The group of the one thread that waits for all futures.
pub(in crate::pool) const FUTURES: usize = N_WAITERS;

/// A job to be published.
pub(in crate::pool) struct NewJob<'b, T: Transport> {
    pub(in crate::pool) function: T::Function,
    pub(in crate::pool) args: &'b T::Args,
    /// The context that all tasks get in addition to their arguments, by its name in the
    /// transport's [`ContextMemory`](crate::pool::context::ContextMemory).
    pub(in crate::pool) context: Option<u64>,
    /// The number of tasks to claim.
    pub(in crate::pool) n_items: u64,
    /// The item of each task, in ascending order; `None` if task and item numbers are equal.
    pub(in crate::pool) items: Option<&'b [u64]>,
    /// Added to an item to get the number that the user knows.
    pub(in crate::pool) first_item: usize,
    /// How to cut chunks.
    pub(in crate::pool) schedule: Schedule,
    /// The only worker that may claim.
    pub(in crate::pool) only_slot: Option<usize>,
    /// The time limit of each task, in addition to the limit for all jobs.
    pub(in crate::pool) time_limit: Option<Duration>,
    /// Whether workers record when each step happens.
    pub(in crate::pool) traced: bool,
    /// Which of the owner's threads wait for it: below [`N_WAITERS`], or [`FUTURES`].
    pub(in crate::pool) waiters: usize,
}

/// A map's arguments, ready to be published with a job.
#[derive(Debug, Default)]
pub(in crate::pool) struct Encoded<Args> {
    pub(in crate::pool) args: Args,
    pub(in crate::pool) n_items: usize,
    /// The arguments that could not be encoded, and why.
    pub(in crate::pool) failures: Vec<(usize, Error)>,
    /// The context that all tasks get in addition to their arguments; it lives as long as this.
    pub(in crate::pool) context: Option<Arc<Written>>,
    /// Whether workers record when each step happens.
    pub(in crate::pool) traced: bool,
}

/// Identifies a context among all that ever existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct ContextId {
    /// Its name, unique among the contexts that exist at the same time.
    pub(in crate::pool) name: u64,
    /// Counts the contexts that have had this name.
    pub(in crate::pool) generation: u64,
}

/// A context as a worker receives it.
#[derive(Clone, Copy)]
pub(in crate::pool) struct Arrived<'a> {
    pub(in crate::pool) id: ContextId,
    pub(in crate::pool) bytes: &'a [u8],
    /// Whether the bytes stay unchanged at their address for as long as a task may read them: until
    /// every job that names the context has ended.
    pub(in crate::pool) stay: bool,
}

/// The end of a job.
pub(in crate::pool) struct Ending<Results> {
    /// Every task has its result, or was cancelled.
    pub(in crate::pool) is_done: bool,
    /// The workers that were lost in it.
    pub(in crate::pool) deaths: Vec<Death>,
    pub(in crate::pool) results: Results,
}

/// A worker that was lost in a job.
#[derive(Debug, Clone)]
pub(in crate::pool) struct Death {
    /// The task that it was running: the first task of its run that was not committed. `None` if it
    /// was running none, or the task is unknown.
    pub(in crate::pool) task: Option<u64>,
    /// The worker's slot in the owner's pool.
    pub(in crate::pool) slot: usize,
    pub(in crate::pool) pid: i32,
    /// When the owner noticed it, on the system's monotonic clock.
    pub(in crate::pool) noticed_ns: u64,
    pub(in crate::pool) cause: Cause,
}

/// The items that the tasks of a job stand for.
#[derive(Clone, Copy)]
pub(in crate::pool) enum Items<'p> {
    /// Task and item numbers are equal.
    Same,
    /// Those listed, in ascending order.
    Listed(&'p [u64]),
}

impl<'p> Items<'p> {
    /// The items of a list, if there is one.
    pub(super) fn of(list: Option<&'p [u64]>) -> Items<'p> {
        list.map_or(Items::Same, Items::Listed)
    }

    #[inline]
    pub(in crate::pool) fn at(self, task: u64) -> Option<usize> {
        match self {
            Items::Same => Some(task as usize),
            Items::Listed(items) => items.get(task as usize).map(|&item| item as usize),
        }
    }
}

/// A callback that gets each run of a batch, with the items of its tasks.
pub(super) type Visitor<'v> = dyn FnMut(Items<'_>, CommittedRun<'_>) + 'v;

/// The progress of a job or batch at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pool) struct Look {
    pub(in crate::pool) n_done: u64,
    /// Each slot that has a worker.
    pub(in crate::pool) workers: Vec<WorkerLook>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct WorkerLook {
    pub(in crate::pool) slot: usize,
    pub(in crate::pool) pid: i32,
    /// The number of tasks ever finished on the slot.
    pub(in crate::pool) n_tasks: u64,
    /// The item of this batch that it runs, if any.
    pub(in crate::pool) item: Option<usize>,
}

/// The committed part of a run.
pub(in crate::pool) struct CommittedRun<'a> {
    /// The task of the first value, unless the values are singles.
    pub(in crate::pool) first: u64,
    pub(in crate::pool) n_values: u64,
    pub(in crate::pool) values: Values<'a>,
}

/// What a run holds, as the owner reads it.
pub(in crate::pool) enum Values<'a> {
    /// Plain numbers, concatenated.
    Plain { stride: usize, bytes: &'a [u8] },
    /// Plain numbers, each with its task.
    Singles(SingleValues<'a>),
    /// Encoded values, each preceded by its length.
    Encoded(EncodedValues<'a>),
    /// Why the task has no result, and the worker's pid.
    Failure(i32, Cause),
}

impl CommittedRun<'_> {
    /// Visits the tasks whose results the run holds.
    pub(in crate::pool) fn tasks(&self, visitor: &mut dyn FnMut(u64)) {
        match self.values {
            Values::Singles(singles) => singles.for_each(|(task, _)| visitor(task)),
            _ => (self.first..self.first + self.n_values).for_each(visitor),
        }
    }
}

/// Plain numbers with their tasks, in the order in which they were computed.
#[derive(Clone, Copy)]
pub(in crate::pool) struct SingleValues<'a> {
    pub(in crate::pool) single: Single,
    pub(in crate::pool) bytes: &'a [u8],
}

/// The layout of numbers that are preceded by their task.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Single {
    pub(in crate::pool) stride: u64,
    pub(in crate::pool) value_at: u64,
    /// The distance from one task to the next.
    pub(in crate::pool) bytes: u64,
}

impl Single {
    /// The layout for numbers of `stride` bytes: each is aligned for any number, and so is the next
    /// task.
    pub(in crate::pool) fn new(stride: u64) -> Single {
        let value_at = if stride > 8 { 16 } else { 8 };
        Single {
            stride,
            value_at,
            bytes: (value_at + stride).next_multiple_of(value_at),
        }
    }
}

impl SingleValues<'_> {
    /// The size of each number.
    pub(in crate::pool) fn stride(&self) -> usize {
        self.single.stride as usize
    }
}

impl<'a> Iterator for SingleValues<'a> {
    type Item = (u64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        let (single, rest) = self.bytes.split_at_checked(self.single.bytes as usize)?;
        self.bytes = rest;
        let (task, _) = single.split_first_chunk::<8>()?;
        let value = single.get(self.single.value_at as usize..)?;
        Some((u64::from_ne_bytes(*task), value.get(..self.stride())?))
    }
}

/// Encoded values, in order: each follows its length, which has 8 bytes and starts at a multiple of
/// 8.
pub(in crate::pool) struct EncodedValues<'a>(pub(in crate::pool) &'a [u8]);

impl<'a> Iterator for EncodedValues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<8>()?;
        let (value, _) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let padded = value.len().next_multiple_of(8).min(rest.len());
        self.0 = &rest[padded..];
        Some(value)
    }
}
