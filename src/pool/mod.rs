//! Pools of worker processes, and one way to call them.
//!
//! ```text
//!  caller                       shared memory (inherited by fork)          worker k (forked once, lives on)
//!  f, args ── encode ──▶ board: function, arguments, cursor ── claim ──▶ find f ── decode ── f(x) ──┐
//!  Vec<R> ◀── collate ── lanes: runs of results or failures ◀── commit ──────────── encode ◀────────┘
//! ```
//!
//! One pass to the right, one pass to the left. The caller has no helper thread, and a task passes
//! neither a pipe nor a lock. The caller sleeps on the board's completion word and on the lifelines
//! of all workers at once, so a death wakes it as reliably as a result.
//!
//! Read next: `transport` for what a map requires of its carrier, `board` for what is shared and in
//! which order it is written, `lane` for how results come back, `engine` for what happens when a
//! worker dies.

mod begin;
mod blocks;
mod broadcast;
mod builder;
mod call;
#[cfg(feature = "cluster")]
mod cluster;
mod context;
mod imap;
mod journal;
mod life;
mod local;
mod map;
#[cfg(feature = "cluster")]
mod nodes;
mod pending;
mod plan;
#[cfg(feature = "progress")]
mod progress;
mod settings;
mod shm;
mod star;
#[cfg(feature = "cluster")]
mod station;
mod stats;
#[cfg(feature = "async")]
mod stream;
mod timeout;
mod view;
#[cfg(feature = "async")]
mod wakes;
mod with_context;
mod workers;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cpus::cpu_count;
use crate::error::{Outcome, Result};
use crate::trace::Traced;

use call::callable::{Star, Unary};
use call::run::Call;
use call::shared::Shared;
use imap::Results;

#[cfg(feature = "threads")]
pub(crate) use blocks::Blocks;
pub use builder::Builder;
#[cfg(feature = "cluster")]
pub use cluster::{Cluster, ClusterBuilder, Node};
pub use context::{AsContext, Context};
pub(crate) use local::diary::Diary;
#[cfg(feature = "threads")]
pub(crate) use local::diary::lock;
pub use local::serial::Serial;
#[cfg(feature = "threads")]
pub use local::threads::{ThreadPool, ThreadPoolBuilder};
#[cfg(feature = "threads")]
pub(crate) use local::within::{Hands, Pause, run as run_within};
pub use map::Map;
#[cfg(feature = "threads")]
pub(crate) use map::own_methods;
pub(crate) use map::{Sealed, all_or_panic, chunks_of, impl_map, only};
pub use pending::Pending;
pub use plan::Schedule;
#[cfg(feature = "progress")]
pub use progress::Watched;
pub use settings::StartMethod;
pub use star::StarFn;
pub use stats::{DeathCause, Stats, Tally};
pub use timeout::Limited;
#[cfg(feature = "async")]
pub use wakes::Wakes;
pub use workers::early::init;

/// A pool of worker processes that run functions on arguments.
///
/// The workers are forked when the pool is made and live until it is closed. They run any function,
/// even one that was compiled and loaded after they were forked, and closures. A non-capturing
/// function is sent as its offset in its shared object; a capturing closure runs in workers that
/// are forked for that call and inherit everything it refers to without a copy.
///
/// Whatever happens to a task (it panics, exits, aborts, is killed), the others' results arrive,
/// the error names the item, and the pool continues with as many workers as before.
///
/// Pools may be nested: a task may make its own pool, and a closure that has captured a pool may
/// use it in its worker, where the pool starts new workers. They die with that worker, however it
/// ends. Nothing limits the number of processes: eight workers that each make a pool of eight
/// are 72.
///
/// # Threads
/// Any number of threads may use one pool at the same time, by reference or in an `Arc`. Each gets
/// its own results, a panic in one does not affect the others, and a slow map does not block
/// another: tasks queue only behind those published earlier, while workers are busy with them.
/// [`terminate`](Pool::terminate) from one thread ends the calls of all others.
///
/// Deferred results ([`Pending`], [`imap`](Pool::imap)'s iterator) may move to another thread. A
/// capturing function is started and dropped by the thread that passed it, or leaked if another
/// thread drops its last user; and its workers are forked for it, which requires that this process
/// has one thread. In a program with threads, pass what a function needs beside its argument as a
/// context: [`map_with`](Pool::map_with).
///
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// std::thread::scope(|scope| {
///     for thread in 0..4u64 {
///         let pool = &pool;
///         scope.spawn(move || {
///             let squares = pool.map(|x: u64| x * x, thread..thread + 3);
///             assert_eq!(squares[0], thread * thread);
///         });
///     }
/// });
/// # Ok(()) }
/// ```
///
/// # Plugins
/// A shared object that was loaded with `dlopen` may map over its host's pool, and be unloaded,
/// rebuilt and loaded again: workers run the code of exactly the file that the caller has loaded,
/// or the item's error says that it was replaced. Replace the old file with the new build (by a
/// rename, as linkers do), and do not overwrite it: workers may have it mapped.
///
/// # Fork safety
/// Make a pool whose workers are forked from this process ([`StartMethod::Fork`], or
/// [`StartMethod::Auto`] in a process with one thread) before the first thread; other pools may be
/// made at any time. In a forked child (and after a notebook cell was rolled back), the same value
/// starts its own workers on its next use. Workers end with the process that made the pool, however
/// it ends, even if it replaces its program (`exec`), and even if workers have changed their
/// credentials (`setuid` and the like).
///
/// A busy worker dies at once with its owner, except in two cases, in which it exits after its
/// current task: its owner, from which it was forked, has replaced its program; or the worker has
/// changed its credentials since it last slept.
///
/// A function that captures only zero-sized values is called in processes in which those values
/// were never made. So do not capture a value that proves a fact about this process (pyo3's
/// `Python<'py>`: this thread holds the interpreter's lock) alone. If it has a destructor, as
/// guards have, the function runs in workers that are forked for the call, where the fact still
/// holds. If it is `Copy`, its type cannot be distinguished from no capture at all: make the value
/// again in the task, or also capture something with a size.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let powers = pool.map(|x: u64| x.pow(10), 0..24);
/// assert_eq!(powers[2], 1024);
/// # Ok(()) }
/// ```
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool with one worker for each CPU that this process may use ([`cpu_count`]).
    ///
    /// While this process has one thread, the workers are forked from it; otherwise a fork server
    /// starts them ([`StartMethod::Auto`]).
    ///
    /// # Errors
    /// `is_os()` if the OS allows no more processes or memory, or if the process has threads and
    /// cannot start its program again as a fork server; the message says what to do.
    pub fn new() -> Result<Pool> {
        Pool::with_workers(cpu_count())
    }

    /// A pool with `n` workers.
    ///
    /// # Errors
    /// As [`new`](Pool::new), and `is_invalid_input()` if `n` is 0 or more than 1,024.
    pub fn with_workers(n: usize) -> Result<Pool> {
        Pool::builder().workers(n).build()
    }

    /// Configures a pool before building it.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::builder()
    ///     .workers(2)
    ///     .initializer(|| println!("worker {} is ready", std::process::id()))
    ///     .build()?;
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.shared.n_workers()
    }

    /// How the workers are started: the requested method, or what [`StartMethod::Auto`] resolved to
    /// when the pool was made. Never `Auto`.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use forklore::{Pool, StartMethod};
    ///
    /// let pool = Pool::with_workers(2)?; // this process has one thread
    /// assert_eq!(pool.start_method(), StartMethod::Fork);
    /// # Ok(()) }
    /// ```
    pub fn start_method(&self) -> StartMethod {
        self.shared.settings().method
    }

    /// The pids of the live workers. A dead worker has been replaced when this returns.
    pub fn pids(&self) -> Vec<i32> {
        self.shared.pids()
    }

    /// The number of tasks that the pool's own workers have finished, without those of workers that
    /// were forked for a closure.
    pub fn n_tasks(&self) -> u64 {
        self.shared.n_tasks().iter().sum()
    }

    /// Counts of what happened to the workers since the pool was made: tasks, deaths and their
    /// causes, retries, exceeded time limits, respawns; for each slot, and for workers that were
    /// forked for closures. A dead worker has been counted and replaced when this returns.
    ///
    /// # Fork safety
    /// In a forked child the numbers start at 0, because the child has its own workers.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::builder().workers(2).retries(1).build()?;
    /// let results = pool.try_map(|x: u32| if x == 3 { std::process::exit(1) } else { x }, 0..9);
    /// assert_eq!(results[3].as_ref().unwrap_err().tries(), 2);
    /// let stats = pool.stats();
    /// assert_eq!((stats.total().n_deaths(), stats.total().n_retries()), (2, 1));
    /// println!("{stats}");
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Applies `f` to every argument and returns the results in the arguments' order.
    ///
    /// Chunks are assigned at run time: a free worker takes the next one. An empty input gives an
    /// empty vector and wakes no worker.
    ///
    /// # Panics
    /// If a task panicked or its worker died, after all others have finished, with the first such
    /// item's error. If the pool is closed, or `f` captures and this process has more than
    /// one thread. [`try_map`](Pool::try_map) gives errors instead.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::new()?;
    /// let offset = 7;
    /// assert_eq!(pool.map(|x: i32| x * x, [1, 2, 3]), [1, 4, 9]);
    /// assert_eq!(pool.map(|x: i32| x + offset, vec![1, 2, 3]), [8, 9, 10]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.call().run(&Unary(f), args).results()
    }

    /// Applies `f` to every argument; each item has its result, or an error that says why it has
    /// none.
    ///
    /// If one failure makes the other results useless, collect into a `Result`: `collect` stops at
    /// the first error, in the order of the items.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use forklore::TaskError;
    ///
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let outcomes = pool.try_map(|x: i32| x * x, 0..4);
    /// let squares: Result<Vec<i32>, TaskError> = outcomes.into_iter().collect();
    /// assert_eq!(squares, Ok(vec![0, 1, 4, 9]));
    ///
    /// let results = pool.try_map(|x: i32| if x == 1 { std::process::abort() } else { x }, 0..4);
    /// assert_eq!(results[0], Ok(0));
    /// assert_eq!(results[1].as_ref().unwrap_err().signal(), Some(6));
    /// assert_eq!(results[3], Ok(3));
    /// # Ok(()) }
    /// ```
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.call().run(&Unary(f), args).outcomes()
    }

    /// As [`map`](Pool::map), in chunks of `chunk` items.
    ///
    /// # Panics
    /// As [`map`](Pool::map), and if `chunk` is 0.
    #[track_caller]
    pub fn map_chunked<F, I, A, R>(&self, f: F, args: I, chunk: usize) -> Vec<R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let mut call = self.call().scheduled(chunks_of(chunk));
        call.run(&Unary(f), args).results()
    }

    /// As [`map`](Pool::map), and records a trace: which worker ran which items when, and how much
    /// time each step took. Each chunk reads the clock twice, and some of its items four times. A
    /// map of 150 µs or more takes at most 2 % longer with a trace; a shorter one takes 1 to 3 µs
    /// longer (`cargo bench --bench traces`): in a map of 3 µs, reading the clock alone is a tenth.
    ///
    /// # Panics
    /// As [`map`](Pool::map).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let traced = pool.map_traced(|x: u64| (1..=x).product::<u64>(), 0..20);
    /// let n_items: usize = traced.trace.workers().iter().map(|worker| worker.n_items()).sum();
    /// assert_eq!(n_items, 20);
    /// println!("{}", traced.trace.overheads());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map_traced<F, I, A, R>(&self, f: F, args: I) -> Traced<Vec<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let mut call = self.call().traced();
        let results = call.run(&Unary(f), args).results();
        call.finish(results)
    }

    /// As [`map`](Pool::map) for a function of several parameters: each argument is a tuple, spread
    /// over them.
    ///
    /// # Panics
    /// As [`map`](Pool::map).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let powers = pool.starmap(|x: u64, n: u32| x.pow(n), [(2, 10), (10, 3)]);
    /// assert_eq!(powers, [1024, 1000]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn starmap<F, I, T, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: StarFn<T, Output = R>,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        self.call().run(&Star(f), args).results()
    }

    /// As [`map`](Pool::map), lazily: arguments are taken from their iterator, and tasks run, only
    /// a little ahead of the results that are taken. So a million items, or an infinite iterator,
    /// need little memory.
    ///
    /// A few chunks for each worker are in flight; chunks of quick tasks grow up to 4,096 items.
    /// Dropping the iterator cancels everything not yet started.
    ///
    /// # Panics
    /// When the next result is that of a task that panicked or whose worker died, or where the
    /// arguments' iterator panicked; you can continue to use the iterator. As [`map`](Pool::map) if
    /// the pool is closed.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let squares: Vec<u64> = pool.imap(|x: u64| x * x, 0..).take(4).collect();
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn imap<F, I, A, R>(&self, f: F, args: I) -> impl Iterator<Item = R> + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Unary(f), args, true).map(|(_, result)| result)
    }

    /// As [`imap`](Pool::imap), but yields each result as soon as it is ready, with its argument's
    /// index in the input: a slow task does not delay those behind it.
    ///
    /// # Panics
    /// As [`imap`](Pool::imap).
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let words = ["here", "and", "now"].map(str::to_owned);
    /// let lengths = pool.imap_unordered(|word: String| word.len(), words);
    /// assert_eq!(lengths.map(|(item, n)| item * n).sum::<usize>(), 3 + 2 * 3);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn imap_unordered<F, I, A, R>(
        &self,
        f: F,
        args: I,
    ) -> impl Iterator<Item = (usize, R)> + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Unary(f), args, false)
    }

    /// Runs `f` on one argument in a worker and returns its result.
    ///
    /// # Panics
    /// If the task panics, its worker dies, or the pool is closed.
    #[track_caller]
    pub fn apply<F, A, R>(&self, f: F, arg: A) -> R
    where
        F: Fn(A) -> R,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        only(self.map(f, std::iter::once(arg)))
    }

    fn call(&self) -> Call<'_> {
        Call::of(&self.shared)
    }
}

impl_map!(Pool, imap);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("workers", &self.shared.n_workers())
            .finish_non_exhaustive()
    }
}
