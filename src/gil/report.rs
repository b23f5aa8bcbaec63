//! Which thread held the lock when, in numbers.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// One thread's history of the lock. All times count from the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadReport {
    pub(super) held: Vec<Range<Duration>>,
    pub(super) waits: Vec<Range<Duration>>,
    pub(super) native: Vec<Range<Duration>>,
}

impl ThreadReport {
    /// When the thread held the lock, in order. Without a lock: when it ran "interpreted" code.
    pub fn held(&self) -> &[Range<Duration>] {
        &self.held
    }

    /// How long the thread held the lock in all.
    pub fn held_total(&self) -> Duration {
        self.held.iter().map(|span| span.end - span.start).sum()
    }

    /// When the thread waited for the lock, in order.
    pub fn waits(&self) -> &[Range<Duration>] {
        &self.waits
    }

    /// How long the thread waited for the lock in all.
    pub fn waited(&self) -> Duration {
        self.waits.iter().map(|span| span.end - span.start).sum()
    }

    /// When the thread was in "native" code, without the lock, in order.
    pub fn native(&self) -> &[Range<Duration>] {
        &self.native
    }
}

/// The threads' results, and which thread held the lock when. Prints as a table; as the last
/// expression of a notebook's cell it is drawn.
///
/// # Example
/// ```
/// let report = forklore::Gil::new().threads(2, |_token, number| number);
/// for thread in report.threads() {
///     assert!(thread.held_total() + thread.waited() <= 2 * report.wall());
/// }
/// println!("{report}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GilReport<R> {
    values: Vec<R>,
    pub(super) threads: Vec<ThreadReport>,
    pub(super) wall: Duration,
    pub(super) is_enabled: bool,
}

impl<R> GilReport<R> {
    /// A report without threads.
    pub(super) fn new(is_enabled: bool, wall: Duration) -> Self {
        GilReport {
            values: Vec::new(),
            threads: Vec::new(),
            wall,
            is_enabled,
        }
    }

    /// Adds the next thread.
    pub(super) fn push(&mut self, value: R, thread: ThreadReport) {
        self.values.push(value);
        self.threads.push(thread);
    }

    /// What each thread's body returned, by thread number.
    pub fn values(&self) -> &[R] {
        &self.values
    }

    /// Each thread's history of the lock, by thread number.
    pub fn threads(&self) -> &[ThreadReport] {
        &self.threads
    }

    /// From the start of the first thread to the end of the last.
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// The number of times that the lock moved from one thread to another.
    pub fn switches(&self) -> usize {
        let mut spans: Vec<(Duration, usize)> = self
            .threads
            .iter()
            .enumerate()
            .flat_map(|(number, thread)| thread.held.iter().map(move |span| (span.start, number)))
            .collect();
        spans.sort_unstable();
        spans
            .windows(2)
            .filter(|pair| pair[0].1 != pair[1].1)
            .count()
    }
}

impl<R> fmt::Display for GilReport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            f,
            "{:>6} {:>12} {:>12} {:>6}",
            "thread", "held ms", "waited ms", "times"
        )?;
        for (number, thread) in self.threads.iter().enumerate() {
            writeln!(
                f,
                "{number:>6} {:>12.2} {:>12.2} {:>6}",
                ms(thread.held_total()),
                ms(thread.waited()),
                thread.held.len()
            )?;
        }
        write!(f, "{} switches in {:.2} ms", self.switches(), ms(self.wall))
    }
}
