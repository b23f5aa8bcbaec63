//! Traced maps: nothing is missing from a trace, and its parts are the whole.

use std::time::Instant;

use forklore::trace::Phase;
use forklore::{Map, Pool, Serial, SharedArray, ThreadPool, Trace, Traced};

use crate::support::tests;

tests![
    every_item_is_in_one_span,
    the_parts_are_the_wall,
    only_what_is_encoded_takes_time_to_encode,
    a_retried_item_is_in_the_trace_of_who_finished_it,
    an_empty_map_has_an_empty_trace,
    the_timeline_has_a_row_for_each_worker,
    the_export_is_in_chromes_format,
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
        let mut now = std::time::Duration::ZERO;
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
    let is_in = |span: &&forklore::trace::Span| {
        (span.first_item..span.first_item + span.n_items).contains(&30)
    };
    assert_eq!(spans.filter(is_in).count(), 1);
    let overheads = traced.trace.overheads();
    let (total, wall) = (
        overheads.total().as_secs_f64(),
        overheads.wall().as_secs_f64(),
    );
    assert!((total - wall).abs() <= 0.05 * wall, "{overheads}");
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
    let traced = pool.map_traced(|text: String| text, vec!["text".to_owned(); 50]);
    let json: serde_json::Value = serde_json::from_str(&traced.trace.to_chrome_json()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let mut n_items = 0;
    for event in events {
        assert!(event["name"].is_string());
        assert!(event["pid"].is_u64() && event["tid"].is_u64());
        match event["ph"].as_str().unwrap() {
            "M" => {
                assert_eq!(event["name"], "thread_name");
                assert!(event["args"]["name"].is_string());
            }
            "X" => {
                assert!(event["cat"].is_string());
                assert!(event["ts"].as_f64().unwrap() >= 0.0);
                assert!(event["dur"].as_f64().unwrap() >= 0.0);
                n_items += event["args"]["items"].as_u64().unwrap_or(0);
            }
            other => panic!("unexpected phase {other}"),
        }
    }
    assert_eq!(n_items, 50);
}
