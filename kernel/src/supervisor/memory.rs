//! The memory limit: a greedy cell is rolled back before the scheduler ends the whole session.
//!
//! There are two guards, because neither is sufficient. `RLIMIT_DATA` makes an allocation fail that
//! would take a single process past the limit, at once and with a clear error; it counts private
//! writable memory, so neither the pool's reservations (shared) nor stacks and code. And while a
//! cell runs, the supervisor adds up the memory of all processes: many workers below the limit may
//! exceed it together, and shared memory belongs to no single process.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::event_loop::{Phase, Watch};
use super::limit::{detect, impose};
use super::verdict;
use crate::cell::bytes_in_words;
use crate::protocol::{Limit, Status};
use crate::sys::procs::{self, Pid};

/// How often memory is checked while a cell runs. In between, a cell can touch about 0.1 GB.
const LOOK: Duration = Duration::from_millis(50);
/// If earlier cells already exceed the limit, a cell may still use this much more.
const SLACK_BYTES: u64 = 32 << 20;

/// The memory that these processes use together, or a cheap overestimate if that is already below
/// `enough`.
fn used_bytes(pids: &HashSet<Pid>, enough: u64) -> u64 {
    let with_shared: u64 = pids.iter().map(|pid| procs::resident_bytes(*pid)).sum();
    if with_shared < enough {
        return with_shared;
    }
    // Shared pages are counted once. Without that file (before Linux 4.14) they are counted for
    // each process.
    let shares = pids
        .iter()
        .map(|pid| procs::proportional_bytes(*pid).unwrap_or_else(|| procs::resident_bytes(*pid)));
    shares.sum()
}

impl Watch {
    fn everything(&self) -> HashSet<Pid> {
        procs::descendants(std::process::id() as i32)
            .into_iter()
            .collect()
    }

    /// Applies a limit to all existing processes, and to those that they will start.
    pub(super) fn set_limit(&mut self, limit: Option<Limit>) {
        self.limit = limit.unwrap_or_else(detect);
        impose(self.everything(), self.limit.bytes);
    }

    pub(super) fn status(&mut self) -> Status {
        let others = self.others();
        self.origins.note(&others, self.ran);
        Status {
            started: self.origins.known(),
            threads: self.threads.by_cell(),
            user_pid: self.user.pid,
            checkpoint: self.board.checkpoint(),
            has_snapshot: self.snapshot.is_some(),
            snapshot_micros: self.board.snapshot_micros(),
            resident_bytes: procs::resident_bytes(self.user.pid),
            used_bytes: used_bytes(&self.everything(), 0),
            limit: self.limit.clone(),
        }
    }

    /// At the start of a cell: memory that is already in use does not count against it.
    pub(super) fn begin_memory(&mut self) {
        let Some(limit) = self.limit.bytes else {
            return;
        };
        let used = used_bytes(&self.everything(), limit);
        if let Phase::Running(run) = &mut self.phase {
            run.memory_allowed_bytes = limit.max(used + SLACK_BYTES);
            run.memory_seen = Instant::now();
        }
    }

    /// How long until the next check of memory.
    pub(super) fn memory_wait(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Running(run) if self.limit.bytes.is_some() => {
                Some(LOOK.saturating_sub(run.memory_seen.elapsed()))
            }
            _ => None,
        }
    }

    /// Checks the memory in use, if it is time, and ends a cell that uses too much.
    pub(super) fn look_at_memory(&mut self) {
        if self.memory_wait() != Some(Duration::ZERO) {
            return;
        }
        let all = self.everything();
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        run.memory_seen = Instant::now();
        let used = used_bytes(&all, run.memory_allowed_bytes);
        if used < run.memory_allowed_bytes {
            return;
        }
        let (used, limit) = (
            bytes_in_words(used),
            bytes_in_words(self.limit.bytes.unwrap_or(0)),
        );
        let message = format!(
            "the cell and what it started used {used} of memory; the limit is {limit} ({}); see `%limit`",
            self.limit.origin
        );
        let is_script = run.is_script;
        let failure = verdict::failure("OutOfMemory", message);
        if is_script {
            self.end_script(failure);
        } else {
            self.roll_back(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_two_processes_have_counts_once() {
        let own: HashSet<Pid> = HashSet::from([std::process::id() as Pid]);
        assert!(used_bytes(&own, 0) <= used_bytes(&own, u64::MAX) + (1 << 20));
        assert!(used_bytes(&own, 0) > 0);
    }
}
