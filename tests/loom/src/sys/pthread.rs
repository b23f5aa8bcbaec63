//! The C library's robust mutex, and the kernel's part in it: who dies leaves a mark on each that
//! it holds, and one sleeper is woken (glibc, `nptl/pthread_mutex_trylock.c`; Linux,
//! `kernel/futex/core.c`, `handle_futex_death`).

use std::cell::RefCell;

use super::atomic::{AtomicU32, Ordering};
use super::mutex::{Kind, Tried};
use super::{futex, thread_id};
use crate::error::Result;

pub(crate) struct Robust {
    word: AtomicU32,
    /// Written before others know of the mutex.
    is_reentrant: AtomicU32,
}

loom::thread_local! {
    /// What this thread holds, each as often as it has taken it.
    static HELD: RefCell<Vec<*const Robust>> = RefCell::new(Vec::new());
}

impl Robust {
    pub(crate) fn init(&self, kind: Kind) -> Result<()> {
        self.word.store(0, Ordering::Relaxed);
        let is_reentrant = u32::from(matches!(kind, Kind::Reentrant));
        self.is_reentrant.store(is_reentrant, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn try_lock(&self) -> Tried {
        let seen = self.word.load(Ordering::Relaxed);
        if seen & futex::TID_MASK == thread_id() {
            if self.is_reentrant.load(Ordering::Relaxed) == 0 {
                return Tried::Held;
            }
            HELD.with(|held| held.borrow_mut().push(self));
            return Tried::Taken;
        }
        let (free, taken, tried) = match seen & futex::OWNER_DIED {
            0 => (0, thread_id(), Tried::Taken),
            _ => (seen, thread_id() | seen & futex::WAITERS, Tried::FromDead),
        };
        let outcome = self
            .word
            .compare_exchange(free, taken, Ordering::Acquire, Ordering::Relaxed);
        if outcome.is_err() {
            return Tried::Held;
        }
        HELD.with(|held| held.borrow_mut().push(self));
        tried
    }

    pub(crate) fn unlock(&self) {
        if self.word.load(Ordering::Relaxed) & futex::TID_MASK != thread_id() {
            return;
        }
        let is_held_still = HELD.with(|held| {
            let mut held = held.borrow_mut();
            let is_this = |other: &*const Robust| std::ptr::eq(*other, self);
            let last = held.iter().rposition(is_this);
            last.map(|place| held.remove(place));
            held.iter().any(is_this)
        });
        if is_held_still {
            return;
        }
        if self.word.swap(0, Ordering::Release) & futex::WAITERS != 0 {
            futex::wake(&self.word, 1);
        }
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }
}

/// What the kernel does when a thread dies: the thread does nothing after this.
pub(crate) fn die() {
    for robust in HELD.with(RefCell::take) {
        // SAFETY: what a thread holds is alive: the models keep it to the end.
        let word = unsafe { &(*robust).word };
        let mut seen = word.load(Ordering::Relaxed);
        let mut marked = seen & futex::WAITERS | futex::OWNER_DIED;
        while let Err(now) =
            word.compare_exchange(seen, marked, Ordering::SeqCst, Ordering::Relaxed)
        {
            (seen, marked) = (now, now & futex::WAITERS | futex::OWNER_DIED);
        }
        if seen & futex::WAITERS != 0 {
            futex::wake(word, 1);
        }
    }
}
