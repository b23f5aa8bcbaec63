//! The cost of starting workers, for each way to start them.
//!
//! `cargo bench --bench starts` prints a Markdown table of medians. The process that owns the pools
//! has touched some memory, as real ones have: a fork copies its page tables.

use std::time::Instant;

use forklore::{Pool, StartMethod};

const METHODS: [StartMethod; 3] = [
    StartMethod::Fork,
    StartMethod::Forkserver,
    StartMethod::Spawn,
];
const ROUNDS: usize = 41;

fn main() {
    println!(
        "| memory of the owner | start method | pool of 2 to first result | one more worker | private memory of an idle worker |"
    );
    println!("| ---: | --- | ---: | ---: | ---: |");
    for megabytes in [1, 256] {
        let ballast = vec![1u8; megabytes << 20];
        for method in METHODS {
            row(megabytes, method, "");
        }
        drop(std::hint::black_box(ballast));
    }
    forklore::init();
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        row(1, method, ", after `init()`");
    }
}

fn row(megabytes: usize, method: StartMethod, after: &str) {
    let mut first = Vec::new();
    let mut more = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.build().expect("a pool");
        pool.map(|x: u64| x + 1, 0..2);
        first.push(begun.elapsed());
        pool.broadcast(|| ());
        let begun = Instant::now();
        pool.resize(3).expect("one more");
        pool.broadcast(|| ());
        more.push(begun.elapsed());
        memory.push(private_kilobytes(pool.pids()[0]));
    }
    println!(
        "| {megabytes} MiB | {method:?}{after} | {} µs | {} µs | {} kB |",
        median(first).as_micros(),
        median(more).as_micros(),
        median(memory),
    );
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The memory of a process that it shares with no other.
fn private_kilobytes(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = rollup.lines().filter(|line| line.starts_with("Private"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
