//! Nodes of a cluster, and its owner, that end at any moment.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use forklore::Serial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clusters::{cluster, two_nodes};
use crate::support::{
    Quiet, Random, Scene, children, children_of, is_running, power, scene, tests, wait_until,
};

tests![
    a_lost_node_costs_no_result,
    the_only_node_comes_back_as_often_as_it_is_lost,
    random_kills_lose_nothing,
    an_owner_that_ends_leaves_nothing,
];

/// The scene that runs in a separate process.
pub const SCENES: &[Scene] = &[("a cluster at work", a_cluster_at_work)];

fn a_lost_node_costs_no_result() {
    let cluster = two_nodes();
    let stations: HashSet<u32> = cluster
        .broadcast(std::os::unix::process::parent_id)
        .into_iter()
        .collect();
    assert_eq!(stations.len(), 2);
    let first = *stations.iter().next().unwrap();
    let pending = cluster.map_async(
        |x: u64| {
            std::thread::sleep(Duration::from_millis(20));
            x
        },
        0..64,
    );
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).unwrap();
    assert_eq!(pending.get().unwrap(), (0..64).collect::<Vec<_>>());
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

/// The owner notices a relay's end before it can reap it, and starts another in its slots.
fn the_only_node_comes_back_as_often_as_it_is_lost() {
    let cluster = cluster(&["localhost:2"]);
    for _ in 0..20 {
        let station = cluster.broadcast(std::os::unix::process::parent_id)[0];
        let pending = cluster.map_async(
            |x: u64| {
                std::thread::sleep(Duration::from_millis(2));
                x
            },
            0..20,
        );
        kill(Pid::from_raw(station as i32), Signal::SIGKILL).unwrap();
        assert_eq!(pending.get().unwrap(), (0..20).collect::<Vec<_>>());
    }
}

/// Relays, stations and workers are killed at random: all results arrive, or an item's error says
/// that its own worker was killed.
fn random_kills_lose_nothing() {
    let mut random = Random::seeded();
    let cluster = two_nodes();
    let _quiet = Quiet::new();
    for round in 0..10 {
        let nap = |x: u64| {
            std::thread::sleep(Duration::from_millis(2));
            x
        };
        let pending: Vec<_> = (0..4).map(|_| cluster.map_async(nap, 0..50)).collect();
        let relays = children();
        let stations: Vec<i32> = relays
            .iter()
            .flat_map(|&relay| children_of(relay))
            .collect();
        let workers: Vec<i32> = stations
            .iter()
            .flat_map(|&station| children_of(station))
            .collect();
        let all = [&relays[..], &stations, &workers].concat();
        if !all.is_empty() {
            let victim = all[random.below(all.len() as u64) as usize];
            // It may have exited since.
            let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
        }
        for pending in pending {
            match pending.get() {
                Ok(values) => assert_eq!(values, (0..50).collect::<Vec<_>>()),
                Err(error) => assert!(
                    error.is_died() && error.node().is_some(),
                    "round {round}: {error}"
                ),
            }
        }
    }
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

/// The scene's process is killed while its cluster is working.
fn an_owner_that_ends_leaves_nothing() {
    let mut owner = scene("a cluster at work")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pids: Vec<i32> = said
        .next()
        .unwrap()
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(pids.len() >= 4 && pids.iter().all(|&pid| is_running(pid)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until(|| !pids.iter().any(|&pid| is_running(pid)));
}

fn a_cluster_at_work() {
    let cluster = two_nodes();
    let pids = cluster.broadcast(|| vec![std::process::id(), std::os::unix::process::parent_id()]);
    let relays = children().into_iter().map(|pid| pid as u32);
    let all: Vec<String> = pids
        .concat()
        .into_iter()
        .chain(relays)
        .map(|pid| pid.to_string())
        .collect();
    println!("{}", all.join(" "));
    cluster.map(|_: u32| std::thread::sleep(Duration::from_secs(600)), 0..8);
}
