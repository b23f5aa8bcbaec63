//! The cost of a map, compared with rayon, interleaved in one run.
//!
//! `cargo bench --bench maps` prints a Markdown table of medians in microseconds. An argument
//! selects the rows whose name contains it. `benches/peers` compares the same rows with other
//! process pools.

use std::process::Command;

use forklore::Pool;

use common::{N_WORKERS, Peer, WORKS, machine, median, microseconds, number};

mod common;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    // Processes first: they cannot be forked once rayon has its threads. For the same reason rayon
    // runs in a process of its own: forklore's pools are made again and again.
    if std::env::var_os(RAYON_SIDE).is_some() {
        return common::serve_rayon();
    }
    println!("{}, medians in µs", machine());
    println!("\n| work | forklore | rayon | rayon / forklore |");
    println!("| --- | ---: | ---: | ---: |");
    let mut rayon = Peer::start(
        Command::new(std::env::current_exe().expect("the program knows its path"))
            .env(RAYON_SIDE, "1"),
    );
    let pool = Pool::with_workers(N_WORKERS).expect("a pool");
    for work in WORKS {
        if filter
            .as_ref()
            .is_some_and(|filter| !work.name.contains(filter.as_str()))
        {
            continue;
        }
        let mut series: [Vec<f64>; 2] = Default::default();
        for _ in 0..work.rounds {
            std::thread::sleep(work.pause);
            series[0].push(microseconds((work.forklore)(&pool)));
            std::thread::sleep(work.pause);
            series[1].push(rayon.ask(work.name));
        }
        let [ours, rayon] = series.map(median);
        println!(
            "| {} | {} | {} | {:.2} |",
            work.name,
            number(ours),
            number(rayon),
            rayon / ours,
        );
    }
}

/// Set in the process that measures rayon.
const RAYON_SIDE: &str = "FORKLORE_BENCH_RAYON";
