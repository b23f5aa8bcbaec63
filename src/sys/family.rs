//! The descendants of a process.

use nix::sys::signal::Signal;

use super::child;
use super::clock::children;

/// Kills all descendants of a stopped process.
///
/// Each is stopped before its own children are listed, so that it cannot start more in the
/// meantime. None is killed until all are found, because its children would get another parent.
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
