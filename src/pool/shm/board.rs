//! The state that a pool's owner and workers share: the queue of jobs, and a slot for each worker.
//!
//! The board lies at the start of the pool's shared memory. It is zeroed at first, and zero is the
//! right initial value of every field. All fields are atomic. A field's comment says who writes it,
//! who reads it, and with which ordering; relaxed if it says nothing.
//!
//! One pair of orderings carries everything that is published: the owner fills a [`Job`] and the
//! memory that it names, then stores the board's `tail`; a worker loads `tail` before it reads the
//! job. Another carries the results: a worker stores a run's `committed` with release after the
//! values, and adds to the job's `done` after that; the owner loads both with acquire.
//!
//! A sleeper announces itself and then checks again; a publisher publishes and then looks for
//! sleepers. So either the sleeper sees what was published or the publisher sees the sleeper. That
//! takes sequential consistency on both sides: of `state` and what a worker checks before it sleeps
//! (`tail`, `closed`, `is_dismissed`), of `n_sleepers` and `event`, and of `degraded` and `job`.
//!
//! A new worker finds the fields of its slot reset; the fork that starts it, or the owner's
//! message, orders the reset. The owner resets them relaxed, except `state` and `job`.

use std::time::Duration;

use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::robust::Lifeline;

use crate::caught::last_panic::LastPanic;
use crate::pool::call::transport::FUTURES;
use crate::pool::plan::Schedule;
#[cfg(feature = "cluster")]
use crate::pool::stats::SharedTally;

/// The length of the queue; if it is full, the owner waits until the oldest job has ended.
pub(super) const N_JOBS: usize = 1 << 16;
/// The maximum number of workers of a pool.
pub(in crate::pool) const MAX_WORKERS: usize = 1024;

/// The shared state of a pool.
#[repr(C, align(64))]
pub(in crate::pool) struct Board {
    /// The number of jobs published so far. The owner writes, workers read: sequentially
    /// consistent, which releases and acquires the job. The owner reads it relaxed.
    pub(super) tail: AtomicU64,
    /// Not zero once no further job will be published. The owner writes, workers read: sequentially
    /// consistent.
    pub(in crate::pool) closed: AtomicU32,
    /// Not zero while the owner's reactor waits for futures; workers then set an eventfd when one
    /// may be done. The owner writes, then looks at all futures; workers read it after they have
    /// added to a job's `done`, or stored `job`: sequentially consistent.
    pub(super) has_reactor: AtomicU32,
    _line: [u8; 48],
    completions: [Completion; FUTURES + 1],
    /// Tells the workers that their owner is gone. It is held from before the first worker starts:
    /// if workers are forked, by the thread that made the pool, which is then the only one;
    /// otherwise by the pool's server, which ends with its owner.
    pub(in crate::pool) owner: Lifeline,
    pub(in crate::pool) slots: [Slot; MAX_WORKERS],
    jobs: [Job; N_JOBS],
    /// For each slot, the messages of its worker's panics.
    pub(in crate::pool) last_panics: [LastPanic; MAX_WORKERS],
    /// For each slot that stands for a worker on another node, what has happened to that beside its
    /// tasks. Relays write, the owner reads.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) elsewhere: [SharedTally; MAX_WORKERS],
}

/// Where threads of the owner sleep until their jobs are done.
#[repr(C, align(64))]
pub(in crate::pool) struct Completion {
    /// A futex word that changes whenever a job may have become complete. Workers add to it, and so
    /// do the owner's threads that have found a death; the owner's threads read it before they
    /// sleep: sequentially consistent.
    pub(super) event: AtomicU32,
    /// The number of the owner's threads that sleep here, or are about to. They write it, and
    /// wakers read it: sequentially consistent.
    pub(super) n_sleepers: AtomicU32,
}

/// A worker's own part; it survives the worker and passes to its successor.
#[repr(C, align(64))]
pub(in crate::pool) struct Slot {
    /// Tells the owner of the worker's death.
    pub(in crate::pool) lifeline: Lifeline,
    /// The job that the worker runs or waits for; it has left all earlier ones for good. The owner
    /// writes it once, before the worker starts; then the worker, after the job's `done`:
    /// sequentially consistent. The owner reads it sequentially consistently where it decides
    /// whether a job's memory may be reused or the job has ended, and with acquire where it looks
    /// at one worker.
    pub(in crate::pool) job: AtomicU64,
    /// The run that the worker is writing, 0 between two jobs. Worker: release; owner, at any time:
    /// acquire. What it reads of a live worker's run is only a hint (for a progress line or a time
    /// limit).
    pub(in crate::pool) run: AtomicU64,
    /// A futex word, one of the states below. The worker writes it, and the owner, which wakes it
    /// and resets it; the owner and other workers read it. Sequentially consistent on all sides.
    pub(in crate::pool) state: AtomicU32,
    /// The number of tasks that the worker has run. The worker writes, the owner reads: relaxed,
    /// because it is only displayed; exact once the worker has left the job.
    pub(in crate::pool) n_tasks: AtomicU64,
    /// The number of them that panicked. As `n_tasks`.
    pub(in crate::pool) n_panicked: AtomicU64,
    /// Not zero once the worker has run its initialiser and may claim. Worker: release; owner, at
    /// any time: acquire.
    pub(in crate::pool) is_up: AtomicU32,
    /// Not zero if the worker exited because the shared memory had no room for its results. Worker:
    /// release; owner, after a death: acquire.
    pub(in crate::pool) lacks_room: AtomicU32,
    /// Not zero when the worker aborts because it was refused memory. The worker, in a signal
    /// handler: release; owner, after a death: acquire.
    pub(in crate::pool) lacks_memory: AtomicU32,
    /// Not zero if the worker retired between two jobs. Worker: release, before it exits; owner:
    /// acquire, afterwards.
    pub(in crate::pool) is_retired: AtomicU32,
    /// Not zero if the worker should exit after its current job, because the pool shrinks. Owner
    /// and worker: sequentially consistent, as `state`.
    pub(in crate::pool) is_dismissed: AtomicU32,
    /// Not zero once the slot is ready for a relay, a running process that already holds other
    /// slots. Owner and relay: sequentially consistent.
    pub(in crate::pool) is_offered: AtomicU32,
}

/// The worker runs a job, or starts.
pub(in crate::pool) const AWAKE: u32 = 0;
/// The worker sleeps, or is about to look again and then sleep.
pub(super) const ASLEEP: u32 = 1;
/// The worker waits for a job without sleeping.
pub(in crate::pool) const SPINNING: u32 = 2;

/// A function to apply to a number of items.
///
/// The owner writes the first cache line before it publishes the job; workers read it afterwards.
#[repr(C, align(64))]
#[derive(Default)]
pub(in crate::pool) struct Job {
    /// The offset of the function's record; 0 if the workers inherited the function.
    pub(in crate::pool) function: AtomicU64,
    /// The number of tasks to claim.
    pub(in crate::pool) n_items: AtomicU64,
    /// The offset of the arguments: values of `stride` bytes, or a table of [`ArgSpan`]s.
    pub(in crate::pool) args: AtomicU64,
    /// The size of an argument that is a plain number; 0 means a table.
    pub(in crate::pool) stride: AtomicU64,
    /// The offset of the list of items that this job makes up for; 0 means all in order. The owner
    /// takes it from a job that has ended.
    pub(in crate::pool) list: AtomicU64,
    /// How to cut chunks.
    schedule: AtomicU64,
    /// The number of workers to cut them for.
    n_workers: AtomicU64,
    /// The only slot whose worker may claim, counted from 1; 0 means any.
    only_slot: AtomicU64,
    /// The next task to claim. Workers add, the owner cancels: relaxed, because only the number
    /// matters.
    cursor: Cursor,
    /// The number of tasks that workers which have left the job completed, or that the owner
    /// cancelled. Both add: sequentially consistent; the owner reads: acquire.
    pub(in crate::pool) done: AtomicU64,
    /// The blocks with results, as a stack that only grows. Workers: release; owner: acquire.
    blocks: AtomicU64,
    /// Not zero once a worker died in this job, so that `done` will not reach `n_items`: then each
    /// worker that leaves wakes the owner. The owner writes, workers read: sequentially consistent.
    pub(in crate::pool) degraded: AtomicU32,
    /// The index of the completion on which threads wait for the job. The owner writes it before it
    /// publishes the job, and again if a future then waits for it; workers read it after they have
    /// added to `done`, or stored `job`: sequentially consistent.
    completion: AtomicU32,
    /// The time of a task, as measured in the first chunk; 0 before. Workers write and read:
    /// relaxed, because it is a hint.
    task_ns: AtomicU64,
    /// Not zero if the job is traced. As the first line.
    traced: AtomicU32,
    /// The blocks with such notes, as `blocks`.
    records: AtomicU64,
    /// The offset of the tasks' context; 0 if they have none. As the first line.
    pub(super) context: AtomicU64,
    /// The call's time limit for each task, in ns, for workers on other nodes; 0 for no limit. As
    /// the first line.
    pub(in crate::pool) time_limit_ns: AtomicU64,
}

/// The word that workers contend for, on its own cache line.
#[repr(C, align(64))]
#[derive(Default)]
struct Cursor(AtomicU64);

/// The location of an argument's bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct ArgSpan {
    pub(super) offset: Offset,
    /// [`NO_BYTES`] for an argument that could not be encoded.
    pub(in crate::pool) bytes: u64,
}

/// The length that marks a missing argument.
pub(super) const NO_BYTES: u64 = u64::MAX;

/// The content of a new job.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pool) struct JobSpec {
    pub(in crate::pool) function: Offset,
    pub(in crate::pool) n_items: u64,
    pub(in crate::pool) args: Offset,
    pub(in crate::pool) stride: u64,
    pub(in crate::pool) list: Offset,
    pub(in crate::pool) schedule: Schedule,
    pub(in crate::pool) n_workers: u64,
    pub(in crate::pool) only_slot: Option<usize>,
    pub(in crate::pool) traced: bool,
    /// The completion on which threads wait for the job: at most [`FUTURES`].
    pub(in crate::pool) completion: usize,
    pub(in crate::pool) context: Offset,
    pub(in crate::pool) time_limit: Option<Duration>,
}

impl Board {
    /// The size of the board.
    pub(super) const BYTES: usize = size_of::<Board>();

    /// The board at the start of a pool's memory.
    pub(in crate::pool) fn of(heap: &Heap) -> &Board {
        let board = heap.reserved().cast::<Board>();
        assert!(board.is_aligned());
        // SAFETY: the heap was made with room for a board, which is zeroed, aligned and all atomic.
        unsafe { &*board }
    }

    pub(in crate::pool) fn job(&self, id: u64) -> &Job {
        &self.jobs[id as usize % N_JOBS]
    }

    /// One of the completions on which the owner's threads sleep.
    pub(in crate::pool) fn completion(&self, index: usize) -> &Completion {
        &self.completions[index.min(FUTURES)]
    }

    /// How many of the first `n_workers` are in this state.
    pub(in crate::pool) fn n_in_state(&self, n_workers: usize, state: u32) -> usize {
        self.slots[..n_workers]
            .iter()
            .filter(|slot| slot.state.load(Ordering::SeqCst) == state)
            .count()
    }

    /// The number of the pool's own processes that are awake, including the owner.
    pub(in crate::pool) fn n_awake(&self, n_workers: usize) -> usize {
        1 + self.n_in_state(n_workers, AWAKE) + self.n_in_state(n_workers, SPINNING)
    }

    /// Whether job `id`, a worker's next one, is published.
    pub(in crate::pool) fn has_job(&self, id: u64) -> bool {
        self.tail.load(Ordering::SeqCst) > id
    }

    /// Whether no further job will be published.
    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) != 0
    }
}

impl Job {
    /// Writes a job that no worker can see yet.
    pub(super) fn fill(&self, spec: &JobSpec) {
        self.function.store(spec.function, Ordering::Relaxed);
        self.n_items.store(spec.n_items, Ordering::Relaxed);
        self.args.store(spec.args, Ordering::Relaxed);
        self.stride.store(spec.stride, Ordering::Relaxed);
        self.list.store(spec.list, Ordering::Relaxed);
        self.schedule
            .store(spec.schedule.to_word(), Ordering::Relaxed);
        self.task_ns.store(0, Ordering::Relaxed);
        self.n_workers.store(spec.n_workers, Ordering::Relaxed);
        let only_slot = spec.only_slot.map_or(0, |slot| slot as u64 + 1);
        self.only_slot.store(only_slot, Ordering::Relaxed);
        self.cursor.0.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.blocks.store(0, Ordering::Relaxed);
        self.degraded.store(0, Ordering::Relaxed);
        self.completion
            .store(spec.completion as u32, Ordering::Relaxed);
        self.traced.store(u32::from(spec.traced), Ordering::Relaxed);
        self.records.store(0, Ordering::Relaxed);
        self.context.store(spec.context, Ordering::Relaxed);
        let time_limit_ns = spec.time_limit.map_or(0, |limit| limit.as_nanos() as u64);
        self.time_limit_ns.store(time_limit_ns, Ordering::Relaxed);
    }

    /// Claims the next chunk for the caller alone: the first task and one past the last.
    pub(in crate::pool) fn claim(&self) -> Option<(u64, u64)> {
        let n_items = self.n_items.load(Ordering::Relaxed);
        let schedule = Schedule::from_word(self.schedule.load(Ordering::Relaxed));
        let n_workers = self.n_workers.load(Ordering::Relaxed);
        if let Some(size) = schedule.constant(n_items, n_workers) {
            // An addition never fails, which matters when two workers contend for single items.
            let first = self.cursor.0.fetch_add(size, Ordering::Relaxed);
            return (first < n_items).then(|| (first, n_items.min(first + size)));
        }
        let task_ns = self.task_ns.load(Ordering::Relaxed);
        let mut first = self.cursor.0.load(Ordering::Relaxed);
        while first < n_items {
            let end = first + schedule.next(n_items - first, n_items, n_workers, task_ns);
            match self.cursor.0.compare_exchange_weak(
                first,
                end,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((first, end)),
                Err(now) => first = now,
            }
        }
        None
    }

    /// Whether every chunk is a single task.
    pub(super) fn claims_singly(&self) -> bool {
        let schedule = Schedule::from_word(self.schedule.load(Ordering::Relaxed));
        let n_items = self.n_items.load(Ordering::Relaxed);
        let n_workers = self.n_workers.load(Ordering::Relaxed);
        schedule.constant(n_items, n_workers) == Some(1)
    }

    /// The completion on which threads wait for the job. For a job that it has left, a worker may
    /// get a later job's completion; it then wakes those threads for nothing.
    pub(in crate::pool) fn completion(&self) -> usize {
        self.completion.load(Ordering::SeqCst) as usize
    }

    /// Moves the job to another completion and returns the old one. A worker that ended the job may
    /// have woken the old one's sleepers, so the caller must check again whether the job is over.
    /// Only futures move.
    #[cfg_attr(not(feature = "async"), allow(dead_code))]
    pub(in crate::pool) fn move_to(&self, completion: usize) -> usize {
        self.completion.swap(completion as u32, Ordering::SeqCst) as usize
    }

    /// Whether the worker on this slot may claim.
    pub(in crate::pool) fn is_for(&self, slot_index: usize) -> bool {
        let only_slot = self.only_slot.load(Ordering::Relaxed);
        only_slot == 0 || only_slot == slot_index as u64 + 1
    }

    /// Whether only one worker may claim.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn is_for_one(&self) -> bool {
        self.only_slot.load(Ordering::Relaxed) != 0
    }

    /// The number of workers that chunks are cut for.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn n_workers(&self) -> u64 {
        self.n_workers.load(Ordering::Relaxed).max(1)
    }

    /// Whether to time the first chunks, to choose the size of later ones.
    pub(super) fn wants_task_time(&self) -> bool {
        self.schedule.load(Ordering::Relaxed) == Schedule::Auto.to_word()
            && self.task_ns.load(Ordering::Relaxed) == 0
    }

    /// Stores the time of a task.
    pub(in crate::pool) fn tell_task_time(&self, task_ns: u64) {
        self.task_ns.store(task_ns.max(1), Ordering::Relaxed);
    }

    /// The time of a task, as measured in the first chunk; 0 before.
    #[cfg(feature = "cluster")]
    pub(super) fn task_ns(&self) -> u64 {
        self.task_ns.load(Ordering::Relaxed)
    }

    /// Whether the job is traced.
    pub(in crate::pool) fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed) != 0
    }

    /// Pushes a block of results on the job's stack; `next` is the block's own link.
    pub(super) fn push_block(&self, block: Offset, next: &AtomicU64) {
        push(&self.blocks, block, next);
    }

    /// Pushes a block of notes on the job's stack; `next` is the block's own link.
    pub(super) fn push_record(&self, block: Offset, next: &AtomicU64) {
        push(&self.records, block, next);
    }

    /// Takes the blocks with notes from a job that all workers have left.
    pub(super) fn take_records(&self) -> Offset {
        self.records.swap(0, Ordering::Acquire)
    }

    /// Whether every chunk was claimed.
    pub(in crate::pool) fn is_exhausted(&self) -> bool {
        self.cursor.0.load(Ordering::Relaxed) >= self.n_items.load(Ordering::Relaxed)
    }

    /// The number of unclaimed tasks.
    pub(in crate::pool) fn n_unclaimed(&self) -> u64 {
        let n_items = self.n_items.load(Ordering::Relaxed);
        n_items.saturating_sub(self.cursor.0.load(Ordering::Relaxed))
    }

    /// Leaves nothing to claim; unclaimed tasks count as done.
    pub(in crate::pool) fn cancel(&self) {
        let n_items = self.n_items.load(Ordering::Relaxed);
        let first = self.cursor.0.swap(n_items, Ordering::Relaxed);
        self.done
            .fetch_add(n_items.saturating_sub(first), Ordering::SeqCst);
    }

    /// The blocks with results so far.
    pub(super) fn blocks(&self) -> Offset {
        self.blocks.load(Ordering::Acquire)
    }

    /// Takes the list of items from a job that all workers have left.
    pub(super) fn take_list(&self) -> Offset {
        self.list.swap(0, Ordering::Relaxed)
    }

    /// Takes the blocks with results from a job that all workers have left.
    pub(super) fn take_blocks(&self) -> Offset {
        self.blocks.swap(0, Ordering::Acquire)
    }

    /// Whether every task is complete, by the workers' count. A count that is too high would be a
    /// bug in this library; it ends the job, so that the bug shows as an item without a result and
    /// not as a map that hangs.
    pub(in crate::pool) fn is_done(&self) -> bool {
        let (done, n_items) = (&self.done, self.n_items.load(Ordering::Relaxed));
        let n_done = done.load(Ordering::Acquire);
        debug_assert!(n_done <= n_items, "{n_done} tasks of {n_items} are done");
        n_done >= n_items
    }

    /// The same as a hint, for a reader whose entry of the queue may be about to be filled for a
    /// later job.
    pub(super) fn seems_done(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.n_items.load(Ordering::Relaxed)
    }
}

/// Puts a block on a stack that only grows.
fn push(stack: &AtomicU64, block: Offset, next: &AtomicU64) {
    let mut top = stack.load(Ordering::Relaxed);
    loop {
        next.store(top, Ordering::Relaxed);
        match stack.compare_exchange_weak(top, block, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => top = now,
        }
    }
}
