//! What the owner of a cluster does, on its head.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use forklore::{Cluster, Serial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::script;

#[path = "strange_nodes.rs"]
mod strange_nodes;

pub use strange_nodes::PROGRAM as STRANGE_PROGRAM;

const HOSTS: [&str; 2] = ["node1:2", "node2:2"];
/// Ends a test that hangs.
const LONG: Duration = Duration::from_secs(60);

pub fn play(scene: &str) {
    match scene {
        "maps" => maps(),
        "deleted-program" => deleted_program(),
        "deleted" => deleted(),
        "no-code-in-memory" => no_code_in_memory(),
        "slow-link" => slow_link(),
        "contexts" => contexts(),
        "failures" => failures(),
        "killed-agent" => survives(|| send_to_one(Signal::SIGKILL, "forklore-node", "agent")),
        "killed-launcher" => survives(|| send_to_one(Signal::SIGKILL, "mpirun", "node1")),
        "killed-relay" => survives(|| send_to_one(Signal::SIGKILL, "forklore-node", "relay")),
        "stopped-agent" => survives(|| send_to_one(Signal::SIGSTOP, "forklore-node", "agent")),
        "unplugged" => survives(|| {
            let down = ["-n", "node1", "link", "set", "eth0", "down"];
            assert!(Command::new("ip").args(down).status().unwrap().success());
        }),
        "killed-owner" => killed_owner(),
        "orphan" => orphan(),
        "no-node" => no_node(),
        "strange-nodes" => strange_nodes::strange_nodes(),
        _ => panic!("no scene {scene}"),
    }
    wait_until_nothing_runs();
    println!("all is well");
}

fn wait_until_nothing_runs() {
    wait_until("processes are left", || processes().is_empty());
}

fn cluster(hosts: &[&str]) -> forklore::Result<Cluster> {
    Cluster::builder()
        .hosts(hosts)
        .interface("10.77.0.0/24")?
        .remote_shell(script("rsh"))
        .build()
}

fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned()
}

fn maps() {
    let cluster = cluster(&HOSTS).unwrap();
    assert_eq!(
        cluster.broadcast(host),
        ["node1", "node1", "node2", "node2"]
    );
    for n in [0, 1, 24, 10_000] {
        assert_eq!(cluster.map(power, 0..n), Serial.map(power, 0..n));
    }
    assert_eq!(
        cluster.map_chunked(power, 0..10_000, 1),
        Serial.map(power, 0..10_000)
    );
    let large = |n: usize| vec![n as u8; 3_000_000];
    assert_eq!(cluster.map(large, 0..8), Serial.map(large, 0..8));
    assert_eq!(
        cluster.imap(power, 0..100).collect::<Vec<_>>(),
        Serial.map(power, 0..100)
    );
    // What is said after everything was asleep is heard.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

/// A program that no node can find under its name, because its file is gone, is sent.
fn deleted_program() {
    let copy = "/run/maps-copy";
    fs::copy(std::env::current_exe().unwrap(), copy).unwrap();
    let output = Command::new(copy)
        .args(["owner", "deleted"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("all is well"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn deleted() {
    fs::remove_file("/run/maps-copy").unwrap();
    let cluster = cluster(&HOSTS).unwrap();
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

/// Where files in memory may be executed only if that was asked for (Linux 6.3), a program is sent
/// nevertheless.
fn no_code_in_memory() {
    // This holds for this namespace of processes, and cannot be undone.
    match fs::write("/proc/sys/vm/memfd_noexec", "1") {
        Ok(()) => deleted_program(),
        Err(error) => println!("not tested, because of {error}"),
    }
}

/// A value that takes longer to cross than a station may be silent.
fn slow_link() {
    let slow_down = |device: &[&str]| {
        let limit = "root tbf rate 16mbit burst 64kb latency 400ms".split(' ');
        let status = Command::new("tc").args(device).args(limit).status();
        assert!(status.unwrap().success());
    };
    let cluster = cluster(&["node1:1"]).unwrap();
    slow_down(&["qdisc", "add", "dev", "port1"]);
    slow_down(&["-n", "node1", "qdisc", "add", "dev", "eth0"]);
    let began = Instant::now();
    let values = cluster.map(|value: Vec<u8>| value, [vec![7; 24_000_000]]);
    assert!(values[0].len() == 24_000_000 && values[0].iter().all(|&byte| byte == 7));
    println!("24 MB went and came in {:?}", began.elapsed());
}

fn contexts() {
    let cluster = cluster(&HOSTS).unwrap();
    let table: Vec<u64> = (0..1_000_000).collect();
    let sums = cluster.map_with(&table, |table, i: usize| table[i] + table[i + 1], 0..1000);
    assert_eq!(sums, (0..1000).map(|i| 2 * i + 1).collect::<Vec<u64>>());
}

fn failures() {
    let cluster = cluster(&HOSTS).unwrap();
    let results = cluster.try_map(
        |x: u32| if x == 3 { std::process::abort() } else { x },
        0..9,
    );
    let error = results[3].as_ref().unwrap_err();
    assert!(error.is_died() && error.signal() == Some(6), "{error}");
    assert!(
        error.node().is_some_and(|node| node.starts_with("node")),
        "{error}"
    );
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
}

/// A map whose first node is lost half way has all its results, and so has the next.
fn survives(lose: impl FnOnce()) {
    let cluster = cluster(&HOSTS).unwrap();
    let nap = |x: u64| {
        std::thread::sleep(Duration::from_millis(30));
        (
            x,
            fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap()
                .trim()
                .to_owned(),
        )
    };
    let mut results = cluster.imap(nap, 0..200);
    let mut hosts = HashSet::new();
    // Both are at work.
    let mut n = 0;
    for (x, host) in results.by_ref() {
        assert_eq!(x, n);
        hosts.insert(host);
        n += 1;
        if hosts.len() == 2 {
            break;
        }
    }
    lose();
    for (x, _) in results {
        assert_eq!(x, n);
        n += 1;
    }
    assert_eq!(n, 200);
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

fn killed_owner() {
    let program = std::env::current_exe().unwrap();
    let mut owner = Command::new(program)
        .args(["owner", "orphan"])
        .spawn()
        .unwrap();
    wait_until("no map has begun", || fs::exists("/run/begun").unwrap());
    owner.kill().unwrap();
    owner.wait().unwrap();
}

fn orphan() {
    let cluster = cluster(&HOSTS).unwrap();
    cluster.map(
        |_: u32| {
            let _ = fs::write("/run/begun", "");
            std::thread::sleep(LONG);
        },
        0..8,
    );
}

fn no_node() {
    let error = cluster(&["node1:1", "nowhere:1"]).unwrap_err();
    assert!(
        error.is_invalid_input() && error.to_string().contains("nowhere"),
        "{error}"
    );
    // It has an address, and no one answers there.
    fs::write(
        "/run/hosts",
        "127.0.0.1 localhost\n10.77.0.254 head\n10.77.0.9 node9\n",
    )
    .unwrap();
    let error = cluster(&["node9:1"]).unwrap_err();
    assert!(
        error.is_os() && error.to_string().contains("node9"),
        "{error}"
    );
}

/// Sends a signal to the first process of a name that has a word on its command line.
fn send_to_one(signal: Signal, name: &str, word: &str) {
    let found = processes().into_iter().find(|(_, line)| {
        let mut words = line.split(' ');
        words.next().is_some_and(|program| program.ends_with(name))
            && words.any(|w| w.starts_with(word))
    });
    let (pid, _) = found.expect("the process runs");
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// All processes of clusters, with their command lines: what `/proc` of this namespace shows.
fn processes() -> Vec<(i32, String)> {
    let own = std::process::id() as i32;
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let lines = pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_clusters = ["mpirun", "forklore", "orted", "maps-"]
            .iter()
            .any(|name| line.contains(name));
        let is_parent = [
            "tests/cluster/run",
            "owner killed-owner",
            "owner deleted-program",
            "owner no-code-in-memory",
        ]
        .iter()
        .any(|name| line.contains(name));
        (is_clusters && !is_parent && pid != own && !is_zombie(pid)).then_some((pid, line))
    });
    lines.collect()
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

fn wait_until(complaint: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "{complaint}: {:?}", processes());
        std::thread::sleep(Duration::from_millis(10));
    }
}
