//! Processes in `/proc`: their parents, and how to kill a whole tree of them.
//!
//! A cell may fork, spawn, double-fork and call `setsid`. Process groups and sessions do not keep
//! such processes together, but parenthood does, as long as an ancestor is a child subreaper: that
//! ancestor, not `init`, then adopts orphans.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A process id.
pub type Pid = i32;

/// The effective user of this process.
pub fn own_uid() -> u32 {
    // SAFETY: has no preconditions, and always succeeds.
    unsafe { libc::geteuid() }
}

/// The needed fields of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: Pid,
    /// Its parent.
    pub parent: Pid,
    /// The leader of its session.
    pub session: Pid,
    /// Its state letter: `Z` for a zombie.
    pub state: u8,
    /// The number of its threads.
    pub n_threads: u32,
    /// How long it has run on processors, in clock ticks.
    pub cpu_ticks: u64,
    /// When it started, in clock ticks since boot: distinguishes it from a later process with the
    /// same pid.
    pub started_ticks: u64,
}

impl Stat {
    /// The fields of `pid`, unless it is gone.
    pub fn of(pid: Pid) -> Option<Stat> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// How long it has run on processors, its threads together.
    pub fn cpu_time(&self) -> Duration {
        // SAFETY: has no preconditions.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100);
        Duration::from_secs_f64(self.cpu_ticks as f64 / per_second.max(1) as f64)
    }
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The name is in parentheses and may itself contain spaces and parentheses.
    let pid = line.split(' ').next()?.parse().ok()?;
    let after_name = &line[line.rfind(')')? + 2..];
    let fields: Vec<&str> = after_name.split(' ').collect();
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        n_threads: fields.get(17)?.parse().ok()?,
        cpu_ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// All visible processes.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Stat::of).collect()
}

/// Maximum number of times that the list of a process's threads is read.
const MAX_READINGS: usize = 64;

/// The ids of a process's threads; none if it is gone.
///
/// Linux ends the list at a thread that ends while it is read (`next_tid` in `fs/proc/base.c`).
/// So the list is read again until it has as many threads as the process counted: those that were
/// listed before the count and still run after it are all that ran then.
pub fn threads(process: Pid) -> Vec<Pid> {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let mut found = BTreeSet::new();
    for _ in 0..MAX_READINGS {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok());
        found.extend(ids);
        let n_threads = Stat::of(process).map_or(0, |process| process.n_threads);
        found.retain(|thread| folder.join(thread.to_string()).exists());
        if found.len() >= n_threads as usize {
            break;
        }
    }
    found.into_iter().collect()
}

/// The children of all threads of `pid`, including zombies.
pub fn children(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    for thread in threads(pid) {
        let thread = format!("/proc/{pid}/task/{thread}");
        match fs::read_to_string(format!("{thread}/children")) {
            Ok(line) => found.extend(
                line.split_whitespace()
                    .filter_map(|pid| pid.parse::<Pid>().ok()),
            ),
            // The thread has ended, and its children now have another parent thread.
            Err(_) if !Path::new(&thread).exists() => {}
            // Linux without CONFIG_PROC_CHILDREN.
            Err(_) => {
                return all()
                    .iter()
                    .filter(|p| p.parent == pid)
                    .map(|p| p.pid)
                    .collect();
            }
        }
    }
    found
}

/// The children that the main thread of `pid` has started; those of all its threads if Linux does
/// not distinguish.
pub fn children_of_main_thread(pid: Pid) -> Vec<Pid> {
    match fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(line) => line
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect(),
        Err(_) => children(pid),
    }
}

/// All descendants of `pid`: parents before their children.
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        next += 1;
        for child in children(parent) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// The processes, except this one, whose environment contains `entry` (`NAME=value`).
pub fn with_environment(entry: &str) -> Vec<Pid> {
    let own = std::process::id() as Pid;
    let holds = |pid: Pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|e| e == entry.as_bytes())
        })
    };
    let alive = all()
        .into_iter()
        .filter(|process| process.state != b'Z' && process.pid != own);
    alive
        .map(|process| process.pid)
        .filter(|pid| holds(*pid))
        .collect()
}

/// Sends `signal` to `pid`. It is not an error if the process is gone.
pub fn kill(pid: Pid, signal: i32) {
    assert!(pid > 0, "a process group is never meant here");
    // SAFETY: kill only takes numbers.
    unsafe { libc::kill(pid, signal) };
}

/// Reaps the child `pid` without blocking: returns its raw wait status if it has ended, `None`
/// while it runs or if it is not a child of this process.
pub fn reap(pid: Pid) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    (reaped > 0).then_some(status)
}

/// Reaps any child without blocking: returns its pid and raw wait status, if one has ended.
pub(crate) fn reap_any() -> Option<(Pid, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let reaped = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (reaped > 0).then_some((reaped, status))
}

/// A descriptor of a process that becomes readable when the process has ended. `None` before Linux
/// 5.3, or if there is no such process.
pub(crate) fn descriptor_of(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the call has just made it, for no other owner.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The command line of a process, with spaces between its words; empty when it is gone.
pub(crate) fn command_line(pid: Pid) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    words.trim().to_owned()
}

/// The working directory of a process.
pub(crate) fn current_folder(pid: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// Device and inode of a process's standard input.
pub(crate) fn standard_input_of(pid: Pid) -> Option<(u64, u64)> {
    let its = fs::metadata(format!("/proc/{pid}/fd/0")).ok()?;
    Some((its.dev(), its.ino()))
}

/// Waits until the child `pid` has ended. Returns at once if it is not a child of this process.
pub fn wait(pid: Pid) {
    let mut status = 0;
    if pid <= 0 {
        return;
    }
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1
        && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    {}
}

/// Kills every descendant of this process except those in `spared` and their descendants, reaps
/// those that are (or become) its children, and returns whether all were gone in time.
///
/// This is complete only if the caller is a child subreaper.
pub fn end_descendants(spared: &HashSet<Pid>, limit: Duration) -> bool {
    let own = std::process::id() as Pid;
    let deadline = Instant::now() + limit;
    loop {
        let doomed = descendants_sparing(own, spared);
        if doomed.is_empty() {
            return true;
        }
        for &pid in &doomed {
            kill(pid, libc::SIGKILL);
        }
        for &pid in &doomed {
            reap(pid);
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn descendants_sparing(root: Pid, spared: &HashSet<Pid>) -> Vec<Pid> {
    let mut found: Vec<Pid> = children(root);
    found.retain(|pid| !spared.contains(pid));
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        next += 1;
        let more = children(parent);
        found.extend(more.into_iter().filter(|pid| !spared.contains(pid)));
    }
    found
}

/// The memory that a process has in use, including shared pages; 0 if it is gone.
pub fn resident_bytes(pid: Pid) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * page_bytes()
}

/// A process's share of the memory that it has in use: a page of n processes counts an nth for
/// each. For a large process, this takes milliseconds.
pub fn proportional_bytes(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn page_bytes() -> u64 {
    // SAFETY: has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// How much of the machine's memory is available to a new program.
pub(crate) fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let (_, rest) = text.split_once("MemAvailable:")?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "42 (a b) c) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 99 1000 10 18446744073709551615";
        let expected = Stat {
            pid: 42,
            parent: 7,
            session: 41,
            state: b'S',
            n_threads: 3,
            cpu_ticks: 11,
            started_ticks: 99,
        };
        assert_eq!(parse_stat(line), Some(expected));
    }

    #[test]
    fn a_spawned_process_is_a_descendant_and_ends_with_its_tree() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .spawn()
            .unwrap();
        let pid = child.id() as Pid;
        while descendants(pid).is_empty() {
            std::thread::yield_now();
        }
        let grandchild = descendants(pid)[0];
        assert!(descendants(std::process::id() as Pid).contains(&grandchild));
        kill(grandchild, libc::SIGKILL);
        kill(pid, libc::SIGKILL);
        child.wait().unwrap();
        assert!(Stat::of(pid).is_none());
    }

    #[test]
    fn the_environment_finds_a_process() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .env("FORKLORE_MARK", "a b")
            .spawn()
            .unwrap();
        let pid = child.id() as Pid;
        while !with_environment("FORKLORE_MARK=a b").contains(&pid) {
            std::thread::yield_now();
        }
        assert!(!with_environment("FORKLORE_MARK=a").contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Red without the count: of 20,000 threads, a single reading missed 45.
    #[test]
    fn a_thread_is_listed_while_others_end() {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        std::thread::spawn(|| ()).join().unwrap();
                    }
                });
            }
            let missed = (0..2_000).filter(|_| {
                let (say, said) = mpsc::channel();
                let (end, is_ended) = mpsc::channel::<()>();
                let thread = scope.spawn(move || {
                    say.send(nix::unistd::gettid().as_raw()).unwrap();
                    let _ = is_ended.recv();
                });
                let id = said.recv().unwrap();
                let is_missed = !threads(std::process::id() as Pid).contains(&id);
                drop(end);
                thread.join().unwrap();
                is_missed
            });
            let n_missed = missed.count();
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(n_missed, 0);
        });
    }
}
