//! What the two ranks of a test do.

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::time::Instant;

use forklore::cluster::{Link, MAX_FRAME};
use forklore_node::MpiLink;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

use super::{deadline, job};

/// How much a rank queues before it looks what has come.
const MAX_QUEUED_BYTES: usize = 8 << 20;

pub fn run(role: &str) -> ExitCode {
    if role == "left" {
        say(&format!("left: {}", left()));
        return ExitCode::SUCCESS;
    }
    if role == "refused" {
        say(&MpiLink::open()
            .err()
            .map_or("was not refused".to_owned(), |error| error.to_string()));
        return ExitCode::SUCCESS;
    }
    say(&format!("{}{}", job::PID, std::process::id()));
    let mut link = MpiLink::open().expect("two ranks");
    let is_relay = link.rank() == 0;
    match (role, is_relay) {
        ("echo", true) => echo_relay(&mut link),
        ("stopped", true) => stopped_relay(&mut link),
        ("stopped", false) => stopped_agent(&mut link),
        ("too-long", true) => too_long_relay(&mut link),
        ("echo" | "too-long", false) => echo_agent(&mut link),
        ("flood", _) => flood(&mut link, if is_relay { "relay" } else { "agent" }),
        ("killed-agent", false) | ("killed-relay", true) => {
            meet(&mut link);
            raise(Signal::SIGKILL).unwrap();
        }
        ("killed-agent", true) | ("killed-relay", false) => {
            meet(&mut link);
            // Busy with sending when the other one ends.
            while link.send(vec![1; MAX_FRAME]).is_ok() && link.n_queued_bytes() < MAX_QUEUED_BYTES
            {
            }
            wait_for_the_end(&mut link);
        }
        ("unplugged", true) => {
            meet(&mut link);
            let unplugged = Command::new("ip")
                .args("-n node1 link set eth0 down".split(' '))
                .status();
            assert!(unplugged.expect("ip runs").success());
            say("unplugged");
            wait_for_the_end(&mut link);
        }
        ("unplugged", false) => {
            meet(&mut link);
            wait_for_the_end(&mut link);
        }
        ("wait", _) => wait_for_the_end(&mut link),
        _ => say("no such role"),
    }
    ExitCode::SUCCESS
}

/// The processes of a job that do not end.
fn left() -> String {
    let end = deadline();
    loop {
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            (pid != std::process::id()).then_some(pid)
        });
        let names = pids.filter_map(job::name_of_running);
        let of_job = |name: &String| {
            ["ranks", "mpirun", "orted"]
                .iter()
                .any(|known| name.starts_with(known))
        };
        let names: Vec<String> = names.filter(of_job).collect();
        if names.is_empty() {
            return "none".to_owned();
        }
        if Instant::now() > end {
            return names.join(" ");
        }
        std::thread::yield_now();
    }
}

/// The lines of two ranks mix unless each is one write.
fn say(line: &str) {
    let line = format!("{line}\n");
    io::stdout()
        .write_all(line.as_bytes())
        .and_then(|()| io::stdout().flush())
        .unwrap();
}

fn receive(link: &mut MpiLink) -> Vec<u8> {
    let end = deadline();
    loop {
        if let Some(message) = link.receive().expect("the link holds") {
            return message;
        }
        assert!(Instant::now() < end, "no message came");
    }
}

/// Until MPI has taken everything.
fn drain(link: &mut MpiLink) {
    let end = deadline();
    while link.n_queued_bytes() > 0 {
        assert_eq!(link.receive().expect("the link holds"), None);
        assert!(
            Instant::now() < end,
            "{} bytes are left",
            link.n_queued_bytes()
        );
    }
}

/// Message number `index` has about `n_bytes` bytes, all of which depend on the number.
fn message(index: usize, n_bytes: usize) -> Vec<u8> {
    let index = index as u64;
    let words = (0..n_bytes as u64 / 8 + 1).flat_map(|word| (word ^ index).to_le_bytes());
    words.take(n_bytes).collect()
}

/// Around the limits of what MPI sends at once.
const SIZES: [usize; 10] = [
    0,
    1,
    8,
    4095,
    4096,
    65_535,
    65_536,
    65_537,
    MAX_FRAME - 1,
    MAX_FRAME,
];

fn echo_relay(link: &mut MpiLink) {
    for (index, n_bytes) in SIZES.into_iter().cycle().take(100).enumerate() {
        link.send(message(index, n_bytes)).unwrap();
        assert_eq!(receive(link), message(index, n_bytes), "{index}");
    }
    for (index, n_bytes) in SIZES.into_iter().enumerate() {
        link.send(message(index, n_bytes)).unwrap();
    }
    for (index, n_bytes) in SIZES.into_iter().enumerate() {
        assert_eq!(receive(link), message(index, n_bytes), "{index}");
    }
    drain(link);
    say("relay: all came back");
    link.send(b"end".to_vec()).unwrap();
    receive(link);
}

/// Sends everything back, the word `end` as the last.
fn echo_agent(link: &mut MpiLink) {
    loop {
        let message = receive(link);
        let is_end = message == b"end";
        link.send(message).unwrap();
        if is_end {
            drain(link);
            return wait_for_the_end(link);
        }
    }
}

/// Both ranks send as fast as they can, every 50th message as long as may be.
fn flood(link: &mut MpiLink, name: &str) {
    const N_MESSAGES: usize = 10_000;
    let of = |index: usize| {
        message(
            index,
            if index.is_multiple_of(50) {
                MAX_FRAME
            } else {
                index % 300
            },
        )
    };
    let (mut n_sent, mut n_received) = (0, 0);
    let end = deadline();
    while n_received < N_MESSAGES || n_sent < N_MESSAGES {
        while n_sent < N_MESSAGES && link.n_queued_bytes() < MAX_QUEUED_BYTES {
            link.send(of(n_sent)).unwrap();
            n_sent += 1;
        }
        if let Some(received) = link.receive().unwrap() {
            assert!(
                received == of(n_received),
                "{name}: message {n_received} is another"
            );
            n_received += 1;
        }
        assert!(Instant::now() < end, "{name}: {n_received} came");
    }
    drain(link);
    say(&format!("{name}: {n_received} came"));
    // The end of one rank is the end of the other.
    link.send(vec![]).unwrap();
    receive(link);
    if name == "agent" {
        drain(link);
        wait_for_the_end(link);
    }
}

/// More than any socket takes, to a process that takes nothing.
fn stopped_relay(link: &mut MpiLink) {
    let pid = Pid::from_raw(String::from_utf8(receive(link)).unwrap().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    for index in 0..64 {
        link.send(message(index, MAX_FRAME)).unwrap();
        assert_eq!(link.receive().unwrap(), None);
    }
    assert!(
        link.n_queued_bytes() > 32 * MAX_FRAME,
        "{} bytes are left",
        link.n_queued_bytes()
    );
    kill(pid, Signal::SIGCONT).unwrap();
    for index in 0..64 {
        assert!(receive(link) == message(index, MAX_FRAME), "{index}");
    }
    drain(link);
    say("relay: all were queued, and all came back");
    link.send(b"end".to_vec()).unwrap();
    receive(link);
}

fn stopped_agent(link: &mut MpiLink) {
    link.send(std::process::id().to_string().into_bytes())
        .unwrap();
    echo_agent(link);
}

fn too_long_relay(link: &mut MpiLink) {
    let error = link.send(vec![0; MAX_FRAME + 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    link.send(b"end".to_vec()).unwrap();
    assert_eq!(receive(link), b"end");
    say("relay: refused, and the next came back");
}

/// Both ranks are there, and know it.
fn meet(link: &mut MpiLink) {
    link.send(vec![]).unwrap();
    assert_eq!(receive(link), b"");
    drain(link);
}

/// The launcher ends this process when the other one has ended; or the link says that it is broken.
fn wait_for_the_end(link: &mut MpiLink) {
    let end = deadline();
    while let Ok(message) = link.receive() {
        assert!(message.is_none_or(|message| message.len() == MAX_FRAME));
        assert!(Instant::now() < end, "the job goes on");
        std::thread::yield_now();
    }
}
