//! The table of times: every workload on every peer, interleaved.

use std::time::{Duration, Instant};

use crate::common::{N_WORKERS, Peer, WORKS, Work, machine, median, number};
use crate::load::Busy;
use crate::python;
use crate::sides::{self, PEERS};

/// How long one peer may be measured for one row; slow peers get fewer rounds.
const BUDGET: Duration = Duration::from_millis(1000);
/// But at least this many.
const LEAST_ROUNDS: usize = 3;

/// The rows whose name contains `filter`, while `n_busy` other processes keep computing.
pub fn print_table(filter: &str, n_busy: usize) {
    let mut peers = PEERS.map(|name| sides::start(name, N_WORKERS));
    let _load: Vec<Busy> = (0..n_busy).map(|_| Busy::start()).collect();
    let beside = match n_busy {
        0 => String::new(),
        n => format!(", beside {n} processes that never rest"),
    };
    println!(
        "{}, {N_WORKERS} workers{beside}; {}. Medians in µs, interleaved in one run; in brackets, how many \
         times as long as forklore.\n",
        machine(),
        python::versions()
    );
    println!("| work | {} |", PEERS.join(" | "));
    println!("| --- |{}", " ---: |".repeat(PEERS.len()));
    for work in WORKS.iter().filter(|work| work.name.contains(filter)) {
        let medians = measure(work, &mut peers);
        let cells = medians
            .iter()
            .enumerate()
            .map(|(which, median)| match which {
                0 => format!(" **{}** |", number(*median)),
                _ if median.is_nan() => format!(" {} |", number(*median)),
                _ => format!(" {} ({}) |", number(*median), ratio(median / medians[0])),
            });
        println!("| {} |{}", work.name, cells.collect::<String>());
    }
    println!();
}

fn measure(work: &Work, peers: &mut [Peer; PEERS.len()]) -> [f64; PEERS.len()] {
    // The first call warms the peer up, and its time decides the number of rounds.
    let rounds = peers.each_mut().map(|peer| {
        let started = Instant::now();
        peer.ask(work.name);
        let rounds = BUDGET.as_secs_f64() / started.elapsed().as_secs_f64();
        (rounds as usize).clamp(LEAST_ROUNDS, work.rounds)
    });
    let mut series: [Vec<f64>; PEERS.len()] = Default::default();
    for round in 0..work.rounds {
        for which in 0..PEERS.len() {
            // Peers with fewer rounds have them spread over all.
            let n_asked = series[which].len();
            if n_asked * work.rounds <= round * rounds[which] && n_asked < rounds[which] {
                std::thread::sleep(work.pause);
                series[which].push(peers[which].ask(work.name));
            }
        }
    }
    series.map(median)
}

fn ratio(ratio: f64) -> String {
    match ratio {
        x if x < 10.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}
