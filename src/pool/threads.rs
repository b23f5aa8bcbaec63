//! The same map on threads, which share memory and need no bytes in between.

use std::fmt;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::cpus::cpu_count;
use crate::error::{Error, Outcome, Result};
use crate::sys::child;
use crate::trace::Traced;

use super::blocks::Blocks;
use super::callable::StarFn;
use super::diary::Diary;
use super::map::all_or_panic;
use super::serial::run_caught;

/// Enough chunks that a worker with slow items leaves the others something to take.
const CHUNKS_PER_WORKER: usize = 64;

/// A pool of threads (rayon's) behind the interface of [`Pool`](super::Pool).
///
/// Threads share memory: nothing is encoded, and nothing protects one task from another that
/// aborts. While it exists the process has threads, so no process pool can be made; dropping it
/// ends them.
///
/// # Fork safety
/// In a process that did not make it (a notebook's cell was rolled back since), it starts threads of
/// its own on its next use.
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
}

/// Threads that run, and the process that has them.
struct Threads {
    executor: Arc<dyn Executor>,
    owner: u32,
    n_threads_before: usize,
}

/// Calls a task for every index below a number, on several threads, and returns when all are done.
///
/// A trait object, because rayon knows its threads by statics of its own, of which every notebook
/// cell has a copy: so a pool has to be used by the code that made it, in whichever cell that was.
trait Executor: Send + Sync {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync));
}

impl Executor for rayon::ThreadPool {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        self.install(|| (0..n).into_par_iter().with_max_len(1).for_each(task));
    }
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
        Ok(ThreadPool {
            threads: Mutex::new(Threads::start(n)?),
            n_workers: n,
        })
    }

    /// The number of threads.
    pub fn workers(&self) -> usize {
        self.n_workers
    }

    /// Applies `f` to every argument and returns the results in order.
    ///
    /// # Panics
    /// If a task panics, after all others have run, with the first such item's error. As
    /// [`try_map`](ThreadPool::try_map).
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
    ///
    /// # Panics
    /// If this process has not made the pool, and cannot start threads of its own.
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        self.try_map_noting(f, args, &mut None)
    }

    /// As [`map`](ThreadPool::map), and notes what happened when.
    ///
    /// # Panics
    /// As [`map`](ThreadPool::map).
    #[track_caller]
    pub fn map_traced<F, I, A, R>(&self, f: F, args: I) -> Traced<Vec<R>>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        let mut diary = Some(Diary::begin());
        let results = all_or_panic(self.try_map_noting(f, args, &mut diary));
        match diary {
            Some(diary) => diary.finish(results),
            None => unreachable!("a diary that was begun"),
        }
    }

    fn try_map_noting<F, I, A, R>(
        &self,
        f: F,
        args: I,
        diary: &mut Option<Diary>,
    ) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Sync,
        I: IntoIterator<Item = A>,
        A: Send,
        R: Send,
    {
        let args: Vec<A> = args.into_iter().collect();
        let n_items = args.len();
        let chunk = n_items.div_ceil(CHUNKS_PER_WORKER * self.n_workers).max(1);
        let chunks = cut(args, chunk);
        let results: Vec<Mutex<Vec<Outcome<R>>>> =
            chunks.iter().map(|_| Mutex::default()).collect();
        diary.as_mut().map(Diary::encoded);
        let notes = diary.as_ref();
        self.executor().for_each(results.len(), &|index| {
            let start = notes.map(Diary::now);
            let items = std::mem::take(&mut *lock(&chunks[index]));
            let items = items.into_iter().enumerate();
            let outcomes = items.map(|(i, arg)| run_caught(index * chunk + i, || f(arg)));
            let outcomes: Vec<Outcome<R>> = outcomes.collect();
            if let (Some(notes), Some(start)) = (notes, start) {
                notes.ran(index * chunk, outcomes.len(), start);
            }
            *lock(&results[index]) = outcomes;
        });
        diary.as_mut().map(Diary::returned);
        let mut in_order = Vec::with_capacity(n_items);
        for chunk in results {
            in_order.append(&mut lock(&chunk));
        }
        assert_eq!(in_order.len(), n_items, "every item has a result");
        in_order
    }

    /// As [`map`](ThreadPool::map) for a function of several parameters: each argument is a tuple,
    /// spread over them.
    ///
    /// # Panics
    /// As [`map`](ThreadPool::map).
    #[track_caller]
    pub fn starmap<F, I, T>(&self, f: F, args: I) -> Vec<F::Output>
    where
        F: StarFn<T> + Sync,
        F::Output: Send,
        I: IntoIterator<Item = T>,
        T: Send,
    {
        self.map(|args| f.call_spread(args), args)
    }

    /// As [`map`](ThreadPool::map), lazily and block by block: arguments are taken, and tasks run,
    /// only a little ahead of the results that are taken. Blocks grow while they are quick.
    ///
    /// # Panics
    /// When the result of a task that panicked would be next.
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

    /// Runs `f` on one argument in a thread of the pool.
    ///
    /// # Panics
    /// As [`map`](ThreadPool::map).
    #[track_caller]
    pub fn apply<F, A, R>(&self, f: F, arg: A) -> R
    where
        F: Fn(A) -> R + Sync,
        A: Send,
        R: Send,
    {
        match self.map(f, std::iter::once(arg)).pop() {
            Some(result) => result,
            None => unreachable!("one argument has one result"),
        }
    }

    fn executor(&self) -> Arc<dyn Executor> {
        let mut threads = lock(&self.threads);
        if threads.owner != process::id() {
            let ours = match Threads::start(self.n_workers) {
                Ok(ours) => ours,
                Err(error) => panic!("{error}"),
            };
            // The threads of the other process are not here to be told to end.
            std::mem::forget(std::mem::replace(&mut *threads, ours));
        }
        Arc::clone(&threads.executor)
    }
}

/// Arguments in chunks, each of which one thread takes.
fn cut<A>(args: Vec<A>, chunk: usize) -> Vec<Mutex<Vec<A>>> {
    let n_chunks = args.len().div_ceil(chunk);
    let mut args = args.into_iter();
    let chunks = (0..n_chunks).map(|_| Mutex::new(args.by_ref().take(chunk).collect()));
    chunks.collect()
}

/// No task panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Threads {
    fn start(n: usize) -> Result<Threads> {
        let n_threads_before = child::n_threads();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .map_err(|error| Error::os("cannot start threads", std::io::Error::other(error)))?;
        Ok(Threads {
            executor: Arc::new(pool),
            owner: process::id(),
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
        let executor = std::mem::replace(&mut threads.executor, Arc::new(Nobody));
        if threads.owner != process::id() {
            std::mem::forget(executor);
            return;
        }
        drop(executor);
        // rayon tells its threads to end and does not wait for them.
        let deadline = Instant::now() + Duration::from_secs(1);
        while child::n_threads() > threads.n_threads_before && Instant::now() < deadline {
            thread::yield_now();
        }
    }
}

/// What a pool has whose threads were told to end.
struct Nobody;

impl Executor for Nobody {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..n).for_each(task);
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("workers", &self.n_workers)
            .finish_non_exhaustive()
    }
}
