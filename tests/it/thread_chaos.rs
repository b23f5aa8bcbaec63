//! Random operations on one pool from eight threads, with a printed seed: nothing hangs, nothing is
//! lost, nothing is left.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use forklore::{Context, Pending, Pool, StartMethod, TaskError};
use futures_core::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::futures::{block_on, join_all, poll_once};
use crate::starts::METHODS;
use crate::stream_futures::next;
use crate::support::{Quiet, Random, power, tests};
use crate::threads::{N_THREADS, on_threads};
use crate::wakes::serve_until;

tests![many_threads_do_everything, many_threads_share_a_reactor];

/// The number of operations of each thread on each kind of pool.
const N_OPERATIONS: u32 = 60;
/// Each operation has fewer items than this.
const MAX_ITEMS: u64 = 40;

fn many_threads_do_everything() {
    with_each_method(|_, everyone| everyone());
}

/// One thread of the program wakes the tasks of all futures, and no thread of the pool does.
fn many_threads_share_a_reactor() {
    with_each_method(|pool, everyone| {
        let wakes = pool.wakes().unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| serve_until(&wakes, &is_over));
            let outcome = catch_unwind(AssertUnwindSafe(everyone));
            is_over.store(true, Ordering::Relaxed);
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        });
    });
}

/// Calls `run` with each kind of pool, and with a function that makes eight threads do random
/// operations.
fn with_each_method(run: impl Fn(&Pool, &dyn Fn())) {
    let _quiet = Quiet::new();
    let mut random = Random::seeded();
    for method in METHODS {
        let builder = Pool::builder().workers(3).start_method(method);
        let pool = builder.retries(0).build().unwrap();
        let seeds: Vec<u64> = (0..N_THREADS).map(|_| random.below(1 << 32)).collect();
        let powers = Context::new((0..MAX_ITEMS).map(power).collect());
        run(&pool, &|| {
            on_threads(|thread| {
                let mut caller = Caller {
                    pool: &pool,
                    powers: &powers,
                    random: Random::from(seeds[thread as usize]),
                    // Workers that are forked cannot be replaced while this process has threads.
                    may_kill: method != StartMethod::Fork,
                    here: String::new(),
                };
                for operation in 0..N_OPERATIONS {
                    caller.here = format!("{method:?}, thread {thread}, operation {operation}");
                    caller.operate();
                }
            });
        });
        let expected: Vec<u64> = (0..24).map(power).collect();
        assert_eq!(pool.map(power, 0..24), expected);
        assert_eq!(pool.pids().len(), 3);
    }
}

/// One thread, and its state.
struct Caller<'a> {
    pool: &'a Pool,
    /// What [`power`] gives, for all threads.
    powers: &'a Context<Vec<u64>>,
    random: Random,
    may_kill: bool,
    /// Where it is, for what is printed.
    here: String,
}

impl Caller<'_> {
    fn operate(&mut self) {
        let n = self.random.below(MAX_ITEMS);
        match self.random.below(16) {
            0 => self.disturb(),
            1 => drop(self.pool.map_async(power, 0..n)),
            2 => {
                let pending = (0..n).map(|x| self.pool.apply_async(power, x));
                let pending: Vec<_> = pending.collect();
                self.check(n, pending.into_iter().map(Pending::get), power);
            }
            3 => {
                let all = self.pool.imap(power, 0..n);
                self.take_some(n, all);
            }
            4 => {
                let words = self.pool.try_map(|x: u64| vec![x; 1000], 0..n);
                self.check(n, words, |x| vec![x; 1000]);
            }
            5 => {
                let results = self.pool.try_map(|x: u64| assert_ne!(x, 7), 0..n);
                let n_failed = results.iter().filter(|result| result.is_err()).count();
                assert!(n_failed >= usize::from(n > 7), "{}", self.here);
            }
            6..=8 => self.use_contexts(n),
            9..=12 => self.use_futures(n),
            _ => self.check(n, self.pool.try_map(power, 0..n), power),
        }
    }

    /// Kills a worker, or restores the missing ones.
    fn disturb(&mut self) {
        match self.random.below(2) {
            _ if !self.may_kill => {}
            0 => self.pool.resize(3).unwrap(),
            _ => {
                let pids = self.pool.pids();
                let victim = pids[self.random.below(pids.len() as u64) as usize];
                let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
            }
        }
    }

    fn use_contexts(&mut self, n: u64) {
        match self.random.below(3) {
            0 => {
                // As a whole, it is read where it lies or decoded, by its size.
                let numbers = vec![n; 1 + self.random.below(20_000) as usize];
                let add = |numbers: &Vec<u64>, x: u64| numbers[numbers.len() - 1] + x;
                let sums = self.pool.try_map_with(&numbers, add, 0..n);
                self.check(n, sums, |x| n + x);
            }
            1 => {
                let read = |powers: &Vec<u64>, x: u64| powers[x as usize];
                let results = self.pool.try_map_with(self.powers, read, 0..n);
                self.check(n, results, power);
            }
            _ => {
                let pair = (n.to_string(), self.powers.to_vec());
                let read = |(_, powers): &(String, Vec<u64>), x: u64| powers[x as usize];
                self.take_some(n, self.pool.imap_with(&pair, read, 0..n));
            }
        }
    }

    fn use_futures(&mut self, n: u64) {
        match self.random.below(4) {
            0 => {
                let pending = (0..n).map(|x| self.pool.apply_async(power, x));
                self.check(n, block_on(join_all(pending)), power);
            }
            1 => {
                // Those behind some that are dropped, having waited or not.
                let mut pending: Vec<_> = (0..2 * n)
                    .map(|x| self.pool.apply_async(power, x % n))
                    .collect();
                for pending in &mut pending {
                    if self.random.below(2) == 0 && poll_once(pending, Waker::noop()).is_ready() {
                        return;
                    }
                }
                let kept = pending.split_off(n as usize);
                drop(pending);
                self.check(n, block_on(join_all(kept)), power);
            }
            2 => {
                let stream = self.pool.stream(power, 0..n);
                self.take_some(n, blocking(stream));
            }
            _ => {
                let read = |powers: &Vec<u64>, x: u64| powers[x as usize];
                let stream = self.pool.stream_with(self.powers, read, 0..n);
                self.take_some(n, blocking(stream));
            }
        }
    }

    /// Checks results; if another thread kills a worker, only the item that it was running may
    /// fail.
    fn check<T: PartialEq + std::fmt::Debug>(
        &self,
        n: u64,
        results: impl IntoIterator<Item = Result<T, TaskError>>,
        expected: impl Fn(u64) -> T,
    ) {
        let results: Vec<_> = results.into_iter().collect();
        assert_eq!(results.len() as u64, n, "{}", self.here);
        for (x, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert_eq!(value, expected(x), "{}", self.here),
                Err(error) => {
                    let is_killed = self.may_kill && error.signal() == Some(9);
                    assert!(is_killed, "{}: {error}", self.here);
                }
            }
        }
    }

    /// Takes some of the powers of 0 to `n`, and drops the iterator over the rest.
    fn take_some(&mut self, n: u64, all: impl Iterator<Item = u64>) {
        let n_taken = self.random.below(n + 1) as usize;
        let take = || all.take(n_taken).collect::<Vec<_>>();
        match catch_unwind(AssertUnwindSafe(take)) {
            Ok(taken) => {
                let expected = (0..n).map(power).take(n_taken);
                assert!(taken.into_iter().eq(expected), "{}", self.here);
            }
            Err(_) => assert!(self.may_kill, "{}", self.here),
        }
    }
}

/// The items of a stream; the calling thread waits for each.
fn blocking<S: Stream + Unpin>(mut stream: S) -> impl Iterator<Item = S::Item> {
    std::iter::from_fn(move || block_on(next(&mut stream)))
}
