//! What the owner and the workers of a pool share: the queue of jobs, and a slot for each worker.
//!
//! The board lies at the start of the pool's shared memory. It is zero when it is made, and zero is
//! the right first value of every field. All fields are atomic. A field's comment says who writes
//! it, who reads it, and with which ordering; relaxed where it says nothing.
//!
//! One pair of orderings carries everything that is published: the owner fills a [`Job`] and the
//! memory that it names, then stores the board's `tail`; a worker loads `tail` before it reads the
//! job. Another carries the results: a worker stores a run's `committed` with release after the
//! values, and adds to the job's `done` after that; the owner loads both with acquire.
//!
//! Sleep is entered by announcing it and looking again, and left by publishing and looking for
//! sleepers, so that either the sleeper sees what was published or the publisher sees the sleeper.
//! That takes sequential consistency on both sides: of `state` and what a worker looks at before it
//! sleeps (`tail`, `closed`, `is_dismissed`), of `n_sleepers` and `event`, and of `degraded` and
//! `job`.
//!
//! A worker that starts finds the fields of its slot reset: by a fork, or by a message from the
//! owner, which order them. The owner resets them relaxed, but for `state` and `job`.

use std::time::Duration;

use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::robust::Lifeline;

use crate::caught::last_panic::LastPanic;
use crate::pool::call::transport::FUTURES;
use crate::pool::plan::Schedule;

/// How many jobs can wait; the owner of a full queue waits until the oldest has ended.
pub(super) const N_JOBS: usize = 1 << 16;
/// How many workers a pool can have.
pub(in crate::pool) const MAX_WORKERS: usize = 1024;

/// The shared state of a pool.
#[repr(C, align(64))]
pub(in crate::pool) struct Board {
    /// How many jobs were ever published. The owner writes, workers read: sequentially consistent,
    /// which releases and acquires the job. The owner reads it relaxed.
    pub(super) tail: AtomicU64,
    /// Not zero once no further job will come. The owner writes, workers read: sequentially
    /// consistent.
    pub(in crate::pool) closed: AtomicU32,
    /// Not zero while a reactor of the owner's waits for futures, and an eventfd is set when one
    /// may be done. The owner writes, then looks at all futures; workers read it after they have
    /// added to a job's `done`, or stored `job`: sequentially consistent.
    pub(super) has_reactor: AtomicU32,
    _line: [u8; 48],
    completions: [Completion; FUTURES + 1],
    /// Tells the workers that their owner is gone. It is held from before the first worker starts:
    /// by the thread that made a pool whose workers are forked, which is then the only one, and
    /// otherwise by the pool's server, which ends with its owner.
    pub(in crate::pool) owner: Lifeline,
    pub(in crate::pool) slots: [Slot; MAX_WORKERS],
    jobs: [Job; N_JOBS],
    /// For each slot, what its worker's panics said.
    pub(in crate::pool) last_panics: [LastPanic; MAX_WORKERS],
}

/// Where threads of the owner sleep until their jobs are done.
#[repr(C, align(64))]
pub(in crate::pool) struct Completion {
    /// A futex word that changes whenever a job may have become complete. Workers add to it, and
    /// threads of the owner that have found a death; the owner's read it before they sleep:
    /// sequentially consistent.
    pub(super) event: AtomicU32,
    /// How many threads of the owner sleep here, or are about to. They write, and those read who
    /// wake them: sequentially consistent.
    pub(super) n_sleepers: AtomicU32,
}

/// A worker's own part; it survives the worker and is handed to its successor.
#[repr(C, align(64))]
pub(in crate::pool) struct Slot {
    /// Tells the owner of the worker's death.
    pub(in crate::pool) lifeline: Lifeline,
    /// The job that the worker is at or waits for; all before it, it has left for good. The owner
    /// writes it once, before the worker starts; then the worker, after the job's `done`:
    /// sequentially consistent. The owner reads it in the same way where it decides whether a job's
    /// memory may be reused or the job has ended, and with acquire where it looks at one worker.
    pub(in crate::pool) job: AtomicU64,
    /// The run that the worker is writing, 0 between two jobs. Worker: release; owner, at any time:
    /// acquire. What it then reads of a living worker's run is a hint (a progress line, a time
    /// limit).
    pub(in crate::pool) run: AtomicU64,
    /// A futex word, one of the states below. The worker writes it, and the owner, which wakes it
    /// and resets it; the owner and other workers read it. Sequentially consistent on all sides.
    pub(in crate::pool) state: AtomicU32,
    /// How many tasks the worker has run. The worker writes, the owner reads: relaxed, a number for
    /// people; exact once the worker has left the job.
    pub(in crate::pool) n_tasks: AtomicU64,
    /// How many of them panicked. As `n_tasks`.
    pub(in crate::pool) n_panicked: AtomicU64,
    /// Not zero once the worker has run its initialiser and may claim. Worker: release; owner, at
    /// any time: acquire.
    pub(in crate::pool) is_up: AtomicU32,
    /// Not zero when the worker has ended because the shared memory had no room for its results.
    /// Worker: release; owner, after a death: acquire.
    pub(in crate::pool) lacks_room: AtomicU32,
    /// Not zero when the worker aborts because it was refused memory. The worker, in a signal
    /// handler: release; owner, after a death: acquire.
    pub(in crate::pool) lacks_memory: AtomicU32,
    /// Not zero when the worker has ended of its own accord, between two jobs. Worker: release,
    /// before it exits; owner: acquire, after.
    pub(in crate::pool) is_retired: AtomicU32,
    /// Not zero when the worker is to end after the job that it is at, because the pool shrinks.
    /// Owner and worker: sequentially consistent, as `state`.
    pub(in crate::pool) is_dismissed: AtomicU32,
    /// Not zero once the slot is ready for a process that runs already and holds others: a relay.
    /// Owner and relay: sequentially consistent.
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
/// The first line is written by the owner before the job is published and read by workers after.
#[repr(C, align(64))]
#[derive(Default)]
pub(in crate::pool) struct Job {
    /// Where the function's record is; 0 if the workers have inherited what to call.
    pub(in crate::pool) function: AtomicU64,
    /// How many tasks there are to claim.
    pub(in crate::pool) n_items: AtomicU64,
    /// Where the arguments are: values of `stride` bytes, or a table of [`ArgSpan`]s.
    pub(in crate::pool) args: AtomicU64,
    /// The size of an argument that is a plain number; 0 means a table.
    pub(in crate::pool) stride: AtomicU64,
    /// Where the list of items is that this job makes up for; 0 means all in order. The owner takes
    /// it off a job that has ended.
    pub(in crate::pool) list: AtomicU64,
    /// How to cut chunks.
    schedule: AtomicU64,
    /// For how many workers to cut them.
    n_workers: AtomicU64,
    /// The slot whose worker alone may claim, counted from 1; 0 means any.
    only_slot: AtomicU64,
    /// The next task to claim. Workers add, the owner cancels: relaxed, the number alone matters.
    cursor: Cursor,
    /// How many tasks were completed by workers that have left the job, or cancelled by the owner.
    /// Both add: sequentially consistent; the owner reads: acquire.
    pub(in crate::pool) done: AtomicU64,
    /// The blocks with results, as a stack that only grows. Workers: release; owner: acquire.
    blocks: AtomicU64,
    /// Not zero once a worker died in this job, so that `done` will not reach `n_items`: then each
    /// worker that leaves tells the owner. The owner writes, workers read: sequentially consistent.
    pub(in crate::pool) degraded: AtomicU32,
    /// Where threads sleep that wait for the job. The owner writes it before the job is published,
    /// and once more if a future waits from then on; workers read it after they have added to
    /// `done`, or stored `job`: sequentially consistent.
    completion: AtomicU32,
    /// How long a task takes, as far as the first chunk told; 0 before. Workers write and read:
    /// relaxed, a hint.
    task_ns: AtomicU64,
    /// Not zero if workers note what happens when. As the first line.
    traced: AtomicU32,
    /// The blocks with such notes, as `blocks`.
    records: AtomicU64,
    /// Where the context of the tasks is written; 0 if they get none. As the first line.
    pub(super) context: AtomicU64,
    /// How long each task may take beside the pool's own limit, in ns, for workers on other nodes;
    /// 0 for no limit. As the first line.
    pub(in crate::pool) time_limit_ns: AtomicU64,
}

/// The word that workers fight for, on a line of its own.
#[repr(C, align(64))]
#[derive(Default)]
struct Cursor(AtomicU64);

/// Where an argument's bytes are.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct ArgSpan {
    pub(super) offset: Offset,
    /// [`NO_BYTES`] for an argument that could not be encoded.
    pub(in crate::pool) bytes: u64,
}

/// The length of an argument that is not there.
pub(super) const NO_BYTES: u64 = u64::MAX;

/// What the owner fills a job with.
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
    /// Where threads sleep that wait for the job: [`FUTURES`] at most.
    pub(in crate::pool) completion: usize,
    pub(in crate::pool) context: Offset,
    pub(in crate::pool) time_limit: Option<Duration>,
}

impl Board {
    /// How much room the board takes.
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

    /// One of the places where threads of the owner sleep.
    pub(in crate::pool) fn completion(&self, index: usize) -> &Completion {
        &self.completions[index.min(FUTURES)]
    }

    /// How many of the first `n_workers` are in a state.
    pub(in crate::pool) fn n_in_state(&self, n_workers: usize, state: u32) -> usize {
        self.slots[..n_workers]
            .iter()
            .filter(|slot| slot.state.load(Ordering::SeqCst) == state)
            .count()
    }

    /// How many of the pool's own processes are awake, the owner included.
    pub(in crate::pool) fn n_awake(&self, n_workers: usize) -> usize {
        1 + self.n_in_state(n_workers, AWAKE) + self.n_in_state(n_workers, SPINNING)
    }

    /// Whether a job waits for a worker whose next one is `id`.
    pub(in crate::pool) fn has_job(&self, id: u64) -> bool {
        self.tail.load(Ordering::SeqCst) > id
    }

    /// Whether no job will follow those that are published.
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
            // Adding never fails, which matters when two workers fight for single items.
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

    /// Where threads sleep that wait for the job. A worker that asks for a job that it has left
    /// may get a later one's, and wakes them for nothing.
    pub(in crate::pool) fn completion(&self) -> usize {
        self.completion.load(Ordering::SeqCst) as usize
    }

    /// Has threads sleep elsewhere that wait for the job from now on, and gives back where they
    /// have slept so far. A worker that has ended the job may have woken those: the caller looks
    /// again whether it is over.
    // Futures alone move.
    #[cfg_attr(not(feature = "async"), allow(dead_code))]
    pub(in crate::pool) fn move_to(&self, completion: usize) -> usize {
        self.completion.swap(completion as u32, Ordering::SeqCst) as usize
    }

    /// Whether the worker on this slot may claim.
    pub(in crate::pool) fn is_for(&self, slot_index: usize) -> bool {
        let only_slot = self.only_slot.load(Ordering::Relaxed);
        only_slot == 0 || only_slot == slot_index as u64 + 1
    }

    /// Whether one worker alone may claim.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn is_for_one(&self) -> bool {
        self.only_slot.load(Ordering::Relaxed) != 0
    }

    /// For how many workers chunks are cut.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn n_workers(&self) -> u64 {
        self.n_workers.load(Ordering::Relaxed).max(1)
    }

    /// Whether the first chunks are to be timed, for the size of those that follow.
    pub(super) fn wants_task_time(&self) -> bool {
        self.schedule.load(Ordering::Relaxed) == Schedule::Auto.to_word()
            && self.task_ns.load(Ordering::Relaxed) == 0
    }

    /// Tells how long a task takes.
    pub(in crate::pool) fn tell_task_time(&self, task_ns: u64) {
        self.task_ns.store(task_ns.max(1), Ordering::Relaxed);
    }

    /// How long a task takes, as far as the first chunk told; 0 before.
    #[cfg(feature = "cluster")]
    pub(super) fn task_ns(&self) -> u64 {
        self.task_ns.load(Ordering::Relaxed)
    }

    /// Whether workers note what happens when.
    pub(super) fn is_traced(&self) -> bool {
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

    /// Takes the blocks with notes off a job that all workers have left.
    pub(super) fn take_records(&self) -> Offset {
        self.records.swap(0, Ordering::Acquire)
    }

    /// Whether every chunk was claimed.
    pub(in crate::pool) fn is_exhausted(&self) -> bool {
        self.cursor.0.load(Ordering::Relaxed) >= self.n_items.load(Ordering::Relaxed)
    }

    /// How many tasks were not claimed.
    pub(in crate::pool) fn n_unclaimed(&self) -> u64 {
        let n_items = self.n_items.load(Ordering::Relaxed);
        n_items.saturating_sub(self.cursor.0.load(Ordering::Relaxed))
    }

    /// Leaves nothing to claim; what was not claimed counts as done.
    pub(in crate::pool) fn cancel(&self) {
        let n_items = self.n_items.load(Ordering::Relaxed);
        let first = self.cursor.0.swap(n_items, Ordering::Relaxed);
        self.done
            .fetch_add(n_items.saturating_sub(first), Ordering::SeqCst);
    }

    /// The blocks with results that there are by now.
    pub(super) fn blocks(&self) -> Offset {
        self.blocks.load(Ordering::Acquire)
    }

    /// Takes the list of items off a job that all workers have left.
    pub(super) fn take_list(&self) -> Offset {
        self.list.swap(0, Ordering::Relaxed)
    }

    /// Takes the blocks with results off a job that all workers have left.
    pub(super) fn take_blocks(&self) -> Offset {
        self.blocks.swap(0, Ordering::Acquire)
    }

    /// Whether every task is complete, by the count of those who did it. A count that is too high
    /// would be a mistake of this library's; it ends the job, so that the mistake is an item
    /// without a result and not a map without an end.
    pub(in crate::pool) fn is_done(&self) -> bool {
        let (done, n_items) = (&self.done, self.n_items.load(Ordering::Relaxed));
        let n_done = done.load(Ordering::Acquire);
        debug_assert!(n_done <= n_items, "{n_done} tasks of {n_items} are done");
        n_done >= n_items
    }

    /// The same, for one who may look at an entry of the queue that is being filled for a later
    /// job, and takes what this says for a hint.
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
