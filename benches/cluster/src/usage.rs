//! The resources that all processes of a cluster of namespaces use.

use std::fs;
use std::time::{Duration, Instant};

/// How long to wait until a cluster counts as idle, and how long it is then watched.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const LOOKED_AT: Duration = Duration::from_secs(10);

/// The share of a core that all processes of this namespace use while they are idle, in percent.
pub fn idle() -> f64 {
    std::thread::sleep(SETTLES_WITHIN);
    let (started, before) = (Instant::now(), processor_ms(|_| true));
    std::thread::sleep(LOOKED_AT);
    let used_ms = processor_ms(|_| true) - before;
    used_ms / started.elapsed().as_secs_f64() / 1e3 * 100.0
}

/// The processor time of all processes of this namespace whose name and command line pass a filter.
pub fn processor_ms(filter: impl Fn(&str) -> bool) -> f64 {
    // Ticks of 10 ms each (proc_pid_stat(5)).
    let ticks = processes(filter).filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let words = stat.rsplit(')').next()?.split_whitespace();
        let words: Vec<&str> = words.collect();
        let word = |index: usize| words.get(index)?.parse::<u64>().ok();
        Some(word(11)? + word(12)?)
    });
    ticks.sum::<u64>() as f64 * 10.0
}

/// The number of packets between the head of a cluster of namespaces and its nodes, in both
/// directions.
pub fn n_packets() -> u64 {
    let devices = fs::read_to_string("/proc/net/dev").expect("/proc is there");
    let switch = devices
        .lines()
        .find_map(|line| line.trim().strip_prefix("switch0:"))
        .expect("the head's interface");
    // proc_pid_net(5): 8 columns for received data, of which the second counts packets, then 8 for
    // sent data.
    let columns: Vec<u64> = switch
        .split_whitespace()
        .map(|column| column.parse().expect("a count"))
        .collect();
    columns[1] + columns[9]
}

/// The memory of processes; shared memory is divided among them.
pub fn memory_mb(filter: impl Fn(&str) -> bool) -> f64 {
    let kilobytes = processes(filter).filter_map(|pid| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    kilobytes.sum::<u64>() as f64 / 1e3
}

fn processes(filter: impl Fn(&str) -> bool) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| filter(&title(*pid)))
}

/// A process's name, followed by its command line.
fn title(pid: u32) -> String {
    let read = |name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let name = String::from_utf8_lossy(&read("comm")).trim().to_owned();
    let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
    format!("{name}: {line}")
}
