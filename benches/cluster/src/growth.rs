//! The cost of each further node: packets, and processor time and memory on the owner's machine.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::ours::{milliseconds, start};
use crate::table::machine;
use crate::{build_node_program, on_nodes, usage};

/// Tasks sleep, so that one machine's processors suffice for all nodes.
const NAP: Duration = Duration::from_millis(20);
const N_NAPS_PER_NODE: u32 = 200;

/// A row for each number of nodes.
pub fn print_table() {
    build_node_program();
    let columns = [
        "nodes",
        "start, ms",
        "efficiency",
        "packets per item",
        "owner's CPU per item, µs",
        "CPU of the owner's machine per item, µs",
        "its memory per node, MB",
    ];
    println!(
        "{}; nodes are namespaces with a worker each; {N_NAPS_PER_NODE} naps of {NAP:?} per node, chunks of 1.\n",
        machine()
    );
    println!("| {} |", columns.join(" | "));
    println!("|{}", " ---: |".repeat(columns.len()));
    for n_nodes in [1, 2, 4, 8] {
        let program = std::env::current_exe().expect("the program's path");
        let mut command = on_nodes(n_nodes);
        let status = command
            .arg(program)
            .args(["grow", &n_nodes.to_string()])
            .status()
            .expect("it starts");
        assert!(status.success(), "{command:?} failed: {status}");
    }
    println!();
}

/// Prints the row for `n_nodes` nodes. Runs on their head.
pub fn measure(n_nodes: usize) {
    let hosts: Vec<String> = (1..=n_nodes).map(|n| format!("node{n}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let started = Instant::now();
    let cluster = start(&hosts, 1);
    let start_ms = milliseconds(started.elapsed());
    let nap = |x: u32| {
        std::thread::sleep(NAP);
        x
    };
    cluster.map_chunked(nap, 0..n_nodes as u32, 1);

    let n_items = N_NAPS_PER_NODE * n_nodes as u32;
    let before = Used::now();
    let started = Instant::now();
    cluster.map_chunked(nap, 0..n_items, 1);
    let elapsed_ms = milliseconds(started.elapsed());
    let used = Used::now();

    let per_item = |used: f64, before: f64| (used - before) / f64::from(n_items);
    println!(
        "| {n_nodes} | {start_ms:.0} | {:.3} | {:.2} | {:.0} | {:.0} | {:.1} |",
        milliseconds(NAP) * f64::from(N_NAPS_PER_NODE) / elapsed_ms,
        per_item(used.n_packets, before.n_packets),
        per_item(used.owner_us, before.owner_us),
        per_item(used.head_us, before.head_us),
        usage::memory_mb(is_relays) / n_nodes as f64
    );
}

/// The resources used so far.
struct Used {
    n_packets: f64,
    owner_us: f64,
    head_us: f64,
}

impl Used {
    fn now() -> Used {
        let own = getrusage(UsageWho::RUSAGE_SELF).expect("the process has a usage");
        let owner_us = (own.user_time() + own.system_time()).num_microseconds() as f64;
        Used {
            n_packets: usage::n_packets() as f64,
            owner_us,
            head_us: owner_us + usage::processor_ms(is_relays) * 1e3,
        }
    }
}

/// Whether a process runs beside the owner for its nodes: relays, launchers, and ranks 0.
fn is_relays(title: &str) -> bool {
    title.starts_with("forklore-relay:")
        || title.starts_with("mpirun:")
        || (title.starts_with("forklore-node:") && title.contains("forklore-node relay"))
}
