//! Which thread held the lock when, as a figure.

use std::time::Duration;

use crate::display::{self, Bundle};
use crate::figure::{Figure, Timeline, TimelineSpan};

use super::report::{GilReport, ThreadReport};

impl<R> GilReport<R> {
    /// A chart with a row for each thread: when it held the lock, waited for it, and ran native
    /// code.
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

/// A shorter wait means that the lock was free.
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
                let span = TimelineSpan {
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
    use std::ops::Range;

    use super::*;

    fn span(start_ms: u64, end_ms: u64) -> Range<Duration> {
        Duration::from_millis(start_ms)..Duration::from_millis(end_ms)
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
    fn without_a_lock_no_thread_waits() {
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
