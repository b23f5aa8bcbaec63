//! Counts of what happened to a pool's workers.
//!
//! The owner counts when it notices an event: a task's path has no counter except the one that its
//! worker keeps anyway.

use std::fmt;
use std::ops::AddAssign;

use nix::sys::signal::Signal;

use crate::error::Cause;
use crate::sys::atomic::{AtomicU64, Ordering};

/// Counts of what happened to a pool's workers since it was made, from
/// [`Pool::stats`](super::Pool::stats).
///
/// `{}` prints a small table.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::pool::DeathCause;
///
/// let pool = forklore::Pool::with_workers(2)?;
/// let results = pool.try_map(|x: u32| if x == 1 { std::process::abort() } else { x }, 0..4);
/// assert!(results[1].is_err());
/// let total = pool.stats().total();
/// assert_eq!(total.n_deaths_by(DeathCause::Aborted), 1);
/// assert_eq!((total.n_deaths(), total.n_respawns(), total.n_retries()), (1, 1, 0));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    pub(super) workers: Vec<Tally>,
    pub(super) closures: Tally,
}

impl Stats {
    /// The counts of each slot. A worker that replaces another continues its slot's counts. Slots
    /// that the pool no longer has, because it was [made smaller](super::Pool::resize), keep
    /// theirs, at the end.
    pub fn workers(&self) -> &[Tally] {
        &self.workers
    }

    /// The counts of workers that were forked for single calls of capturing functions; added when
    /// such a call has ended.
    pub fn closures(&self) -> &Tally {
        &self.closures
    }

    /// The sum of all counts. [`Pool::n_tasks`](super::Pool::n_tasks) counts the tasks of
    /// [`workers`](Stats::workers) alone.
    pub fn total(&self) -> Tally {
        let mut total = self.closures;
        for worker in &self.workers {
            total += *worker;
        }
        Tally { pid: None, ..total }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}  pid",
            "", "tasks", "panicked", "deaths", "retries", "retired", "respawns"
        )?;
        for (slot, worker) in self.workers.iter().enumerate() {
            worker.row(f, &format!("worker {slot}"))?;
        }
        self.closures.row(f, "closures")?;
        let total = self.total();
        total.row(f, "total")?;
        let deaths = DeathCause::ALL.map(|cause| (total.n_deaths_by(cause), cause));
        let deaths = deaths.iter().filter(|(n, _)| *n > 0);
        let deaths: Vec<String> = deaths.map(|(n, cause)| format!("{n} {cause}")).collect();
        match &deaths[..] {
            [] => f.write_str("no worker died"),
            deaths => write!(f, "deaths: {}", deaths.join(", ")),
        }
    }
}

/// The counts of one slot, or the sum over several.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    pub(super) pid: Option<i32>,
    counts: Counts,
}

impl Tally {
    /// The process in the slot now; `None` if the slot is empty, and for a sum.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// The number of finished tasks, including those that panicked.
    pub fn n_tasks(&self) -> u64 {
        self.count(Count::Tasks)
    }

    /// The number of tasks that panicked without ending their worker.
    pub fn n_panicked(&self) -> u64 {
        self.count(Count::Panicked)
    }

    /// The number of workers that died, whatever the cause. A worker that retires, or exits because
    /// its pool shrinks or ends, does not count.
    pub fn n_deaths(&self) -> u64 {
        let causes = DeathCause::ALL.into_iter();
        causes.map(|cause| self.n_deaths_by(cause)).sum()
    }

    /// The number of workers that died of one cause.
    pub fn n_deaths_by(&self, cause: DeathCause) -> u64 {
        self.count(Count::Deaths(cause))
    }

    /// The number of tasks that exceeded a limit: [`n_deaths_by`](Tally::n_deaths_by) that cause.
    pub fn n_timeouts(&self) -> u64 {
        self.n_deaths_by(DeathCause::TimedOut)
    }

    /// The number of retries of tasks on which this worker died
    /// ([`Builder::retries`](super::Builder::retries)).
    pub fn n_retries(&self) -> u64 {
        self.count(Count::Retries)
    }

    /// The number of workers that retired after their maximum number of tasks
    /// ([`Builder::max_tasks_per_worker`](super::Builder::max_tasks_per_worker)).
    pub fn n_retired(&self) -> u64 {
        self.count(Count::Retired)
    }

    /// The number of workers that were started to replace one that died or retired.
    pub fn n_respawns(&self) -> u64 {
        self.count(Count::Respawns)
    }

    fn count(&self, what: Count) -> u64 {
        self.counts[what.index()]
    }

    /// What has happened beside tasks: what a node's owner cannot count for itself.
    #[cfg(feature = "cluster")]
    pub(super) fn beside_tasks(&self) -> Counts {
        let mut counts = self.counts;
        for what in [Count::Tasks, Count::Panicked] {
            counts[what.index()] = 0;
        }
        counts
    }

    pub(super) fn add(&mut self, what: Count, n: u64) {
        self.counts[what.index()] += n;
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        write!(
            f,
            "{name:<12} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}",
            self.n_tasks(),
            self.n_panicked(),
            self.n_deaths(),
            self.n_retries(),
            self.n_retired(),
            self.n_respawns()
        )?;
        match self.pid {
            Some(pid) => writeln!(f, "  {pid}"),
            None => writeln!(f),
        }
    }
}

impl AddAssign for Tally {
    /// Adds the counts and keeps the process.
    fn add_assign(&mut self, other: Tally) {
        for (count, n) in self.counts.iter_mut().zip(other.counts) {
            *count += n;
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tally");
        shown.field("pid", &self.pid);
        shown.field("n_tasks", &self.n_tasks());
        shown.field("n_panicked", &self.n_panicked());
        for cause in DeathCause::ALL {
            if self.n_deaths_by(cause) > 0 {
                shown.field(&format!("{cause:?}"), &self.n_deaths_by(cause));
            }
        }
        shown.field("n_retries", &self.n_retries());
        shown.field("n_retired", &self.n_retired());
        shown.field("n_respawns", &self.n_respawns());
        shown.finish()
    }
}

/// The cause of a worker's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DeathCause {
    /// It exited before its task was done.
    Exited,
    /// It aborted: [`std::process::abort`], a panic that cannot unwind, a stack overflow.
    Aborted,
    /// Another signal killed it: `kill -9`, a segmentation fault.
    Killed,
    /// It [ran out of memory](crate::TaskError::is_out_of_memory), or found no room for its results
    /// in the memory that it shares with the owner.
    OutOfMemory,
    /// It was killed because its task exceeded a limit.
    TimedOut,
    /// Other code took its exit status, so the cause is unknown.
    Vanished,
    /// It ended before it was ready to run anything.
    FailedToStart,
}

impl DeathCause {
    const ALL: [DeathCause; 7] = [
        DeathCause::Exited,
        DeathCause::Aborted,
        DeathCause::Killed,
        DeathCause::OutOfMemory,
        DeathCause::TimedOut,
        DeathCause::Vanished,
        DeathCause::FailedToStart,
    ];

    pub(super) fn of(cause: &Cause) -> DeathCause {
        const ABORT: i32 = Signal::SIGABRT as i32;
        match cause {
            Cause::Exited { .. } => DeathCause::Exited,
            Cause::Aborted { .. } | Cause::Signalled { signal: ABORT } => DeathCause::Aborted,
            Cause::Signalled { .. } => DeathCause::Killed,
            Cause::OutOfMemory { .. } | Cause::KilledPerhapsForMemory { .. } | Cause::Encode(_) => {
                DeathCause::OutOfMemory
            }
            Cause::TimedOut { .. } => DeathCause::TimedOut,
            _ => DeathCause::Vanished,
        }
    }
}

impl fmt::Display for DeathCause {
    /// The cause of death as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeathCause::Exited => "exited",
            DeathCause::Aborted => "aborted",
            DeathCause::Killed => "killed by a signal",
            DeathCause::OutOfMemory => "out of memory",
            DeathCause::TimedOut => "timed out",
            DeathCause::Vanished => "vanished",
            DeathCause::FailedToStart => "failed to start",
        })
    }
}

/// An event to count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    Tasks,
    Panicked,
    Retries,
    Retired,
    Respawns,
    Deaths(DeathCause),
}

const N_COUNTS: usize = 5 + DeathCause::ALL.len();

/// How often each was counted, by [`Count::index`].
pub(super) type Counts = [u64; N_COUNTS];

impl Count {
    fn index(self) -> usize {
        match self {
            Count::Tasks => 0,
            Count::Panicked => 1,
            Count::Retries => 2,
            Count::Retired => 3,
            Count::Respawns => 4,
            Count::Deaths(cause) => 5 + cause as usize,
        }
    }
}

/// A tally that several processes or engines write: those of a pool's closures, or a node's relays,
/// one after the other. Relaxed, because it is only displayed.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct SharedTally([AtomicU64; N_COUNTS]);

impl SharedTally {
    pub(super) fn add(&self, tally: &Tally) {
        for (sum, n) in self.0.iter().zip(tally.counts) {
            sum.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> Tally {
        Tally {
            pid: None,
            counts: std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)),
        }
    }

    /// What was counted on a node since its relay began, beside what was before.
    #[cfg(feature = "cluster")]
    pub(super) fn set(&self, before: &Tally, since: &Counts) {
        for (index, sum) in self.0.iter().enumerate() {
            sum.store(before.counts[index] + since[index], Ordering::Relaxed);
        }
    }

    /// Resets the counts to 0 in a forked child: they are its parent's.
    pub(super) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Ordering::Relaxed);
        }
    }
}
