//! A program for a job on several nodes, started by `sbatch` or `qsub`. It uses the nodes that the
//! job was given.
//!
//! - `job`: maps over them, and compares with the same map in this process; then a task aborts.
//! - `job N`: runs N tasks of 50 ms, and prints a line as soon as all nodes have worked on them.

use std::collections::HashSet;
use std::time::Duration;

use forklore::{Cluster, Serial};

fn main() -> forklore::Result<()> {
    let cluster = Cluster::new()?;
    let nodes: Vec<String> = cluster.nodes().iter().map(ToString::to_string).collect();
    println!("nodes: {}", nodes.join(" "));
    match std::env::args().nth(1).and_then(|n| n.parse().ok()) {
        Some(n_tasks) => long_map(&cluster, n_tasks),
        None => compare(&cluster),
    }
    Ok(())
}

fn compare(cluster: &Cluster) {
    println!(
        "workers on: {}",
        cluster
            .broadcast(|| (host(), n_cpus()))
            .iter()
            .map(|(host, n_cpus)| format!("{host} ({n_cpus} CPUs)"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let power = |x: u64| x.wrapping_pow(10);
    let is_equal = cluster.map(power, 0..10_000) == Serial.map(power, 0..10_000);
    println!("equal: {is_equal}");
    let abort_at_3 = |x: u32| if x == 3 { std::process::abort() } else { x };
    for (item, result) in cluster.try_map(abort_at_3, 0..9).into_iter().enumerate() {
        match result {
            Ok(x) => println!("item {item}: {x}"),
            Err(error) => println!("item {item}: {error}"),
        }
    }
}

fn long_map(cluster: &Cluster, n_tasks: u64) {
    let nap = |x: u64| {
        std::thread::sleep(Duration::from_millis(50));
        (x, host())
    };
    let (mut hosts, mut n_results) = (HashSet::new(), 0);
    let n_nodes = cluster.nodes().len();
    for (x, host) in cluster.imap(nap, 0..n_tasks) {
        assert_eq!(x, n_results);
        n_results += 1;
        if hosts.insert(host) && hosts.len() == n_nodes {
            println!("all nodes work");
        }
    }
    println!("results: {n_results}");
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_owned()
}

/// The number of CPUs that this process may use, whatever the job's variables say.
fn n_cpus() -> usize {
    forklore::Cpus::detect().affinity()
}
