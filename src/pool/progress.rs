//! Maps that show their progress.
//!
//! Workers do not report progress: the owner, which sleeps while they work, wakes periodically and
//! reads what the board holds anyway. So progress costs tasks nothing and needs no thread.

use std::time::{Duration, Instant};

use crate::display::Live;
use crate::figure::{Figure, Timeline, TimelineSpan};
use crate::progress::{Line, Screen};

use super::Pool;
use super::call::flight::Flight;
use super::call::options::Options;
use super::call::run::Call;
use super::call::transport::Look;
use super::timeout::Limited;
use super::view::view_methods;

/// The intervals at which the owner looks and draws.
const LOOK: Duration = Duration::from_millis(25);
const REFRESH: Duration = Duration::from_millis(100);
/// Maximum number of spans in a live timeline; later ones are left out.
const MOST_SPANS: usize = 20_000;

/// A pool whose maps show their progress, made by [`Pool::with_progress`].
#[derive(Debug, Clone)]
pub struct Watched<'p> {
    pool: &'p Pool,
    label: String,
    show: Show,
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Nothing,
    OneLine,
    LinePerWorker,
    Timeline,
}

impl Pool {
    /// A view of this pool whose maps show a line of progress: items done, items per second and
    /// time left, as [`progress`](crate::progress()) does.
    ///
    /// For [`imap`](Pool::imap), wrap the results instead: `progress(pool.imap(f, args))`.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let squares = pool.with_progress().map(|x: u64| x * x, 0..1000);
    /// assert_eq!(squares[30], 900);
    /// let squares = pool.with_progress().per_worker().map(|x: u64| x * x, 0..1000);
    /// assert_eq!(squares[30], 900);
    /// # Ok(()) }
    /// ```
    pub fn with_progress(&self) -> Watched<'_> {
        Watched {
            pool: self,
            label: String::new(),
            show: Show::OneLine,
            options: Options::of(self.shared.settings()),
        }
    }
}

impl<'p> Limited<'p> {
    /// The same, with a line of progress, as from [`Pool::with_progress`].
    pub fn with_progress(self) -> Watched<'p> {
        Watched {
            options: self.options,
            ..self.pool.with_progress()
        }
    }
}

impl Watched<'_> {
    /// Limits each task to `limit`, as [`Pool::timeout`] does.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options = self.options.limited(limit);
        self
    }

    /// Sets the label of the line.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    /// Adds a line for each worker: how many tasks it has finished since the map began, and which
    /// item it is running. A worker that replaces another continues its line.
    #[must_use]
    pub fn per_worker(mut self) -> Self {
        self.show = Show::LinePerWorker;
        self
    }

    /// Adds a timeline with a row for each worker, which grows while the map runs. It samples 40
    /// times a second, so of many quick tasks it shows only a few.
    #[must_use]
    pub fn timeline(mut self) -> Self {
        self.show = Show::Timeline;
        self
    }

    /// Shows nothing: a plain map.
    pub(crate) fn hidden(mut self) -> Self {
        self.show = Show::Nothing;
        self
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// A call that shows its progress.
    fn call(&self) -> Call<'_> {
        let shared = &self.pool.shared;
        // Read before the call: workers start before the owner first looks at them.
        let before = match self.show {
            Show::LinePerWorker => shared.n_tasks(),
            _ => Vec::new(),
        };
        let call = Call::with(shared, self.options);
        call.watched(Box::new(move |flight| self.watch(flight, &before)))
    }

    /// A traced map shows nothing: the trace has the same information.
    fn traced_call(&self) -> Call<'_> {
        Call::with(&self.pool.shared, self.options).traced()
    }

    /// Waits for a flight and shows its progress. `before`: how many tasks each of the pool's slots
    /// had finished.
    #[inline(never)]
    fn watch(&self, flight: &Flight, before: &[u64]) {
        if self.show == Show::Nothing {
            return;
        }
        // Workers that were forked for this call start at 0.
        let before = if flight.is_of(&self.pool.shared) {
            before
        } else {
            &[]
        };
        let mut view = View::new(self, flight, before);
        while !flight.wait(Some(Instant::now() + LOOK)) {
            view.look(flight);
        }
        view.finish(flight);
    }
}

view_methods!(Watched<'_>);

/// The progress of one map.
struct View {
    show: Show,
    total: Line,
    workers: Vec<Worker>,
    n_spans: usize,
    screen: Screen,
    live_timeline: Option<Live>,
    started: Instant,
    last_drawn: Instant,
}

/// The last observed state of one slot's worker.
#[derive(Debug, Default)]
struct Worker {
    pid: i32,
    /// The slot's task count when the map began.
    n_before: u64,
    n_tasks: u64,
    item: Option<usize>,
    item_since: Duration,
    spans: Vec<TimelineSpan>,
}

impl View {
    fn new(watched: &Watched<'_>, flight: &Flight, before: &[u64]) -> View {
        let now = Instant::now();
        let mut view = View {
            show: watched.show,
            total: Line::new(&watched.label, Some(flight.n_items() as u64)),
            workers: before.iter().copied().map(Worker::new).collect(),
            n_spans: 0,
            screen: Screen::detect(),
            live_timeline: None,
            started: now,
            last_drawn: now,
        };
        view.note(flight.look(), Duration::ZERO);
        view.draw(Duration::ZERO);
        view
    }

    fn look(&mut self, flight: &Flight) {
        let now = Instant::now();
        self.note(flight.look(), now.duration_since(self.started));
        if now.duration_since(self.last_drawn) >= REFRESH {
            self.last_drawn = now;
            self.draw(now.duration_since(self.started));
        }
    }

    fn note(&mut self, look: Look, now: Duration) {
        self.total.done = self.total.done.max(look.n_done);
        for seen in look.workers {
            if self.workers.len() <= seen.slot {
                self.workers.resize_with(seen.slot + 1, Worker::default);
            }
            let worker = &mut self.workers[seen.slot];
            (worker.pid, worker.n_tasks) = (seen.pid, seen.n_tasks);
            if worker.item != seen.item {
                self.n_spans += worker.end_span(now, self.n_spans < MOST_SPANS);
                (worker.item, worker.item_since) = (seen.item, now);
            }
        }
    }

    fn draw(&mut self, elapsed: Duration) {
        if !self.screen.is_live() {
            return;
        }
        match self.show {
            Show::Timeline => {
                let bundle = self.timeline(elapsed).bundle();
                match &mut self.live_timeline {
                    Some(live) => live.update(&bundle),
                    None => self.live_timeline = Some(Live::new(&bundle)),
                }
            }
            _ => self.screen.draw(&self.lines(), elapsed),
        }
    }

    fn finish(mut self, flight: &Flight) {
        let elapsed = self.started.elapsed();
        self.note(flight.look(), elapsed);
        self.total.done = self.total.total.unwrap_or(self.total.done);
        for worker in &mut self.workers {
            worker.end_span(elapsed, self.n_spans < MOST_SPANS);
            worker.item = None;
        }
        match (self.show, &mut self.live_timeline) {
            (Show::Timeline, Some(_)) => self.draw(elapsed),
            (Show::Timeline, None) => self.timeline(elapsed).show(),
            _ => self.screen.finish(&self.lines(), elapsed),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = vec![self.total.clone()];
        if self.show == Show::LinePerWorker {
            let workers = self.workers.iter().enumerate();
            lines.extend(
                workers
                    .filter(|(_, worker)| worker.pid != 0)
                    .map(Worker::line),
            );
        }
        lines
    }

    fn timeline(&self, elapsed: Duration) -> Figure {
        let title = match self.total.label.as_str() {
            "" => "A map, as seen by looking 40 times a second",
            label => label,
        };
        let mut timeline = Timeline::new(title).until(elapsed);
        for (slot, worker) in self.workers.iter().enumerate() {
            let row = format!("worker {slot}");
            timeline = timeline.row(&row);
            let running = worker
                .item
                .map(|item| span(item, worker.item_since, elapsed));
            for span in worker.spans.iter().cloned().chain(running) {
                timeline.push(&row, span);
            }
        }
        timeline.figure()
    }
}

impl Worker {
    fn new(n_before: u64) -> Worker {
        Worker {
            n_before,
            ..Worker::default()
        }
    }

    /// Ends the current span and records it if `is_kept`; returns the number of recorded spans.
    fn end_span(&mut self, now: Duration, is_kept: bool) -> usize {
        match self.item.filter(|_| is_kept) {
            Some(item) => {
                self.spans.push(span(item, self.item_since, now));
                1
            }
            None => 0,
        }
    }

    fn line((slot, worker): (usize, &Worker)) -> Line {
        let note = match worker.item {
            Some(item) => format!("pid {}, at item {item}", worker.pid),
            None => format!("pid {}", worker.pid),
        };
        Line {
            done: worker.n_tasks.saturating_sub(worker.n_before),
            note,
            ..Line::new(&format!("worker {slot}"), None)
        }
    }
}

fn span(item: usize, start: Duration, end: Duration) -> TimelineSpan {
    TimelineSpan {
        start,
        end,
        kind: "run".to_owned(),
        label: item.to_string(),
    }
}
