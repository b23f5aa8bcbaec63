//! Where the time of a map went: which worker ran which items when, and what the map itself cost.
//!
//! A traced map ([`Pool::map_traced`](crate::Pool::map_traced)) reads the clock at each step of its
//! journey. The caller takes each of its steps once; the workers' steps run in parallel, and
//! [`Overheads`] holds their mean, so that all parts add up to the wall time.
//!
//! ```text
//!  caller    │ encode │                                                  │ return │ collate │
//!  worker 0           │ wake │ find │ decode run encode │ claim │ run │…  │
//!  worker 1           │   wake   │ find │ decode run encode │… │   idle   │
//! ```

#[cfg(feature = "figure")]
mod charts;
mod chrome;
mod noted;
mod overheads;

use std::fmt;
use std::ops::{Deref, Range};
use std::time::Duration;

pub(crate) use noted::{Noted, Visit};
pub use overheads::{Overheads, Phase};

/// A map's results, and where its time went.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let traced = pool.map_traced(|x: u64| x.pow(10), 0..24);
/// assert_eq!(traced.value[2], 1024);
/// println!("{}", traced.trace.overheads());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Traced<T> {
    /// The map's results.
    pub value: T,
    /// The map's trace.
    pub trace: Trace,
}

impl<T> Deref for Traced<T> {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

impl<T> fmt::Display for Traced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.fmt(f)
    }
}

/// The events of one map. All times count from its start.
///
/// # Example
/// ```
/// let trace = forklore::Serial.map_traced(|x: u64| x + 1, 0..24).trace;
/// let [caller] = trace.workers() else { panic!("the calling thread was alone") };
/// assert_eq!(caller.n_items(), 24);
/// let last = caller.spans()[caller.spans().len() - 1];
/// assert_eq!(last.first_item + last.n_items, 24);
/// assert!(last.end <= trace.wall() && !last.is_cut_short);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    pub(crate) caller: Caller,
    pub(crate) noted: Noted,
}

/// When each of the caller's steps ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) pid: i32,
    /// The arguments have been encoded, or collected.
    pub(crate) encoded: Duration,
    /// Workers have been started for this call; the same as `encoded` if they already existed.
    pub(crate) forked: Duration,
    /// The caller has noticed that all tasks are done.
    pub(crate) returned: Duration,
    /// The results are in order.
    pub(crate) collated: Duration,
}

/// What one worker did in a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// Distinguishes its rows from others of the same process in the export.
    pub(crate) tid: u64,
    pub(crate) arrived: Duration,
    /// When it looked for the function: once, and again if it replaced a worker that died.
    pub(crate) finding: Vec<Range<Duration>>,
    pub(crate) spans: Vec<Span>,
}

impl Worker {
    /// The worker's name: `worker 0`, or `node1: worker 0` on a node of a
    /// [`Cluster`](crate::Cluster).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The worker's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What it ran, in order: a span for each chunk that it claimed. The last one of a worker that
    /// died [ends with its death](Span::is_cut_short).
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The number of items it ran.
    pub fn n_items(&self) -> usize {
        self.spans.iter().map(|span| span.n_items).sum()
    }

    /// How long it took to find the function.
    pub(crate) fn finding(&self) -> Duration {
        self.finding
            .iter()
            .map(|found| found.end - found.start)
            .sum()
    }

    /// When it was last active: at the end of its last item, or of its search for the function.
    pub(crate) fn left(&self) -> Duration {
        let found = self.finding.iter().map(|found| found.end);
        let ended = self.spans.iter().map(|span| span.end);
        found.chain(ended).fold(self.arrived, Duration::max)
    }

    /// How long it worked on its items.
    pub fn busy(&self) -> Duration {
        self.spans.iter().map(|span| span.end - span.start).sum()
    }
}

/// Consecutive items that one worker ran one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The first item: its index in the input.
    pub first_item: usize,
    /// The number of items.
    pub n_items: usize,
    /// When the first item started.
    pub start: Duration,
    /// When the last item ended.
    pub end: Duration,
    /// How much of it went into decoding arguments. If items are quick, this is extrapolated from a
    /// sample.
    pub decoding: Duration,
    /// How much of it went into encoding results, measured likewise.
    pub encoding: Duration,
    /// Whether the worker died at the last of these items, or was killed because that item took too
    /// long: then `end` is when the caller noticed.
    pub is_cut_short: bool,
}

impl Trace {
    /// Wall time from the call to the results.
    pub fn wall(&self) -> Duration {
        self.caller.collated
    }

    /// The workers that ran at least one item.
    pub fn workers(&self) -> &[Worker] {
        self.noted.workers()
    }

    /// The parts of the wall time.
    pub fn overheads(&self) -> Overheads {
        Overheads::of(self)
    }

    /// The trace in Chrome's trace-event format, for <https://ui.perfetto.dev>: a process with a
    /// row of spans for the caller and one for each worker, on one clock.
    ///
    /// # Example
    /// ```
    /// let traced = forklore::Serial.map_traced(|x: u64| x.pow(10), 0..24);
    /// let file = std::env::temp_dir().join(format!("trace-{}.json", std::process::id()));
    /// std::fs::write(&file, traced.to_chrome_json())?;
    /// # std::fs::remove_file(&file)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn to_chrome_json(&self) -> String {
        chrome::json(self)
    }

    /// What the caller did alone, before and after the workers.
    fn caller_steps(&self) -> impl Iterator<Item = (Phase, Duration, Duration)> + use<> {
        let caller = self.caller;
        let steps = [
            (Phase::Encode, Duration::ZERO, caller.encoded),
            (Phase::Fork, caller.encoded, caller.forked),
            (Phase::Collate, caller.returned, caller.collated),
        ];
        steps.into_iter().filter(|(_, start, end)| start < end)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.overheads().fmt(f)
    }
}

impl Span {
    /// Names the items: `item 3`, `items 3–8`, `item 5, at which the worker died`.
    fn label(&self) -> String {
        let fate = match self.is_cut_short {
            true => ", at which the worker died",
            false => "",
        };
        match self.n_items {
            1 => format!("item {}{fate}", self.first_item),
            n => format!(
                "items {}–{}{fate}",
                self.first_item,
                self.first_item + n - 1
            ),
        }
    }
}
