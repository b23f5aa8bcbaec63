//! Traced maps: a trace is complete, and its parts add up to the whole.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use forklore::trace::{Phase, Span};
use forklore::{Gil, Map, Pool, Schedule, Serial, SharedArray, ThreadPool, Trace, Traced};
use serde_json::Value;

use crate::support::tests;

tests![
    every_item_is_in_one_span,
    the_parts_are_the_wall,
    the_parts_are_the_time_on_a_clock_outside,
    only_what_is_encoded_takes_time_to_encode,
    a_retried_item_is_in_the_trace_of_who_finished_it,
    the_chunk_that_a_worker_died_in_ends_with_it,
    an_empty_map_has_an_empty_trace,
    the_timeline_has_a_row_for_each_worker,
    the_export_is_in_chromes_format,
    the_export_of_a_worker_that_died_is_too,
];

fn every_item_is_in_one_span() {
    let pool = Pool::with_workers(3).unwrap();
    let plain = pool.map_traced(|x: u64| x + 1, 0..10_000);
    assert_eq!(plain.value[9_999], 10_000);
    assert_complete(&plain.trace, 10_000);
    let texts = pool.map_traced(|text: String| text.len(), (0..500).map(|n| n.to_string()));
    assert_eq!(texts.value[123], 3);
    assert_complete(&texts.trace, 500);
    let offset = 7;
    let closure = pool.map_traced(|x: u64| x + offset, 0..100);
    assert_eq!(closure.value[1], 8);
    assert_complete(&closure.trace, 100);
    drop(pool);
    assert_complete(&on(&Serial).trace, 300);
    assert_complete(&on(&ThreadPool::with_workers(2).unwrap()).trace, 300);
}

fn on(map: &impl Map) -> Traced<Vec<u64>> {
    map.map_traced(|x: u64| x + 1, 0..300)
}

fn assert_complete(trace: &Trace, n_items: usize) {
    let spans = trace.workers().iter().flat_map(|worker| worker.spans());
    let mut items: Vec<usize> = spans
        .flat_map(|span| span.first_item..span.first_item + span.n_items)
        .collect();
    items.sort_unstable();
    assert_eq!(items, (0..n_items).collect::<Vec<_>>());
    for worker in trace.workers() {
        let mut now = Duration::ZERO;
        for span in worker.spans() {
            assert!(now <= span.start && span.start <= span.end && span.end <= trace.wall());
            now = span.end;
        }
    }
}

fn the_parts_are_the_wall() {
    let pool = Pool::with_workers(2).unwrap();
    let busy = |n: u64| (0..n * 100).fold(0, |sum, x| sum ^ std::hint::black_box(x));
    let captured = String::from("something");
    for round in 0..20 {
        let started = Instant::now();
        let traced = match round % 3 {
            0 => pool.map_traced(busy, 0..200),
            1 => pool.map_traced(|text: String| text.len() as u64, vec!["a".repeat(9999); 50]),
            _ => pool.map_traced(|n: u64| n + captured.len() as u64, 0..50),
        };
        let elapsed = started.elapsed();
        let overheads = traced.trace.overheads();
        let (total, wall) = (
            overheads.total().as_secs_f64(),
            overheads.wall().as_secs_f64(),
        );
        assert!(
            (total - wall).abs() <= 0.05 * wall,
            "{total} s of {wall} s:\n{overheads}"
        );
        assert!(traced.trace.wall() <= elapsed);
        assert_eq!(round % 3 == 2, !overheads.get(Phase::Fork).is_zero());
    }
}

/// Measured by a clock around the call, independent of the trace's own.
fn the_parts_are_the_time_on_a_clock_outside() {
    let busy = |n: u64| (0..n).fold(0, |sum, x| sum ^ std::hint::black_box(x));
    let long = vec![10_000; 100];
    let pool = Pool::with_workers(2).unwrap();
    assert_parts_are_the_time("numbers", || pool.map_traced(busy, long.clone()).trace);
    assert_parts_are_the_time("a few numbers", || pool.map_traced(busy, 0..24).trace);
    assert_parts_are_the_time("words", || {
        let texts = (0..200).map(|n| vec![n.to_string(); 200]);
        let joined = |words: Vec<String>| words.concat();
        pool.map_traced(joined, texts).trace
    });
    let more = 7;
    let add = |n: u64| busy(n) + more;
    assert_parts_are_the_time("a closure", || pool.map_traced(add, long.clone()).trace);
    drop(pool);
    assert_parts_are_the_time("one by one", || Serial.map_traced(busy, long.clone()).trace);
    let threads = ThreadPool::with_workers(2).unwrap();
    assert_parts_are_the_time("threads", || threads.map_traced(busy, long.clone()).trace);
    let turns = Gil::new().pool(2).unwrap();
    assert_parts_are_the_time("turns", || turns.map_traced(busy, long.clone()).trace);
}

/// Compares medians: a process may lose the processor between the two clocks, while a missing part
/// is missing every time.
fn assert_parts_are_the_time(what: &str, map: impl Fn() -> Trace) {
    let share = |_| {
        let started = Instant::now();
        let trace = map();
        let elapsed = started.elapsed();
        trace.overheads().total().as_secs_f64() / elapsed.as_secs_f64()
    };
    let mut shares: Vec<f64> = (0..51).map(share).collect();
    shares.sort_by(f64::total_cmp);
    assert!(
        (0.95..=1.0).contains(&shares[25]),
        "{what}: the parts of the time outside, each time: {shares:?}"
    );
}

fn only_what_is_encoded_takes_time_to_encode() {
    let pool = Pool::with_workers(2).unwrap();
    let plain = pool.map_traced(|x: u64| x, 0..100).trace.overheads();
    let text = pool.map_traced(|x: String| x, vec!["text".to_owned(); 100]);
    let text = text.trace.overheads();
    for phase in [Phase::Decode, Phase::EncodeResult] {
        assert!(plain.get(phase).is_zero());
        assert!(!text.get(phase).is_zero());
    }
}

fn a_retried_item_is_in_the_trace_of_who_finished_it() {
    let pool = Pool::builder().workers(2).retries(1).build().unwrap();
    let n_tries = SharedArray::<u32>::zeroed(1).unwrap();
    let traced = pool.map_traced(
        |x: u64| {
            if x == 30 && n_tries.update(0, |n| n + 1) == 1 {
                std::process::abort();
            }
            x
        },
        0..60,
    );
    assert_eq!(traced.value, (0..60).collect::<Vec<u64>>());
    let spans = traced
        .trace
        .workers()
        .iter()
        .flat_map(|worker| worker.spans());
    let is_in = |span: &&Span| {
        let items = span.first_item..span.first_item + span.n_items;
        items.contains(&30) && !span.is_cut_short
    };
    assert_eq!(spans.filter(is_in).count(), 1);
    let overheads = traced.trace.overheads();
    let (total, wall) = (
        overheads.total().as_secs_f64(),
        overheads.wall().as_secs_f64(),
    );
    assert!((total - wall).abs() <= 0.05 * wall, "{overheads}");
}

/// In chunks and one by one, with numbers and texts, with a non-capturing function and with a
/// closure's own workers.
fn the_chunk_that_a_worker_died_in_ends_with_it() {
    fn traced_with(schedule: Schedule, map: impl Fn(&Pool, &SharedArray<u32>) -> Trace) {
        let builder = Pool::builder().workers(2).retries(1).schedule(schedule);
        let tries = SharedArray::<u32>::zeroed(60).unwrap();
        let trace = map(&builder.build().unwrap(), &tries);
        let spans = trace.workers().iter().flat_map(|worker| worker.spans());
        let (cut, whole): (Vec<_>, Vec<_>) = spans.partition(|span| span.is_cut_short);
        let [cut]: [&Span] = cut[..] else {
            panic!("{cut:?}")
        };
        let first = if schedule == Schedule::Dynamic {
            25
        } else {
            20
        };
        assert_eq!((cut.first_item, cut.n_items), (first, 26 - first));
        assert!(cut.start < cut.end && cut.end <= trace.wall(), "{cut:?}");
        let mut finished: Vec<usize> = whole
            .iter()
            .flat_map(|span| span.first_item..span.first_item + span.n_items)
            .chain(first..25)
            .collect();
        finished.sort_unstable();
        assert_eq!(finished, (0..60).collect::<Vec<_>>());
        let overheads = trace.overheads();
        let (total, wall) = (overheads.total(), overheads.wall());
        assert!(total.abs_diff(wall) <= wall / 20, "{overheads}");
        let text = trace.timeline().text();
        assert!(text.contains("died"), "{text}");
        assert!(trace.to_chrome_json().contains("worker died"));
    }
    for schedule in [Schedule::Fixed(10), Schedule::Dynamic] {
        let run = |tries: &SharedArray<u32>, x: usize| {
            if tries.update(x, |n| n + 1) == 1 && x == 25 {
                std::process::abort();
            }
            x
        };
        traced_with(schedule, |pool, tries| {
            pool.map_traced(|x| run(tries, x), 0..60).trace
        });
        traced_with(schedule, |pool, tries| {
            pool.map_traced(|x| run(tries, x).to_string(), 0..60).trace
        });
        traced_with(schedule, |pool, _| {
            let marker = std::env::temp_dir().join(format!("forklore-cut-{}", std::process::id()));
            let args = (0..60).map(|x: usize| (x, marker.display().to_string()));
            let once = |(x, marker): (usize, String)| {
                if x == 25 && std::fs::File::create_new(marker).is_ok() {
                    std::process::abort();
                }
                x
            };
            let trace = pool.map_traced(once, args).trace;
            std::fs::remove_file(marker).unwrap();
            trace
        });
    }
}

fn an_empty_map_has_an_empty_trace() {
    let pool = Pool::with_workers(1).unwrap();
    let traced = pool.map_traced(|x: u64| x, 0..0);
    assert!(traced.value.is_empty() && traced.trace.workers().is_empty());
    assert_eq!(traced.trace.overheads().get(Phase::Run).as_nanos(), 0);
    assert!(!traced.trace.timeline().svg().is_empty());
}

fn the_timeline_has_a_row_for_each_worker() {
    let pool = Pool::with_workers(2).unwrap();
    let traced = pool.map_traced(|x: u64| x, 0..24);
    let text = traced.trace.timeline().text();
    for worker in traced.trace.workers() {
        assert!(pool.pids().contains(&worker.pid()));
        assert!(text.contains(worker.name()), "{text}");
    }
}

fn the_export_is_in_chromes_format() {
    let pool = Pool::with_workers(2).unwrap();
    let texts = pool.map_traced(|text: String| text, vec!["text".to_owned(); 50]);
    assert_eq!(accepted_by_chrome(&texts.trace), 50);
    let offset = 7;
    let closure = pool.map_traced(|x: u64| x + offset, 0..50);
    assert_eq!(accepted_by_chrome(&closure.trace), 50);
    assert_eq!(
        accepted_by_chrome(&pool.map_traced(|x: u64| x, 0..0).trace),
        0
    );
    drop(pool);
    assert_eq!(accepted_by_chrome(&on(&Serial).trace), 300);
    assert_eq!(
        accepted_by_chrome(&on(&ThreadPool::with_workers(3).unwrap()).trace),
        300
    );
    assert_eq!(
        accepted_by_chrome(&on(&Gil::new().pool(2).unwrap()).trace),
        300
    );
}

fn the_export_of_a_worker_that_died_is_too() {
    let pool = Pool::builder().workers(2).retries(1).build().unwrap();
    let n_tries = SharedArray::<u32>::zeroed(1).unwrap();
    let traced = pool.map_traced(
        |x: u64| {
            if x == 5 && n_tries.update(0, |n| n + 1) == 1 {
                std::process::abort();
            }
            x
        },
        0..60,
    );
    // The item that was tried twice is there twice.
    assert_eq!(accepted_by_chrome(&traced.trace), 61);
}

/// Checks an export against "Trace Event Format" (Google), JSON object format, and against a
/// viewer's rule: overlapping events of one thread are lost, unless one contains the other. Returns
/// the number of items in it.
fn accepted_by_chrome(trace: &Trace) -> u64 {
    let json: Value = serde_json::from_str(&trace.to_chrome_json()).unwrap();
    assert_eq!(keys(&json), ["displayTimeUnit", "traceEvents"]);
    assert!(["ms", "ns"].contains(&json["displayTimeUnit"].as_str().unwrap()));
    let mut names = HashMap::<(&str, u64, u64), u32>::new();
    let mut tracks = HashMap::<(u64, u64), Vec<(u128, u128)>>::new();
    let mut n_seen = 0;
    for event in json["traceEvents"].as_array().unwrap() {
        let (pid, tid) = (
            event["pid"].as_u64().unwrap(),
            event["tid"].as_u64().unwrap(),
        );
        let name = event["name"].as_str().unwrap();
        match event["ph"].as_str().unwrap() {
            "M" => {
                assert_eq!(keys(event), ["args", "name", "ph", "pid", "tid"]);
                assert!(["process_name", "thread_name"].contains(&name));
                assert_eq!(keys(&event["args"]), ["name"]);
                assert!(!event["args"]["name"].as_str().unwrap().is_empty());
                let tid = if name == "thread_name" { tid } else { 0 };
                *names.entry((name, pid, tid)).or_default() += 1;
            }
            "X" => {
                assert_eq!(
                    keys(event),
                    ["args", "cat", "dur", "name", "ph", "pid", "tid", "ts"]
                );
                assert!(!name.is_empty() && event["cat"].is_string());
                let start = nanoseconds(&event["ts"]);
                let end = start + nanoseconds(&event["dur"]);
                assert!(end <= trace.wall().as_nanos());
                tracks.entry((pid, tid)).or_default().push((start, end));
                n_seen += event["args"]["items"].as_u64().unwrap_or(0);
            }
            other => panic!("no event of ours is a {other}"),
        }
    }
    assert!(names.values().all(|&n_times| n_times == 1), "{names:?}");
    for ((pid, tid), mut events) in tracks {
        assert!(names.contains_key(&("process_name", pid, 0)));
        assert!(names.contains_key(&("thread_name", pid, tid)));
        events.sort_unstable();
        let overlap = events.windows(2).find(|pair| pair[0].1 > pair[1].0);
        assert_eq!(overlap, None, "on thread {tid} of process {pid}");
    }
    n_seen
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The format has microseconds; our times have three decimals.
fn nanoseconds(time: &Value) -> u128 {
    let microseconds = time.as_f64().unwrap();
    assert!(microseconds.is_finite() && microseconds >= 0.0);
    Duration::from_secs_f64(microseconds / 1e6).as_nanos()
}
