//! What a pool is like: chosen before it is made.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::caught;
use crate::cpus::cpu_count;
use crate::error::{Error, Result};
use crate::sys::ThreadBound;

use super::Pool;
use super::call::callable::{is_non_capturing, why_not_shipped};
use super::call::shared::Shared;
use super::plan::Schedule;
use super::settings::{Initializer, Settings, StartMethod, check_limit};
use super::workers::conditions::Conditions;
use super::workers::start;

/// Chooses what a [`Pool`] is like.
#[derive(Default)]
#[must_use = "a builder makes a pool only when `build` is called"]
pub struct Builder {
    n_workers: Option<usize>,
    method: StartMethod,
    initializer: Option<Initializer>,
    max_tasks: Option<u64>,
    schedule: Schedule,
    timeout: Option<Duration>,
    retries: u32,
    cpu_time_limit: Option<Duration>,
    kills_descendants: bool,
    conditions: Conditions,
}

impl Builder {
    /// The number of workers; without it, one for each processor that this process may use.
    pub fn workers(mut self, n: usize) -> Builder {
        self.n_workers = Some(n);
        self
    }

    /// How workers are started: by a fork of this process while it has one thread, and by a fork
    /// server otherwise, unless something else is said.
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.method = method;
        self
    }

    /// What each worker runs once when it starts, also one that replaces another. For workers that
    /// are not forked from this process, it must be non-capturing, and the function itself: not a
    /// pointer to one.
    pub fn initializer<F: Fn() + 'static>(mut self, f: F) -> Builder {
        self.initializer = Some(Initializer {
            run: Arc::new(ThreadBound::new(Box::new(f))),
            shipped: if is_non_capturing::<F>() {
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

    /// How long one task may take; [`Pool::timeout`] limits the tasks of one call. A worker that is
    /// at one for longer is killed and replaced, also when it hangs in a system call or was stopped
    /// (`SIGSTOP`); the task's error [`is_timed_out()`](crate::TaskError::is_timed_out) and names
    /// the item and the process. All other results arrive. Without a limit, a map waits.
    ///
    /// The limit counts for each task, not for the whole map, and is enforced while the owner
    /// waits: in `map` and its like, in `imap`'s `next`, in [`Pending`](super::Pending)'s `ready`,
    /// `wait` and `get`, in `join`. No thread keeps time, so a pending result that is not asked for
    /// may take as long as it likes. A task is ended within an eighth of the limit (at least 1 ms)
    /// after it. Time in which the waiting process itself was stopped (Ctrl-Z, a debugger) is not
    /// counted. The
    /// [initialiser](Builder::initializer) has the same limit, but at least 1 s.
    ///
    /// What ends is the worker. Programs that its task had started (`Command`) go on, without a
    /// parent that waits for them, unless the pool [kills them too](Builder::kill_descendants).
    ///
    /// A process that gives up its privileges after it has made a pool may not end workers that
    /// kept theirs. A task over its limit is an error then as well, and the pool is closed.
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

    /// How much CPU time one task may use, its threads' together. Everything that
    /// [`timeout`](Builder::timeout) says holds for this limit, too, but for the clock: a task that
    /// sleeps or waits does not use it up, and neither does a busy machine. What a task's child
    /// processes use does not count.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use std::time::Duration;
    ///
    /// let limit = Duration::from_millis(50);
    /// let pool = forklore::Pool::builder().workers(2).cpu_time_limit(limit).build()?;
    /// let results = pool.try_map(|x: u32| while x == 1 { std::hint::spin_loop() }, 0..3);
    /// assert!(results[1].as_ref().is_err_and(|error| error.is_timed_out()));
    /// assert_eq!(results[2], Ok(()));
    /// # Ok(()) }
    /// ```
    pub fn cpu_time_limit(mut self, limit: Duration) -> Builder {
        self.cpu_time_limit = Some(limit);
        self
    }

    /// How much private memory a worker may have, in bytes: what it writes to and shares with no
    /// other process (`RLIMIT_DATA`, getrlimit(2)). What it inherits by fork counts; the pool's
    /// shared memory and the stack do not.
    ///
    /// A task that is refused memory under this limit aborts its worker, as Rust programs do; its
    /// error [`is_out_of_memory()`](crate::TaskError::is_out_of_memory), and the worker is
    /// replaced. A task that asks first (`Vec::try_reserve`) can go on without. A worker that has
    /// more than this when it starts is an error of the first call, which says how much it has.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::builder().workers(2).memory_limit(256 << 20).build()?;
    /// let results = pool.try_map(|n: usize| vec![1_u8; n].len(), [1000, 1 << 30]);
    /// assert_eq!(results[0], Ok(1000));
    /// assert!(results[1].as_ref().is_err_and(|error| error.is_out_of_memory()));
    /// # Ok(()) }
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Builder {
        self.conditions.memory_limit = Some(bytes);
        self
    }

    /// Adds to the niceness of the workers, up to 19: the higher it is, the less they disturb what
    /// else runs here. Lowering it takes a privilege.
    pub fn nice(mut self, n: i32) -> Builder {
        self.conditions.niceness = n;
        self
    }

    /// Sets a variable in the workers' environment, on top of what they have from this process.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::builder().workers(2).environment("OMP_NUM_THREADS", "1").build()?;
    /// let n_threads = pool.apply(|name: String| std::env::var(name).unwrap(), "OMP_NUM_THREADS".into());
    /// assert_eq!(n_threads, "1");
    /// # Ok(()) }
    /// ```
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Builder {
        self.conditions
            .environment
            .push((name.into(), value.into()));
        self
    }

    /// The folder in which the workers start; without it, this process's own.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.conditions.current_dir = Some(folder.into().into_os_string());
        self
    }

    /// Whether a worker that is killed, because its task is over a limit or the pool is
    /// [terminated](Pool::terminate), takes with it all processes that its tasks have started, and
    /// that those have started. Without this they go on.
    ///
    /// Processes whose parents have ended become the worker's children (`PR_SET_CHILD_SUBREAPER`,
    /// prctl(2)), so a task cannot hide one; as zombies they stay until the worker ends.
    pub fn kill_descendants(mut self, kill: bool) -> Builder {
        self.kills_descendants = kill;
        self.conditions.adopts_orphans = kill;
        self
    }

    /// How often a task is tried again whose worker died; without this, never, because the pool
    /// cannot know what it had done before.
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
    /// As [`Pool::new`] and [`Pool::with_workers`]; `is_multi_threaded()` if this process has
    /// several threads and the method is [`StartMethod::Fork`]; and `is_invalid_input()` if a
    /// worker is to run 0 tasks, a task may take no time, the initialiser cannot travel, a
    /// variable's name cannot be one, or the folder is none. A limit that a worker cannot start
    /// under, or a niceness that it may not have, is an error of the first call, which names it.
    pub fn build(self) -> Result<Pool> {
        let n_workers = self.n_workers.unwrap_or_else(cpu_count);
        Ok(Pool {
            shared: Shared::start(self.settings()?, n_workers, None)?,
        })
    }

    /// What the pool is like.
    ///
    /// # Errors
    /// As [`build`](Builder::build), but for what starting workers may bring.
    pub(super) fn settings(self) -> Result<Settings> {
        if self.max_tasks == Some(0) {
            return Err(Error::invalid_input(
                "a worker that makes room after 0 tasks never runs one; give at least 1",
            ));
        }
        check_limit(self.timeout)?;
        check_limit(self.cpu_time_limit)?;
        self.conditions.check()?;
        let method = start::settle(self.method, self.initializer.as_ref());
        if method != StartMethod::Fork
            && let Some(initializer) = &self.initializer
        {
            let advice = match self.method {
                StartMethod::Auto => "make the pool before the first thread",
                _ => "use StartMethod::Fork",
            };
            initializer.to_ship(advice)?;
        }
        Ok(Settings {
            method,
            is_auto: self.method == StartMethod::Auto,
            initializer: self.initializer,
            max_tasks: self.max_tasks.unwrap_or(u64::MAX),
            schedule: self.schedule.checked()?,
            timeout: self.timeout,
            retries: self.retries,
            cpu_time_limit: self.cpu_time_limit,
            kills_descendants: self.kills_descendants,
            conditions: self.conditions,
            closures: Arc::default(),
            local: None,
            #[cfg(feature = "cluster")]
            nodes: None,
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
