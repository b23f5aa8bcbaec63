//! What futures ask of the engine.

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
    /// Has a future wait for a job from now on. The job may have ended before, and woken others:
    /// the caller looks at it once more.
    pub(in crate::pool) fn await_by_future(&mut self, job: u64) {
        if !self.is_in_queue(job) {
            return;
        }
        let before = self.job(job).move_to(FUTURES);
        if before != FUTURES {
            // A thread that sleeps there joins the pool, and finds out where to sleep.
            self.crew.base().tell(before);
        }
        if self.crew.patience().is_some() {
            // The thread that sleeps for all futures may mean to sleep beyond this job's limit.
            self.wake_for_futures();
        }
    }

    /// Wakes the thread that sleeps for all futures.
    pub(in crate::pool) fn wake_for_futures(&self) {
        sleep::tell(Board::of(&self.heap).completion(FUTURES));
    }

    /// Makes a descriptor for a reactor, readable when a future may be done, and now.
    ///
    /// # Errors
    /// `is_os()` if this process or the system has too many files open.
    pub(in crate::pool) fn open_wake_set(&mut self) -> Result<OwnedFd> {
        let descriptor = self.crew.open_wake_set()?;
        Board::of(&self.heap).has_reactor.store(1, Ordering::SeqCst);
        // What has ended so far did not set it.
        self.crew.set_eventfd();
        Ok(descriptor)
    }

    pub(in crate::pool) fn close_wake_set(&mut self) {
        Board::of(&self.heap).has_reactor.store(0, Ordering::SeqCst);
        self.crew.close_wake_set();
    }

    /// Wakes what waits for all futures: a thread, or a reactor.
    pub(in crate::pool) fn wake_reactor(&self) {
        self.crew.base().tell(FUTURES);
    }

    /// A reactor waits for futures from now on: it looks at the workers when a thread that sleeps
    /// would.
    pub(in crate::pool) fn wait_in_reactor(&mut self) {
        let longest = self.longest_nap();
        self.crew.arm(longest);
    }

    /// A reactor may have waited for longer than that.
    pub(in crate::pool) fn waited_in_reactor(&mut self) {
        self.crew.waited();
    }

    /// Looks after the workers for a reactor, whose descriptor is unreadable then until something
    /// happens again.
    pub(in crate::pool) fn look_in_reactor(&mut self) {
        self.crew.waited();
        let has_ended = self.crew.clear_wake_set();
        self.look_after_workers(has_ended);
    }

    /// Wakes a worker for each task of a job that none has claimed.
    pub(in crate::pool) fn wake_for(&self, job: u64) {
        if self.is_in_queue(job) {
            self.crew.wake(self.job(job).n_unclaimed() as usize);
        }
    }

    /// Where a thread sleeps that waits for the jobs of all futures.
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

    /// No job behind this one has ended: no worker has come to it.
    pub(in crate::pool) fn last_begun(&self) -> u64 {
        let jobs = self
            .crew
            .slots()
            .map(|(_, _, slot)| slot.job.load(Ordering::SeqCst));
        // Without workers, all jobs have ended.
        jobs.max().unwrap_or(u64::MAX)
    }
}
