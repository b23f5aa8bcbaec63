//! Who held the lock when, as numbers and as a picture.

use std::fmt;
use std::time::Duration;

use crate::display::{self, Bundle};
use crate::figure::{self, Figure, Timeline};

/// A stretch of time, counted from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
}

/// What one thread had of the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadReport {
    pub(super) held: Vec<Span>,
    pub(super) waits: Vec<Span>,
    pub(super) native: Vec<Span>,
}

impl ThreadReport {
    /// When the thread held the lock, in order. Without a lock: when it ran "interpreted" code.
    pub fn held(&self) -> &[Span] {
        &self.held
    }

    /// How long the thread held the lock in all.
    pub fn held_total(&self) -> Duration {
        self.held.iter().map(|span| span.end - span.start).sum()
    }

    /// When the thread waited for the lock, in order.
    pub fn waits(&self) -> &[Span] {
        &self.waits
    }

    /// How long the thread waited for the lock in all.
    pub fn waited(&self) -> Duration {
        self.waits.iter().map(|span| span.end - span.start).sum()
    }

    /// When the thread was in "native" code, without the lock, in order.
    pub fn native(&self) -> &[Span] {
        &self.native
    }
}

/// The threads' results, and who held the lock when. Prints as a table; as the last expression of a
/// notebook's cell it is drawn.
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
    threads: Vec<ThreadReport>,
    wall: Duration,
    is_enabled: bool,
}

impl<R> GilReport<R> {
    /// A report of no thread yet.
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

    /// What each thread's body gave, by its number.
    pub fn values(&self) -> &[R] {
        &self.values
    }

    /// What each thread had of the lock, by its number.
    pub fn threads(&self) -> &[ThreadReport] {
        &self.threads
    }

    /// From the start of the first thread to the end of the last.
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// How often the lock went from one thread to another.
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

    /// A row for each thread: when it held the lock, waited for it, and was in native code.
    ///
    /// # Example
    /// ```
    /// let report = forklore::Gil::new().threads(2, |token, _| token.checkpoint());
    /// assert!(report.timeline().text().contains("thread 1"));
    /// ```
    pub fn timeline(&self) -> Figure {
        draw(&self.threads, self.is_enabled, self.wall)
    }

    /// Called by evcxr to show a cell's value.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        display::show(&Bundle::html(self.timeline().html()).with_text(self.to_string()));
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

/// Waits shorter than this are a lock that was free.
const NO_WAIT: Duration = Duration::from_micros(1);

fn draw(threads: &[ThreadReport], is_enabled: bool, wall: Duration) -> Figure {
    let (title, runs) = match is_enabled {
        true => ("Who held the lock when", "holds the lock"),
        false => ("Who ran when, without a lock", "runs"),
    };
    let mut timeline = Timeline::new(title).until(wall);
    for (number, thread) in threads.iter().enumerate() {
        let row = format!("thread {number}");
        timeline = timeline.row(&row);
        let waits = thread
            .waits
            .iter()
            .filter(|wait| wait.end - wait.start >= NO_WAIT);
        let kinds = [
            (runs, thread.held.iter().collect::<Vec<_>>()),
            ("waits for it", waits.filter(|_| is_enabled).collect()),
            ("native code", thread.native.iter().collect()),
        ];
        for (kind, spans) in kinds {
            for span in spans {
                let span = figure::Span {
                    start: span.start,
                    end: span.end,
                    kind: kind.to_owned(),
                    label: String::new(),
                };
                timeline.push(&row, span);
            }
        }
    }
    timeline.figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_ms: u64, end_ms: u64) -> Span {
        Span {
            start: Duration::from_millis(start_ms),
            end: Duration::from_millis(end_ms),
        }
    }

    #[test]
    fn the_timeline_tells_what_each_thread_did() {
        let mut report = GilReport::new(true, Duration::from_millis(20));
        report.push(
            (),
            ThreadReport {
                held: vec![span(0, 5), span(10, 15)],
                waits: vec![span(0, 0), span(5, 10)],
                native: Vec::new(),
            },
        );
        report.push(
            (),
            ThreadReport {
                held: vec![span(5, 10)],
                waits: vec![span(0, 5)],
                native: vec![span(10, 20)],
            },
        );
        assert_eq!(report.switches(), 2);
        assert_eq!(report.threads()[0].waited(), Duration::from_millis(5));
        let table = report.timeline().table().clone();
        assert_eq!(
            table.heads()[4..],
            ["holds the lock", "waits for it", "native code"]
        );
        assert_eq!(table.rows()[0][3..], ["3", "10.0 ms", "5.00 ms", "0 s"]);
        assert_eq!(table.rows()[1][3..], ["3", "5.00 ms", "5.00 ms", "10.0 ms"]);
        assert!(report.to_string().ends_with("2 switches in 20.00 ms"));
    }

    #[test]
    fn without_a_lock_nobody_waits() {
        let mut report = GilReport::new(false, Duration::from_millis(20));
        let thread = ThreadReport {
            held: vec![span(0, 20)],
            waits: vec![span(0, 1)],
            native: Vec::new(),
        };
        report.push((), thread);
        let figure = report.timeline();
        assert!(figure.title().contains("without a lock"));
        assert_eq!(figure.table().heads(), ["", "busy", "share", "spans"]);
    }
}
