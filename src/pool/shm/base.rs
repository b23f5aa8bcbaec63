//! What all processes of a pool share.

use crate::shared::heap::Heap;
use crate::sys::atomic::Ordering;
use crate::sys::eventfd::EventFd;

use super::board::{Board, Slot};
use super::sleep;
use crate::pool::call::transport::FUTURES;

/// What a process of the pool inherits, however it starts.
#[derive(Clone, Copy)]
pub(in crate::pool) struct Base<'a> {
    pub(in crate::pool) heap: &'a Heap,
    /// Readable when a future's job may have become complete, while the owner wants that.
    pub(in crate::pool) eventfd: Option<&'a EventFd>,
}

impl<'a> Base<'a> {
    pub(in crate::pool) fn board(&self) -> &'a Board {
        Board::of(self.heap)
    }

    /// Makes a worker leave a job, for which it has committed `n_done` results.
    pub(in crate::pool) fn leave(&self, slot: &Slot, id: u64, n_done: u64) {
        let job = self.board().job(id);
        slot.run.store(0, Ordering::Release);
        let done = job.done.fetch_add(n_done, Ordering::SeqCst) + n_done;
        slot.job.store(id + 1, Ordering::SeqCst);
        let is_complete = n_done > 0 && done >= job.n_items.load(Ordering::Relaxed);
        // From here on the owner may reuse the job; reading it then causes a spurious wake-up at
        // worst.
        if is_complete || job.degraded.load(Ordering::SeqCst) != 0 {
            self.tell(job.completion());
        }
    }

    /// Wakes everything that waits on a completion. The caller has made the waiters' condition true
    /// before.
    pub(in crate::pool) fn tell(&self, completion: usize) {
        let board = self.board();
        sleep::tell(board.completion(completion));
        if completion == FUTURES
            && board.has_reactor.load(Ordering::SeqCst) != 0
            && let Some(eventfd) = self.eventfd
        {
            eventfd.set();
        }
    }
}
