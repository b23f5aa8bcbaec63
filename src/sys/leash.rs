//! How a process notices that its owner is gone, whatever threads the owner has, and whichever
//! other process holds the same files open.
//!
//! | by | notices | misses |
//! | --- | --- | --- |
//! | a *leash*: a socket without messages. Linux kills its holder when the other end is closed | exit, kill and exec; even while the holder is stopped | an end that a forked child of the owner holds open |
//! | a pidfd | exit and kill | exec; does not exist before Linux 5.3 |
//! | a lock of the owner on a file that both have open | exit, kill and exec | nothing, but must be polled |
//!
//! `PR_SET_PDEATHSIG` is not among them: it is tied to the thread that forked or launched a
//! process, and forgotten when credentials change.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::fifo::F_SETSIG;
use super::line::{Line, Message};

/// How often to poll the lock while there are no messages: it alone detects an exec that a forked
/// child hides.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// A descriptor of a process that becomes readable when the process has ended; `None` before Linux
/// 5.3, or if there is no such process.
pub(crate) fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers and returns a new descriptor, closed on exec, or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the descriptor was just made for us.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Waits until a process has ended.
pub(crate) fn await_end(pidfd: BorrowedFd<'_>) {
    while !has_ended(pidfd, PollTimeout::NONE) {}
}

/// Whether a process has ended, or ends within the time.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>, within: PollTimeout) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut fds, within).is_ok_and(|n| n > 0)
}

/// Kills a process, even if its pid now belongs to another; one that this process may not kill
/// keeps running.
pub(crate) fn kill(pidfd: BorrowedFd<'_>) {
    // SAFETY: the call takes numbers, and null for the signal's information.
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
/// inherits the file does not hold it. False if the OS refuses. The process must not close any
/// other descriptor of the file, because that would release the lock too (fcntl(2), `F_SETLK`).
pub(crate) fn hold(file: BorrowedFd<'_>) -> bool {
    let mut lock = whole(libc::F_WRLCK);
    // SAFETY: the call reads a local record.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut lock) == 0 }
}

/// Whether another process [holds](hold) a file.
pub(crate) fn is_held(file: BorrowedFd<'_>) -> bool {
    let mut lock = whole(libc::F_WRLCK);
    // SAFETY: the call reads and writes a local record.
    let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    code == 0 && libc::c_int::from(lock.l_type) != libc::F_UNLCK
}

fn whole(kind: libc::c_int) -> libc::flock {
    // SAFETY: zero is valid for each of its numbers: a length of 0 is the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// Makes Linux kill this process when the other end of a leash is closed. False if it is already
/// closed.
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

/// A process's ties to its owner.
pub(crate) struct Ties<'a> {
    pub(crate) line: Line,
    /// This end stays open for as long as this process lives.
    pub(crate) leash: Line,
    pub(crate) pidfd: Option<OwnedFd>,
    /// The file that the owner holds, if it could.
    pub(crate) held: Option<BorrowedFd<'a>>,
}

impl Ties<'_> {
    /// Whether the owner is gone, as far as can be known without reading its messages.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_some_and(|file| !is_held(file))
    }

    /// Waits for a message from the owner; `None` once it is gone.
    pub(crate) fn receive(&self) -> Option<Message> {
        self.is_spoken_to().then(|| self.line.receive()).flatten()
    }

    /// The descriptors of the ties in this process.
    pub(crate) fn files(&self) -> Vec<RawFd> {
        let mut files = vec![self.line.as_fd(), self.leash.as_fd()];
        files.extend(self.pidfd.as_ref().map(AsFd::as_fd));
        files.extend(self.held);
        files.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Waits until the owner has sent something or closed the line; false once it is gone.
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
        // A process's own lock does not count.
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
