//! How a thread of the owner waits for jobs: it spins for a while, and then sleeps. Neither takes
//! the engine's lock, which other threads need.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::shared::heap::Heap;
use crate::sys::futex;

use super::board::Board;
use super::sleep::{self, Announced};
use super::spin::{self, Spinner};

/// How long the owner lets a tiny job run before it wakes more workers than one.
const HEAD_START: Duration = Duration::from_micros(5);

/// What a thread looks at until one of some jobs has ended.
#[derive(Clone)]
pub(in crate::pool) struct Watch {
    pub(super) heap: Arc<Heap>,
    /// The jobs; one seldom has company.
    pub(super) job: u64,
    pub(super) others: Vec<u64>,
    /// For how many tasks workers are to be awake.
    pub(super) n_items: usize,
    pub(super) n_slots: usize,
    pub(super) n_cpus: usize,
    /// Where the thread sleeps.
    pub(super) completion: usize,
}

/// The spinner of the owner's threads. One thread at a time spins; the others sleep.
pub(in crate::pool) struct Looks(Mutex<Spinner>);

impl Looks {
    pub(in crate::pool) fn new(n_cpus: usize) -> Looks {
        Looks(Mutex::new(Spinner::new(n_cpus)))
    }

    /// Spins until a job has ended, as long as that makes sense.
    pub(in crate::pool) fn look(&self, watch: &Watch) -> bool {
        let n_awake = || watch.board().n_awake(watch.n_slots);
        let spinner = self.0.try_lock();
        spinner.is_ok_and(|mut spinner| spinner.until(n_awake, || watch.seems_done()))
    }
}

/// What a thread sleeps on beside its completion, and for how long at most.
pub(in crate::pool) struct Nap {
    /// Slots with the values that their lifelines' words have while the workers live.
    pub(super) lifelines: Vec<(usize, u32)>,
    pub(in crate::pool) longest: Duration,
}

impl Watch {
    fn board(&self) -> &Board {
        Board::of(&self.heap)
    }

    /// Whether one of the jobs seems to be done. The engine knows: an entry of the queue that this
    /// looks at may be another job's by now.
    fn seems_done(&self) -> bool {
        let mut jobs = std::iter::once(&self.job).chain(&self.others);
        jobs.any(|&job| self.board().job(job).seems_done())
    }

    /// Whether a thread that waits has the same jobs to look at, and sleeps where it did.
    pub(in crate::pool) fn is_as(&self, other: &Watch) -> bool {
        let what = |watch: &Watch| (watch.job, watch.completion);
        what(self) == what(other) && self.others == other.others
    }

    /// Spins for a moment in which a tiny job may be done.
    pub(in crate::pool) fn is_done_at_once(&self) -> bool {
        match self.n_cpus {
            0 | 1 => self.seems_done(),
            _ => spin::look_for(HEAD_START, &|| self.seems_done()),
        }
    }

    /// Wakes as many workers as there are tasks for.
    pub(in crate::pool) fn wake_workers(&self) {
        sleep::wake_some(&self.board().slots[..self.n_slots], self.n_items);
    }

    /// Announces that the calling thread is about to sleep.
    pub(in crate::pool) fn announce(&self) -> Announced<'_> {
        sleep::announce(self.board().completion(self.completion))
    }

    /// Sleeps until something may have happened, or it is time to look.
    pub(in crate::pool) fn sleep(
        &self,
        announced: &Announced<'_>,
        nap: &Nap,
        deadline: Option<Instant>,
    ) {
        let slots = &self.board().slots;
        let mut words = Vec::with_capacity(1 + nap.lifelines.len());
        words.push(announced.word());
        let lifelines = nap.lifelines.iter();
        words.extend(lifelines.map(|&(slot, word)| (slots[slot].lifeline.word(), word)));
        let until = Instant::now() + nap.longest;
        futex::wait_any(&words, deadline.map_or(until, |at| at.min(until)));
    }
}
