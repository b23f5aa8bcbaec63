//! Threads that take turns, behind the interface of every other pool.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Outcome, Result};
use crate::pool::{Diary, Map, all_or_panic, run_caught};
use crate::trace::Traced;

use super::{Gil, GilReport};

/// A pool of threads that must hold a [`Gil`] to run a task: what a thread pool is in Python.
///
/// The lock changes hands between tasks, if somebody has waited long enough for it. CPython also
/// switches within a task; for that, see [`Gil::threads`] and
/// [`Token::checkpoint`](super::Token::checkpoint).
///
/// # Example
/// ```
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Gil, Map};
///
/// let locked = Gil::new().pool(2)?;
/// let free = Gil::disabled().pool(2)?;
/// assert_eq!(locked.map(|x: u64| x * x, 0..4), free.map(|x: u64| x * x, 0..4));
/// println!("{}", locked.last_report().map_or(String::new(), |report| report.to_string()));
/// # Ok(()) }
/// ```
pub struct GilPool {
    gil: Gil,
    n_workers: usize,
    last_report: Mutex<Option<GilReport<()>>>,
}

impl GilPool {
    pub(super) fn new(gil: Gil, n_workers: usize) -> Result<GilPool> {
        if n_workers == 0 {
            return Err(Error::invalid_input(
                "a pool of 0 threads would never run anything; give at least 1",
            ));
        }
        Ok(GilPool {
            gil,
            n_workers,
            last_report: Mutex::default(),
        })
    }

    /// The number of threads; they are started for each map.
    pub fn workers(&self) -> usize {
        self.n_workers
    }

    /// Who held the lock when in the last map; `None` before the first.
    pub fn last_report(&self) -> Option<GilReport<()>> {
        lock(&self.last_report).clone()
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
        // Each item's place holds its argument until it is taken, and then its result.
        let args: Vec<Mutex<Option<A>>> =
            args.into_iter().map(|arg| Mutex::new(Some(arg))).collect();
        let results: Vec<Mutex<Option<Outcome<R>>>> =
            args.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let report = self
            .gil
            .threads(self.n_workers.min(args.len()), |token, _| {
                loop {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    let Some(arg) = args.get(item).and_then(|arg| lock(arg).take()) else {
                        break;
                    };
                    *lock(&results[item]) = Some(run_caught(item, || f(arg)));
                    token.checkpoint();
                }
            });
        *lock(&self.last_report) = Some(report);
        let results = results
            .into_iter()
            .filter_map(|result| lock(&result).take());
        let results: Vec<Outcome<R>> = results.collect();
        assert_eq!(results.len(), args.len(), "every item has a result");
        results
    }
}

/// No task panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Map for GilPool {
    fn workers(&self) -> usize {
        self.n_workers
    }

    fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        GilPool::try_map(self, f, args)
    }

    #[track_caller]
    fn map_traced<F, I, A, R>(&self, f: F, args: I) -> Traced<Vec<R>>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        let mut diary = Diary::begin();
        let args: Vec<(usize, A)> = args.into_iter().enumerate().collect();
        diary.encoded();
        let noted = |(item, arg)| {
            let start = diary.now();
            let result = f(arg);
            diary.ran(item, 1, start);
            result
        };
        let outcomes = GilPool::try_map(self, noted, args);
        diary.returned();
        diary.finish(all_or_panic(outcomes))
    }
}

impl fmt::Debug for GilPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GilPool")
            .field("gil", &self.gil)
            .field("workers", &self.n_workers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_threads_that_take_turns_is_a_map() {
        for gil in [Gil::new(), Gil::disabled()] {
            let pool = gil.pool(3).unwrap();
            assert_eq!(
                pool.map(|x: u64| x + 1, 0..100),
                (1..=100).collect::<Vec<_>>()
            );
            assert_eq!(pool.last_report().unwrap().threads().len(), 3);
            assert_eq!(
                Map::imap(&pool, |x: u64| x * 2, 0..).take(3).sum::<u64>(),
                6
            );
            assert!(pool.map(|x: u64| x, []).is_empty());
        }
    }

    #[test]
    fn only_one_task_runs_at_a_time() {
        let inside = AtomicUsize::new(0);
        let pool = Gil::new().pool(4).unwrap();
        pool.map(
            |_: u8| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
            },
            0..50,
        );
    }

    #[test]
    fn a_panic_is_its_items_error_and_no_threads_are_none() {
        let pool = Gil::new().pool(2).unwrap();
        let results = pool.try_map(
            |x: u64| {
                assert!(x != 2, "two");
                x
            },
            0..4,
        );
        assert!(
            results[2]
                .as_ref()
                .is_err_and(|error| error.item() == Some(2))
        );
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        assert!(Gil::new().pool(0).unwrap_err().is_invalid_input());
    }
}
