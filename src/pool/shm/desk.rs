//! A worker's side of a job in shared memory: what it claims and reads, and its [`Lane`].

use std::time::Instant;

use crate::error::{Cause, Error, Result};
use crate::shared::heap::Heap;
use crate::sys::atomic::Ordering;
use crate::sys::child;
use crate::sys::robust::Lifeline;
use crate::wire::Sink;

use super::board::{ArgSpan, Board, Job, NO_BYTES, Slot};
use super::contexts;
use super::lane::Lane;
use super::recorder::Recorder;
use crate::caught::last_panic::LastPanic;
use crate::pool::call::transport::{Arrived, Outputs, Port};
use crate::pool::call::work::{Carrier, Step, Work};

/// Shared memory as a carrier of jobs.
pub(in crate::pool) struct Shm;

impl Carrier for Shm {
    type Port<'a> = Desk<'a>;

    fn drive(work: &mut Work<'_, Shm>, stride: usize, step: &mut Step<'_, Shm>) {
        work.run_chunks(stride, step);
    }
}

/// A job as one worker sees it.
pub(in crate::pool) struct Desk<'a> {
    heap: &'a Heap,
    job: &'a Job,
    slot: &'a Slot,
    last_panic: &'a LastPanic,
    /// The worker claims nothing once its owner is gone.
    owner: &'a Lifeline,
    /// The worker claims no further chunk once it has run this many tasks in its life.
    max_tasks: u64,
    /// Whether each chunk is a single task.
    claims_singly: bool,
    lane: Lane<'a>,
    /// When the run started, if the worker should measure the time of a task.
    timed_since: Option<Instant>,
    /// Set if the job is traced.
    recorder: Option<Recorder<'a>>,
}

impl<'a> Desk<'a> {
    pub(in crate::pool) fn new(
        heap: &'a Heap,
        job: &'a Job,
        (slot, last_panic): (&'a Slot, &'a LastPanic),
        max_tasks: u64,
    ) -> Desk<'a> {
        Desk {
            heap,
            job,
            slot,
            last_panic,
            owner: &Board::of(heap).owner,
            max_tasks,
            claims_singly: job.claims_singly(),
            lane: Lane::new(heap, job, slot),
            timed_since: None,
            recorder: Recorder::arrive(heap, job),
        }
    }

    /// The bytes of an item's argument, plain number or not.
    ///
    /// # Errors
    /// If it could not be encoded.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn argument_bytes(&self, item: usize) -> Result<&[u8]> {
        let stride = self.job.stride.load(Ordering::Relaxed) as usize;
        if stride == 0 {
            return self.argument(item);
        }
        // SAFETY: the owner wrote a number of this size for each item, and they stay until the job
        // is collected.
        Ok(unsafe {
            let number = self.numbers().add(item * stride);
            std::slice::from_raw_parts(number, stride)
        })
    }

    /// The arguments of some tasks from `first` on, of a job whose arguments are plain numbers, and
    /// whose items are its tasks.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn numbers_of(&self, first: u64, n: u64) -> &[u8] {
        let stride = self.job.stride.load(Ordering::Relaxed);
        // SAFETY: the owner wrote a number of this size for each item, and they stay until the job
        // is collected; what was claimed are items of the job.
        unsafe {
            let numbers = self.numbers().add((first * stride) as usize);
            std::slice::from_raw_parts(numbers, (n * stride) as usize)
        }
    }

    /// The tasks run elsewhere, and are noted there.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn notes_nothing(&mut self) {
        self.recorder = None;
    }

    /// Commits plain numbers of `stride` bytes that another node computed, for tasks from `first`
    /// on.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn put_plain(&mut self, first: u64, stride: usize, numbers: &[u8]) {
        let n_tasks = (numbers.len() / stride.max(1)) as u64;
        self.begin_elsewhere(first, n_tasks, stride);
        let Outputs { first, n_committed } = self.outputs();
        // SAFETY: the run was begun with room for this many numbers.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), first, numbers.len()) };
        n_committed.store(n_tasks, Ordering::Release);
        self.end(n_tasks);
    }

    /// Commits values that were encoded elsewhere.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn put_encoded<'v>(
        &mut self,
        first: u64,
        values: impl ExactSizeIterator<Item = &'v [u8]>,
    ) {
        let n_tasks = values.len() as u64;
        self.begin_elsewhere(first, n_tasks, 0);
        for value in values {
            let put = &mut |sink: &mut dyn Sink| {
                sink.put(value);
                Ok(())
            };
            if self.commit(put).is_err() {
                self.end_without_room();
            }
        }
        self.end(n_tasks);
    }

    /// Commits why a task that was sent elsewhere has no result.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn put_failure(&mut self, task: u64, cause: &Cause) {
        self.begin_elsewhere(task, 1, 0);
        self.fail(task, cause);
        self.end(1);
    }

    /// Begins a run whose tasks were sent to another node earlier.
    #[cfg(feature = "cluster")]
    fn begin_elsewhere(&mut self, first: u64, n_tasks: u64, stride: usize) {
        if self.lane.begin(first, n_tasks, stride).is_err() {
            self.end_without_room();
        }
    }

    /// Ends the process: without memory, it can report only through this one word. The owner sees
    /// the death and names the item.
    #[cold]
    fn end_without_room(&self) -> ! {
        self.slot.lacks_room.store(1, Ordering::Release);
        child::exit_now(1)
    }
}

// SAFETY: the job's cursor gives each task to exactly one claim; the owner wrote the list and the
// numbers before it published the job, and they stay until it is discarded; the lane makes room for
// the whole run, which only this worker writes.
unsafe impl Port for Desk<'_> {
    #[inline]
    fn claim(&mut self) -> Option<(u64, u64)> {
        if let Some(recorder) = &mut self.recorder {
            recorder.found();
        }
        let may_claim =
            self.slot.n_tasks.load(Ordering::Relaxed) < self.max_tasks && !self.owner.is_cut();
        may_claim.then(|| self.job.claim()).flatten()
    }

    fn items(&self) -> Option<&[u64]> {
        let list = self.job.list.load(Ordering::Relaxed);
        let n_items = self.job.n_items.load(Ordering::Relaxed) as usize;
        // SAFETY: a list has an item for each task, and stays until the job is discarded.
        (list != 0)
            .then(|| unsafe { std::slice::from_raw_parts(self.heap.at(list).cast(), n_items) })
    }

    fn argument(&self, item: usize) -> Result<&[u8]> {
        // SAFETY: the owner wrote a span for every item before it published the job.
        let span = unsafe { self.numbers().cast::<ArgSpan>().add(item).read() };
        if span.bytes == NO_BYTES {
            return Err(Error::invalid_input("the argument could not be encoded"));
        }
        // SAFETY: the owner wrote the span and its bytes, which stay until the job is collected.
        Ok(unsafe { std::slice::from_raw_parts(self.heap.at(span.offset), span.bytes as usize) })
    }

    fn numbers(&self) -> *const u8 {
        self.heap.at(self.job.args.load(Ordering::Relaxed))
    }

    fn context(&self) -> Option<Arrived<'_>> {
        let record = self.job.context.load(Ordering::Relaxed);
        // SAFETY: a claimed task that is not done keeps the record.
        (record != 0).then(|| unsafe { contexts::arrived(self.heap, record) })
    }

    fn last_panic(&self) -> Option<&'static LastPanic> {
        // SAFETY: a worker keeps the pool's memory mapped until its process ends.
        Some(unsafe { &*std::ptr::from_ref(self.last_panic) })
    }

    #[inline]
    fn begin(&mut self, first: u64, n: u64, stride: usize) {
        let begun = if stride > 0 && self.claims_singly {
            self.lane.begin_single(first, stride)
        } else {
            self.lane.begin(first, n, stride)
        };
        if begun.is_err() {
            self.end_without_room();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(first);
        }
        self.timed_since = self.job.wants_task_time().then(Instant::now);
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs {
            first: self.lane.plain_slots(),
            n_committed: self.lane.committed_word(),
        }
    }

    fn decoded(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.decoded();
        }
    }

    fn commit(&mut self, encode: &mut dyn FnMut(&mut dyn Sink) -> Result<()>) -> Result<()> {
        if let Some(recorder) = &self.recorder {
            recorder.ran();
        }
        let outcome = self.lane.commit_value(encode);
        if let Some(recorder) = &mut self.recorder {
            recorder.encoded();
        }
        outcome
    }

    fn fail(&mut self, task: u64, cause: &Cause) {
        if cause.is_panic() {
            let n_panicked = self.slot.n_panicked.load(Ordering::Relaxed);
            self.slot
                .n_panicked
                .store(n_panicked + 1, Ordering::Relaxed);
        }
        if self.lane.commit_failure(task, cause).is_err() {
            self.end_without_room();
        }
    }

    #[inline]
    fn end(&mut self, n_run: u64) {
        if let Some(since) = self.timed_since.take() {
            let task_ns = since.elapsed().as_nanos() as u64 / n_run.max(1);
            self.job.tell_task_time(task_ns);
        }
        self.lane.end_plain();
        if let Some(recorder) = &mut self.recorder {
            recorder.end(n_run);
        }
        // Only this worker writes it, so it needs no atomic addition.
        let n_tasks = self.slot.n_tasks.load(Ordering::Relaxed);
        self.slot.n_tasks.store(n_tasks + n_run, Ordering::Relaxed);
    }
}
