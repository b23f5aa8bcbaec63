//! What a pool is like: chosen before it is made.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use crate::caught;
use crate::cpus::cpu_count;
use crate::error::{Error, Result};

use super::Pool;
use super::call::callable::why_not_shipped;
use super::call::flight::Shared;
use super::plan::Schedule;
use super::settings::{Initializer, Settings, StartMethod};

/// Chooses what a [`Pool`] is like.
#[derive(Default)]
pub struct Builder {
    n_workers: Option<usize>,
    method: StartMethod,
    initializer: Option<Initializer>,
    max_tasks: Option<u64>,
    schedule: Schedule,
    timeout: Option<Duration>,
    retries: u32,
}

impl Builder {
    /// The number of workers; without it, one for each processor that this process may use.
    pub fn workers(mut self, n: usize) -> Builder {
        self.n_workers = Some(n);
        self
    }

    /// How workers are started: by a fork of this process, unless something else is said.
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.method = method;
        self
    }

    /// What each worker runs once when it starts, also one that replaces another. For workers that
    /// are not forked from this process, it must be non-capturing, and the function itself: not a pointer to one.
    pub fn initializer<F: Fn() + 'static>(mut self, f: F) -> Builder {
        self.initializer = Some(Initializer {
            run: Rc::new(f),
            shipped: if size_of::<F>() == 0 {
                Ok(run_shipped::<F>)
            } else {
                Err(why_not_shipped::<F>)
            },
        });
        self
    }

    /// How the items of each map are cut into chunks; the pool's own choice without it.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use forklore::{Pool, Schedule};
    ///
    /// let pool = Pool::builder().workers(2).schedule(Schedule::Static).build()?;
    /// let traced = pool.map_traced(|x: u64| x, 0..100);
    /// let n_chunks: usize = traced.trace.workers().iter().map(|worker| worker.spans().len()).sum();
    /// assert_eq!(n_chunks, 2);
    /// # Ok(()) }
    /// ```
    pub fn schedule(mut self, schedule: Schedule) -> Builder {
        self.schedule = schedule;
        self
    }

    /// After how many tasks a worker is replaced by a fresh one, which gives back whatever the old
    /// one had leaked. It finishes the chunk that it is at, so it may run a few more.
    pub fn max_tasks_per_worker(mut self, n: usize) -> Builder {
        self.max_tasks = Some(n as u64);
        self
    }

    /// How long one task may take. A worker that is at one for longer is killed and replaced, also
    /// when it hangs in a system call or was stopped (`SIGSTOP`); the task's error
    /// [`is_timed_out()`](crate::TaskError::is_timed_out) and names the item and the process. All
    /// other results arrive. Without a limit, a map waits.
    ///
    /// The limit counts for each task, not for the whole map, and is enforced while the owner waits:
    /// in `map` and its like, in `imap`'s `next`, in [`Pending`](super::Pending)'s `ready`, `wait` and
    /// `get`, in `join`. No thread keeps time, so a pending result that is not asked for may take as
    /// long as it likes. A task is ended within an eighth of the limit (at least 1 ms) after it. Time in which the
    /// waiting process itself was stopped (Ctrl-Z, a debugger) is not counted. The
    /// [initialiser](Builder::initializer) has the same limit, but at least 1 s.
    ///
    /// What ends is the worker. Programs that its task had started (`Command`) go on, without a parent that
    /// waits for them. To have them ended too, let the task set `PR_SET_PDEATHSIG` in them (`pre_exec`, prctl(2)).
    ///
    /// A process that gives up its privileges after it has made a pool may not end workers that kept theirs.
    /// A task over its limit is an error then as well, and the pool is closed.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use std::time::Duration;
    ///
    /// let pool = forklore::Pool::builder().workers(2).timeout(Duration::from_millis(50)).build()?;
    /// let results = pool.try_map(|x: u32| if x == 1 { loop { std::thread::park() } } else { x }, 0..3);
    /// assert!(results[1].as_ref().is_err_and(|error| error.is_timed_out()));
    /// assert_eq!(results[2], Ok(2));
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Builder {
        self.timeout = Some(limit);
        self
    }

    /// How often a task is tried again whose worker died; without this, never, because the pool cannot know
    /// what it had done before.
    ///
    /// A panic is a result and not tried again, and neither is a task that took too long.
    /// [`TaskError::tries`](crate::TaskError::tries) says how often a task was tried in vain.
    pub fn retries(mut self, n: u32) -> Builder {
        self.retries = n;
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    /// As [`Pool::new`] and [`Pool::with_workers`], but several threads are an error only for
    /// [`StartMethod::Fork`]; and `is_invalid_input()` if a worker is to run 0 tasks, a task may take no
    /// time, or the initialiser cannot travel.
    pub fn build(self) -> Result<Pool> {
        if self.max_tasks == Some(0) {
            return Err(Error::invalid_input(
                "a worker that makes room after 0 tasks never runs one; give at least 1",
            ));
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(Error::invalid_input(
                "no task ends within a limit of 0 s; give a longer one, or none",
            ));
        }
        if self.method != StartMethod::Fork
            && let Some(Initializer {
                shipped: Err(why), ..
            }) = &self.initializer
        {
            return Err(Error::invalid_input(format!(
                "the pool's initializer cannot be sent to workers that are not forked from this process: {}; give a \
                 function or a non-capturing closure, or use StartMethod::Fork",
                why()
            )));
        }
        let settings = Settings {
            n_workers: Cell::new(self.n_workers.unwrap_or_else(cpu_count)),
            method: self.method,
            initializer: self.initializer,
            max_tasks: self.max_tasks.unwrap_or(u64::MAX),
            schedule: self.schedule.checked()?,
            timeout: self.timeout,
            retries: self.retries,
            local: None,
        };
        Ok(Pool {
            shared: Shared::start(settings, None)?,
        })
    }
}

/// Runs a non-capturing initialiser, in a process that knows only this function's symbol.
extern "C" fn run_shipped<F: Fn()>() -> bool {
    // SAFETY: a type without size has no state to be invalid, and the builder held such a value.
    let f: &F = unsafe { NonNull::dangling().as_ref() };
    caught::run(f).is_ok()
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.n_workers)
            .finish_non_exhaustive()
    }
}
