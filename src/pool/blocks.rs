//! A lazy map made of many eager ones.

use std::iter::Fuse;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use crate::error::Outcome;

/// Blocks grow until one takes this long: then it costs little that the next one starts only after
/// the last task of this one.
const LONG_ENOUGH: Duration = Duration::from_millis(20);
const LARGEST_BLOCK: usize = 1 << 16;

/// The results of a map that takes and runs its arguments block by block.
pub(crate) struct Blocks<F, I: Iterator, R, Run> {
    f: F,
    args: Fuse<I>,
    /// Runs a block.
    run: Run,
    ready: IntoIter<Outcome<R>>,
    n_taken: usize,
    n_per_block: usize,
}

impl<F, I, R, Run> Blocks<F, I, R, Run>
where
    I: Iterator,
    Run: FnMut(&F, Vec<I::Item>) -> Vec<Outcome<R>>,
{
    /// Starts with blocks of `n_first` items.
    pub(crate) fn new(f: F, args: I, n_first: usize, run: Run) -> Self {
        Blocks {
            f,
            args: args.fuse(),
            run,
            ready: Vec::new().into_iter(),
            n_taken: 0,
            n_per_block: n_first.max(1),
        }
    }
}

impl<F, I, R, Run> Iterator for Blocks<F, I, R, Run>
where
    I: Iterator,
    Run: FnMut(&F, Vec<I::Item>) -> Vec<Outcome<R>>,
{
    type Item = R;

    #[track_caller]
    fn next(&mut self) -> Option<R> {
        if self.ready.len() == 0 {
            let block: Vec<I::Item> = self.args.by_ref().take(self.n_per_block).collect();
            self.n_taken += block.len();
            let started = Instant::now();
            self.ready = (self.run)(&self.f, block).into_iter();
            if started.elapsed() < LONG_ENOUGH {
                self.n_per_block = (2 * self.n_per_block).min(LARGEST_BLOCK);
            }
        }
        let item = self.n_taken - self.ready.len();
        match self.ready.next()? {
            Ok(value) => Some(value),
            Err(error) => panic!("{}", error.at(item)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.args.size_hint();
        let n_ready = self.ready.len();
        let most = most.and_then(|most| most.checked_add(n_ready));
        (least.saturating_add(n_ready), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_when_they_are_wanted_and_grow() {
        let mut sizes = Vec::new();
        let run = |f: &fn(u32) -> u32, block: Vec<u32>| {
            sizes.push(block.len());
            block.into_iter().map(|x| Ok(f(x))).collect()
        };
        let mut blocks = Blocks::new((|x| x * 2) as fn(u32) -> u32, 0..20, 3, run);
        assert_eq!(blocks.size_hint(), (20, Some(20)));
        assert_eq!(blocks.next(), Some(0));
        assert_eq!(blocks.size_hint(), (19, Some(19)));
        assert_eq!(blocks.by_ref().sum::<u32>(), 380);
        assert_eq!(sizes.iter().sum::<usize>(), 20);
        assert_eq!(sizes[0], 3);
    }
}
