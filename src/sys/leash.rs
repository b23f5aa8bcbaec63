//! How a process notices that the one it works for is gone, whatever threads that one has, and
//! whichever process else holds the same files open.
//!
//! | by | notices | misses |
//! | --- | --- | --- |
//! | a *leash*: a socket on which nothing is said. Linux kills its holder when the other end is closed | exit, kill and exec; also while the holder is stopped | what a forked child of the other holds open |
//! | a pidfd | exit and kill | exec; there are none before Linux 5.3 |
//! | a lock that the other has on a file which both have open | exit, kill and exec | nothing, but it has to be looked at |
//!
//! `PR_SET_PDEATHSIG` is not among them: it is tied to the thread that forked or launched a
//! process, and forgotten when credentials change.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::fifo::F_SETSIG;
use super::line::{Line, Message};

/// How often the lock is looked at while nothing is said: it alone tells of an exec that a forked
/// child hides.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// A descriptor of a process that becomes readable when that has ended; `None` before Linux 5.3,
/// or if there is no such process.
pub(crate) fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers and gives a new descriptor, closed on exec, or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the descriptor was just made for us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Waits until a process has ended.
pub(crate) fn await_end(pidfd: BorrowedFd<'_>) {
    while !has_ended(pidfd, PollTimeout::NONE) {}
}

/// Whether a process has ended, or does so within the time.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>, within: PollTimeout) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut fds, within).is_ok_and(|n| n > 0)
}

/// Kills a process, whatever has its id by now; one that this process may not kill goes on.
pub(crate) fn kill(pidfd: BorrowedFd<'_>) {
    // SAFETY: the call takes numbers, and null for what it would say beside the signal.
    unsafe {
        let no_details = std::ptr::null::<libc::siginfo_t>();
        let fd = pidfd.as_raw_fd();
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd,
            libc::SIGKILL,
            no_details,
            0,
        )
    };
}

/// Marks a file as held by this process, until it ends or replaces its program: a child that
/// inherits the file does not hold it. False if the system cannot. The process must not close any
/// other descriptor of the file, which would end this, too (fcntl(2), `F_SETLK`).
pub(crate) fn hold(file: BorrowedFd<'_>) -> bool {
    let mut lock = whole(libc::F_WRLCK);
    // SAFETY: the call reads a record of its own.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut lock) == 0 }
}

/// Whether another process [holds](hold) a file.
pub(crate) fn is_held(file: BorrowedFd<'_>) -> bool {
    let mut lock = whole(libc::F_WRLCK);
    // SAFETY: the call reads and writes a record of its own.
    let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    code == 0 && libc::c_int::from(lock.l_type) != libc::F_UNLCK
}

fn whole(kind: libc::c_int) -> libc::flock {
    // SAFETY: zero is a value of each of its numbers: a length of 0 is the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// Has this process killed when the other end of a line is closed on which nothing is said. False
/// if it is closed by now.
pub(crate) fn put_on(leash: &Line) -> bool {
    let fd = leash.as_fd().as_raw_fd();
    // SAFETY: the calls take numbers, and change properties of this socket only.
    unsafe {
        libc::fcntl(fd, libc::F_SETOWN, libc::getpid());
        libc::fcntl(fd, F_SETSIG, libc::SIGKILL);
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC);
    }
    !leash.is_ready_within(Duration::ZERO)
}

/// What a process knows of the one it works for, and hears from it.
pub(crate) struct Ties<'a> {
    pub(crate) line: Line,
    /// Its end is kept open for as long as this process lives.
    pub(crate) leash: Line,
    pub(crate) pidfd: Option<OwnedFd>,
    /// The file that the other holds, if it could.
    pub(crate) held: Option<BorrowedFd<'a>>,
}

impl Ties<'_> {
    /// Whether the other is gone, as far as can be told without what it said.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_some_and(|file| !is_held(file))
    }

    /// Waits for what the other says; `None` once it is gone.
    pub(crate) fn receive(&self) -> Option<Message> {
        self.is_spoken_to().then(|| self.line.receive()).flatten()
    }

    /// The descriptors that this process has for them.
    pub(crate) fn files(&self) -> Vec<RawFd> {
        let mut files = vec![self.line.as_fd(), self.leash.as_fd()];
        files.extend(self.pidfd.as_ref().map(AsFd::as_fd));
        files.extend(self.held);
        files.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Waits until the other has said something or has closed the line; false once it is gone.
    pub(crate) fn is_spoken_to(&self) -> bool {
        loop {
            let mut fds = vec![PollFd::new(self.line.as_fd(), PollFlags::POLLIN)];
            let pidfd = self.pidfd.as_ref();
            fds.extend(pidfd.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            let timeout = PollTimeout::try_from(LOOKS_EVERY).unwrap_or(PollTimeout::MAX);
            let n_ready = poll(&mut fds, timeout).unwrap_or(0);
            let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
            if fds.get(1).is_some_and(is_ready) {
                return false;
            }
            if is_ready(&fds[0]) {
                return true;
            }
            if n_ready == 0 && self.is_over() {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::super::region::Region;
    use super::*;

    #[test]
    fn a_file_is_held_by_another_process_alone() {
        let region = Region::reserve_file().unwrap();
        let file = region.file().unwrap();
        assert!(!is_held(file));
        assert!(hold(file));
        // One's own lock does not count.
        assert!(!is_held(file));
    }

    #[test]
    fn a_process_that_ends_is_ready() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let fd = pidfd(child.id() as i32).unwrap();
        assert!(!has_ended(fd.as_fd(), PollTimeout::ZERO));
        drop(child.stdin.take());
        await_end(fd.as_fd());
        child.wait().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let fd = pidfd(child.id() as i32).unwrap();
        kill(fd.as_fd());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
