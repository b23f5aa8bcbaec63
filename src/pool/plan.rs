//! Cuts a map's items into chunks: a pure function, in OpenMP's terms.
//!
//! An idle worker claims the next chunk. Large chunks cost few claims; with small ones, no worker
//! waits at the end for another with a long chunk.

use crate::error::{Error, Result};

/// How many items a worker claims at a time, in the terms of OpenMP (5.2, section 11.5.3).
///
/// Under any schedule, a free worker claims the next chunk: the schedule sets how large chunks are,
/// not which worker runs them.
///
/// # Example
/// ```
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Schedule, ThreadPool};
///
/// let pool = ThreadPool::builder().workers(2).schedule(Schedule::Fixed(3)).build()?;
/// let traced = pool.map_traced(|x: u64| x + 1, 0..9);
/// let spans = traced.workers().iter().flat_map(|worker| worker.spans());
/// assert!(spans.into_iter().all(|span| span.first_item % 3 == 0)); // chunks begin at 0, 3 and 6
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Schedule {
    /// As many chunks as workers, all of one size: OpenMP's `static` without a chunk size. It needs
    /// the fewest claims; right when all items take equally long.
    Static,
    /// Chunks of this many items: OpenMP's `dynamic, n`.
    Fixed(usize),
    /// Items one by one: OpenMP's `dynamic`. Right for few long tasks; each costs a claim.
    Dynamic,
    /// A share of what is left, so that chunks shrink towards 1: OpenMP's `guided`.
    ///
    /// The share is half of an even split over the workers. Twice as many chunks per round as
    /// workers evens out differences between them, and the number of claims grows only with the
    /// logarithm of the number of items: 10,000 items on 2 workers are 33 chunks.
    Guided,
    /// The pool's own choice: OpenMP's `auto`. Guided, but with chunks long enough that a claim
    /// costs less than a twentieth of one, judging by the time of the first tasks.
    #[default]
    Auto,
}

/// The cost of a claim, including making room for results.
const CLAIM_NS: u64 = 80;
/// A chunk of [`Schedule::Auto`] takes at least as long as this many claims.
const WORTH_CLAIMS: u64 = 20;

impl Schedule {
    /// Chunks of `n` items.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0.
    pub(crate) fn fixed(n: usize) -> Result<Schedule> {
        Schedule::Fixed(n).checked()
    }

    /// The schedule, if its chunks are not empty.
    ///
    /// # Errors
    /// `is_invalid_input()` if they are empty.
    pub(crate) fn checked(self) -> Result<Schedule> {
        if self == Schedule::Fixed(0) {
            return Err(Error::invalid_input(
                "a chunk of 0 items never ends; give at least 1, or use map() to leave it to the pool",
            ));
        }
        Ok(self)
    }

    /// The size of the next chunk when `left` of `n_items` are left for `n_workers`. `task_ns` is
    /// the time of a task, 0 while that is unknown.
    pub(crate) fn next(self, left: u64, n_items: u64, n_workers: u64, task_ns: u64) -> u64 {
        let n_workers = n_workers.max(1);
        let guided = left / (2 * n_workers);
        let size = match self {
            Schedule::Static => n_items.div_ceil(n_workers),
            Schedule::Fixed(n) => n as u64,
            Schedule::Dynamic => 1,
            Schedule::Guided => guided,
            // Never more than an even share of what is left: the others would wait for it.
            Schedule::Auto => match (CLAIM_NS * WORTH_CLAIMS).checked_div(task_ns) {
                Some(worth) => guided.max(worth.min(left.div_ceil(n_workers))),
                None => guided,
            },
        };
        size.clamp(1, left.max(1))
    }

    /// The size of every chunk except the last, if it does not depend on how many items are left.
    pub(crate) fn constant(self, n_items: u64, n_workers: u64) -> Option<u64> {
        match self {
            Schedule::Guided | Schedule::Auto => None,
            _ => Some(self.next(n_items, n_items, n_workers, 0)),
        }
    }

    /// The schedule as a word of shared memory.
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Schedule::Auto => 0,
            Schedule::Guided => u64::MAX,
            Schedule::Static => u64::MAX - 1,
            Schedule::Dynamic => 1,
            Schedule::Fixed(n) => (n as u64).clamp(1, u64::MAX - 2),
        }
    }

    /// Reads what [`to_word`](Schedule::to_word) wrote; `Fixed(1)` becomes `Dynamic`, which is the
    /// same.
    pub(crate) fn from_word(word: u64) -> Schedule {
        match word {
            0 => Schedule::Auto,
            1 => Schedule::Dynamic,
            u64::MAX => Schedule::Guided,
            n if n == u64::MAX - 1 => Schedule::Static,
            n => Schedule::Fixed(n as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks(schedule: Schedule, n_items: u64, n_workers: u64, task_ns: u64) -> Vec<u64> {
        let (mut left, mut sizes) = (n_items, Vec::new());
        while left > 0 {
            let size = schedule.next(left, n_items, n_workers, task_ns);
            sizes.push(size);
            left -= size;
        }
        sizes
    }

    #[test]
    fn guided_chunks_shrink() {
        assert_eq!(
            chunks(Schedule::Guided, 24, 2, 0),
            [6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(chunks(Schedule::Guided, 10_000, 2, 0).len(), 33);
    }

    #[test]
    fn other_chunks_are_even() {
        assert_eq!(chunks(Schedule::Fixed(4), 10, 2, 0), [4, 4, 2]);
        assert_eq!(chunks(Schedule::Static, 10, 3, 0), [4, 4, 2]);
        assert_eq!(chunks(Schedule::Dynamic, 3, 2, 0), [1, 1, 1]);
        assert!(Schedule::fixed(0).unwrap_err().is_invalid_input());
    }

    #[test]
    fn short_tasks_come_in_long_chunks() {
        assert_eq!(
            chunks(Schedule::Auto, 1000, 2, 1),
            [500, 250, 125, 63, 31, 16, 8, 4, 2, 1]
        );
        let long = 1_000_000;
        assert_eq!(
            chunks(Schedule::Auto, 24, 2, long),
            chunks(Schedule::Guided, 24, 2, long)
        );
    }

    /// How long a map takes whose tasks take `tasks_ns`, when each claim costs [`CLAIM_NS`] and
    /// nothing else costs anything.
    fn makespan_ns(schedule: Schedule, tasks_ns: &[u64], n_workers: usize) -> u64 {
        let mut free_at = vec![0u64; n_workers];
        let (mut next, mut task_ns, mut known_at) = (0, 0, u64::MAX);
        while next < tasks_ns.len() {
            let worker = (0..n_workers)
                .min_by_key(|&worker| free_at[worker])
                .unwrap();
            let known_ns = if free_at[worker] >= known_at {
                task_ns
            } else {
                0
            };
            let left = (tasks_ns.len() - next) as u64;
            let n = schedule.next(left, tasks_ns.len() as u64, n_workers as u64, known_ns) as usize;
            let work: u64 = tasks_ns[next..next + n].iter().sum();
            free_at[worker] += CLAIM_NS + work;
            if free_at[worker] < known_at {
                (known_at, task_ns) = (free_at[worker], (work / n as u64).max(1));
            }
            next += n;
        }
        free_at.into_iter().max().unwrap()
    }

    #[test]
    fn auto_is_within_a_tenth_of_the_best() {
        let mut loads = Vec::new();
        for n in [24usize, 100, 1000, 10_000, 100_000] {
            for task_ns in [1, 10, 1000, 100_000, 50_000_000] {
                let uniform = vec![task_ns; n];
                let mut skewed = uniform.clone();
                *skewed.last_mut().unwrap() *= 40;
                loads.extend([uniform, skewed]);
            }
        }
        for load in &loads {
            for n_workers in [1, 2, 3, 4] {
                let mp_pool = Schedule::Fixed(load.len().div_ceil(4 * n_workers));
                let others = [
                    Schedule::Static,
                    Schedule::Dynamic,
                    Schedule::Guided,
                    mp_pool,
                ];
                let best = others.map(|schedule| makespan_ns(schedule, load, n_workers));
                let best = *best.iter().min().unwrap();
                let auto = makespan_ns(Schedule::Auto, load, n_workers);
                // A few claims more or less cannot be measured.
                assert!(
                    auto as f64 <= 1.1 * best as f64 + 6.0 * CLAIM_NS as f64,
                    "{} tasks of {} ns, {n_workers} workers: {auto} ns, best {best} ns",
                    load.len(),
                    load[0]
                );
            }
        }
    }

    proptest! {
        #[test]
        fn every_schedule_hands_out_every_item_once(
            n in 0u64..100_000, workers in 0u64..300, word in prop_oneof![0u64..500, u64::MAX - 1..=u64::MAX],
            task_ns in 0u64..1000,
        ) {
            let schedule = Schedule::from_word(word);
            prop_assert_eq!(schedule.to_word(), word);
            prop_assert_eq!(chunks(schedule, n, workers, task_ns).iter().sum::<u64>(), n);
        }
    }
}
