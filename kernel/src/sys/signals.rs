//! Signal names, and how a process ended.

pub use libc::{SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGINT, SIGKILL, SIGSEGV};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl Death {
    /// From the status of `waitpid`.
    pub fn from_wait_status(status: i32) -> Death {
        if libc::WIFEXITED(status) {
            Death::Exited(libc::WEXITSTATUS(status))
        } else {
            Death::Signalled(libc::WTERMSIG(status))
        }
    }
}

/// Makes this process ignore interrupts from a terminal.
pub(crate) fn ignore_interrupts() {
    // SAFETY: only changes this process' own attribute; no handler is installed.
    unsafe { libc::signal(SIGINT, libc::SIG_IGN) };
}
