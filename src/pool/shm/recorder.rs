//! Traces in shared memory: a worker takes notes while it runs a traced job, and the owner turns
//! all notes into a [`Trace`].
//!
//! ```text
//! block: │ head: who, arrived, found │ run │ run │ …       (the job keeps a stack of blocks)
//! ```
//!
//! Only its own worker writes a block. A run counts once `n_runs` includes it, so a worker may be
//! killed at any time; `open_ns`, the start of the current run, identifies the run that it was
//! killed in. An untraced job only checks `recorder`, once per chunk and once per decoded or
//! encoded value.
//!
//! If values take less time than reading the clock, only a sample is timed and extrapolated: a
//! trace that slowed the map down would not describe that map.

use std::cell::Cell;
use std::time::Duration;

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::clock::monotonic_ns;
use crate::sys::process_id;
use crate::trace::{Span, Visit};

use super::board::Job;
use super::growing::block_bytes;
#[cfg(feature = "cluster")]
use crate::pool::call::harvest::NotedSpan;
use crate::pool::call::notes::Notes;
use crate::pool::call::transport::{Death, Items};

/// The header of a block. All fields: written by the worker, relaxed, and read by the owner after
/// the worker has left the job, or died. Times are from the OS's monotonic clock, in ns.
#[repr(C, align(64))]
struct Head {
    /// The next block of the job; written before the block is pushed.
    next: AtomicU64,
    /// The worker's pid.
    pid: AtomicU64,
    /// Distinguishes the workers that one process stands in for.
    tid: AtomicU64,
    arrived_ns: AtomicU64,
    found_ns: AtomicU64,
    /// The number of complete runs. Worker: release; owner: acquire.
    n_runs: AtomicU64,
    /// The start of the current run, or of the last one. Worker: release, after `open_first`;
    /// owner: acquire.
    open_ns: AtomicU64,
    /// The first task of that run.
    open_first: AtomicU64,
}

/// A worker's note of a run of consecutive tasks.
#[repr(C)]
struct Run {
    first: AtomicU64,
    n_values: AtomicU64,
    began_ns: AtomicU64,
    ended_ns: AtomicU64,
    decoding_ns: AtomicU64,
    encoding_ns: AtomicU64,
    /// Not zero if the worker died at the last of these tasks, on another node: the owner finds out
    /// for itself of those on this one.
    is_cut_short: AtomicU64,
}

const HEAD_BYTES: u64 = size_of::<Head>() as u64;
const RUN_BYTES: u64 = size_of::<Run>() as u64;

/// The cost of timing the steps of one value: four reads of the clock.
const TIMING_NS: u64 = 100;
/// Timing takes at most one part in this many of the time.
const TIMING_SHARE: u64 = 100;

/// A worker's notes about one job.
pub(super) struct Recorder<'a> {
    heap: &'a Heap,
    job: &'a Job,
    block: Offset,
    n_runs: u64,
    /// Set when there is no memory for more notes; the worker then stops taking notes.
    is_full: bool,
    arrived_ns: u64,
    found_ns: u64,
    /// When the current run started, and with which task.
    began_ns: u64,
    first: u64,
    /// How many values pass before the next timed one; 0 while one is being timed.
    n_to_pass: Cell<u64>,
    /// When the timed value started.
    turn_ns: u64,
    /// When the last step ended and the next began.
    step_ns: Cell<u64>,
    /// Sums over the timed values of this run.
    decoding_ns: Cell<u64>,
    encoding_ns: u64,
    n_timed: u64,
}

impl<'a> Recorder<'a> {
    /// Notes the worker's arrival; `None` if the job is not traced.
    pub(super) fn arrive(heap: &'a Heap, job: &'a Job) -> Option<Recorder<'a>> {
        job.is_traced().then(|| Recorder {
            heap,
            job,
            block: 0,
            n_runs: 0,
            is_full: false,
            arrived_ns: monotonic_ns(),
            found_ns: 0,
            began_ns: 0,
            first: 0,
            n_to_pass: Cell::new(0),
            turn_ns: 0,
            step_ns: Cell::new(0),
            decoding_ns: Cell::new(0),
            encoding_ns: 0,
            n_timed: 0,
        })
    }

    /// Notes that the function was found; later calls change nothing.
    pub(in crate::pool) fn found(&mut self) {
        if self.found_ns == 0 {
            self.found_ns = monotonic_ns();
        }
    }

    /// Notes the start of a run of tasks.
    pub(in crate::pool) fn begin(&mut self, first: u64) {
        self.is_full = self.is_full || self.make_room().is_err();
        (self.began_ns, self.first) = (monotonic_ns(), first);
        if !self.is_full {
            let head = self.head();
            head.open_first.store(first, Ordering::Relaxed);
            head.open_ns.store(self.began_ns, Ordering::Release);
        }
        self.turn_ns = self.began_ns;
        self.step_ns.set(self.began_ns);
        self.n_to_pass.set(0);
        self.decoding_ns.set(0);
        self.encoding_ns = 0;
        self.n_timed = 0;
    }

    /// Notes that an argument was decoded.
    pub(in crate::pool) fn decoded(&self) {
        if self.n_to_pass.get() == 0 {
            let now = monotonic_ns();
            let before = self.step_ns.replace(now);
            self.decoding_ns.set(self.decoding_ns.get() + now - before);
        }
    }

    /// Notes that the function returned.
    pub(in crate::pool) fn ran(&self) {
        if self.n_to_pass.get() == 0 {
            self.step_ns.set(monotonic_ns());
        }
    }

    /// Notes that the result was encoded; the next value starts here.
    pub(in crate::pool) fn encoded(&mut self) {
        let n_to_pass = self.n_to_pass.get();
        if n_to_pass > 1 {
            self.n_to_pass.set(n_to_pass - 1);
            return;
        }
        let now = monotonic_ns();
        let before = self.step_ns.replace(now);
        let turn_ns = std::mem::replace(&mut self.turn_ns, now);
        self.n_to_pass.set(0);
        if n_to_pass == 0 {
            self.encoding_ns += now - before;
            self.n_timed += 1;
            self.n_to_pass.set(n_worth_passing(now - turn_ns));
        }
    }

    /// Notes the end of the run.
    pub(in crate::pool) fn end(&mut self, n_values: u64) {
        let ended_ns = monotonic_ns();
        if self.is_full {
            return;
        }
        let run = self.run(self.n_runs);
        run.first.store(self.first, Ordering::Relaxed);
        run.n_values.store(n_values, Ordering::Relaxed);
        run.began_ns.store(self.began_ns, Ordering::Relaxed);
        run.ended_ns.store(ended_ns, Ordering::Relaxed);
        let spent_ns = ended_ns - self.began_ns;
        let in_all = |timed_ns: u64| match self.n_timed {
            0 => 0,
            n_timed => timed_ns.saturating_mul(n_values) / n_timed,
        };
        let decoding_ns = in_all(self.decoding_ns.get()).min(spent_ns);
        let encoding_ns = in_all(self.encoding_ns).min(spent_ns - decoding_ns);
        run.decoding_ns.store(decoding_ns, Ordering::Relaxed);
        run.encoding_ns.store(encoding_ns, Ordering::Relaxed);
        run.is_cut_short.store(0, Ordering::Relaxed);
        self.n_runs += 1;
        self.head().n_runs.store(self.n_runs, Ordering::Release);
    }

    /// Makes room for the run that starts.
    fn make_room(&mut self) -> Result<()> {
        let n_bytes = HEAD_BYTES + (self.n_runs + 1) * RUN_BYTES;
        if self.block != 0 && n_bytes <= self.heap.capacity(self.block) as u64 {
            return Ok(());
        }
        let last = Some(self.block).filter(|&block| block != 0);
        let bytes = block_bytes(self.heap, last, (HEAD_BYTES + RUN_BYTES) as usize);
        self.block = self.heap.take(bytes)?;
        self.n_runs = 0;
        let head = self.head();
        head.pid.store(u64::from(process_id()), Ordering::Relaxed);
        head.tid.store(u64::from(process_id()), Ordering::Relaxed);
        head.arrived_ns.store(self.arrived_ns, Ordering::Relaxed);
        head.found_ns.store(self.found_ns, Ordering::Relaxed);
        head.n_runs.store(0, Ordering::Relaxed);
        head.open_ns.store(0, Ordering::Relaxed);
        self.job.push_record(self.block, &head.next);
        Ok(())
    }

    fn head(&self) -> &'a Head {
        head(self.heap, self.block)
    }

    fn run(&self, index: u64) -> &'a Run {
        run(self.heap, self.block, index)
    }
}

/// How many values to pass after one that took `took_ns`, so that timing stays within its share.
fn n_worth_passing(took_ns: u64) -> u64 {
    TIMING_NS * TIMING_SHARE / took_ns.max(1)
}

/// A worker on another node, and when it came and had found the function, by this machine's clock.
#[cfg(feature = "cluster")]
pub(in crate::pool) struct Elsewhere {
    pub(in crate::pool) pid: i32,
    /// Which node.
    pub(in crate::pool) tid: u64,
    pub(in crate::pool) arrived_ns: u64,
    pub(in crate::pool) found_ns: u64,
}

/// Notes what a worker on another node has noted; spans count a job's tasks, and their times are
/// those of this machine's clock. Nothing, if there is no memory for it.
#[cfg(feature = "cluster")]
pub(in crate::pool) fn note_elsewhere(
    heap: &Heap,
    job: &Job,
    worker: &Elsewhere,
    spans: &[NotedSpan],
) {
    let bytes = HEAD_BYTES + spans.len() as u64 * RUN_BYTES;
    let Ok(block) = heap.take(bytes as usize) else {
        return;
    };
    for (index, span) in (0..).zip(spans) {
        let run = run(heap, block, index);
        run.first.store(span.first, Ordering::Relaxed);
        run.n_values.store(span.n_tasks, Ordering::Relaxed);
        run.began_ns.store(span.began_ns, Ordering::Relaxed);
        run.ended_ns.store(span.ended_ns, Ordering::Relaxed);
        run.decoding_ns.store(span.decoding_ns, Ordering::Relaxed);
        run.encoding_ns.store(span.encoding_ns, Ordering::Relaxed);
        let is_cut_short = u64::from(span.is_cut_short);
        run.is_cut_short.store(is_cut_short, Ordering::Relaxed);
    }
    let head = head(heap, block);
    head.pid.store(worker.pid as u64, Ordering::Relaxed);
    head.tid.store(worker.tid, Ordering::Relaxed);
    head.arrived_ns.store(worker.arrived_ns, Ordering::Relaxed);
    head.found_ns.store(worker.found_ns, Ordering::Relaxed);
    head.open_ns.store(0, Ordering::Relaxed);
    head.n_runs.store(spans.len() as u64, Ordering::Release);
    job.push_record(block, &head.next);
}

fn head(heap: &Heap, block: Offset) -> &Head {
    // SAFETY: every block of notes has a head at its start, aligned; all fields are atomic.
    unsafe { &*heap.at(block).cast::<Head>() }
}

fn run(heap: &Heap, block: Offset, index: u64) -> &Run {
    // SAFETY: callers stay below the number of runs that the block has room for; all fields are
    // atomic.
    unsafe {
        &*heap
            .at(block + HEAD_BYTES + index * RUN_BYTES)
            .cast::<Run>()
    }
}

/// Frees a stack of notes. Only for the owner, after every worker has left the job.
pub(super) fn give_back(heap: &Heap, records: Offset) {
    let mut block = records;
    while block != 0 {
        let next = head(heap, block).next.load(Ordering::Relaxed);
        heap.give_back(block);
        block = next;
    }
}

/// Adds the workers' notes about one job to the notes of its map. Its time counts as collating:
/// measuring it separately would cost as much.
pub(super) fn gather(
    heap: &Heap,
    records: Offset,
    items: Items<'_>,
    deaths: &[Death],
    notes: &mut Notes,
) {
    let Some((began_ns, trace)) = notes.trace_mut() else {
        return;
    };
    let mut block = records;
    while block != 0 {
        let notes = Block {
            heap,
            block,
            began_ns,
            items,
        };
        let runs = notes.runs().chain(notes.cut_short(deaths));
        trace.noted.add(notes.visit(), runs);
        block = notes.head().next.load(Ordering::Relaxed);
    }
}

/// A block of notes that its worker no longer writes.
struct Block<'a> {
    heap: &'a Heap,
    block: Offset,
    /// When the map began.
    began_ns: u64,
    /// The items that the job's tasks stand for.
    items: Items<'a>,
}

impl Block<'_> {
    fn head(&self) -> &Head {
        head(self.heap, self.block)
    }

    fn visit(&self) -> Visit {
        let head = self.head();
        let pid = head.pid.load(Ordering::Relaxed);
        Visit {
            pid: pid as i32,
            tid: head.tid.load(Ordering::Relaxed),
            arrived: self.since(head.arrived_ns.load(Ordering::Relaxed)),
            found: self.since(head.found_ns.load(Ordering::Relaxed)),
        }
    }

    fn runs(&self) -> impl Iterator<Item = Span> {
        let n_runs = self.head().n_runs.load(Ordering::Acquire);
        (0..n_runs).map(|index| {
            let run = run(self.heap, self.block, index);
            let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
            Span {
                first_item: self.item(word(&run.first)),
                n_items: word(&run.n_values) as usize,
                start: self.since(word(&run.began_ns)),
                end: self.since(word(&run.ended_ns)),
                decoding: Duration::from_nanos(word(&run.decoding_ns)),
                encoding: Duration::from_nanos(word(&run.encoding_ns)),
                is_cut_short: word(&run.is_cut_short) != 0,
            }
        })
    }

    /// The span of the run in which the worker died, up to the task that it died in.
    fn cut_short(&self, deaths: &[Death]) -> Option<Span> {
        let head = self.head();
        let pid = head.pid.load(Ordering::Relaxed);
        let death = deaths.iter().find(|death| death.pid as u64 == pid)?;
        let began_ns = head.open_ns.load(Ordering::Acquire);
        let first = head.open_first.load(Ordering::Relaxed);
        let last = death.task.filter(|&last| last >= first)?;
        let start = self.since(began_ns);
        // The block is full, or the run had ended and its span already exists.
        if began_ns == 0 || self.runs().last().is_some_and(|span| span.start == start) {
            return None;
        }
        Some(Span {
            first_item: self.item(first),
            n_items: (last - first) as usize + 1,
            start,
            end: self.since(death.noticed_ns),
            is_cut_short: true,
            ..Span::default()
        })
    }

    fn since(&self, ns: u64) -> Duration {
        Duration::from_nanos(ns.saturating_sub(self.began_ns))
    }

    fn item(&self, task: u64) -> usize {
        self.items.at(task).unwrap_or(usize::MAX)
    }
}
