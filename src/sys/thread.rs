//! Threads by id: the calling one, and whether another has ended.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::child;

/// The calling thread's id in the OS. (glibc has a function for it only since 2.30, and a cluster's
/// nodes may have 2.17.)
pub(crate) fn thread_id() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// A hash of the calling thread, which live threads seldom share. It needs no system call, so it
/// costs nothing.
pub(crate) fn thread_hash() -> u64 {
    // SAFETY: has no preconditions.
    let address = unsafe { libc::pthread_self() } as u64;
    // Stacks are whole pages apart (Knuth's multiplicative hashing, TAOCP 6.4).
    (address >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// How to check whether a thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// In less than a microsecond; only its parent sees an unreaped process as dead.
    Quick,
    /// Also in `/proc`, if it is mounted.
    Thorough,
}

/// Whether a thread has ended. Its id belongs to this process's pid namespace.
pub(crate) fn has_ended(tid: u32, look: Look) -> bool {
    let tid = tid as i32;
    // SAFETY: the calls take numbers and a local record; signal 0 only checks whether there is such
    // a thread.
    unsafe {
        if libc::syscall(libc::SYS_tkill, tid, 0) == -1 {
            return Errno::last() == Errno::ESRCH;
        }
        let mut ended: libc::siginfo_t = std::mem::zeroed();
        let only_look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_PID, tid as u32, &raw mut ended, only_look) == 0 {
            return ended.si_pid() != 0;
        }
    }
    look == Look::Thorough && child::is_zombie(tid)
}

/// How long a thread must sleep to count as sleeping: a thread that is about to end may briefly
/// wait for a lock.
const SLEEPS_FOR: Duration = Duration::from_micros(30);

/// Whether this process has another thread that sleeps for more than a moment; false if `/proc`
/// does not say.
pub(crate) fn another_sleeps() -> bool {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return false;
    };
    let own = thread_id().to_string();
    threads.flatten().any(|thread| {
        let stat = thread.path().join("stat");
        if *thread.file_name() == *own || !sleeps(&stat) {
            return false;
        }
        let first = Instant::now();
        while first.elapsed() < SLEEPS_FOR {
            std::thread::yield_now();
        }
        sleeps(&stat)
    })
}

/// Whether a thread sleeps, according to its `stat` file.
fn sleeps(stat: &Path) -> bool {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    // The state follows the name, which may contain any character (proc(5)).
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    behind_name.starts_with('S')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_is_seen() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || wait.recv());
        while !another_sleeps() {
            std::thread::yield_now();
        }
        drop(release);
        let _ = sleeper.join().unwrap();
        assert!(!sleeps(
            format!("/proc/self/task/{}/stat", thread_id()).as_ref()
        ));
    }

    #[test]
    fn the_living_and_the_dead() {
        let has_ended = |tid| has_ended(tid, Look::Thorough);
        assert!(!has_ended(thread_id()) && !has_ended(1));
        let ended = std::thread::spawn(thread_id).join().unwrap();
        // `join` returns before the OS has removed the thread.
        while !has_ended(ended) {
            std::thread::yield_now();
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while !has_ended(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()));
    }
}
