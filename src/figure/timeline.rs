//! A timeline: what each worker did and when.

use std::time::Duration;

use super::Figure;
use super::axis::Axis;
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, name_column, short};
use super::number::Unit;
use super::table::Table;
use crate::units::time;

const ROW_HEIGHT: f64 = 32.0;
const BAR_HEIGHT: f64 = 22.0;
/// Spans of one kind that are closer than this are drawn as one: a reader could not distinguish
/// them.
const FINEST: f64 = 0.75;
/// Length of the sketch in letters, and the letters of the kinds.
const SKETCH_WIDTH: usize = 60;
const LETTERS: [char; 7] = ['#', '=', '.', '+', 'o', '-', ':'];
/// The maximum number of rows that are described one by one.
const N_ROWS_TOLD: usize = 8;

/// A span of time in a [`Timeline`], counted from the timeline's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineSpan {
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// What was done: spans of the same kind look alike.
    pub kind: String,
    /// Which one it was, such as the item's number; may be empty.
    pub label: String,
}

/// A timeline (Gantt chart): a row of spans for each worker.
///
/// # Example
/// ```
/// use forklore::figure::Timeline;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let figure = Timeline::new("A map of three tasks")
///     .span("worker 0", "run", "item 0", ms(0), ms(50))
///     .span("worker 1", "run", "item 1", ms(1), ms(20))
///     .span("worker 1", "run", "item 2", ms(20), ms(30))
///     .figure();
/// assert!(figure.description().contains("worker 1"));
/// ```
#[derive(Debug, Clone)]
pub struct Timeline {
    title: String,
    rows: Vec<Row>,
    kinds: Vec<String>,
    /// The axis reaches at least this far.
    end: Duration,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    /// Each with its kind's index.
    spans: Vec<(usize, TimelineSpan)>,
}

impl Timeline {
    /// A timeline without rows.
    pub fn new(title: &str) -> Timeline {
        Timeline {
            title: title.to_owned(),
            rows: Vec::new(),
            kinds: Vec::new(),
            end: Duration::ZERO,
        }
    }

    /// Adds a row, even if it stays empty. Rows stand in the order in which they are first named.
    #[must_use]
    pub fn row(mut self, name: &str) -> Timeline {
        self.row_mut(name);
        self
    }

    /// Adds a span to a row.
    #[must_use]
    pub fn span(
        mut self,
        row: &str,
        kind: &str,
        label: &str,
        start: Duration,
        end: Duration,
    ) -> Timeline {
        let (kind, label) = (kind.to_owned(), label.to_owned());
        self.push(
            row,
            TimelineSpan {
                start,
                end,
                kind,
                label,
            },
        );
        self
    }

    /// Extends the axis at least to `end`, even if the last span ends earlier.
    #[must_use]
    pub fn until(mut self, end: Duration) -> Timeline {
        self.end = end;
        self
    }

    /// Adds a span to a row without moving the timeline, for timelines that grow while they are
    /// shown.
    pub fn push(&mut self, row: &str, span: TimelineSpan) {
        let kind = match self.kinds.iter().position(|kind| *kind == span.kind) {
            Some(kind) => kind,
            None => {
                self.kinds.push(span.kind.clone());
                self.kinds.len() - 1
            }
        };
        self.row_mut(row).spans.push((kind, span));
    }

    fn row_mut(&mut self, name: &str) -> &mut Row {
        let index = match self.rows.iter().position(|row| row.name == name) {
            Some(index) => index,
            None => {
                self.rows.push(Row {
                    name: name.to_owned(),
                    spans: Vec::new(),
                });
                self.rows.len() - 1
            }
        };
        &mut self.rows[index]
    }

    /// Draws the timeline.
    pub fn figure(&self) -> Figure {
        let mut canvas = Canvas::default();
        let mut top = 6.0;
        let names: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        if names.len() > 1 {
            top = canvas.legend(top, &names, |canvas, index, (x, y)| {
                canvas.area(index, (x - 9.0, y - 8.0), (18.0, 16.0), "");
            });
            top += 6.0;
        }
        let left = name_column(self.rows.iter().map(|row| row.name.as_str()));
        let bottom = top + ROW_HEIGHT * self.rows.len() as f64;
        let end = self.end().as_secs_f64();
        let axis = Axis::between(0.0, end, (left, WIDTH - RIGHT));
        canvas.x_axis(&axis, Unit::Seconds, (top, bottom));
        for (index, row) in self.rows.iter().enumerate() {
            let y = top + ROW_HEIGHT * (index as f64 + 0.5);
            canvas.text((left - 12.0, y + 4.5), Anchor::End, &short(&row.name));
            canvas.grid_line((left, y), (WIDTH - RIGHT, y));
            row.draw(&mut canvas, &axis, y);
        }
        let middle = f64::midpoint(left, WIDTH - RIGHT);
        canvas.text((middle, bottom + 38.0), Anchor::Middle, "time");
        canvas.height = bottom + 48.0;
        let figure = Figure::new(&self.title, self.description(), canvas, self.table());
        figure.with_sketch(self.sketch())
    }

    /// Where the axis ends.
    fn end(&self) -> Duration {
        let ends = self
            .rows
            .iter()
            .flat_map(|row| row.spans.iter().map(|span| span.1.end));
        ends.max().unwrap_or_default().max(self.end)
    }

    fn description(&self) -> String {
        let end = self.end();
        let shares = || self.rows.iter().map(|row| share(row.busy(), end));
        let rows_told: Vec<String> = match self.rows.len() {
            0..=N_ROWS_TOLD => self.rows.iter().zip(shares()).map(Row::told).collect(),
            _ => {
                let least = shares().fold(1.0, f64::min);
                let most = shares().fold(0.0, f64::max);
                vec![format!(
                    "they were busy between {} and {} of it",
                    Unit::Share.format(least),
                    Unit::Share.format(most)
                )]
            }
        };
        format!(
            "A timeline of {} with {} {}: {}.",
            time(end.as_secs_f64()),
            self.rows.len(),
            if self.rows.len() == 1 { "row" } else { "rows" },
            rows_told.join("; ")
        )
    }

    /// The total time of each kind in each row.
    fn table(&self) -> Table {
        let mut heads = vec!["", "busy", "share", "spans"];
        if self.kinds.len() > 1 {
            heads.extend(self.kinds.iter().map(String::as_str));
        }
        let mut table = Table::new(&heads);
        for row in &self.rows {
            let busy = row.busy();
            let mut cells = vec![
                row.name.clone(),
                time(busy.as_secs_f64()),
                Unit::Share.format(share(busy, self.end())),
                row.spans.len().to_string(),
            ];
            if self.kinds.len() > 1 {
                for kind in 0..self.kinds.len() {
                    let spans = row.spans.iter().filter(|span| span.0 == kind);
                    let total: Duration = spans.map(|span| span.1.length()).sum();
                    cells.push(time(total.as_secs_f64()));
                }
            }
            table.push(cells);
        }
        table
    }

    /// A letter for each sixtieth of the time: the kind that took most of it.
    fn sketch(&self) -> String {
        let end = self.end().as_secs_f64();
        if end <= 0.0 {
            return String::new();
        }
        let width = self
            .rows
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0);
        let mut sketch = String::new();
        for row in &self.rows {
            sketch.push_str(&format!(
                "{:>width$} |{}|\n",
                row.name,
                row.sketch(end, self.kinds.len())
            ));
        }
        sketch.push_str(&format!("{:>width$}  0{:>SKETCH_WIDTH$}", "", time(end)));
        if self.kinds.len() > 1 {
            let keys = self.kinds.iter().zip(LETTERS.iter().cycle());
            let keys: Vec<String> = keys
                .map(|(kind, letter)| format!("{letter} {kind}"))
                .collect();
            sketch.push_str(&format!("\n{}", keys.join("   ")));
        }
        sketch
    }
}

impl TimelineSpan {
    fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

impl Row {
    fn busy(&self) -> Duration {
        self.spans.iter().map(|span| span.1.length()).sum()
    }

    fn told((row, share): (&Row, f64)) -> String {
        format!(
            "{} was busy {} of it, in {} {}",
            row.name,
            Unit::Share.format(share),
            row.spans.len(),
            if row.spans.len() == 1 {
                "span"
            } else {
                "spans"
            }
        )
    }

    /// Draws the spans, merging those that a reader could not distinguish.
    fn draw(&self, canvas: &mut Canvas, axis: &Axis, y: f64) {
        let mut order: Vec<&(usize, TimelineSpan)> = self.spans.iter().collect();
        order.sort_by_key(|(_, span)| span.start);
        let place = |at: Duration| axis.at(at.as_secs_f64());
        let mut spans = order.into_iter().peekable();
        while let Some((kind, span)) = spans.next() {
            let (x, mut end) = (place(span.start), place(span.end));
            let mut n_spans = 1;
            while let Some((_, next)) = spans.next_if(|(other, next)| {
                let is_fine = place(next.end) - place(next.start) < FINEST || end - x < FINEST;
                other == kind && place(next.start) - end < FINEST && is_fine
            }) {
                end = end.max(place(next.end));
                n_spans += 1;
            }
            let hint = match n_spans {
                1 => span.hint(),
                n => format!("{n} × {}", span.kind),
            };
            canvas.area(
                *kind,
                (x, y - BAR_HEIGHT / 2.0),
                (end - x, BAR_HEIGHT),
                &hint,
            );
            if n_spans == 1 {
                canvas.text_on_area(*kind, (f64::midpoint(x, end), y), end - x, &span.label);
            }
        }
    }

    fn sketch(&self, end: f64, n_kinds: usize) -> String {
        let mut taken = vec![vec![0.0; n_kinds]; SKETCH_WIDTH];
        for (kind, span) in &self.spans {
            let place = |at: Duration| at.as_secs_f64() / end * SKETCH_WIDTH as f64;
            let (from, to) = (place(span.start), place(span.end));
            let last = (to.ceil() as usize).min(SKETCH_WIDTH);
            for (column, taken) in taken.iter_mut().enumerate().take(last).skip(from as usize) {
                let column = column as f64;
                taken[*kind] += (to.min(column + 1.0) - from.max(column)).max(0.0);
            }
        }
        let letter = |taken: &Vec<f64>| {
            let most = taken.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            match most {
                Some((kind, share)) if *share > 0.0 => LETTERS[kind % LETTERS.len()],
                _ => ' ',
            }
        };
        taken.iter().map(letter).collect()
    }
}

impl TimelineSpan {
    fn hint(&self) -> String {
        let label = match self.label.as_str() {
            "" => String::new(),
            label => format!(" {label}"),
        };
        format!(
            "{}{label}: {} from {}",
            self.kind,
            time(self.length().as_secs_f64()),
            time(self.start.as_secs_f64())
        )
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn timeline() -> Timeline {
        Timeline::new("two workers")
            .span("worker 0", "run", "0", ms(0), ms(50))
            .span("worker 1", "run", "1", ms(0), ms(20))
            .span("worker 1", "wait", "", ms(20), ms(60))
            .row("worker 2")
    }

    #[test]
    fn rows_spans_and_kinds_are_told() {
        let figure = timeline().figure();
        let text = figure.text();
        assert!(
            text.contains("worker 0 was busy 83.3 % of it, in 1 span;"),
            "{text}"
        );
        let row = format!("worker 1 |{}{}|", "#".repeat(20), "=".repeat(40));
        assert!(text.contains(&row), "{text}");
        assert_eq!(
            figure.table().rows()[1],
            ["worker 1", "60.0 ms", "100 %", "2", "20.0 ms", "40.0 ms"]
        );
        assert_eq!(figure.table().rows()[2][1], "0 s");
        assert!(
            figure
                .svg()
                .contains("<title>run 1: 20.0 ms from 0 s</title>")
        );
    }

    #[test]
    fn the_axis_may_reach_further_than_the_spans() {
        let figure = timeline().until(ms(120)).figure();
        assert!(
            figure
                .description()
                .starts_with("A timeline of 120 ms with 3 rows")
        );
    }

    #[test]
    fn a_hundred_thousand_spans_are_a_small_drawing() {
        let mut timeline = Timeline::new("many");
        for n in 0..100_000 {
            let span = TimelineSpan {
                start: Duration::from_micros(10 * n),
                end: Duration::from_micros(10 * n + 9),
                kind: "run".into(),
                label: n.to_string(),
            };
            timeline.push("worker 0", span);
        }
        let figure = timeline.figure();
        assert!(figure.svg().len() < 5_000, "{}", figure.svg().len());
        assert_eq!(figure.table().rows()[0][3], "100000");
    }

    #[test]
    fn an_empty_timeline_is_a_figure() {
        assert!(Timeline::new("empty").figure().text().starts_with("empty"));
        assert!(
            Timeline::new("idle")
                .row("worker 0")
                .figure()
                .text()
                .contains("worker 0")
        );
    }
}
