//! The same map on threads, which share memory and need no bytes in between.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::cpus::cpu_count;
use crate::error::{Error, Outcome, Result};

use super::map::all_or_panic;
use super::serial::run_caught;

/// A pool of threads (rayon's) behind the interface of [`Pool`](super::Pool).
///
/// Threads share memory: nothing is encoded, and nothing protects one task from another that
/// aborts. While it exists the process has threads, so no process pool can be made; dropping it
/// ends them.
///
/// # Example
/// ```
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::ThreadPool::with_workers(2)?;
/// assert_eq!(pool.map(|x: u32| x + 1, 0..3), [1, 2, 3]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ThreadPool {
    /// Some until it is dropped.
    threads: Option<rayon::ThreadPool>,
    n_threads_before: usize,
}

impl ThreadPool {
    /// A pool with a thread for each processor that this process may use
    /// ([`cpu_count`]).
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
        if n == 0 {
            return Err(Error::invalid_input(
                "a pool of 0 threads would never run anything; give at least 1",
            ));
        }
        let n_threads_before = crate::sys::child::n_threads();
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .map_err(|error| Error::os("cannot start threads", std::io::Error::other(error)))?;
        Ok(ThreadPool {
            threads: Some(threads),
            n_threads_before,
        })
    }

    /// The number of threads.
    pub fn workers(&self) -> usize {
        self.threads
            .as_ref()
            .map_or(0, rayon::ThreadPool::current_num_threads)
    }

    /// Applies `f` to every argument and returns the results in order.
    ///
    /// # Panics
    /// If a task panics, after all others have run, with the first such item's error.
    #[track_caller]
    pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        all_or_panic(self.try_map(f, args))
    }

    /// Applies `f` to every argument; a task that panics is an error and the others run.
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        let args: Vec<A> = args.into_iter().collect();
        let Some(threads) = &self.threads else {
            return Vec::new();
        };
        threads.install(|| {
            args.into_par_iter()
                .enumerate()
                .map(|(item, arg)| run_caught(item, || f(arg)))
                .collect()
        })
    }
}

impl Drop for ThreadPool {
    /// Ends the threads and waits for them, so that the process can fork again.
    fn drop(&mut self) {
        drop(self.threads.take());
        // rayon tells its threads to end and does not wait for them.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
        while crate::sys::child::n_threads() > self.n_threads_before
            && std::time::Instant::now() < deadline
        {
            std::thread::yield_now();
        }
    }
}
