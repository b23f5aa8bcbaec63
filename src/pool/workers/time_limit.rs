//! Time limits for tasks, enforced by the owner while it waits.
//!
//! Workers do not record when a task began: the owner samples each worker's progress, and a worker
//! whose progress has not changed for longer than the limit has exceeded it. The same holds for a
//! worker's CPU time. So a limit costs a task nothing, there is no timer thread, and a task that
//! nothing waits for is never ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::TaskLimit;
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::{child, clock, family};

use crate::pool::settings::Settings;
use crate::pool::shm::board::{Board, Slot};
use crate::pool::shm::lane;

/// How often the owner samples within one limit.
const LOOKS_PER_LIMIT: u32 = 8;
/// A sample costs a few microseconds.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// The shortest limit of an initialiser, however short that of a task: it runs while the machine is
/// busy starting processes.
pub(super) const SHORTEST_START: Duration = Duration::from_secs(1);

/// The limits and the observed progress of each worker.
pub(super) struct TimeLimits {
    /// The pool's limits.
    elapsed: Option<Duration>,
    cpu_time: Option<Duration>,
    /// The limits of open jobs that have their own.
    of_jobs: BTreeMap<u64, Duration>,
    /// Whether workers run user code before they are ready.
    has_initializer: bool,
    /// Whether the descendants of a killed worker are killed with it.
    kills_descendants: bool,
    /// For each slot, the last observed progress of its worker.
    seen: Vec<Option<Seen>>,
    /// The slots whose workers were killed, and for which limit.
    killed: Vec<(usize, TaskLimit)>,
    /// Sleeps that ended before this time have already been forgiven.
    forgiven: Option<Instant>,
}

/// When a worker was first seen with its current progress, and its CPU time at that moment.
#[derive(Debug, Clone, Copy)]
struct Seen {
    progress: Progress,
    since: Instant,
    cpu_time: Duration,
}

/// A worker's progress. It differs between any two moments between which the worker finished
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    job: u64,
    run: Offset,
    /// The running task, if any.
    task: Option<u64>,
    /// Whether it runs its initialiser.
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

impl TimeLimits {
    pub(in crate::pool) fn of(settings: &Settings) -> TimeLimits {
        TimeLimits {
            elapsed: settings.timeout,
            cpu_time: settings.cpu_time_limit,
            of_jobs: BTreeMap::new(),
            has_initializer: settings.initializer.is_some(),
            kills_descendants: settings.kills_descendants,
            seen: Vec::new(),
            killed: Vec::new(),
            forgiven: None,
        }
    }

    /// Registers a job's limit for its tasks.
    pub(in crate::pool) fn open(&mut self, job: u64, limit: Option<Duration>) {
        if let Some(limit) = limit {
            self.of_jobs.insert(job, limit);
        }
    }

    /// Removes a job's limit.
    pub(in crate::pool) fn close(&mut self, job: u64) {
        self.of_jobs.remove(&job);
    }

    /// The interval until the next sample; `None` without limits. A worker without threads does not
    /// use CPU time faster than time passes.
    pub(super) fn interval(&self) -> Option<Duration> {
        let of_pool = self.elapsed.into_iter().chain(self.cpu_time);
        let shortest = of_pool.chain(self.of_jobs.values().copied()).min()?;
        Some((shortest / LOOKS_PER_LIMIT).max(SHORTEST_INTERVAL))
    }

    /// Counts the owner's sleep between two samples as no longer than intended. It is longer if the
    /// owner was stopped, and then its workers may have been stopped with it (Ctrl-Z, a debugger).
    /// Time that several threads slept through at once is forgiven once.
    pub(super) fn forgive(&mut self, slept: Duration, intended: Duration) {
        let now = Instant::now();
        let since_forgiven = self.forgiven.map_or(Duration::MAX, |at| now - at);
        let excess = slept.saturating_sub(intended).min(since_forgiven);
        if excess.is_zero() {
            return;
        }
        self.forgiven = Some(now);
        for seen in self.seen.iter_mut().flatten() {
            seen.since = seen.since.checked_add(excess).unwrap_or(seen.since);
        }
    }

    /// Forgets a worker that has left its slot; returns the limit if the worker was killed for
    /// exceeding it.
    pub(in crate::pool) fn forget(&mut self, slot: usize) -> Option<TaskLimit> {
        if let Some(seen) = self.seen.get_mut(slot) {
            *seen = None;
        }
        let index = self.killed.iter().position(|&(killed, _)| killed == slot)?;
        Some(self.killed.swap_remove(index).1)
    }

    /// The limit of a worker's current progress: its initialiser, or a task of a job.
    fn limit_at(&self, progress: Progress, is_starting: bool) -> Option<TaskLimit> {
        let of_pool = self.elapsed.map(TaskLimit::Elapsed);
        let of_job = self.of_jobs.get(&progress.job).filter(|_| !is_starting);
        match of_job {
            Some(&limit) if self.elapsed.is_none_or(|of_pool| limit < of_pool) => {
                Some(TaskLimit::OfCall(limit))
            }
            _ => of_pool,
        }
    }

    /// The limit that a worker has exceeded in its initialiser or task.
    fn passed(&self, seen: &Seen, is_starting: bool, pid: i32) -> Option<TaskLimit> {
        let limit = |limit: Duration| {
            if is_starting {
                limit.max(SHORTEST_START)
            } else {
                limit
            }
        };
        let elapsed = self.limit_at(seen.progress, is_starting);
        let elapsed = elapsed.filter(|of| seen.since.elapsed() >= limit(of.duration()));
        let used = || {
            clock::used_by(pid)
                .unwrap_or_default()
                .saturating_sub(seen.cpu_time)
        };
        let cpu_time = || self.cpu_time.filter(|&of| used() >= limit(of));
        elapsed.or_else(|| cpu_time().map(TaskLimit::CpuTime))
    }

    fn see(&self, progress: Progress, pid: i32) -> Seen {
        let cpu_time = self.cpu_time.and_then(|_| clock::used_by(pid));
        Seen {
            progress,
            since: Instant::now(),
            cpu_time: cpu_time.unwrap_or_default(),
        }
    }

    /// Kills a stopped worker; false if this process may not.
    fn kill(&self, pid: i32) -> bool {
        if self.kills_descendants {
            family::kill_descendants(pid);
        }
        child::kill(pid, Signal::SIGKILL)
    }

    /// Kills every worker that has run one task or its initialiser for longer than the limit, and
    /// every one that was stopped for that long when it should have started one. Returns the slots
    /// of those that this process may not kill, with the limits that they exceeded.
    pub(in crate::pool) fn kill_overdue(
        &mut self,
        heap: &Heap,
        pids: &[Option<i32>],
    ) -> Vec<(usize, TaskLimit)> {
        let mut spared = Vec::new();
        if self.interval().is_none() {
            // An old sample says nothing about the time since.
            self.seen.clear();
            return spared;
        }
        self.seen.resize(self.seen.len().max(pids.len()), None);
        let board = Board::of(heap);
        for (index, pid) in pids.iter().enumerate() {
            let Some(pid) = *pid else { continue };
            let slot = &board.slots[index];
            let progress = Progress::of(heap, slot);
            let seen = match self.seen[index] {
                Some(seen) if seen.progress == progress => seen,
                _ => {
                    self.seen[index] = Some(self.see(progress, pid));
                    continue;
                }
            };
            let is_starting = progress.is_starting && self.has_initializer;
            if self.killed.iter().any(|(killed, _)| *killed == index) {
                continue;
            }
            let Some(limit) = self.passed(&seen, is_starting, pid) else {
                continue;
            };
            let is_at_it = if is_starting || progress.task.is_some() {
                holds_still(pid, || Progress::of(heap, slot) == progress)
            } else {
                board.has_job(progress.job) && child::is_stopped(pid)
            };
            if is_at_it && self.kill(pid) {
                self.killed.push((index, limit));
            } else if is_at_it {
                spared.push((index, limit));
            }
        }
        spared
    }
}

/// Stops a process and checks whether its state is unchanged; if not, lets the process continue.
/// Without this, if a task finished at the last moment, the next one would be killed for it.
fn holds_still(pid: i32, is_unchanged: impl Fn() -> bool) -> bool {
    if child::is_stopped(pid) {
        return is_unchanged();
    }
    child::stop(pid);
    let unchanged = is_unchanged();
    if !unchanged {
        child::kill(pid, Signal::SIGCONT);
    }
    unchanged
}
