//! The engine's interface for futures.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::error::Result;
use crate::sys::atomic::Ordering;

use super::super::board::Board;
use super::super::sleep;
use super::super::watch::Watch;
use super::Engine;
use crate::pool::call::transport::FUTURES;

impl Engine {
    /// Makes a future wait for a job from now on. The job may have ended before and woken others,
    /// so the caller must check it once more.
    pub(in crate::pool) fn await_by_future(&mut self, job: u64) {
        if !self.is_in_queue(job) {
            return;
        }
        let before = self.job(job).move_to(FUTURES);
        if before != FUTURES {
            // A thread that sleeps there joins the pool, and then finds its new completion.
            self.crew.base().tell(before);
        }
        if self.crew.patience().is_some() {
            // The thread that sleeps for all futures may intend to sleep beyond this job's limit.
            self.wake_for_futures();
        }
    }

    /// Wakes the thread that sleeps for all futures.
    pub(in crate::pool) fn wake_for_futures(&self) {
        sleep::tell(Board::of(&self.heap).completion(FUTURES));
    }

    /// Makes a descriptor for a reactor, readable when a future may be done, and initially.
    ///
    /// # Errors
    /// `is_os()` if this process or the system has too many files open.
    pub(in crate::pool) fn open_wake_set(&mut self) -> Result<OwnedFd> {
        let descriptor = self.crew.open_wake_set()?;
        Board::of(&self.heap).has_reactor.store(1, Ordering::SeqCst);
        // Jobs that ended earlier did not set it.
        self.crew.set_eventfd();
        Ok(descriptor)
    }

    pub(in crate::pool) fn close_wake_set(&mut self) {
        Board::of(&self.heap).has_reactor.store(0, Ordering::SeqCst);
        self.crew.close_wake_set();
    }

    /// Wakes the thread or reactor that waits for all futures.
    pub(in crate::pool) fn wake_reactor(&self) {
        self.crew.base().tell(FUTURES);
    }

    /// Notes that a reactor now waits for futures: it looks at the workers when a sleeping thread
    /// would.
    pub(in crate::pool) fn wait_in_reactor(&mut self) {
        let longest = self.longest_nap();
        self.crew.arm(longest);
    }

    /// A reactor may have waited longer than intended.
    pub(in crate::pool) fn waited_in_reactor(&mut self) {
        self.crew.waited();
    }

    /// Looks after the workers for a reactor, and makes its descriptor unreadable until the next
    /// event.
    pub(in crate::pool) fn look_in_reactor(&mut self) {
        self.crew.waited();
        let has_ended = self.crew.clear_wake_set();
        self.look_after_workers(has_ended);
    }

    /// Wakes a worker for each unclaimed task of a job.
    pub(in crate::pool) fn wake_for(&self, job: u64) {
        if self.is_in_queue(job) {
            self.crew.wake(self.job(job).n_unclaimed() as usize);
        }
    }

    /// The watch of the thread that waits for the jobs of all futures.
    pub(in crate::pool) fn watch_futures(&self) -> Watch {
        Watch {
            heap: Arc::clone(&self.heap),
            job: 0,
            others: Vec::new(),
            n_items: 0,
            n_slots: 0,
            n_cpus: self.n_cpus,
            completion: FUTURES,
        }
    }

    /// The last job that a worker has reached: no later one has ended.
    pub(in crate::pool) fn last_begun(&self) -> u64 {
        let jobs = self
            .crew
            .slots()
            .map(|(_, _, slot)| slot.job.load(Ordering::SeqCst));
        // Without workers, all jobs have ended.
        jobs.max().unwrap_or(u64::MAX)
    }
}
