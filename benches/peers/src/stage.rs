//! The table of bad luck: every scene on every process pool, each in a separate process that has
//! some seconds to finish.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::common::machine;
use crate::idle::descendants;
use crate::python;
use crate::scenes::{N_ITEMS, SCENES};

const PEERS: [&str; 6] = [
    "forklore",
    "procspawn",
    "mp.Pool",
    "ProcessPoolExecutor",
    "loky",
    "mpire",
];

/// A process that takes longer counts as hanging; without bad luck, a scene takes less than 2 s.
const HANGS_AFTER: Duration = Duration::from_secs(6);
/// How long processes may outlive the owner of the pool.
const GRACE: Duration = Duration::from_secs(2);
/// When a busy pool is interrupted, within its second of work.
const INTERRUPTED_AFTER: Duration = Duration::from_millis(300);

pub fn print_table(filter: &str) {
    // Processes that a subject leaves behind become children of this process, which counts and ends
    // them.
    set_child_subreaper(true).expect("Linux");
    println!(
        "{}; {}. A pool of 2 works on {N_ITEMS} items, and this happens to the process that has the \
         sixth, or to all. How many of the other items' results arrive, and whether the pool works \
         afterwards. Hangs: not over after {} s.\n",
        machine(),
        python::versions(),
        HANGS_AFTER.as_secs()
    );
    println!("| | {} |", PEERS.join(" | "));
    println!("| --- |{}", " --- |".repeat(PEERS.len()));
    for scene in SCENES.iter().filter(|scene| scene.contains(filter)) {
        let cells = PEERS.map(|peer| format!(" {} |", watch(peer, scene).in_words(scene)));
        println!("| {scene} |{}", cells.concat());
    }
    println!();
}

/// The observations of a scene.
struct Seen {
    /// The subject's output, as `scenes.rs` explains.
    told: String,
    ended: bool,
    n_left: usize,
}

fn watch(peer: &str, scene: &str) -> Seen {
    let told = std::env::temp_dir().join(format!("forklore-scene-{}", std::process::id()));
    let mut subject = start(peer, scene, &told);
    let deadline = Instant::now() + HANGS_AFTER;
    let ended = disturb(&mut subject, scene, &told, deadline) && has_ended(&mut subject, deadline);
    let n_left = if ended { left_behind() } else { 0 };
    for pid in descendants(std::process::id()) {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
    }
    let _ = subject.wait();
    while waitpid(None, Some(WaitPidFlag::empty())).is_ok() {}
    let seen = Seen {
        told: std::fs::read_to_string(&told).unwrap_or_default(),
        ended,
        n_left,
    };
    let _ = std::fs::remove_file(&told);
    if std::env::var_os("PEERS_VERBOSE").is_some() {
        eprintln!("--- {peer}, {scene}\n{}", seen.told);
    }
    seen
}

fn start(peer: &str, scene: &str, told: &Path) -> Child {
    let mut command = match peer {
        "forklore" | "procspawn" => {
            let mut command = Command::new(std::env::current_exe().expect("the program's path"));
            command.arg("scene");
            command
        }
        _ => python::script("scenes.py"),
    };
    command
        .args([peer, scene])
        .stdin(Stdio::piped())
        .stdout(File::create(told).expect("a temporary file"))
        .stderr(Stdio::null())
        // Signals go to the group, as a terminal sends them.
        .process_group(0)
        .spawn()
        .expect("the subject starts")
}

/// Does to the subject what must come from outside. False if it was never ready for that.
fn disturb(subject: &mut Child, scene: &str, told: &Path, deadline: Instant) -> bool {
    let pid = Pid::from_raw(subject.id() as i32);
    let is_ready = || std::fs::read_to_string(told).is_ok_and(|told| told.contains("ready"));
    if !wait_until(deadline, is_ready) {
        return false;
    }
    let _ = match scene {
        "SIGINT when idle" => {
            let _ = killpg(pid, Signal::SIGINT);
            std::thread::sleep(INTERRUPTED_AFTER);
            let stdin = subject.stdin.as_mut().expect("a pipe");
            let _ = stdin.write_all(b"go\n");
            Ok(())
        }
        "SIGINT while busy" => {
            std::thread::sleep(INTERRUPTED_AFTER);
            killpg(pid, Signal::SIGINT)
        }
        "parent killed" => {
            std::thread::sleep(INTERRUPTED_AFTER);
            kill(pid, Signal::SIGKILL)
        }
        _ => Ok(()),
    };
    true
}

fn has_ended(subject: &mut Child, deadline: Instant) -> bool {
    wait_until(deadline, || matches!(subject.try_wait(), Ok(Some(_))))
}

/// The number of processes that still run some time after their pool's owner has exited.
fn left_behind() -> usize {
    let running = || {
        // Processes that have exited are reaped here.
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status.pid().is_none() {
                break;
            }
        }
        descendants(std::process::id()).len()
    };
    wait_until(Instant::now() + GRACE, || running() == 0);
    running()
}

fn wait_until(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    condition()
}

impl Seen {
    fn in_words(&self, scene: &str) -> String {
        let (first, again) = match self.told.split_once("again\n") {
            Some((first, again)) => (first, again),
            None => (self.told.as_str(), ""),
        };
        let first = first.split_once("ready\n").map_or("", |(_, first)| first);
        // The sixth item also has a result if nothing happens to it alone.
        let n_others = N_ITEMS - usize::from(!scene.contains("SIGINT"));
        let n_arrived = n_results(first).min(n_others);
        let mut words = match scene {
            "parent killed" => Vec::new(),
            "SIGINT while busy" if self.is_told("interrupted") => {
                vec![format!("interrupted after {n_arrived}")]
            }
            _ => vec![format!("{n_arrived} of {n_others}")],
        };
        if !self.ended {
            words.push(
                "**hangs**".to_owned()
                    + if self.is_told("end") {
                        " at its end"
                    } else {
                        ""
                    },
            );
        } else if scene != "parent killed" {
            words.push(match (n_results(again), self.is_told("end")) {
                (4, true) => "works on".to_owned(),
                (_, true) => "**unusable**".to_owned(),
                (_, false) => "**the program ends**".to_owned(),
            });
        }
        match (self.n_left, scene) {
            (0, "parent killed") if self.ended => words.push("nothing left".to_owned()),
            (0, _) => {}
            (n, _) => words.push(format!("**{n} processes left**")),
        }
        words.join(", ")
    }

    fn is_told(&self, word: &str) -> bool {
        self.told.lines().any(|line| line == word)
    }
}

fn n_results(told: &str) -> usize {
    told.lines()
        .filter(|line| line.starts_with("result"))
        .count()
}
