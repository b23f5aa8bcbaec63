//! Threads that take turns, behind the interface of every other pool.

use std::fmt;
use std::sync::Mutex;

use crate::error::{Error, Outcome, Result};
use crate::pool::{Diary, Hands, Pause, Schedule, impl_map, lock, own_methods, run_within};

use super::{Gil, GilReport};

/// A pool of threads that must hold a [`Gil`] to run a task: what a thread pool is in Python.
///
/// The lock changes hands between tasks, if another thread has waited long enough for it. CPython
/// also switches within a task; for that, see [`Gil::threads`] and
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

    /// The lock's history in the last map; `None` before the first.
    pub fn last_report(&self) -> Option<GilReport<()>> {
        lock(&self.last_report).clone()
    }

    /// One by one, as Python's thread executors do.
    fn schedule(&self) -> Schedule {
        Schedule::Dynamic
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
        run_within(self, self.n_workers, schedule, f, args, diary)
    }
}

own_methods!(GilPool, function: [Sync], values: [Send]);
impl_map!(GilPool);

impl Hands for GilPool {
    fn work(&self, n: usize, work: &(dyn Fn(Pause<'_>) + Sync)) {
        let report = self
            .gil
            .threads(n, |token, _| work(&mut || token.checkpoint()));
        *lock(&self.last_report) = Some(report);
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Map;

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
