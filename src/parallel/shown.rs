//! A parallel map that shows its progress.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;
use crate::pool::{Map, Pool, Watched};
use crate::progress::Meter;

use super::Parallel;

/// The levels from which [`verbose`](Parallel::verbose) shows progress, and each worker's progress.
const VERBOSE_PROGRESS: u32 = 10;
const VERBOSE_WORKERS: u32 = 50;

impl Parallel {
    /// Shows a map's progress, as [`progress`](crate::progress()) does.
    pub fn progress(mut self, shown: bool) -> Parallel {
        self.shows_progress = shown;
        self
    }

    pub(super) fn shows_progress(&self) -> bool {
        self.shows_progress || self.verbosity >= VERBOSE_PROGRESS
    }

    /// The pool, with the requested amount of progress.
    pub(super) fn watched<'p>(&self, pool: &'p Pool) -> Watched<'p> {
        let watched = pool.with_progress();
        match self.shows_progress() {
            true if self.verbosity >= VERBOSE_WORKERS => watched.per_worker(),
            true => watched,
            false => watched.hidden(),
        }
    }

    /// Maps in threads of this process, where the tasks themselves can count.
    pub(super) fn counted<M, F, I, A, R>(&self, map: &M, f: F, args: I) -> Vec<Outcome<R>>
    where
        M: Map,
        F: Fn(A) -> R + Send + Sync,
        I: Iterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        let args: Vec<A> = args.collect();
        let meter = Mutex::new(Meter::new("", Some(args.len() as u64)));
        let count_too = |arg| {
            // Also counts a task that panics.
            let _counted = Counted(&meter);
            f(arg)
        };
        map.try_map(count_too, args)
    }
}

/// Counts a task when it ends.
struct Counted<'m>(&'m Mutex<Meter>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .advance();
    }
}
