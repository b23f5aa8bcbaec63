//! The memory limit: a greedy cell is rolled back before the scheduler ends the whole session.
//!
//! Two guards, because neither is enough. `RLIMIT_DATA` makes the allocation fail that would take
//! one process past the limit, at once and by name; it counts private memory that may be written,
//! so neither the pool's reservations (shared) nor stacks and code. And while a cell runs, the
//! supervisor adds up what all processes have in use: many workers below the limit may be above it
//! together, and shared memory is no process's own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::event_loop::{Phase, Watch};
use super::limit::{detect, impose};
use super::verdict;
use crate::cell::bytes_in_words;
use crate::protocol::{Limit, Status};
use crate::sys::procs::{self, Pid};

/// How often memory is looked at while a cell runs. In between, a cell can take about 0.1 GB that
/// it touches.
const LOOK: Duration = Duration::from_millis(50);
/// What an earlier cell has left above the limit is not this cell's fault; this much more is.
const SLACK_BYTES: u64 = 32 << 20;

/// What these processes have in use together, or a cheap number that is too large but still below
/// `enough`.
fn used_bytes(pids: &HashSet<Pid>, enough: u64) -> u64 {
    let with_shared: u64 = pids.iter().map(|pid| procs::resident_bytes(*pid)).sum();
    if with_shared < enough {
        return with_shared;
    }
    // Pages that several of them have are counted once. Without that file (Linux before 4.14) they
    // are not.
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

    /// Puts a limit in force for all processes that there are, and those that they will start.
    pub(super) fn set_limit(&mut self, limit: Option<Limit>) {
        self.limit = limit.unwrap_or_else(detect);
        impose(self.everything(), self.limit.bytes);
    }

    pub(super) fn status(&self) -> Status {
        Status {
            user_pid: self.user.pid,
            checkpoint: self.board.checkpoint(),
            has_snapshot: self.snapshot.is_some(),
            snapshot_micros: self.board.snapshot_micros(),
            resident_bytes: procs::resident_bytes(self.user.pid),
            used_bytes: used_bytes(&self.everything(), 0),
            limit: self.limit.clone(),
        }
    }

    /// A cell begins: what is in use now is not its fault.
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

    /// How long until memory has to be looked at.
    pub(super) fn memory_wait(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Running(run) if self.limit.bytes.is_some() => {
                Some(LOOK.saturating_sub(run.memory_seen.elapsed()))
            }
            _ => None,
        }
    }

    /// Looks at the memory in use, if it is time, and ends a cell that has taken too much.
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
