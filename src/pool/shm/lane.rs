//! Results: each worker writes runs of them into blocks that it alone owns.
//!
//! ```text
//! block: │ head │ run │ values … │ run │ values … │        (the job keeps a stack of blocks)
//! run:   tasks first, first + 1, … first + committed - 1, of `claimed`
//! value: plain number: its bytes          otherwise: length (8 bytes), bytes
//! ```
//!
//! In chunks of one number, the header would be larger than the value, so such chunks share a run:
//! in a run of *singles*, each number follows its task.
//!
//! Nothing is moved or sorted: a run names the tasks of its values. A value counts once `committed`
//! includes it; what a killed worker had half written does not. In a killed worker's last run, task
//! `first + committed` is the one that was running.

use std::ops::Range;

use crate::error::{Cause, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::wire::{self, Sink};

use super::board::{Job, Slot};
use super::growing::{Growing, block_bytes};
use crate::pool::call::transport::{CommittedRun, EncodedValues, Single, SingleValues, Values};

/// The header of a block of results.
#[repr(C, align(16))]
struct BlockHead {
    /// The next block of the job; written before the block is pushed.
    next: AtomicU64,
    /// The end of the last run that was begun. Worker: release; owner: acquire.
    end: AtomicU64,
}

/// The header of a run: values of consecutive tasks. The worker writes, the owner reads: relaxed if
/// a field says nothing, because the block's `end` and the slot's `run` are stored with release
/// afterwards.
#[repr(C, align(16))]
struct RunHead {
    first: AtomicU64,
    /// The number of tasks that the worker intends to commit here. For singles it grows: worker:
    /// release, after the task; owner: acquire.
    claimed: AtomicU64,
    /// The number of committed values. Worker: release, after the value; owner: acquire.
    committed: AtomicU64,
    /// The size of the encoded values, including at least all committed ones. Worker: release,
    /// after the value and before `committed`; owner: acquire, after `committed`.
    bytes: AtomicU64,
    /// The size of each value; 0: each has its length before it; [`FAILURE`]: one encoded cause;
    /// with
    /// [`SINGLES`]: each has its task before it, and `first` means nothing.
    stride: AtomicU64,
    _padding: u64,
}

/// The stride of a run that holds why a task has no result.
const FAILURE: u64 = u64::MAX;
/// Is added to the stride of a run of singles.
const SINGLES: u64 = 1 << 32;
const BLOCK_HEAD_BYTES: u64 = size_of::<BlockHead>() as u64;
const RUN_HEAD_BYTES: u64 = size_of::<RunHead>() as u64;
/// Runs are aligned so that their heads and any plain number are.
const ALIGN: u64 = 16;
/// An encoded value stands behind its length, aligned so that the length is.
const LENGTH_BYTES: usize = 8;
const VALUE_ALIGN: u64 = 8;

/// Writes one worker's results of one job.
pub(super) struct Lane<'a> {
    heap: &'a Heap,
    job: &'a Job,
    slot: &'a Slot,
    /// The current block, 0 before the first.
    block: Offset,
    /// The end of the block.
    limit: Offset,
    /// The current run, 0 before the first.
    run: Offset,
    /// The end of the last committed value.
    committed_end: Offset,
    /// The size of the run's values if they are plain numbers, else 0.
    stride: u64,
    /// The layout of the run's numbers, if it is one of singles.
    singles: Option<Single>,
}

/// The layout of a run's numbers, if it is one of singles.
fn single_of(stride: u64) -> Option<Single> {
    (stride != FAILURE && stride & SINGLES != 0).then(|| Single::new(stride - SINGLES))
}

impl<'a> Lane<'a> {
    pub(in crate::pool) fn new(heap: &'a Heap, job: &'a Job, slot: &'a Slot) -> Self {
        Lane {
            heap,
            job,
            slot,
            block: 0,
            limit: 0,
            run: 0,
            committed_end: 0,
            stride: 0,
            singles: None,
        }
    }

    /// Makes room for one plain number, the result of `task`.
    pub(super) fn begin_single(&mut self, task: u64, stride: usize) -> Result<()> {
        let single = Single::new(stride as u64);
        if self.singles.is_none() || self.committed_end + single.bytes > self.limit {
            self.begin_run(0, 0, SINGLES | stride as u64, single.bytes)?;
            (self.stride, self.singles) = (single.stride, Some(single));
        }
        task_word(self.heap, self.committed_end).store(task, Ordering::Relaxed);
        let head = self.run_head(self.run);
        let n_before = head.committed.load(Ordering::Relaxed);
        // A reader that sees this store also sees the task.
        head.claimed.store(n_before + 1, Ordering::Release);
        Ok(())
    }

    /// Begins a run of values; for plain numbers (`stride` > 0) there is room for all of them.
    pub(in crate::pool) fn begin(&mut self, first: u64, claimed: u64, stride: usize) -> Result<()> {
        let room = claimed.saturating_mul(stride as u64).max(64);
        self.begin_run(first, claimed, stride as u64, room)?;
        self.stride = stride as u64;
        Ok(())
    }

    /// Where the chunk's plain numbers go, contiguously.
    pub(super) fn plain_slots(&self) -> *mut u8 {
        let value_at = self.singles.map_or(0, |single| single.value_at);
        self.heap.at(self.committed_end + value_at)
    }

    /// The word that counts the run's committed plain numbers: the worker stores it, with release,
    /// after each number.
    pub(super) fn committed_word(&self) -> &'a AtomicU64 {
        &self.run_head(self.run).committed
    }

    /// Ends a chunk, if it is one of plain numbers, behind the last that is committed.
    pub(super) fn end_plain(&mut self) {
        if self.stride > 0 {
            let committed = self.committed_word().load(Ordering::Relaxed);
            let bytes = self.singles.map_or(self.stride, |single| single.bytes);
            self.committed_end = self.run + RUN_HEAD_BYTES + committed * bytes;
        }
    }

    /// Writes and commits the next value of the run.
    pub(super) fn commit_value(
        &mut self,
        encode: &mut dyn FnMut(&mut dyn Sink) -> Result<()>,
    ) -> Result<()> {
        let (heap, room) = (self.heap, self.committed_end..self.limit);
        let mut more_room = |needed| self.more_room(needed);
        let mut value = Growing::new(heap, room, &mut more_room);
        value.put(&[0; LENGTH_BYTES]);
        let outcome = encode(&mut value);
        let span = value.finish(outcome)?;
        let bytes = span.end - span.start - LENGTH_BYTES as u64;
        self.write_at(span.start, &bytes.to_le_bytes());
        self.committed_end = span.end.next_multiple_of(VALUE_ALIGN);
        let head = self.run_head(self.run);
        head.bytes.store(
            self.committed_end - self.run - RUN_HEAD_BYTES,
            Ordering::Release,
        );
        let committed = head.committed.load(Ordering::Relaxed);
        head.committed.store(committed + 1, Ordering::Release);
        Ok(())
    }

    /// Records in a separate run why `task` has no result.
    pub(super) fn commit_failure(&mut self, task: u64, cause: &Cause) -> Result<()> {
        let mut bytes = Vec::new();
        wire::encode(&(std::process::id() as i32, cause), &mut bytes)?;
        self.end_plain();
        self.begin_run(task, 1, FAILURE, bytes.len() as u64)?;
        self.write_at(self.committed_end, &bytes);
        self.committed_end += bytes.len() as u64;
        let head = self.run_head(self.run);
        head.bytes.store(bytes.len() as u64, Ordering::Release);
        head.committed.store(1, Ordering::Release);
        Ok(())
    }

    fn begin_run(&mut self, first: u64, claimed: u64, stride: u64, room: u64) -> Result<()> {
        let start = self.committed_end.next_multiple_of(ALIGN);
        let needed = RUN_HEAD_BYTES + room;
        let run = if self.block != 0 && start + needed <= self.limit {
            start
        } else {
            self.next_block(needed)?
        };
        self.run = run;
        (self.stride, self.singles) = (0, None);
        self.committed_end = run + RUN_HEAD_BYTES;
        let head = self.run_head(run);
        head.first.store(first, Ordering::Relaxed);
        head.claimed.store(claimed, Ordering::Relaxed);
        head.committed.store(0, Ordering::Relaxed);
        head.bytes.store(0, Ordering::Relaxed);
        head.stride.store(stride, Ordering::Relaxed);
        self.block_head(self.block)
            .end
            .store(run + RUN_HEAD_BYTES, Ordering::Release);
        self.slot.run.store(run, Ordering::Release);
        Ok(())
    }

    /// Takes a block with room for `needed` bytes, adds it to the job, and returns the offset of
    /// its first run.
    fn next_block(&mut self, needed: u64) -> Result<Offset> {
        let last = Some(self.block).filter(|&block| block != 0);
        let needed = (needed + BLOCK_HEAD_BYTES) as usize;
        let block = self.heap.take(block_bytes(self.heap, last, needed))?;
        let head = self.block_head(block);
        head.end.store(block + BLOCK_HEAD_BYTES, Ordering::Relaxed);
        self.job.push_block(block, &head.next);
        self.block = block;
        self.limit = block + self.heap.capacity(block) as u64;
        Ok(block + BLOCK_HEAD_BYTES)
    }

    /// Finds room in another block for the current value; a new run continues there.
    fn more_room(&mut self, needed: usize) -> Result<Range<Offset>> {
        let head = self.run_head(self.run);
        let committed = head.committed.load(Ordering::Relaxed);
        let first = head.first.load(Ordering::Relaxed) + committed;
        let claimed = head.claimed.load(Ordering::Relaxed) - committed;
        let stride = head.stride.load(Ordering::Relaxed);
        self.limit = self.committed_end;
        self.begin_run(first, claimed, stride, needed as u64)?;
        Ok(self.committed_end..self.limit)
    }

    fn write_at(&self, offset: Offset, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() as u64 <= self.limit);
        // SAFETY: the range lies in this worker's own block, below its limit, and no process reads
        // it before it is committed.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.heap.at(offset), bytes.len());
        }
    }

    fn block_head(&self, block: Offset) -> &'a BlockHead {
        // SAFETY: a block of results begins with its head; all fields are atomic.
        unsafe { &*self.heap.at(block).cast::<BlockHead>() }
    }

    fn run_head(&self, run: Offset) -> &'a RunHead {
        // SAFETY: a run begins with its head, aligned; all fields are atomic.
        unsafe { &*self.heap.at(run).cast::<RunHead>() }
    }
}

/// Visits every committed run of a job.
pub(super) fn visit(heap: &Heap, blocks: Offset, visitor: &mut dyn FnMut(CommittedRun<'_>)) {
    let mut block = blocks;
    while block != 0 {
        // SAFETY: workers push only blocks that begin with a head; all fields are atomic.
        let head = unsafe { &*heap.at(block).cast::<BlockHead>() };
        let end = head.end.load(Ordering::Acquire);
        let mut run = block + BLOCK_HEAD_BYTES;
        while run + RUN_HEAD_BYTES <= end {
            let (committed, bytes) = read_run(heap, run);
            run = (run + RUN_HEAD_BYTES + bytes).next_multiple_of(ALIGN);
            visitor(committed);
        }
        block = head.next.load(Ordering::Relaxed);
    }
}

fn read_run<'a>(heap: &'a Heap, run: Offset) -> (CommittedRun<'a>, u64) {
    // SAFETY: the block's end says that a run was begun here; all fields are atomic.
    let head = unsafe { &*heap.at(run).cast::<RunHead>() };
    let n_values = head.committed.load(Ordering::Acquire);
    let stride = head.stride.load(Ordering::Relaxed);
    let single = single_of(stride);
    let bytes = match (stride, single) {
        (0 | FAILURE, _) => head.bytes.load(Ordering::Acquire),
        (_, Some(single)) => n_values * single.bytes,
        (stride, None) => n_values * stride,
    };
    // SAFETY: the worker committed these bytes with release, and no longer writes them.
    let content = unsafe {
        std::slice::from_raw_parts(heap.at(run + RUN_HEAD_BYTES).cast_const(), bytes as usize)
    };
    let values = match (stride, single) {
        (FAILURE, _) => failure(content),
        (0, _) => Values::Encoded(EncodedValues(content)),
        (_, Some(single)) => Values::Singles(SingleValues {
            single,
            bytes: content,
        }),
        (stride, None) => Values::Plain {
            stride: stride as usize,
            bytes: content,
        },
    };
    let first = head.first.load(Ordering::Relaxed);
    (
        CommittedRun {
            first,
            n_values,
            values,
        },
        bytes,
    )
}

fn failure(content: &[u8]) -> Values<'_> {
    let (pid, cause) = wire::decode(content).unwrap_or_else(|error| {
        (
            0,
            Cause::Decode(format!("the report of a failure: {error}")),
        )
    });
    Values::Failure(pid, cause)
}

/// In a run of singles, the word that names a number's task.
fn task_word(heap: &Heap, offset: Offset) -> &AtomicU64 {
    // SAFETY: each single begins with such a word, aligned, inside of their block.
    unsafe { &*heap.at(offset).cast::<AtomicU64>() }
}

/// A worker's progress in its current run.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunState {
    /// The first task that was claimed and not committed.
    pub(in crate::pool) running: Option<u64>,
    /// The number of such tasks.
    pub(in crate::pool) n_left: u64,
    /// The number of committed tasks of the current chunk.
    pub(in crate::pool) n_committed: u64,
}

/// The current run of a slot's worker, if any.
pub(super) fn run_of(heap: &Heap, slot: &Slot) -> Option<RunState> {
    let run = slot.run.load(Ordering::Acquire);
    if run == 0 {
        return None;
    }
    // SAFETY: the slot names a run that was begun; all fields are atomic.
    let head = unsafe { &*heap.at(run).cast::<RunHead>() };
    let n_committed = head.committed.load(Ordering::Acquire);
    let n_left = head
        .claimed
        .load(Ordering::Acquire)
        .saturating_sub(n_committed);
    if let Some(single) = single_of(head.stride.load(Ordering::Relaxed)) {
        // The worker may have advanced between the two loads above, but runs only one task.
        let offset = run + RUN_HEAD_BYTES + n_committed * single.bytes;
        let task = || task_word(heap, offset).load(Ordering::Relaxed);
        return Some(RunState {
            running: (n_left > 0).then(task),
            n_left: n_left.min(1),
            n_committed: 0,
        });
    }
    let task = head.first.load(Ordering::Relaxed) + n_committed;
    Some(RunState {
        running: (n_left > 0).then_some(task),
        n_left,
        n_committed,
    })
}

/// The task that a worker was running when it died: the first claimed and uncommitted one of its
/// last run.
pub(in crate::pool) fn running(heap: &Heap, slot: &Slot) -> Option<u64> {
    run_of(heap, slot).and_then(|run| run.running)
}

/// The number of tasks that a worker has finished in its current chunk; the worker counts them when
/// the chunk ends.
pub(in crate::pool) fn n_uncounted(heap: &Heap, slot: &Slot) -> u64 {
    let unfinished = run_of(heap, slot).filter(|run| run.n_left > 0);
    unfinished.map_or(0, |run| run.n_committed)
}

/// Frees a stack of blocks. Only for the owner, after every worker has left the job.
pub(super) fn give_back(heap: &Heap, blocks: Offset) {
    let mut block = blocks;
    while block != 0 {
        // SAFETY: as in `visit`.
        let next = unsafe { &*heap.at(block).cast::<BlockHead>() }
            .next
            .load(Ordering::Relaxed);
        heap.give_back(block);
        block = next;
    }
}
