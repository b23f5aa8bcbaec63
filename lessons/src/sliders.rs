//! The lessons' figures with sliders: the notebooks explain what they compute, and this module
//! draws it.

use std::time::Duration;

use forklore::figure::{Figure, Line, Slider, Sliding, Timeline, Unit};
use forklore::gil::GilReport;

/// The speed-up of a parallel map over a serial one, by the work per item: computed from the costs
/// of a call and of an item, for several numbers of items and workers.
///
/// # Example
/// ```
/// use forklore_course::pays_slider;
/// use std::time::Duration;
///
/// let figure = pays_slider(Duration::from_micros(30), Duration::from_nanos(25));
/// assert!(figure.at(&[0, 0]).title().contains("24 items on 2 workers"));
/// ```
pub fn pays_slider(per_call: Duration, per_item: Duration) -> Sliding {
    let (call, item) = (per_call.as_secs_f64(), per_item.as_secs_f64());
    Slider::new("When does it pay? (computed from the price in section 1)")
        .control("workers", &["2", "4", "8", "16"], 0)
        .control("items", &["24", "240", "2,400"], 0)
        .figures(|at| {
            let p = [2.0, 4.0, 8.0, 16.0][at[0]];
            let n = [24.0, 240.0, 2_400.0][at[1]];
            let gains: Vec<(f64, f64)> = (0..=15)
                .map(|step| 1e-8 * 10f64.powf(f64::from(step) / 3.0))
                .map(|work| (work, gain(call, item, n, p, work)))
                .collect();
            Line::new(&format!("{} items on {p} workers", Unit::Count.format(n)))
                .x("work per item", Unit::Seconds)
                .y("speed-up of pool.map over map", Unit::Times)
                .log_log()
                .y_between(0.05, 16.0)
                .series("computed", &gains)
                .reference("equally fast", &[(1e-8, 1.0), (1e-3, 1.0)])
                .mark_x((call / n + item) / (1.0 - 1.0 / p), "break-even")
                .figure()
        })
}

/// The speed-up of a parallel map by lesson 07's model: the serial time over
/// `call + n · item + n · work / p`.
fn gain(call: f64, item: f64, n: f64, p: f64, work: f64) -> f64 {
    n * work / (call + n * item + n * work / p)
}

/// A law that gives the speed-up from the serial share and the number of workers, drawn for several
/// shares.
///
/// # Example
/// ```
/// use forklore_course::serial_share_slider;
///
/// let amdahl = serial_share_slider(|s, p| 1.0 / (s + (1.0 - s) / p));
/// assert!(amdahl.at(&[4]).title().starts_with("20 %"));
/// ```
pub fn serial_share_slider(speed_up: fn(f64, f64) -> f64) -> Sliding {
    const SHARES: [f64; 6] = [0.0, 0.01, 0.05, 0.1, 0.2, 0.5];
    Slider::new("Amdahl's law (computed, not measured)")
        .control(
            "serial share",
            &["0 %", "1 %", "5 %", "10 %", "20 %", "50 %"],
            4,
        )
        .figures(|at| {
            let s = SHARES[at[0]];
            let workers = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
            let curve = workers.map(|p| (p, speed_up(s, p)));
            let title = format!("{:.0} % of the serial time cannot be divided", 100.0 * s);
            let chart = Line::new(&title)
                .x("workers", Unit::Count)
                .y("speed-up", Unit::Times)
                .log_log()
                .y_between(1.0, 64.0)
                .series("speed-up", &curve)
                .reference("p times as fast", &[(1.0, 1.0), (64.0, 64.0)]);
            // Without a serial share, the speed-up has no limit.
            let limited = match s > 0.0 {
                true => chart.reference("1 / s", &[(1.0, 1.0 / s), (64.0, 1.0 / s)]),
                false => chart,
            };
            limited.figure()
        })
}

/// The speed-up for 4,000 items by chunk size, simulated for several amounts of work and numbers of
/// workers; fetching a chunk costs `fetch_ns`.
///
/// # Example
/// ```
/// let figure = forklore_course::chunk_slider(200.0);
/// assert_eq!(figure.at(&[1, 1]).table().heads()[0], "items in a chunk");
/// ```
pub fn chunk_slider(fetch_ns: f64) -> Sliding {
    const CHUNKS: [usize; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 4_000];
    Slider::new("4,000 items, by size of a chunk (simulated, not measured)")
        .control("work per item", &["100 ns", "1 µs", "10 µs", "100 µs"], 1)
        .control("workers", &["2", "4", "8"], 1)
        .figures(|at| {
            let work_ns = [1e2, 1e3, 1e4, 1e5][at[0]];
            let workers = [2, 4, 8][at[1]];
            let speed_ups =
                CHUNKS.map(|chunk| (chunk as f64, chunked(work_ns, fetch_ns, workers, chunk)));
            Line::new(&format!("{workers} workers"))
                .x("items in a chunk", Unit::Count)
                .y("times as fast as one worker without fetching", Unit::Times)
                .log_x()
                .y_between(0.0, 8.0)
                .series("", &speed_ups)
                .figure()
        })
}

/// The speed-up for 4,000 equal items: each chunk goes to the worker that is free first.
fn chunked(work_ns: f64, fetch_ns: f64, workers: usize, chunk: usize) -> f64 {
    const N_ITEMS: usize = 4_000;
    let items = vec![work_ns; N_ITEMS];
    let ends = schedule(&items, workers, chunk, fetch_ns)
        .into_iter()
        .map(|span| span.end);
    N_ITEMS as f64 * work_ns / ends.fold(0.0, f64::max)
}

/// A chunk in a simulated schedule.
struct Placed {
    worker: usize,
    /// The index of its first item.
    first: usize,
    start: f64,
    end: f64,
}

/// Gives each chunk to the worker that is free first. Fetching a chunk costs `fetch`.
fn schedule(works: &[f64], workers: usize, chunk: usize, fetch: f64) -> Vec<Placed> {
    let mut busy_until = vec![0.0; workers];
    let place = |(index, works): (usize, &[f64])| {
        let free_first = |a: &usize, b: &usize| f64::total_cmp(&busy_until[*a], &busy_until[*b]);
        let worker = (0..workers).min_by(free_first).unwrap_or(0);
        let start = busy_until[worker];
        busy_until[worker] += fetch + works.iter().sum::<f64>();
        Placed {
            worker,
            first: index * chunk,
            start,
            end: busy_until[worker],
        }
    };
    works.chunks(chunk).enumerate().map(place).collect()
}

/// Which worker computes which rows when, simulated for several chunk sizes and numbers of workers;
/// a unit of a row's work takes a nanosecond.
///
/// # Example
/// ```
/// let works: Vec<f64> = (0..120).map(f64::from).collect();
/// assert_eq!(forklore_course::schedule_slider(&works).at(&[3, 1]).title(), "4 workers, 30 rows in a chunk");
/// ```
pub fn schedule_slider(works: &[f64]) -> Sliding {
    Slider::new("Who computes which rows when (simulated)")
        .control("rows in a chunk", &["1", "5", "15", "30", "60"], 3)
        .control("workers", &["2", "4", "8"], 1)
        .figures(|at| {
            let (chunk, workers) = ([1, 5, 15, 30, 60][at[0]], [2, 4, 8][at[1]]);
            let title = format!("{workers} workers, {chunk} rows in a chunk");
            let chart = (0..workers).fold(Timeline::new(&title), |chart, worker| {
                chart.row(&format!("worker {worker}"))
            });
            let placed = schedule(works, workers, chunk, 0.0).into_iter();
            let chart = placed.fold(chart, |chart, span| {
                let (row, kind) = (
                    format!("worker {}", span.worker),
                    half_of(span.first, works.len()),
                );
                let [start, end] =
                    [span.start, span.end].map(|steps| Duration::from_nanos(steps as u64));
                chart.span(&row, kind, &span.first.to_string(), start, end)
            });
            chart.figure()
        })
}

fn half_of(row: usize, n_rows: usize) -> &'static str {
    if row < n_rows / 2 {
        "lower half"
    } else {
        "upper half"
    }
}

/// Which process computed which row when, as the tasks recorded it: process id, beginning and end
/// for each row. The timeline's rows are the processes in `pids`.
///
/// # Example
/// ```
/// use forklore_course::noted_timeline;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let noted = [(7, ms(100), ms(120)), (9, ms(101), ms(103))];
/// let figure = noted_timeline("Two rows", &[7, 9], &noted);
/// assert!(figure.description().contains("worker 1"));
/// ```
pub fn noted_timeline(title: &str, pids: &[i32], noted: &[(u32, Duration, Duration)]) -> Figure {
    let first = noted.iter().map(|note| note.1).min().unwrap_or_default();
    let chart = (0..pids.len()).fold(Timeline::new(title), |chart, worker| {
        chart.row(&format!("worker {worker}"))
    });
    let chart = noted
        .iter()
        .enumerate()
        .fold(chart, |chart, (row, (pid, begin, end))| {
            let worker = pids
                .iter()
                .position(|other| i64::from(*other) == i64::from(*pid));
            let name = worker.map_or_else(
                || format!("process {pid}"),
                |worker| format!("worker {worker}"),
            );
            let kind = half_of(row, noted.len());
            chart.span(&name, kind, &row.to_string(), *begin - first, *end - first)
        });
    chart.figure()
}

/// Which node computed which item when, as the tasks recorded it: the process that runs a node's
/// workers, the worker, beginning and end for each item. `agents` are the nodes' processes before
/// the map; a process that is not among them was started later.
///
/// # Example
/// ```
/// use forklore_course::nodes_timeline;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let noted = [(7, 70, ms(100), ms(120)), (9, 90, ms(101), ms(103)), (11, 110, ms(130), ms(140))];
/// let figure = nodes_timeline("Three items", &[7, 9], &noted);
/// assert!(figure.description().contains("started again"));
/// ```
pub fn nodes_timeline(
    title: &str,
    agents: &[u32],
    noted: &[(u32, u32, Duration, Duration)],
) -> Figure {
    let first = noted.iter().map(|note| note.2).min().unwrap_or_default();
    let mut nodes: Vec<u32> = Vec::new();
    for agent in agents {
        if !nodes.contains(agent) {
            nodes.push(*agent);
        }
    }
    let node_of = |agent: u32| match nodes.iter().position(|node| *node == agent) {
        Some(index) => format!("node {}", index + 1),
        None => "started again".to_owned(),
    };
    // A row for each worker: the workers of a node together, in the order of the nodes.
    let mut workers: Vec<(u32, u32)> = noted.iter().map(|note| (note.0, note.1)).collect();
    workers.sort_unstable_by_key(|&(agent, worker)| {
        let node = nodes.iter().position(|node| *node == agent);
        (node.unwrap_or(nodes.len()), worker)
    });
    workers.dedup();
    let row_of = |agent: u32, worker: u32| {
        let mut of_node = workers.iter().filter(|(other, _)| *other == agent);
        let is_alone = of_node.clone().count() == 1;
        let index = of_node.position(|(_, other)| *other == worker).unwrap_or(0);
        match is_alone {
            true => node_of(agent),
            false => format!("{}, worker {index}", node_of(agent)),
        }
    };
    let chart = workers
        .iter()
        .fold(Timeline::new(title), |chart, &(agent, worker)| {
            chart.row(&row_of(agent, worker))
        });
    let items = noted.iter().enumerate();
    let chart = items.fold(chart, |chart, (item, &(agent, worker, begin, end))| {
        let kind = match nodes.contains(&agent) {
            true => "run",
            false => "run by a new process",
        };
        let row = row_of(agent, worker);
        chart.span(&row, kind, &item.to_string(), begin - first, end - first)
    });
    chart.figure()
}

/// When each of two threads held the lock and when it waited for it, for several switch intervals:
/// the first thread computes, the second replies to requests.
///
/// # Panics
/// If the number of reports is not the number of intervals, or a report is not of two threads.
///
/// # Example
/// ```
/// use forklore::Gil;
/// use forklore_course::turns_slider;
///
/// let reports = [Gil::new().threads(2, |token, number| { token.checkpoint(); number })];
/// assert!(turns_slider(&["5 ms"], 0, &reports).at(&[0]).title().starts_with("Every 5 ms"));
/// ```
pub fn turns_slider<R>(intervals: &[&str], start: usize, reports: &[GilReport<R>]) -> Sliding {
    assert_eq!(intervals.len(), reports.len(), "a report for each interval");
    Slider::new("A thread that answers, beside one that computes")
        .control("switch interval", intervals, start)
        .figures(|at| turns(intervals[at[0]], &reports[at[0]]))
}

fn turns<R>(interval: &str, report: &GilReport<R>) -> Figure {
    let [computes, answers] = report.threads() else {
        panic!("two threads, and not {}", report.threads().len());
    };
    let waits = answers.waits().iter().map(|wait| wait.end - wait.start);
    let longest_ms = 1e3 * waits.max().unwrap_or_default().as_secs_f64();
    let title = format!("Every {interval}: an answer waits up to {longest_ms:.1} ms for the lock");
    let mut chart = Timeline::new(&title).until(Duration::from_millis(90));
    for (row, thread) in [("computes", computes), ("answers", answers)] {
        for (kind, spans) in [
            ("has the lock", thread.held()),
            ("waits for it", thread.waits()),
        ] {
            chart = spans.iter().fold(chart, |chart, span| {
                chart.span(row, kind, "", span.start, span.end)
            });
        }
    }
    chart.figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_is_one_workers_and_small_ones_cost_their_fetching() {
        assert!(chunked(1_000.0, 200.0, 4, 4_000) <= 1.0);
        let even = chunked(1_000.0, 200.0, 4, 100);
        assert!((3.9..4.0).contains(&even), "{even}");
        assert!(chunked(100.0, 200.0, 4, 1) < even / 2.0);
    }

    #[test]
    fn more_work_per_item_never_pays_less() {
        let works = [1e-9, 1e-7, 1e-5, 1e-3];
        let gains = works.map(|work| gain(30e-6, 25e-9, 24.0, 4.0, work));
        assert!(gains.is_sorted() && gains[3] < 4.0, "{gains:?}");
    }

    #[test]
    fn a_nodes_workers_have_rows_one_below_the_other() {
        let ms = Duration::from_millis;
        let noted = [
            (9, 90, ms(5), ms(6)),
            (7, 71, ms(1), ms(3)),
            (7, 70, ms(2), ms(3)),
        ];
        let text = nodes_timeline("t", &[7, 7, 9], &noted).text();
        let at = |row: &str| {
            text.find(row)
                .unwrap_or_else(|| panic!("no {row} in {text}"))
        };
        assert!(
            at("node 1, worker 0") < at("node 1, worker 1")
                && at("node 1, worker 1") < at("node 2"),
            "{text}"
        );
        assert!(!text.contains("again"), "{text}");
    }

    #[test]
    fn a_worker_that_was_replaced_has_a_row_of_its_own() {
        let ms = Duration::from_millis;
        let figure = noted_timeline("t", &[7], &[(8, ms(0), ms(1))]);
        assert!(figure.text().contains("process 8"));
    }
}
