//! The settings of a pool and its workers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::ThreadBound;

use super::call::work::Work;
#[cfg(feature = "cluster")]
use super::nodes::{NodePlan, Nodes};
use super::plan::Schedule;
use super::shm::desk::Shm;
use super::stats::SharedTally;
use super::workers::conditions::Conditions;

/// The settings that every worker of a pool starts with.
#[derive(Clone)]
pub(super) struct Settings {
    /// The resolved start method: never `Auto`.
    pub(super) method: StartMethod,
    /// Whether a fork server starts workers where this process cannot be forked any more.
    pub(super) is_auto: bool,
    pub(super) initializer: Option<Initializer>,
    /// The number of tasks after which a worker is replaced by a fresh one.
    pub(super) max_tasks: u64,
    /// How the items of a map are cut into chunks.
    pub(super) schedule: Schedule,
    /// The time limit of a task.
    pub(super) timeout: Option<Duration>,
    /// How often a task is retried if its worker died.
    pub(super) retries: u32,
    /// The CPU-time limit of a task.
    pub(super) cpu_time_limit: Option<Duration>,
    /// Whether the descendants of a killed worker are killed with it.
    pub(super) kills_descendants: bool,
    pub(super) conditions: Conditions,
    /// The counts of workers that were forked for one call.
    pub(super) closures: Arc<SharedTally>,
    /// What workers that are forked for one call inherit; `None` for persistent workers.
    pub(super) local: Option<LocalCall>,
    /// The nodes that have the workers, if they are not this machine's.
    #[cfg(feature = "cluster")]
    pub(super) nodes: Option<Arc<Nodes>>,
}

impl Settings {
    /// The slots of the relay that holds this slot together with others, if there is one.
    pub(super) fn slots_beside(&self, slot: usize) -> Option<Range<usize>> {
        #[cfg(feature = "cluster")]
        if let Some(nodes) = &self.nodes {
            return nodes.of_slot(slot).map(NodePlan::slots);
        }
        let _ = slot;
        None
    }

    /// Checks that workers forked from this process may run a call.
    ///
    /// # Errors
    /// `is_invalid_input()` on a cluster, with the reason why no other worker can.
    pub(super) fn check_may_fork(&self, why_not_shipped: fn() -> String) -> Result<()> {
        match self.slots_beside(0) {
            None => Ok(()),
            Some(_) => Err(Error::invalid_input(format!(
                "{}, and other nodes do not inherit that; pass what the function needs beside its \
                 argument as a context: cluster.map_with(&context, |context, item| …, items)",
                why_not_shipped()
            ))),
        }
    }

    /// The nodes, encoded.
    pub(super) fn encoded_nodes(&self) -> Result<Option<Vec<u8>>> {
        #[cfg(feature = "cluster")]
        if let Some(nodes) = &self.nodes {
            let mut bytes = Vec::new();
            crate::wire::encode(&**nodes, &mut bytes)?;
            return Ok(Some(bytes));
        }
        Ok(None)
    }
}

/// Checks a limit of a task's time or CPU time.
///
/// # Errors
/// `is_invalid_input()` for a limit of 0.
pub(super) fn check_limit(limit: Option<Duration>) -> Result<()> {
    match limit {
        Some(Duration::ZERO) => Err(Error::invalid_input(
            "no task ends within a limit of 0 s; give a longer one, or none",
        )),
        _ => Ok(()),
    }
}

/// A function that each worker runs first.
#[derive(Clone)]
pub(super) struct Initializer {
    /// The captured state may belong to one thread alone; workers forked with it then do, too.
    pub(super) run: Arc<ThreadBound<Box<dyn Fn()>>>,
    /// The same for a worker that inherits nothing, or why it cannot be sent.
    pub(super) shipped: Result<ShippedInitializer, fn() -> String>,
}

impl Initializer {
    /// What a worker that inherits nothing runs.
    ///
    /// # Errors
    /// `is_invalid_input()`, which says why there is none, and ends with the `advice`.
    pub(super) fn to_ship(&self, advice: &str) -> Result<ShippedInitializer> {
        self.shipped.map_err(|why| {
            Error::invalid_input(format!(
                "the pool's initializer cannot be sent to workers that are not forked from this \
                 process: {}; give a function or a non-capturing closure, or {advice}",
                why()
            ))
        })
    }
}

/// Calls a non-capturing initialiser; false if it panicked.
pub(super) type ShippedInitializer = extern "C" fn() -> bool;

/// What a worker that was forked for one call runs: the function and a pointer to its state.
#[derive(Clone, Copy)]
pub(super) struct LocalCall {
    pub(super) run: unsafe fn(*const (), &mut Work<'_, Shm>),
    pub(super) call: *const (),
}

// SAFETY: only forked workers follow the pointer; each of them has a copy of its target and one
// thread.
unsafe impl Send for LocalCall {}
// SAFETY: as above.
unsafe impl Sync for LocalCall {}

/// How a pool starts its workers. The same functions can be mapped over workers of each kind,
/// because functions travel by their offset in their shared object.
///
/// | | a worker is | may the process have threads? | pool of 2 to first result |
/// | --- | --- | --- | --- |
/// | `Auto` | `Fork` while this process has one thread, `Forkserver` otherwise | yes | as the method it resolves to |
/// | `Fork` | a copy of this process as it is now | no | 0.25 ms; 12 ms if it has touched 256 MiB |
/// | `Forkserver` | a copy of a server that was started with the pool | yes | 1.2 ms, whatever it has touched |
/// | `Spawn` | the same program, started afresh by such a server | yes | 2.2 ms, whatever it has touched |
///
/// (Medians of `cargo bench --bench starts` on a virtual machine with two CPUs. Each further worker
/// costs a server 0.4 ms, a spawn 1 ms. A server takes half a millisecond less in a program that
/// begins with [`init`](crate::init).) Workers do not depend on the thread that made the pool: it
/// may end before the pool does.
///
/// With `Forkserver` and `Spawn`, workers inherit nothing from this process: no variables, no open
/// files but the standard ones. Initialisers and functions must be non-capturing; a capturing
/// closure runs in workers that are forked from this process for that call, which, as always,
/// requires one thread. The program's own code before and in `main` does not run in such workers.
/// They need Linux 3.17 and glibc 2.29.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Pool, StartMethod};
///
/// let pool = Pool::with_workers(2)?;
/// assert_eq!(pool.start_method(), StartMethod::Fork);
/// let thread = std::thread::spawn(std::thread::park); // a second thread: no fork from here
/// let pool = Pool::with_workers(2)?;
/// assert_eq!(pool.start_method(), StartMethod::Forkserver);
/// assert_eq!(pool.map(|x: u64| x.pow(2), 0..4), [0, 1, 4, 9]);
/// # thread.thread().unpark();
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StartMethod {
    /// Decided when the pool is made: `Fork` while this process has one thread, `Forkserver`
    /// otherwise. [`Pool::start_method`](crate::Pool::start_method) returns which.
    ///
    /// A pool that resolved to `Fork` keeps working when the process starts threads. Workers that
    /// it needs from then on, because one died or the pool grows, come from a fork server: they
    /// inherit nothing, and a capturing initialiser cannot be sent to them. If no worker can be
    /// started at all, a call returns an error that says so.
    #[default]
    Auto,
    /// Forks this process: fastest, and workers have everything that it has at the fork. That
    /// includes its open files: make a pool before pipes to other programs, listeners and file
    /// locks, which idle workers would hold open, or use another method
    /// ([Fork safety](crate#fork-safety-what-a-worker-has-of-its-parent)).
    Fork,
    /// A fresh process of the same program, with one thread and little memory, forks the workers.
    Forkserver,
    /// Each worker is a fresh process of the same program, started by a server as for `Forkserver`:
    /// its environment and working directory are those from when the pool was made.
    Spawn,
}
