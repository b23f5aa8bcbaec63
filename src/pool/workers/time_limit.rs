//! Time limits for tasks, kept by the owner while it waits.
//!
//! Workers do not note when a task began: the owner looks at each worker's progress again and again, and
//! a worker whose progress has not changed for the limit is over it. So a limit costs a task
//! nothing, no thread keeps time, and what is never waited for is never ended.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::child;

use crate::pool::shm::board::{Board, Slot};
use crate::pool::shm::lane;

/// How often the owner looks while a limit passes once.
const LOOKS_PER_LIMIT: u32 = 8;
/// Looking costs a few microseconds.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// How long a worker may take to stop. One that sleeps in the kernel, and does not, is at what it
/// was at before.
const STOPS_WITHIN: Duration = Duration::from_millis(50);

/// So long an initialiser may take at least, however little time a task has: it runs while the machine is busy
/// with starting processes.
pub(super) const SHORTEST_START: Duration = Duration::from_secs(1);

/// How long each worker has been where it is.
pub(super) struct TimeLimit {
    limit: Duration,
    /// Whether workers run something of the user's before they are ready.
    has_initializer: bool,
    /// For each slot, what its worker was last seen at, and since when.
    seen: Vec<Option<(Progress, Instant)>>,
    /// The slots whose workers were killed.
    killed: Vec<usize>,
}

/// What a worker is at. No two moments between which it finished something have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    job: u64,
    run: Offset,
    /// The task that is running, if one is.
    task: Option<u64>,
    /// It runs its initialiser.
    is_starting: bool,
}

impl Progress {
    fn of(heap: &Heap, slot: &Slot) -> Progress {
        Progress {
            job: slot.job.load(Ordering::Acquire),
            run: slot.run.load(Ordering::Acquire),
            task: lane::running(heap, slot),
            is_starting: slot.lifeline.is_held() && slot.is_up.load(Ordering::Acquire) == 0,
        }
    }
}

impl TimeLimit {
    pub(in crate::pool) fn new(limit: Duration, has_initializer: bool) -> TimeLimit {
        TimeLimit {
            limit,
            has_initializer,
            seen: Vec::new(),
            killed: Vec::new(),
        }
    }

    /// After how long to look again.
    pub(super) fn interval(&self) -> Duration {
        (self.limit / LOOKS_PER_LIMIT).max(SHORTEST_INTERVAL)
    }

    /// Counts a sleep of the owner between two looks for no longer than it should have been. It is longer when
    /// the owner was stopped, and then its workers may have been stopped with it (Ctrl-Z, a debugger).
    pub(super) fn forgive(&mut self, slept: Duration) {
        let excess = slept.saturating_sub(self.interval());
        for (_, since) in self.seen.iter_mut().flatten() {
            *since = since.checked_add(excess).unwrap_or(*since);
        }
    }

    /// Forgets a worker that has left its slot; the limit, if it was killed for having passed it.
    pub(in crate::pool) fn forget(&mut self, slot: usize) -> Option<Duration> {
        if let Some(seen) = self.seen.get_mut(slot) {
            *seen = None;
        }
        let index = self.killed.iter().position(|&killed| killed == slot)?;
        self.killed.swap_remove(index);
        Some(self.limit)
    }

    /// Kills every worker that has been at one task or at its initialiser for longer than the limit, and every
    /// one that was stopped for as long while it should have begun one. Returns the slots of those that this
    /// process may not kill.
    pub(in crate::pool) fn kill_overdue(
        &mut self,
        heap: &Heap,
        pids: &[Option<i32>],
    ) -> Vec<usize> {
        let mut spared = Vec::new();
        self.seen.resize(self.seen.len().max(pids.len()), None);
        let board = Board::of(heap);
        let now = Instant::now();
        for (index, pid) in pids.iter().enumerate() {
            let Some(pid) = *pid else { continue };
            let slot = &board.slots[index];
            let progress = Progress::of(heap, slot);
            let since = match self.seen[index] {
                Some((seen, since)) if seen == progress => since,
                _ => {
                    self.seen[index] = Some((progress, now));
                    continue;
                }
            };
            let is_starting = progress.is_starting && self.has_initializer;
            let limit = if is_starting {
                self.limit.max(SHORTEST_START)
            } else {
                self.limit
            };
            if now.duration_since(since) < limit || self.killed.contains(&index) {
                continue;
            }
            let is_at_it = if is_starting || progress.task.is_some() {
                holds_still(pid, || Progress::of(heap, slot) == progress)
            } else {
                board.has_job(progress.job) && child::is_stopped(pid)
            };
            if is_at_it && child::kill(pid, Signal::SIGKILL) {
                self.killed.push(index);
            } else if is_at_it {
                spared.push(index);
            }
        }
        spared
    }
}

/// Stops a process and looks whether something is still as it was; if not, the process goes on.
/// Without this, a task that finishes at the last moment would have the next one killed for it.
fn holds_still(pid: i32, is_unchanged: impl Fn() -> bool) -> bool {
    if child::is_stopped(pid) {
        return is_unchanged();
    }
    child::kill(pid, Signal::SIGSTOP);
    let deadline = Instant::now() + STOPS_WITHIN;
    while !child::is_stopped(pid) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let unchanged = is_unchanged();
    if !unchanged {
        child::kill(pid, Signal::SIGCONT);
    }
    unchanged
}
