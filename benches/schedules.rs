//! The cost of each schedule on real pools, and how far [`Schedule::Auto`] is from the best of the
//! others.
//!
//! `cargo bench --bench schedules` prints a Markdown table of medians; the schedules take turns in
//! every round. Long tasks sleep, so that the machine's other work hardly matters. The times of
//! maps of short tasks depend on where a pool's memory and processes happen to be, so the pools are
//! made again for each series of rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use forklore::{Map, Pool, Schedule, ThreadPool};

use table::{machine, median, microseconds, number};

#[path = "common/table.rs"]
mod table;

const N_WORKERS: usize = 2;
const TASK_US: u64 = 1000;

struct Load {
    name: &'static str,
    /// How often the pools are made.
    series: usize,
    /// The number of maps that each pool runs.
    rounds: usize,
    /// The chunks of `multiprocessing.Pool.map`: four per worker.
    fixed: usize,
    tasks_us: fn() -> Vec<u64>,
}

const LOADS: &[Load] = &[
    Load {
        name: "100,000 tiny",
        series: 20,
        rounds: 50,
        fixed: 100_000 / (4 * N_WORKERS),
        tasks_us: || vec![0; 100_000],
    },
    Load {
        name: "96 of 1 ms",
        series: 1,
        rounds: 21,
        fixed: 96 / (4 * N_WORKERS),
        tasks_us: || vec![TASK_US; 96],
    },
    Load {
        name: "95 of 1 ms, then one of 40 ms",
        series: 1,
        rounds: 21,
        fixed: 96 / (4 * N_WORKERS),
        tasks_us: || {
            let mut tasks_us = vec![TASK_US; 96];
            tasks_us[95] *= 40;
            tasks_us
        },
    },
];

fn task(time_us: u64) -> u64 {
    if time_us > 0 {
        std::thread::sleep(Duration::from_micros(time_us));
    }
    time_us
}

fn main() {
    println!("{}, {N_WORKERS} workers, medians in µs", machine());
    println!("\n| pool | load | Fixed | Static | Dynamic | Guided | Auto | Auto / best |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let with = |schedule| {
        Pool::builder()
            .workers(N_WORKERS)
            .schedule(schedule)
            .build()
    };
    print_rows("processes", |schedule| with(schedule).expect("a pool"));
    // Only now: a process that has threads does not fork.
    let with = |schedule| {
        ThreadPool::builder()
            .workers(N_WORKERS)
            .schedule(schedule)
            .build()
    };
    print_rows("threads", |schedule| with(schedule).expect("threads"));
}

fn print_rows<P: Map>(kind: &str, pool: impl Fn(Schedule) -> P) {
    for load in LOADS {
        let schedules = [
            Schedule::Fixed(load.fixed),
            Schedule::Static,
            Schedule::Dynamic,
            Schedule::Guided,
            Schedule::Auto,
        ];
        let mut times: [Vec<f64>; 5] = Default::default();
        for _ in 0..load.series {
            let pools = schedules.map(&pool);
            for round in 0..=load.rounds {
                for turn in 0..pools.len() {
                    let place = (round + turn) % pools.len();
                    let took = time(&pools[place], (load.tasks_us)());
                    // The first round touches memory for the first time.
                    if round > 0 {
                        times[place].push(microseconds(took));
                    }
                }
            }
        }
        let medians = times.map(median);
        let [others @ .., auto] = medians;
        let best = others.into_iter().fold(f64::INFINITY, f64::min);
        let columns = medians.map(number).join(" | ");
        println!(
            "| {kind} | {} | {columns} | {:.2} |",
            load.name,
            auto / best
        );
    }
}

fn time(pool: &impl Map, tasks_us: Vec<u64>) -> Duration {
    let started = Instant::now();
    let _results = black_box(pool.map(task, tasks_us));
    started.elapsed()
}
