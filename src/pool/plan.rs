//! How a map's items are cut into chunks: a pure function, in OpenMP's terms.
//!
//! A worker that has nothing to do claims the next chunk. Large chunks cost few claims, small ones
//! leave nobody waiting for a neighbour with a long chunk at the end.

use crate::error::{Error, Result};

/// How many items a worker claims at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Plan {
    /// Always the same number, at least 1: OpenMP's `schedule(dynamic, n)`.
    Fixed(u64),
    /// A share of what is left, so that chunks shrink towards 1: OpenMP's `schedule(guided)`.
    ///
    /// The share is half of an even split over the workers. Twice as many chunks per round as
    /// workers evens out differences between them, and the number of claims grows only with the
    /// logarithm of the number of items: 10,000 items on 2 workers are 33 chunks.
    #[default]
    Guided,
}

impl Plan {
    /// A plan with chunks of `n` items.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0.
    pub(crate) fn fixed(n: usize) -> Result<Plan> {
        if n == 0 {
            return Err(Error::invalid_input(
                "a chunk of 0 items never ends; give at least 1, or use map() to leave it to the pool",
            ));
        }
        Ok(Plan::Fixed(n as u64))
    }

    /// The size of the next chunk when `left` items are left for `workers` workers.
    pub(crate) fn next(self, left: u64, workers: u64) -> u64 {
        let size = match self {
            Plan::Fixed(n) => n,
            Plan::Guided => left / (2 * workers.max(1)),
        };
        size.clamp(1, left.max(1))
    }

    /// The plan as a word of shared memory.
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Plan::Fixed(n) => n,
            Plan::Guided => 0,
        }
    }

    /// Reads what [`to_word`](Plan::to_word) wrote.
    pub(crate) fn from_word(word: u64) -> Plan {
        match word {
            0 => Plan::Guided,
            n => Plan::Fixed(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks(plan: Plan, mut left: u64, workers: u64) -> Vec<u64> {
        let mut sizes = Vec::new();
        while left > 0 {
            let size = plan.next(left, workers);
            sizes.push(size);
            left -= size;
        }
        sizes
    }

    #[test]
    fn guided_chunks_shrink() {
        assert_eq!(
            chunks(Plan::Guided, 24, 2),
            [6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(chunks(Plan::Guided, 10_000, 2).len(), 33);
    }

    #[test]
    fn fixed_chunks_end_with_the_rest() {
        assert_eq!(chunks(Plan::Fixed(4), 10, 2), [4, 4, 2]);
        assert!(Plan::fixed(0).unwrap_err().is_invalid_input());
    }

    proptest! {
        #[test]
        fn every_plan_hands_out_every_item_once(n in 0u64..100_000, workers in 0u64..300, fixed in 0u64..500) {
            let plan = Plan::from_word(fixed);
            prop_assert_eq!(plan.to_word(), fixed);
            prop_assert_eq!(chunks(plan, n, workers).iter().sum::<u64>(), n);
        }
    }
}
