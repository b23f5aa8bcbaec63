//! The cost of tracing a map, and whether the parts of a trace add up to the time on an outside
//! clock.
//!
//! `cargo bench --bench traces` prints a Markdown table of medians. Maps with and without a trace
//! take turns, so that other load on the machine affects both. An argument selects the rows whose
//! name contains it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use forklore::{Pool, Trace};

use spin::spin;
use table::{machine, median, microseconds, number};

#[path = "common/spin.rs"]
mod spin;
#[path = "common/table.rs"]
mod table;

const N_WORKERS: usize = 2;

/// A load: runs one map, and returns how long it took on an outside clock.
struct Load {
    name: &'static str,
    rounds: usize,
    maps_per_round: usize,
    run: fn(&Pool, traced: bool) -> (Duration, Option<Trace>),
}

macro_rules! load {
    ($name:literal, $rounds:literal, $maps_per_round:literal, $f:expr, $args:expr) => {
        Load {
            name: $name,
            rounds: $rounds,
            maps_per_round: $maps_per_round,
            run: |pool, traced| {
                let args = $args;
                let started = Instant::now();
                if traced {
                    let results = black_box(pool.map_traced($f, args));
                    (started.elapsed(), Some(results.trace))
                } else {
                    let _results = black_box(pool.map($f, args));
                    (started.elapsed(), None)
                }
            },
        }
    };
}

const LOADS: &[Load] = &[
    load!("16 tasks of 5 ms", 21, 1, spin, [5_000_000; 16]),
    load!("1,000 tasks of 50 µs", 31, 1, spin, [50_000; 1000]),
    load!("20,000 tasks of 2 µs", 31, 1, spin, vec![2000; 20_000]),
    load!("1,000,000 numbers", 51, 5, power, 0..1_000_000),
    load!("100,000 numbers", 101, 10, power, 0..100_000),
    load!("10,000 numbers", 201, 20, power, 0..10_000),
    load!("24 numbers", 201, 200, power, 0..24),
    load!("100,000 words", 51, 1, plural, words(100_000)),
    load!("20,000 words", 101, 1, plural, words(20_000)),
    load!(
        "64 x 1 MB in and out",
        31,
        1,
        |bytes: Vec<u8>| bytes,
        vec![vec![7; 1_000_000]; 64]
    ),
];

fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

fn plural(word: String) -> String {
    word + "s"
}

fn words(n: usize) -> Vec<String> {
    (0..n).map(|n| n.to_string()).collect()
}

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    println!("{}, medians in µs", machine());
    println!("\n| load | plain | traced | more | parts / outer clock |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let pool = Pool::with_workers(N_WORKERS).expect("a pool");
    for load in LOADS {
        if filter
            .as_ref()
            .is_none_or(|filter| load.name.contains(filter.as_str()))
        {
            row(&pool, load);
        }
    }
}

fn row(pool: &Pool, load: &Load) {
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut shares = Vec::new();
    for round in 0..=load.rounds {
        // Which one is first alternates, too.
        for traced in [round % 2 == 0, round % 2 != 0] {
            let (mut took, mut parts) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..load.maps_per_round {
                let (outside, trace) = (load.run)(pool, traced);
                took += outside;
                parts += trace.map_or(Duration::ZERO, |trace| trace.overheads().total());
            }
            // The first round touches memory for the first time.
            if round > 0 {
                times[usize::from(traced)].push(microseconds(took) / load.maps_per_round as f64);
                if traced {
                    shares.push(microseconds(parts) / microseconds(took));
                }
            }
        }
    }
    let [plain, traced] = times.map(median);
    println!(
        "| {} | {} | {} | {:+.1} % | {:.3} |",
        load.name,
        number(plain),
        number(traced),
        100.0 * (traced / plain - 1.0),
        median(shares),
    );
}
