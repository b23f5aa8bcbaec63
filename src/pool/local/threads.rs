//! The same map on threads, which share memory and need no encoding.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::cpus::cpu_count;
use crate::error::{Error, Outcome, Result};
use crate::sys::{child, process_id};

use super::diary::{Diary, lock};
use super::within::{self, Hands, Pause};
use crate::pool::blocks::Blocks;
use crate::pool::map::{impl_map, own_methods};
use crate::pool::plan::Schedule;

/// A pool of threads (rayon's) behind the interface of [`Pool`](crate::pool::Pool).
///
/// Threads share memory: nothing is encoded, and nothing protects one task from another that
/// aborts. While it exists the process has threads, so it cannot be forked; dropping the pool ends
/// them.
///
/// # Fork safety
/// In a process that did not make it (for example after a notebook cell was rolled back), it starts
/// new threads on its next use.
///
/// # Example
/// ```
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::ThreadPool::with_workers(2)?;
/// assert_eq!(pool.map(|x: u32| x + 1, 0..3), [1, 2, 3]);
/// # Ok(()) }
/// ```
pub struct ThreadPool {
    threads: Mutex<Threads>,
    n_workers: usize,
    schedule: Schedule,
}

/// Configures a [`ThreadPool`] before building it.
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "a builder makes a pool only when `build` is called"]
pub struct ThreadPoolBuilder {
    n_workers: Option<usize>,
    schedule: Schedule,
}

/// Running threads, and the process that has them.
struct Threads {
    hands: Arc<dyn Hands + Send + Sync>,
    owner: u32,
    n_threads_before: usize,
}

impl Hands for rayon::ThreadPool {
    fn work(&self, n: usize, work: &(dyn Fn(Pause<'_>) + Sync)) {
        let threads = (0..n).into_par_iter().with_max_len(1);
        self.install(|| threads.for_each(|_| work(&mut || ())));
    }
}

own_methods!(ThreadPool, function: [Sync], values: [Send]);
impl_map!(ThreadPool, imap);

impl ThreadPool {
    /// A pool with one thread for each CPU that this process may use ([`cpu_count`]).
    ///
    /// # Errors
    /// `is_os()` if the threads cannot be started.
    pub fn new() -> Result<ThreadPool> {
        ThreadPool::with_workers(cpu_count())
    }

    /// A pool with `n` threads.
    ///
    /// # Errors
    /// As [`new`](ThreadPool::new), and `is_invalid_input()` if `n` is 0.
    pub fn with_workers(n: usize) -> Result<ThreadPool> {
        ThreadPool::builder().workers(n).build()
    }

    /// Configures a pool before building it.
    ///
    /// # Example
    /// ```
    /// # fn main() -> forklore::Result<()> {
    /// use forklore::{Schedule, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().workers(2).schedule(Schedule::Static).build()?;
    /// let traced = pool.map_traced(|x: u64| x, 0..100);
    /// let n_chunks: usize = traced.trace.workers().iter().map(|worker| worker.spans().len()).sum();
    /// assert!(n_chunks <= 2);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::default()
    }

    /// The number of threads.
    pub fn workers(&self) -> usize {
        self.n_workers
    }

    /// As [`map`](ThreadPool::map), lazily and block by block: arguments are taken, and tasks run,
    /// only a little ahead of the results that are taken. Blocks grow for as long as they run
    /// quickly.
    ///
    /// # Panics
    /// When the next result is that of a task that panicked.
    #[track_caller]
    pub fn imap<F, I, A, R>(&self, f: F, args: I) -> impl Iterator<Item = R> + use<'_, F, I, A, R>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        let n_first = self.n_workers;
        Blocks::new(f, args.into_iter(), n_first, |f, block| {
            self.try_map(f, block)
        })
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    fn run<F, I, A, R>(
        &self,
        f: &F,
        args: I,
        schedule: Schedule,
        diary: &mut Diary,
    ) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        within::run(&*self.hands(), self.n_workers, schedule, f, args, diary)
    }

    /// This process's threads.
    ///
    /// # Panics
    /// If another process made the pool and this one cannot start threads.
    fn hands(&self) -> Arc<dyn Hands + Send + Sync> {
        let mut threads = lock(&self.threads);
        if threads.owner != process_id() {
            let ours = match Threads::start(self.n_workers) {
                Ok(ours) => ours,
                Err(error) => panic!("{error}"),
            };
            // The other process's threads do not exist here, so dropping them would wait forever.
            std::mem::forget(std::mem::replace(&mut *threads, ours));
        }
        Arc::clone(&threads.hands)
    }
}

impl ThreadPoolBuilder {
    /// Sets the number of threads; the default is one for each CPU that this process may use.
    pub fn workers(mut self, n: usize) -> ThreadPoolBuilder {
        self.n_workers = Some(n);
        self
    }

    /// Sets how the items of each map are cut into chunks; by default the pool chooses.
    pub fn schedule(mut self, schedule: Schedule) -> ThreadPoolBuilder {
        self.schedule = schedule;
        self
    }

    /// Makes the pool and starts its threads.
    ///
    /// # Errors
    /// As [`ThreadPool::new`] and [`ThreadPool::with_workers`].
    pub fn build(self) -> Result<ThreadPool> {
        let n_workers = self.n_workers.unwrap_or_else(cpu_count);
        if n_workers == 0 {
            return Err(Error::invalid_input(
                "a pool of 0 threads would never run anything; give at least 1",
            ));
        }
        Ok(ThreadPool {
            schedule: self.schedule.checked()?,
            threads: Mutex::new(Threads::start(n_workers)?),
            n_workers,
        })
    }
}

impl Threads {
    fn start(n: usize) -> Result<Threads> {
        let n_threads_before = child::n_threads();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .map_err(|error| Error::os("cannot start threads", std::io::Error::other(error)))?;
        Ok(Threads {
            hands: Arc::new(pool),
            owner: process_id(),
            n_threads_before,
        })
    }
}

impl Drop for ThreadPool {
    /// Ends the threads and waits for them, so that the process can fork again.
    fn drop(&mut self) {
        let threads = self
            .threads
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let hands = std::mem::replace(&mut threads.hands, Arc::new(Ended));
        if threads.owner != process_id() {
            std::mem::forget(hands);
            return;
        }
        drop(hands);
        // rayon asks its threads to exit and does not wait for them.
        let deadline = Instant::now() + Duration::from_secs(1);
        while child::n_threads() > threads.n_threads_before && Instant::now() < deadline {
            thread::yield_now();
        }
    }
}

/// Stands in for threads that were asked to exit.
struct Ended;

impl Hands for Ended {
    fn work(&self, _n: usize, work: &(dyn Fn(Pause<'_>) + Sync)) {
        work(&mut || ());
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("workers", &self.n_workers)
            .finish_non_exhaustive()
    }
}
