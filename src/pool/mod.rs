//! Pools of worker processes, and one way to call them.
//!
//! ```text
//!  caller                       shared memory (inherited by fork)          worker k (forked once, lives on)
//!  f, args ── encode ──▶ board: function, arguments, cursor ── claim ──▶ find f ── decode ── f(x) ──┐
//!  Vec<R> ◀── collate ── lanes: runs of results or failures ◀── commit ──────────── encode ◀────────┘
//! ```
//!
//! One pass to the right, one pass to the left; no thread helps the caller, and neither a pipe nor a
//! lock is on a task's way. The caller sleeps on the board's completion word and on the lifelines
//! of all workers at once, so a death wakes it as surely as a result does.
//!
//! Where to read on: `board` for what is shared and in which order it is written, `lane` for how
//! results come back, `engine` for what happens when a worker dies.

mod args;
mod batch;
mod bits;
mod board;
mod collate;
mod engine;
mod lane;
mod map;
mod plan;
mod serial;
mod task;
mod threads;
mod worker;

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cpus::cpu_count;
use crate::error::{Error, Result, TaskError};

use args::{Encoded, Encoder};
use batch::Batch;
use engine::{Engine, Settings};
use plan::Plan;
use task::{Inherited, Trampoline, run_inherited, run_shipped};
use worker::LocalCall;

pub use map::Map;
pub use serial::Serial;
pub use threads::ThreadPool;

/// A pool of worker processes that run functions on arguments.
///
/// The workers are forked when the pool is made and live until it is closed. They run any function:
/// also one that was compiled and loaded after they were forked, and closures. A function without
/// captured state is sent as its place in its shared object; one that has captured something is run
/// by workers that are forked for that call, and so inherit all it refers to without a copy.
///
/// Whatever a task does (it panics, exits, aborts, is killed), the others' results arrive, the error
/// names the item, and the pool goes on with as many workers as before.
///
/// # Fork safety
/// A pool must be made while the process has one thread. In a forked child (and after a notebook
/// cell was rolled back) the same value starts workers of its own on its next use. Workers die
/// with the process that forked them.
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
    engine: RefCell<Engine>,
    settings: Rc<Settings>,
}

impl Pool {
    /// A pool with a worker for each processor that this process may use ([`cpu_count`]).
    ///
    /// # Errors
    /// `is_multi_threaded()` if the process has more than one thread; `is_os()` if it may have no
    /// more processes or memory.
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

    /// A pool with more to choose than the number of workers.
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
        self.settings.n_workers
    }

    /// The pids of the workers that live. A worker that died was replaced before this returns.
    pub fn pids(&self) -> Vec<i32> {
        self.engine_mut()
            .map_or_else(|_| Vec::new(), |mut engine| engine.pids())
    }

    /// Applies `f` to every argument and returns the results in the arguments' order.
    ///
    /// Which worker runs what is decided while it runs: whoever is free takes the next chunk.
    /// An empty input gives an empty vector and disturbs nobody.
    ///
    /// # Panics
    /// If a task panicked or its worker died, after all others have finished, with the first such
    /// item's error. If the pool is closed, or `f` has captured state and this process has more than
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
        match self.outcome(&f, args, Plan::default()) {
            Ok(results) => results,
            Err(failed) => failed.raise(),
        }
    }

    /// Applies `f` to every argument; each item has its result or the error that tells what became
    /// of it.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let results = pool.try_map(|x: i32| if x == 1 { std::process::abort() } else { x }, 0..4);
    /// assert_eq!(results[0], Ok(0));
    /// assert_eq!(results[1].as_ref().unwrap_err().signal(), Some(6));
    /// assert_eq!(results[3], Ok(3));
    /// # Ok(()) }
    /// ```
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<std::result::Result<R, TaskError>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        match self.outcome(&f, args, Plan::default()) {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(failed) => failed.into_results(),
        }
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
        let plan = match Plan::fixed(chunk) {
            Ok(plan) => plan,
            Err(error) => panic!("{error}"),
        };
        match self.outcome(&f, args, plan) {
            Ok(results) => results,
            Err(failed) => failed.raise(),
        }
    }

    /// Takes no more tasks; the workers end when they have finished what they have.
    pub fn close(&self) {
        self.end(Engine::close);
    }

    /// Closes the pool and waits until every worker has ended. None is left then.
    pub fn join(&self) {
        self.end(|engine| {
            engine.close();
            engine.join();
        });
    }

    /// Kills the workers at once, whatever they are doing, and closes the pool.
    pub fn terminate(&self) {
        self.end(Engine::terminate);
    }

    /// Ends this process's workers in some way; a process that has none yet will not get any.
    fn end(&self, how: impl FnOnce(&mut Engine)) {
        let Ok(mut engine) = self.engine.try_borrow_mut() else {
            return;
        };
        if engine.owner() == std::process::id() {
            how(&mut engine);
        } else if let Ok(closed) = Engine::closed(&self.settings) {
            *engine = closed;
        }
    }

    /// Runs `f` over `args`: encode, publish, wait, collate.
    fn outcome<F, I, A, R>(
        &self,
        f: &F,
        args: I,
        plan: Plan,
    ) -> std::result::Result<Vec<R>, Failed<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let args = args.into_iter();
        if size_of::<F>() == 0 {
            self.outcome_of_shipped::<A, R>(run_shipped::<F, A, R>, args, plan)
        } else {
            self.outcome_of_inherited(f, args.collect(), plan)
        }
    }

    /// The function has no state: its name is sent, and the arguments as bytes.
    fn outcome_of_shipped<A, R>(
        &self,
        trampoline: Trampoline,
        args: impl Iterator<Item = A>,
        plan: Plan,
    ) -> std::result::Result<Vec<R>, Failed<R>>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let mut n_items = 0;
        let mut args = args.inspect(|_| n_items += 1);
        let encoded = self.encode(&mut args);
        if encoded.is_err() {
            // Every item is to be told of the error.
            args.by_ref().for_each(drop);
        }
        drop(args);
        let fail = |error| Failed::Call { error, n_items };
        let encoded = encoded.map_err(fail)?;
        if n_items == 0 {
            return Ok(Vec::new());
        }
        let mut engine = self.open_engine().map_err(fail)?;
        let mut batch = self
            .publish(&mut engine, trampoline, encoded, plan)
            .map_err(fail)?;
        batch.wait(&mut engine);
        collate::collate(&engine, batch).map_err(Failed::Items)
    }

    /// The function has captured something: workers are forked for this call, and inherit it.
    fn outcome_of_inherited<F, A, R>(
        &self,
        f: &F,
        args: Vec<A>,
        plan: Plan,
    ) -> std::result::Result<Vec<R>, Failed<R>>
    where
        F: Fn(A) -> R,
        R: Serialize + DeserializeOwned,
    {
        let n_items = args.len();
        let fail = |error| Failed::Call { error, n_items };
        drop(self.open_engine().map_err(fail)?);
        if n_items == 0 {
            return Ok(Vec::new());
        }
        // The workers move the arguments out of their own copies of this memory.
        let call = Inherited {
            f,
            args: args.as_ptr(),
        };
        let local = LocalCall {
            run: run_inherited::<F, A, R>,
            call: std::ptr::from_ref(&call).cast(),
        };
        let (mut engine, batch) = self.fork_for_call(local, n_items, plan).map_err(fail)?;
        let outcome = collate::collate(&engine, batch);
        engine.close();
        engine.join();
        outcome.map_err(Failed::Items)
    }

    /// Forks workers for one call and waits until they have run it.
    #[inline(never)]
    fn fork_for_call(
        &self,
        local: LocalCall,
        n_items: usize,
        plan: Plan,
    ) -> Result<(Engine, Batch)> {
        let settings = Rc::new(Settings {
            n_workers: self.settings.n_workers.min(n_items),
            initializer: self.settings.initializer.clone(),
        });
        let mut engine = Engine::start(&settings, Some(local))?;
        let encoded = Encoded {
            n_items,
            ..Encoded::default()
        };
        let mut batch = Batch::publish(&mut engine, 0, encoded, plan, settings.n_workers)?;
        batch.wait(&mut engine);
        Ok((engine, batch))
    }

    /// Encodes arguments into the pool's memory. The engine is not borrowed meanwhile, so that the
    /// arguments' iterator may use the pool itself.
    fn encode<A: Serialize>(&self, args: impl Iterator<Item = A>) -> Result<Encoded> {
        let heap = Rc::clone(self.open_engine()?.heap());
        Encoder::encode(&heap, args)
    }

    #[inline(never)]
    fn publish(
        &self,
        engine: &mut Engine,
        trampoline: Trampoline,
        encoded: Encoded,
        plan: Plan,
    ) -> Result<Batch> {
        let function = engine.function(trampoline)?;
        Batch::publish(engine, function, encoded, plan, self.settings.n_workers)
    }

    /// The engine of a pool that takes tasks.
    fn open_engine(&self) -> Result<RefMut<'_, Engine>> {
        let engine = self.engine_mut()?;
        if engine.is_closed() {
            return Err(Error::closed());
        }
        Ok(engine)
    }

    /// The engine of this process: one that was inherited from another process is replaced.
    #[inline(never)]
    fn engine_mut(&self) -> Result<RefMut<'_, Engine>> {
        let mut engine = self.engine.try_borrow_mut().map_err(|_| {
            Error::invalid_input("this pool is in use by a call that has not returned yet")
        })?;
        if engine.owner() != std::process::id() {
            *engine = if engine.is_closed() {
                Engine::closed(&self.settings)?
            } else {
                Engine::start(&self.settings, None)?
            };
        }
        Ok(engine)
    }
}

impl Drop for Pool {
    /// Closes the pool and waits for its workers, where they are this process's.
    fn drop(&mut self) {
        let engine = self.engine.get_mut();
        if engine.owner() == std::process::id() {
            engine.close();
            engine.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("workers", &self.settings.n_workers)
            .finish_non_exhaustive()
    }
}

/// Chooses what a [`Pool`] is like.
#[derive(Default)]
pub struct Builder {
    n_workers: Option<usize>,
    initializer: Option<Rc<dyn Fn()>>,
}

impl Builder {
    /// The number of workers; without it, one for each processor that this process may use.
    pub fn workers(mut self, n: usize) -> Builder {
        self.n_workers = Some(n);
        self
    }

    /// What each worker runs once when it starts, also one that replaces another.
    pub fn initializer(mut self, f: impl Fn() + 'static) -> Builder {
        self.initializer = Some(Rc::new(f));
        self
    }

    /// Makes the pool and forks its workers.
    ///
    /// # Errors
    /// As [`Pool::new`] and [`Pool::with_workers`].
    pub fn build(self) -> Result<Pool> {
        let settings = Rc::new(Settings {
            n_workers: self.n_workers.unwrap_or_else(cpu_count),
            initializer: self.initializer,
        });
        Ok(Pool {
            engine: RefCell::new(Engine::start(&settings, None)?),
            settings,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.n_workers)
            .finish_non_exhaustive()
    }
}

/// Why a map has no plain vector of results.
enum Failed<R> {
    /// The call itself failed; nothing was run.
    Call { error: Error, n_items: usize },
    /// Some items have no result.
    Items(Vec<std::result::Result<R, TaskError>>),
}

impl<R> Failed<R> {
    /// Every item's result or error.
    fn into_results(self) -> Vec<std::result::Result<R, TaskError>> {
        match self {
            Failed::Call { error, n_items } => (0..n_items)
                .map(|item| Err(TaskError::not_run(item, &error)))
                .collect(),
            Failed::Items(results) => results,
        }
    }

    /// Panics with the first error.
    #[track_caller]
    fn raise(self) -> ! {
        if let Failed::Call { error, .. } = self {
            panic!("{error}");
        }
        let first = self
            .into_results()
            .into_iter()
            .find_map(std::result::Result::err);
        match first {
            Some(error) => panic!("{error}"),
            None => unreachable!("a map without an error has results"),
        }
    }
}
