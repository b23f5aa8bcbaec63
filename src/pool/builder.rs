//! A pool's configuration.

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

/// Configures a [`Pool`] before building it.
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
    /// Sets the number of workers; the default is one for each CPU that this process may use.
    pub fn workers(mut self, n: usize) -> Builder {
        self.n_workers = Some(n);
        self
    }

    /// Sets how workers are started; by default, by a fork of this process while it has one thread,
    /// and by a fork server otherwise.
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.method = method;
        self
    }

    /// Sets a function that each worker runs once when it starts, including a worker that replaces
    /// another. For workers that are not forked from this process, it must be non-capturing, and
    /// the function itself, not a function pointer.
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

    /// Sets how the items of each map are cut into chunks; by default the pool chooses.
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

    /// Replaces each worker with a fresh one after this many tasks, which frees whatever the old
    /// one leaked. A worker finishes its current chunk first, so it may run a few more.
    pub fn max_tasks_per_worker(mut self, n: usize) -> Builder {
        self.max_tasks = Some(n as u64);
        self
    }

    /// Limits the time of each task; [`Pool::timeout`] limits the tasks of one call. A worker whose
    /// task takes longer is killed and replaced, even if it hangs in a system call or was stopped
    /// (`SIGSTOP`); the task's error [`is_timed_out()`](crate::TaskError::is_timed_out) and names
    /// the item and the process. All other results arrive. Without a limit, a map waits.
    ///
    /// The limit applies to each task, not to the whole map, and is enforced while the owner waits:
    /// in `map` and the like, in `imap`'s `next`, in [`Pending`](super::Pending)'s `ready`, `wait`
    /// and `get`, in `join`. There is no timer thread, so a pending result has no limit while
    /// nothing waits for it. A worker is killed at most an eighth of the limit (at least 1 ms)
    /// after the limit passes. Time in which the waiting process itself was stopped (Ctrl-Z, a
    /// debugger) does not count. The [initialiser](Builder::initializer) has the same limit, but at
    /// least 1 s.
    ///
    /// Only the worker is killed. Programs that its task started (`Command`) keep running, without
    /// a parent that waits for them, unless the pool [kills them too](Builder::kill_descendants).
    ///
    /// A process that gives up its privileges after it has made a pool may not kill workers that
    /// kept theirs. Then a task over its limit is still an error, and the pool is closed.
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

    /// Limits the CPU time of each task, summed over its threads. Everything that
    /// [`timeout`](Builder::timeout) says also holds for this limit, except the clock: a task that
    /// sleeps or waits does not use it up, and neither does a busy machine. CPU time of a task's
    /// child processes does not count.
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

    /// Limits the private memory of a worker, in bytes: memory that it can write to and shares with
    /// no other process (`RLIMIT_DATA`, getrlimit(2)). Memory that it inherits by fork counts; the
    /// pool's shared memory and the stack do not.
    ///
    /// A task that is refused memory under this limit aborts its worker, as Rust programs do; its
    /// error [`is_out_of_memory()`](crate::TaskError::is_out_of_memory), and the worker is
    /// replaced. A task that checks first (`Vec::try_reserve`) can continue without. If a worker
    /// already has more than this when it starts, the first call returns an error that says how
    /// much.
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

    /// Adds to the niceness of the workers, up to 19: the higher it is, the less they disturb other
    /// programs. Lowering it takes a privilege.
    pub fn nice(mut self, n: i32) -> Builder {
        self.conditions.niceness = n;
        self
    }

    /// Sets a variable in the workers' environment, in addition to those that they inherit from
    /// this process.
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

    /// Sets the folder in which the workers start; the default is this process's own.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.conditions.current_dir = Some(folder.into().into_os_string());
        self
    }

    /// Sets whether all descendants of a worker (the processes that its tasks started, and those
    /// that they started) are killed with it when its task is over a limit or the pool is
    /// [terminated](Pool::terminate). By default they keep running.
    ///
    /// Processes whose parents have ended become the worker's children (`PR_SET_CHILD_SUBREAPER`,
    /// prctl(2)), so a task cannot hide one; as zombies they stay until the worker ends.
    pub fn kill_descendants(mut self, kill: bool) -> Builder {
        self.kills_descendants = kill;
        self.conditions.adopts_orphans = kill;
        self
    }

    /// Sets how often a task is retried if its worker died. The default is never, because the pool
    /// cannot know what the task had already done.
    ///
    /// A panic is a result and is not retried, and neither is a task that took too long.
    /// [`TaskError::tries`](crate::TaskError::tries) says how often a failed task was tried.
    pub fn retries(mut self, n: u32) -> Builder {
        self.retries = n;
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    /// As [`Pool::new`] and [`Pool::with_workers`]; `is_multi_threaded()` if this process has
    /// several threads and the method is [`StartMethod::Fork`]; and `is_invalid_input()` if
    /// `max_tasks_per_worker` is 0, a time limit is 0, the initialiser cannot be sent, a variable's
    /// name is invalid, or the folder is not a folder. If a worker cannot start under a limit, or
    /// may not have its niceness, the first call returns an error that names it.
    pub fn build(self) -> Result<Pool> {
        let n_workers = self.n_workers.unwrap_or_else(cpu_count);
        Ok(Pool {
            shared: Shared::start(self.settings()?, n_workers, None)?,
        })
    }

    /// The pool's settings.
    ///
    /// # Errors
    /// As [`build`](Builder::build), except for errors from starting workers.
    pub(super) fn settings(self) -> Result<Settings> {
        if self.max_tasks == Some(0) {
            return Err(Error::invalid_input(
                "a worker that retires after 0 tasks never runs one; give at least 1",
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
    // SAFETY: a zero-sized type has no state that could be invalid, and the builder held such a
    // value.
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
