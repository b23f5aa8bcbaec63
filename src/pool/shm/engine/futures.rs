//! What futures ask of the engine.

use std::sync::Arc;

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
        let board = Board::of(&self.heap);
        let before = self.job(job).move_to(FUTURES);
        if before != FUTURES {
            // A thread that sleeps there joins the pool, and finds out where to sleep.
            sleep::tell(board.completion(before));
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
