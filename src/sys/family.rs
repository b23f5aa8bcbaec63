//! What a process has started, and what that has started.

use nix::sys::signal::Signal;

use super::child;
use super::clock::children;

/// Kills all descendants of a process that was stopped.
///
/// Each is stopped before its own children are asked for, so that it cannot start more meanwhile.
/// Until all are found, none is killed: its children would get another parent.
pub(crate) fn kill_descendants(pid: i32) {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            child::stop(child);
            parents.push(child);
            found.push(child);
        }
    }
    for pid in found {
        child::kill(pid, Signal::SIGKILL);
    }
}
