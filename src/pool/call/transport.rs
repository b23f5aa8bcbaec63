//! The seam between a map and what carries it: jobs to the workers, and their results back.
//!
//! ```text
//!  owner:   publish ─▶ has it ended? ─▶ conclude ─▶ visit         (what lost workers have left: published again)
//!                │                        ▲
//!                ▼                        │
//!  worker:  claim ─▶ begin ─▶ argument ─▶ commit, or fail ─▶ end ─▶ claim …
//! ```
//!
//! What stands on it ([`Batch`](super::batch::Batch) and [`collate`](super::collate) in the owner,
//! [`Work`](super::work::Work) in a worker) knows jobs, tasks and encoded values, and not how they
//! travel. What stands below is chosen at compile time. Pools have shared memory:
//! [`Engine`](crate::pool::shm::engine::Engine) is the owner's side of it,
//! [`Desk`](crate::pool::shm::desk::Desk) a worker's. The unit tests have threads that send each
//! other messages.
//!
//! How workers come into being, how one is woken, how the owner learns that one is lost, and how
//! its threads wait is each transport's own business. Arguments are encoded before, into what a
//! transport calls its `Args`; contexts, which outlive jobs, into its
//! [`ContextMemory`](crate::pool::context::ContextMemory).

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Cause, Error, Result};
use crate::sys::atomic::AtomicU64;
use crate::wire::Sink;

use crate::caught::last_panic::LastPanic;
use crate::pool::context::Written;
use crate::pool::plan::Schedule;

/// The owner's side: publishes jobs, and has what became of them.
pub(in crate::pool) trait Transport: Sized {
    /// How workers are told of a function.
    type Function: Copy;
    /// Encoded arguments, where workers get at them. To drop them forgets them: the jobs that have
    /// them must have ended.
    type Args;
    /// What workers have committed of a job. To drop it forgets it.
    type Results: Results;

    /// Lets workers begin with a job, which has the number that is returned from now on.
    fn publish(&mut self, new: &NewJob<'_, Self>) -> Result<u64>;

    /// Whether a job has ended: every task has its result, or workers were lost in it and all
    /// others have left it.
    fn has_ended(&self, job: u64) -> bool;

    /// Takes a job that has ended off the books.
    fn conclude(&mut self, job: u64) -> Ending<Self::Results>;

    /// An item is tried again of which a worker has died: for those who count. It is the one that
    /// the user knows.
    fn retried(&mut self, item: usize, death: &Death);

    /// Leaves nothing to claim of a job.
    fn cancel(&self, job: u64);

    /// How far a job is: what each worker is at, as tasks, and how many of them are open. Of a job
    /// that was concluded, none is.
    fn look(&self, job: u64) -> (Look, u64);

    /// What has come so far of a job that was not concluded. It must not outlive what
    /// [`conclude`](Transport::conclude) gives of it.
    fn results_so_far(&self, job: u64) -> Self::Results;

    /// Whether some worker is there to run something.
    fn has_workers(&self) -> bool;

    /// Why there is no worker, in words.
    fn start_failure(&self) -> &str;
}

/// What workers have committed of a job.
pub(in crate::pool) trait Results {
    /// Visits it, run by run.
    fn visit(&self, visitor: &mut dyn FnMut(CommittedRun<'_>));
}

/// A worker's side of one job.
///
/// # Safety
/// Tasks read and write through the pointers that a port gives. It vouches that
/// - a task lies in one claimed chunk alone, over all workers, and what [`items`](Port::items)
///   lists has an item for it;
/// - the bytes of its [`context`](Port::context) are what was encoded for the job, and stay if it
///   says so until all tasks of the job have their results;
/// - [`numbers`](Port::numbers) leads to a number for each item of the job, aligned for any number,
///   if its arguments are plain numbers, for as long as the port lives;
/// - after [`begin`](Port::begin) for `n` tasks of a `stride` that is not 0,
///   [`outputs`](Port::outputs) has room for `n` numbers of this size, aligned for any number,
///   which no other process touches until they are committed.
pub(in crate::pool) unsafe trait Port {
    /// Claims a chunk for this worker alone: the first task and one past the last.
    fn claim(&mut self) -> Option<(u64, u64)>;

    /// The item that each task stands for; `None`: they are the same.
    fn items(&self) -> Option<&[u64]>;

    /// The bytes of an item's argument.
    ///
    /// # Errors
    /// If it could not be encoded.
    fn argument(&self, item: usize) -> Result<&[u8]>;

    /// Where the arguments are that are plain numbers: one for each item, aligned.
    fn numbers(&self) -> *const u8;

    /// The context that all tasks of the job get, if they get one. It is asked for only while a
    /// chunk is claimed and not done.
    fn context(&self) -> Option<Arrived<'_>>;

    /// Where panics are noted that this worker may not survive; `None` if the owner could not read
    /// it.
    fn last_panic(&self) -> Option<&'static LastPanic>;

    /// Begins a run: the results of `n` tasks from `first` on, numbers of `stride` bytes each, or
    /// encoded values for a `stride` of 0. A worker for whose results there is no room ends here.
    fn begin(&mut self, first: u64, n: u64, stride: usize);

    /// Where the numbers of the run go that was begun last.
    fn outputs(&self) -> Outputs<'_>;

    /// The next argument is decoded.
    fn decoded(&self);

    /// Commits the next encoded value of the run.
    ///
    /// # Errors
    /// What `encode` says, or that there is no room; the run holds what it held before.
    fn commit(&mut self, encode: &mut dyn FnMut(&mut dyn Sink) -> Result<()>) -> Result<()>;

    /// Commits why a task has no result, and so ends the run.
    fn fail(&mut self, task: u64, cause: &Cause);

    /// The run has ended; `n_run` tasks have their results, a failure included.
    fn end(&mut self, n_run: u64);
}

/// Room for a run's plain numbers.
pub(in crate::pool) struct Outputs<'a> {
    /// Where the first goes that is not committed; the others behind it. Aligned.
    pub(in crate::pool) first: *mut u8,
    /// How many are committed: the worker stores, with release, after each number.
    pub(in crate::pool) n_committed: &'a AtomicU64,
}

/// In how many groups the owner's threads wait. A group is woken together: the fewer threads it
/// has, the fewer wake for nothing.
pub(in crate::pool) const N_WAITERS: usize = 16;
/// The group in which the one thread waits that waits for all futures.
pub(in crate::pool) const FUTURES: usize = N_WAITERS;

/// What a job is to be.
pub(in crate::pool) struct NewJob<'b, T: Transport> {
    pub(in crate::pool) function: T::Function,
    pub(in crate::pool) args: &'b T::Args,
    /// What all tasks get beside their arguments, by its name where the transport keeps
    /// contexts ([`ContextMemory`](crate::pool::context::ContextMemory)).
    pub(in crate::pool) context: Option<u64>,
    /// How many tasks there are to claim.
    pub(in crate::pool) n_items: u64,
    /// The item that each stands for, in ascending order; `None`: they are the same.
    pub(in crate::pool) items: Option<&'b [u64]>,
    /// What is added to an item to have the one that the user knows.
    pub(in crate::pool) first_item: usize,
    /// How to cut chunks.
    pub(in crate::pool) schedule: Schedule,
    /// The worker that alone may claim.
    pub(in crate::pool) only_slot: Option<usize>,
    /// How long each task may take, beside what holds for all jobs.
    pub(in crate::pool) time_limit: Option<Duration>,
    /// Whether workers note what happens when.
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
    /// What all tasks get beside their arguments; it stays as long as this is held.
    pub(in crate::pool) context: Option<Arc<Written>>,
    /// Whether workers note what happens when.
    pub(in crate::pool) traced: bool,
}

/// Which context it is, of all that there ever are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct ContextId {
    /// Its name among those that are there at the same time.
    pub(in crate::pool) name: u64,
    /// Which of those that ever had this name.
    pub(in crate::pool) generation: u64,
}

/// A context as it comes to a worker.
#[derive(Clone, Copy)]
pub(in crate::pool) struct Arrived<'a> {
    pub(in crate::pool) id: ContextId,
    pub(in crate::pool) bytes: &'a [u8],
    /// Whether the bytes stay where they are, unchanged, for as long as a task may read them: until
    /// every job that names the context has ended.
    pub(in crate::pool) stay: bool,
}

/// What became of a job.
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
    /// The task that it was running: the first of its run that was not committed. `None` if it was
    /// running none, or it is not known which.
    pub(in crate::pool) task: Option<u64>,
    /// Which of the owner's workers it was.
    pub(in crate::pool) slot: usize,
    pub(in crate::pool) pid: i32,
    /// When the owner noticed it, on the system's monotonic clock.
    pub(in crate::pool) noticed_ns: u64,
    pub(in crate::pool) cause: Cause,
}

/// Which item of a map each task of a job stands for.
#[derive(Clone, Copy)]
pub(in crate::pool) enum Items<'p> {
    /// They are the same.
    Same,
    /// Those listed, in ascending order.
    Listed(&'p [u64]),
}

impl<'p> Items<'p> {
    /// Those of a list, if there is one.
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

/// Is shown each run of a batch, with the items that its tasks stand for.
pub(super) type Visitor<'v> = dyn FnMut(Items<'_>, CommittedRun<'_>) + 'v;

/// How far a job is at one moment, or a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pool) struct Look {
    pub(in crate::pool) n_done: u64,
    /// Each slot on which a worker sits.
    pub(in crate::pool) workers: Vec<WorkerLook>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct WorkerLook {
    pub(in crate::pool) slot: usize,
    pub(in crate::pool) pid: i32,
    /// How many tasks were ever finished on the slot.
    pub(in crate::pool) n_tasks: u64,
    /// The item that it is running, if it is running one of this batch.
    pub(in crate::pool) item: Option<usize>,
}

/// The committed part of a run.
pub(in crate::pool) struct CommittedRun<'a> {
    /// The task of the first value, unless they are singles.
    pub(in crate::pool) first: u64,
    pub(in crate::pool) n_values: u64,
    pub(in crate::pool) values: Values<'a>,
}

/// What a run holds, as the owner reads it.
pub(in crate::pool) enum Values<'a> {
    /// Plain numbers, one behind the other.
    Plain { stride: usize, bytes: &'a [u8] },
    /// Plain numbers, each with its task.
    Singles(SingleValues<'a>),
    /// Encoded values, each behind its length.
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

/// How numbers lie that have their task before them.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Single {
    pub(in crate::pool) stride: u64,
    pub(in crate::pool) value_at: u64,
    /// From one task to the next.
    pub(in crate::pool) bytes: u64,
}

impl Single {
    /// For numbers of `stride` bytes: aligned for any number, and so that the next task is.
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

/// Encoded values, in order: each behind its length in 8 bytes, which begin at a multiple of 8.
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
