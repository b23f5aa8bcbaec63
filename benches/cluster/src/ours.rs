//! Forklore's side: a cluster of two nodes.

use std::time::{Duration, Instant};

use forklore::Cluster;

use crate::table::microseconds;
use crate::{script, usage};

const N_NAPS: u32 = 32;
const NAP: Duration = Duration::from_millis(50);

/// Reads names of rows from standard input, and prints a number for each.
pub fn serve(hosts: &[&str]) {
    let mut cluster = None;
    for row in std::io::stdin().lines().map_while(Result::ok) {
        let number = match row.as_str() {
            "start to first result" => {
                drop(cluster.take());
                let started = Instant::now();
                let begun = start(hosts, 1);
                begun.map(power, 0..1);
                let elapsed = started.elapsed();
                cluster = Some(begun);
                milliseconds(elapsed)
            }
            "32 naps of 50 ms, 2 workers each" => {
                drop(cluster.take());
                let cluster = start(hosts, 2);
                cluster.map(power, 0..4);
                efficiency(&cluster)
            }
            row => {
                let cluster = cluster.get_or_insert_with(|| start(hosts, 1));
                run(cluster, row)
            }
        };
        println!("{number}");
    }
}

/// A cluster of the hosts, with this many workers on each.
pub fn start(hosts: &[&str], n_workers: usize) -> Cluster {
    let cluster = Cluster::builder()
        .hosts(hosts)
        .workers_per_node(n_workers)
        .remote_shell(script("rsh"))
        .interface("10.77.0.0/24");
    cluster
        .and_then(|cluster| cluster.build())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn run(cluster: &Cluster, row: &str) -> f64 {
    match row {
        "powers of 24" => timed(|| cluster.map(power, 0..24)),
        "10,000 chunks of 1" => timed(|| cluster.map_chunked(power, 0..10_000, 1)),
        "10,000 items" => timed(|| cluster.map(power, 0..10_000)),
        "64 x 1 MB in and out" => {
            let args = vec![vec![7u8; 1_000_000]; 64];
            timed(|| cluster.map(|bytes: Vec<u8>| bytes, args))
        }
        "idle" => {
            cluster.map(power, 0..24);
            usage::idle()
        }
        _ => f64::NAN,
    }
}

/// The share of the workers' time that is spent in naps.
pub fn efficiency(cluster: &Cluster) -> f64 {
    let elapsed = timed(|| cluster.map_chunked(|_: u32| std::thread::sleep(NAP), 0..N_NAPS, 1));
    let napped = milliseconds(NAP) * f64::from(N_NAPS) / cluster.workers() as f64;
    napped / elapsed
}

fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

/// The time excludes freeing the result's memory.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let started = Instant::now();
    let result = work();
    let elapsed = started.elapsed();
    drop(result);
    milliseconds(elapsed)
}

pub fn milliseconds(duration: Duration) -> f64 {
    microseconds(duration) / 1e3
}
