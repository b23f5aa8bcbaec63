//! What a pool and its workers are like.

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

/// What every worker of a pool is started with.
#[derive(Clone)]
pub(super) struct Settings {
    /// What the start method came to: never `Auto`.
    pub(super) method: StartMethod,
    /// Whether a fork server starts workers where this process cannot be forked any more.
    pub(super) is_auto: bool,
    pub(super) initializer: Option<Initializer>,
    /// After how many tasks a worker is replaced by a fresh one.
    pub(super) max_tasks: u64,
    /// How the items of a map are cut into chunks.
    pub(super) schedule: Schedule,
    /// How long a task may take.
    pub(super) timeout: Option<Duration>,
    /// How often a task whose worker died is tried again.
    pub(super) retries: u32,
    /// How much CPU time a task may use.
    pub(super) cpu_time_limit: Option<Duration>,
    /// Whether what a task has started ends with a worker that is killed.
    pub(super) kills_descendants: bool,
    pub(super) conditions: Conditions,
    /// What has happened to workers that were forked for one call.
    pub(super) closures: Arc<SharedTally>,
    /// What workers that are forked for one call inherit; `None` for those that live on.
    pub(super) local: Option<LocalCall>,
    /// The nodes that have the workers, if they are not this machine's.
    #[cfg(feature = "cluster")]
    pub(super) nodes: Option<Arc<Nodes>>,
}

impl Settings {
    /// The slots that one process holds, if it is one's that holds a given slot together with
    /// others: a relay.
    pub(super) fn slots_beside(&self, slot: usize) -> Option<Range<usize>> {
        #[cfg(feature = "cluster")]
        if let Some(nodes) = &self.nodes {
            return nodes.of_slot(slot).map(NodePlan::slots);
        }
        let _ = slot;
        None
    }

    /// Checks that workers that are forked from this process may run a call.
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

/// Checks how long a task may take, or how much CPU time it may use.
///
/// # Errors
/// `is_invalid_input()` for no time at all.
pub(super) fn check_limit(limit: Option<Duration>) -> Result<()> {
    match limit {
        Some(Duration::ZERO) => Err(Error::invalid_input(
            "no task ends within a limit of 0 s; give a longer one, or none",
        )),
        _ => Ok(()),
    }
}

/// What each worker runs first.
#[derive(Clone)]
pub(super) struct Initializer {
    /// What is captured may be one thread's alone, and so are the workers that are forked with it.
    pub(super) run: Arc<ThreadBound<Box<dyn Fn()>>>,
    /// The same for a worker that inherits nothing, or why there is none.
    pub(super) shipped: Result<ShippedInitializer, fn() -> String>,
}

impl Initializer {
    /// What a worker that inherits nothing is to run.
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

/// How a non-capturing initialiser is called; false if it panicked.
pub(super) type ShippedInitializer = extern "C" fn() -> bool;

/// What a worker that was forked for one call runs: the function and where its state is.
#[derive(Clone, Copy)]
pub(super) struct LocalCall {
    pub(super) run: unsafe fn(*const (), &mut Work<'_, Shm>),
    pub(super) call: *const (),
}

// SAFETY: the pointer is followed in forked workers alone, each of which has a copy of what it
// leads to and one thread.
unsafe impl Send for LocalCall {}
// SAFETY: as above.
unsafe impl Sync for LocalCall {}

/// How a pool starts its workers. The same functions can be mapped over workers of each kind,
/// because functions travel by their offset in their shared object.
///
/// | | what a worker is | may the process have threads? | pool of 2 to first result |
/// | --- | --- | --- | --- |
/// | `Auto` | `Fork` while this process has one thread, `Forkserver` otherwise | yes | that of the one it comes to |
/// | `Fork` | a copy of this process as it is now | no | 0.25 ms; 12 ms if it has touched 256 MiB |
/// | `Forkserver` | a copy of a server that was started with the pool | yes | 1.2 ms, whatever it has touched |
/// | `Spawn` | the same program, started afresh by such a server | yes | 2.2 ms, whatever it has touched |
///
/// (Medians of `cargo bench --bench starts` on a virtual machine with two processors. One worker
/// more costs a server 0.4 ms, a spawn 1 ms. A server takes half a millisecond less in a program
/// that begins with [`init`](crate::init).) Workers do not depend on the thread that made the
/// pool: it may end before the pool does.
///
/// With `Forkserver` and `Spawn`, workers inherit nothing from this process: no variables, no open
/// files but the standard ones. Initialisers and functions must be non-capturing; a closure
/// that captures is run by workers that are forked from this process for that call, which needs one
/// thread as ever. The program's own code before and in `main` does not run in such workers.
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
    /// otherwise. [`Pool::start_method`](crate::Pool::start_method) says what it came to.
    ///
    /// A pool that came to `Fork` lives on when the process starts threads. Workers that it needs
    /// from then on, because one died or the pool grows, come from a fork server: they inherit
    /// nothing, and an initialiser that has captured something cannot be sent to them. A call that
    /// finds no worker at all then has an error that says so.
    #[default]
    Auto,
    /// Forks this process: fastest, and workers have all that it has when they are forked. That
    /// includes its open files: make a pool before pipes to other programs, listeners and file
    /// locks, which its idle workers would hold open, or use another method
    /// ([Fork safety](crate#fork-safety-what-a-worker-has-of-its-parent)).
    Fork,
    /// A fresh process of the same program, which has one thread and little memory, forks workers
    /// when it is asked to.
    Forkserver,
    /// Each worker is a fresh process of the same program, which a server as that of `Forkserver`
    /// starts: its environment and working directory are those of when the pool was made.
    Spawn,
}
