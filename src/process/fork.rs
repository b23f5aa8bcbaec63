//! The system call, with a child that cannot leave its branch.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Result, signal_name};
use crate::sys::child::{self, Branch, Ended, Side};
use crate::sys::mutex::deadline_in;
use crate::sys::process_id;

/// Forks this process: it returns twice, once in each of two processes with copies of the same
/// memory.
///
/// In the child, dropping the [`ChildGuard`] ends the process, so a child never returns into code
/// that was meant for the parent, whichever way it leaves: at the end of its branch, by `?`, or
/// with a panic. The child dies with its parent, and runs none of its parent's exit handlers
/// (`atexit`), not even when it calls [`std::process::exit`] (with glibc; other C libraries run
/// them then). Signals are handled and blocked as in the parent, so [`Child::terminate`] does in
/// the child what `SIGTERM` does in the parent.
///
/// The OS forgets that a child should die with its parent when the child changes its credentials
/// (`setuid` and the like, even there and back; prctl(2)), and when the parent replaces its program
/// (`exec`). Such a child outlives its parent until it exits by itself.
///
/// # Errors
/// `is_multi_threaded()` if the process has more than one thread: the others do not exist in the
/// child, but the locks that they hold do. `is_os()` if the OS allows no more processes.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::Fork;
///
/// match forklore::fork()? {
///     Fork::Child(guard) => guard.exit(7),
///     Fork::Parent(child) => assert_eq!(child.wait().code(), Some(7)),
/// }
/// # Ok(()) }
/// ```
///
/// The call and its hazards: fork(2), pthread_atfork(3).
pub fn fork() -> Result<Fork> {
    Ok(match child::fork()? {
        Side::Parent(pid) => Fork::Parent(Child::of(pid)),
        Side::Child(branch) => Fork::Child(ChildGuard { _branch: branch }),
    })
}

/// Which of the two processes this is after a [`fork`].
#[derive(Debug)]
pub enum Fork {
    /// The calling process, with a handle to its child.
    Parent(Child),
    /// The new process.
    Child(ChildGuard),
}

/// A child process. Dropping it without waiting kills and reaps the child.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    ended: Option<Ended>,
    /// Only the process that forked may reap; a child forked later inherits this value.
    owner: u32,
}

impl Child {
    pub(super) fn of(pid: i32) -> Child {
        Child {
            pid,
            ended: None,
            owner: process_id(),
        }
    }

    /// The child's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the child is still running.
    pub fn is_alive(&mut self) -> bool {
        if self.is_mine() && self.ended.is_none() {
            self.ended = child::try_reap(self.pid);
        }
        self.ended.is_none()
    }

    /// Waits until the child has ended.
    pub fn wait(mut self) -> Exit {
        Exit(self.reap())
    }

    /// Waits until the child has ended, but no longer than `timeout`; `None` if it has not.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Exit> {
        if self.is_mine() && self.ended.is_none() {
            self.ended = child::reap_before(self.pid, deadline_in(timeout));
        }
        self.ended.map(Exit)
    }

    /// Asks the child to exit (`SIGTERM`), which it may ignore; [`kill`](Child::kill) cannot be
    /// ignored.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the child at once (`SIGKILL`).
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    pub(super) fn reap(&mut self) -> Ended {
        if !self.is_mine() {
            return Ended::Unknown;
        }
        let pid = self.pid;
        *self.ended.get_or_insert_with(|| child::reap(pid))
    }

    /// False if this process may not: it has given up the privileges that the child has.
    fn signal(&mut self, signal: Signal) -> bool {
        // A pid that was reaped may be another process's by now.
        let is_there = self.is_mine() && self.is_alive();
        !is_there || child::kill(self.pid, signal)
    }

    fn is_mine(&self) -> bool {
        self.owner == process_id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A child that this process may not kill exits in its own time.
        if self.signal(Signal::SIGKILL) {
            self.reap();
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(Ended);

impl Exit {
    /// The exit code, unless a signal ended the child.
    pub fn code(&self) -> Option<i32> {
        match self.0 {
            Ended::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the child.
    pub fn signal(&self) -> Option<i32> {
        match self.0 {
            Ended::Signalled(signal) => Some(signal),
            _ => None,
        }
    }

    /// Whether the child exited with code 0.
    pub fn is_success(&self) -> bool {
        self.code() == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ended::Exited(code) => write!(f, "exited with code {code}"),
            Ended::Signalled(signal) => {
                write!(f, "ended by signal {signal} ({})", signal_name(signal))
            }
            Ended::Unknown => f.write_str("ended, but other code took its exit status"),
        }
    }
}

/// Held by a forked child. Dropping it ends the process: with code 0, or 101 while panicking.
#[derive(Debug)]
pub struct ChildGuard {
    _branch: Branch,
}

impl ChildGuard {
    /// Ends the child with an exit code.
    pub fn exit(self, code: i32) -> ! {
        child::exit_now(code)
    }
}
