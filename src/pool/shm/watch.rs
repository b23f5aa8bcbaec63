//! How one of the owner's threads waits for jobs: it spins for a while, and then sleeps. Neither
//! takes the engine's lock, which other threads need.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::shared::heap::Heap;
use crate::sys::futex;

use super::board::Board;
use super::sleep::{self, Announced};
use super::spin::{self, Spinner};

/// How long the owner lets a tiny job run before it wakes more than one worker.
const HEAD_START: Duration = Duration::from_micros(5);

/// What a thread watches until one of some jobs has ended.
#[derive(Clone)]
pub(in crate::pool) struct Watch {
    pub(super) heap: Arc<Heap>,
    /// The jobs; seldom more than one.
    pub(super) job: u64,
    pub(super) others: Vec<u64>,
    /// The number of tasks for which workers should be awake.
    pub(super) n_items: usize,
    pub(super) n_slots: usize,
    pub(super) n_cpus: usize,
    /// The completion on which the thread sleeps.
    pub(super) completion: usize,
}

/// The spinner of the owner's threads. One thread at a time spins; the others sleep.
pub(in crate::pool) struct Looks(Mutex<Spinner>);

impl Looks {
    pub(in crate::pool) fn new(n_cpus: usize) -> Looks {
        Looks(Mutex::new(Spinner::yielding(n_cpus)))
    }

    /// Spins until a job has ended, for as long as that is worthwhile.
    pub(in crate::pool) fn look(&self, watch: &Watch) -> bool {
        let n_awake = || watch.board().n_awake(watch.n_slots);
        let spinner = self.0.try_lock();
        spinner.is_ok_and(|mut spinner| spinner.until(n_awake, || watch.seems_done()))
    }
}

/// What a thread sleeps on besides its completion, and the maximum time.
pub(in crate::pool) struct Nap {
    /// Slots, with the values that their lifelines' words have while the workers live.
    pub(super) lifelines: Vec<(usize, u32)>,
    pub(in crate::pool) longest: Duration,
}

impl Watch {
    fn board(&self) -> &Board {
        Board::of(&self.heap)
    }

    /// Whether one of the jobs seems to be done. Only the engine knows for sure: the entry of the
    /// queue may belong to another job by now.
    fn seems_done(&self) -> bool {
        let mut jobs = std::iter::once(&self.job).chain(&self.others);
        jobs.any(|&job| self.board().job(job).seems_done())
    }

    /// Whether a waiting thread still watches the same jobs and sleeps on the same completion.
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

    /// Sleeps until an event may have happened, or it is time to look.
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
