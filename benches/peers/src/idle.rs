//! The table of the costs of idle workers: memory, from `smaps_rollup`, and processor time, from
//! `schedstat`, both in `/proc`.

use std::time::Duration;

use crate::sides::{self, IDLE, PEERS};

const N_WORKERS: usize = 4;
/// How long the idle workers are watched.
const WATCHED: Duration = Duration::from_secs(2);

pub fn print_table() {
    println!(
        "{N_WORKERS} workers that have worked and wait for more, watched for {} s. PSS counts a page \
         that n processes share as 1/n of it in each.\n",
        WATCHED.as_secs()
    );
    println!("| pool | processes | PSS in all | private in all | processor time |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for name in PEERS.iter().filter(|name| **name != "rayon") {
        let mut peer = sides::start(name, N_WORKERS);
        peer.ask(IDLE);
        // Lets Python's feeder threads and others settle.
        std::thread::sleep(Duration::from_millis(300));
        // The first is the peer.
        let workers = descendants(std::process::id()).split_off(1);
        let cpu_before = cpu_of(&workers);
        std::thread::sleep(WATCHED);
        let cpu = cpu_of(&workers).saturating_sub(cpu_before);
        println!(
            "| {name} | {} | {:.1} MB | {:.1} MB | {:.2} ms |",
            workers.len(),
            megabytes(&workers, &["Pss:"]),
            megabytes(&workers, &["Private_Clean:", "Private_Dirty:"]),
            cpu.as_secs_f64() * 1e3
        );
    }
    println!();
}

/// All descendants of a process.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        // Threads fork too.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            let children = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok());
            open.extend(children.inspect(|pid| found.push(*pid)));
        }
    }
    found
}

/// The total processor time of processes so far, including all their threads.
fn cpu_of(pids: &[u32]) -> Duration {
    let nanoseconds = pids.iter().flat_map(|pid| {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        threads.flatten().filter_map(|thread| {
            let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<u64>().ok()
        })
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn megabytes(pids: &[u32], fields: &[&str]) -> f64 {
    let kib: u64 = pids
        .iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .map(|text| {
            let lines = text
                .lines()
                .filter(|line| fields.iter().any(|field| line.starts_with(field)));
            let numbers =
                lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            numbers.sum::<u64>()
        })
        .sum();
    kib as f64 * 1024.0 / 1e6
}
