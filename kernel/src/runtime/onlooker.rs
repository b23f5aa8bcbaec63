//! A copy of the user process that looks at the variables.
//!
//! What shows a value is code of the user's, which may do anything. In a copy it changes nothing,
//! and it is ended when it takes too long.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::fork::{exit_now, fork};
use crate::sys::signals::SIGKILL;
use crate::sys::{descriptors, procs, this_process};

/// How long the copy may look. The user process waits for it, and no cell begins.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs `look` in a copy of this process, and returns when that has ended.
pub(super) fn in_copy(look: impl FnOnce()) {
    // SAFETY: if other threads of this process hold locks now, they are held forever in the copy,
    // as in a snapshot. A copy that waits for one is ended.
    match unsafe { fork() } {
        Ok(0) => {
            this_process::die_with_parent();
            this_process::lead_group();
            // What it writes is not a cell's output.
            if let Ok(nowhere) = File::options().read(true).write(true).open("/dev/null") {
                for number in 0..=2 {
                    let _ = descriptors::replace_standard(number, &nowhere);
                }
                look();
            }
            exit_now(0)
        }
        Ok(pid) => await_end(pid),
        // Nothing is seen.
        Err(_) => {}
    }
}

fn await_end(pid: procs::Pid) {
    match procs::descriptor_of(pid) {
        Some(ended) => {
            let mut ended = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut ended, patience);
        }
        // Before Linux 5.3.
        None => {
            let nap = Duration::from_millis(1);
            let mut left = PATIENCE;
            while !left.is_zero() {
                if procs::reap(pid).is_some() {
                    return;
                }
                std::thread::sleep(nap);
                left = left.saturating_sub(nap);
            }
        }
    }
    procs::kill(pid, SIGKILL);
    procs::wait(pid);
}
