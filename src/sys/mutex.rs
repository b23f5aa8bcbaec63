//! Mutual exclusion between processes that outlives its holders.
//!
//! The C library keeps the list of held locks that the kernel walks when a thread dies; the kernel
//! then marks each lock and wakes a sleeper. Taking, releasing and recovering are the C library's
//! (`pthread.rs`); sleeping is done here, on the mutex's futex word, because
//! `pthread_mutex_timedlock` knows only the clock on the wall, which can be set back, and
//! `pthread_mutex_clocklock` is missing from older libraries.
//!
//! The kernel's help has holes of a few nanoseconds: if a process that was woken is killed before
//! it takes the lock, while a third takes it without knowing of further sleepers, no thread wakes
//! those. So no thread sleeps longer than a [`PULSE`] without looking. And it marks at most 2,048
//! locks of a thread that dies (`ROBUST_LIST_LIMIT`): for those beyond, a waiter checks whether the
//! holder lives. As long as no thread dies, no wake-up is lost: `tests/loom` runs this very file,
//! and those in `sync`, through all orders, without any pulse.

use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, AtomicU64, Ordering};
use super::futex::{self, LOOKS};
use super::pid_namespace;
use super::pthread::Robust;
use super::thread::{self, Look, thread_id};
use crate::error::Result;

pub(crate) use super::futex::PULSE;

/// Whether the holder may take the lock again.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// No: it is told that it holds the lock.
    Plain,
    /// Yes, and must release it as often.
    Reentrant,
}

/// What came of trying to take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It is this thread's now.
    Taken,
    /// It is this thread's now; its holder, of this id, died with it.
    FromDead(u32),
    /// Another thread has it: at once, or until the deadline.
    Busy,
    /// This thread has it already.
    Own,
}

/// What came of trying to take the C library's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It is this thread's now.
    Taken,
    /// It is this thread's now; its holder died with it.
    FromDead,
    /// A thread has it, perhaps this one.
    Held,
}

/// A robust mutex in shared memory.
#[repr(C)]
pub(crate) struct Mutex {
    raw: Robust,
    /// The thread that took the lock last: below its id (of a main thread: the pid), above the pid
    /// namespace that the id is of, or 0. Written by the holder; read by the next holder, to tell
    /// which thread died, which the futex word does not, and by waiters, to tell whether the holder
    /// lives. Relaxed: the lock orders it for the former, and the latter compares it with the futex
    /// word. A holder that is killed between taking and writing is told under its predecessor's
    /// name.
    holder: AtomicU64,
}

impl Mutex {
    /// Makes the mutex, in zeroed memory, before any other process can know of it.
    pub(crate) fn init(&self, kind: Kind) -> Result<()> {
        self.raw.init(kind)
    }

    /// Takes the lock if no living thread has it.
    pub(crate) fn try_lock(&self) -> Locked {
        match self.try_take() {
            Locked::Busy if self.take_from_dead(Look::Quick) => self.try_take(),
            locked => locked,
        }
    }

    /// As [`try_lock`](Mutex::try_lock), where the kernel's mark is enough.
    pub(crate) fn try_take(&self) -> Locked {
        match self.raw.try_lock() {
            Tried::Taken => {
                self.holder.store(self.own_name(), Ordering::Relaxed);
                Locked::Taken
            }
            Tried::FromDead => {
                let dead = self.holder.swap(self.own_name(), Ordering::Relaxed);
                Locked::FromDead(dead as u32)
            }
            Tried::Held if self.is_mine() => Locked::Own,
            Tried::Held => Locked::Busy,
        }
    }

    /// Takes the lock, waiting until `deadline` at most.
    pub(crate) fn lock(&self, deadline: Option<Instant>) -> Locked {
        let mut slept = false;
        let mut looks = 0;
        loop {
            if looks > 0 && looks < LOOKS && !self.is_free() {
                looks += 1;
                std::hint::spin_loop();
                continue;
            }
            looks += 1;
            let locked = self.try_take();
            if locked != Locked::Busy {
                if slept {
                    // Others may sleep too: releasing must wake one of them.
                    self.word().fetch_or(futex::WAITERS, Ordering::Relaxed);
                }
                return locked;
            }
            if looks < LOOKS {
                continue;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                if self.take_from_dead(Look::Thorough) {
                    continue;
                }
                return Locked::Busy;
            }
            if let Some(held) = self.announce_sleeper() {
                let until = deadline.map_or(now + PULSE, |deadline| deadline.min(now + PULSE));
                futex::wait(self.word(), held, Some(until));
                slept = true;
            }
        }
    }

    /// Takes a lock that guards something whose every state is a good one: a holder's death
    /// does not matter.
    pub(crate) fn lock_anyhow(&self) {
        let _ = self.lock(None);
    }

    /// Releases the lock, which this thread holds (once more than it will after this).
    pub(crate) fn unlock(&self) {
        self.raw.unlock();
    }

    /// Makes a release, or the holder's death, wake a sleeper. The word's value to sleep on, or
    /// `None` if no living thread holds the lock.
    pub(crate) fn announce_sleeper(&self) -> Option<u32> {
        let word = self.word();
        let seen = word.load(Ordering::Relaxed);
        if seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0 {
            return None;
        }
        let look = match seen & futex::WAITERS {
            0 => Look::Quick,
            // Another thread waits already, or this one has, for a pulse.
            _ => Look::Thorough,
        };
        if self.take_from_dead(look) {
            return None;
        }
        let held = seen | futex::WAITERS;
        word.compare_exchange(seen, held, Ordering::Relaxed, Ordering::Relaxed)
            .ok()
            .map(|_| held)
    }

    /// Whether the calling thread holds the lock.
    pub(crate) fn is_mine(&self) -> bool {
        self.holding_tid() == thread_id()
    }

    /// Whether no living thread holds the lock.
    pub(crate) fn is_free(&self) -> bool {
        let seen = self.word().load(Ordering::Acquire);
        seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0
    }

    /// Who died with the lock, if that is the last thing that happened to it.
    pub(crate) fn dead_holder(&self) -> Option<u32> {
        let is_dead = self.word().load(Ordering::Acquire) & futex::OWNER_DIED != 0;
        is_dead.then(|| self.holder.load(Ordering::Relaxed) as u32)
    }

    /// Marks the lock as the kernel does if its holder has died without a mark; whether that was
    /// so.
    pub(crate) fn take_from_dead(&self, look: Look) -> bool {
        let word = self.word();
        let seen = word.load(Ordering::Acquire);
        let tid = seen & futex::TID_MASK;
        let name = self.holder.load(Ordering::Relaxed);
        // An id tells of a thread only in the namespace that it is of.
        let is_known = pid_namespace().is_some_and(|namespace| name == name_of(tid, namespace));
        if tid == 0 || seen & futex::OWNER_DIED != 0 || !is_known || !thread::has_ended(tid, look) {
            return false;
        }
        let marked = seen & futex::WAITERS | futex::OWNER_DIED;
        let changed = word.compare_exchange(seen, marked, Ordering::AcqRel, Ordering::Relaxed);
        changed.is_ok()
    }

    /// What the holder, which this thread is, writes about itself.
    fn own_name(&self) -> u64 {
        name_of(self.holding_tid(), pid_namespace().unwrap_or(0))
    }

    /// Releases a lock whose memory is about to go, if this thread has it (a guard was forgotten):
    /// the C library's list of held locks must not point to what is no more. False if another
    /// thread of this process has it: then the memory must stay.
    pub(crate) fn let_go(&self) -> bool {
        while self.is_mine() {
            self.unlock();
        }
        let tid = self.holding_tid();
        // SAFETY: signal 0 only asks whether this process has such a thread.
        tid == 0 || unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) } != 0
    }

    /// The futex word, to sleep on beside others.
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.raw.word()
    }

    fn holding_tid(&self) -> u32 {
        self.word().load(Ordering::Relaxed) & futex::TID_MASK
    }
}

fn name_of(tid: u32, namespace: u32) -> u64 {
    u64::from(namespace) << 32 | u64::from(tid)
}

/// When a wait of `timeout` that starts now is over; `None` if that is beyond all clocks.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutex(kind: Kind) -> Box<Mutex> {
        // SAFETY: zeroed memory is what a mutex is made in.
        let mutex: Box<Mutex> = unsafe { Box::new_zeroed().assume_init() };
        mutex.init(kind).unwrap();
        mutex
    }

    #[test]
    fn threads_exclude_each_other() {
        let mutex = mutex(Kind::Plain);
        let counter = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        assert_eq!(mutex.lock(None), Locked::Taken);
                        let seen = counter.load(Ordering::Relaxed);
                        counter.store(seen + 1, Ordering::Relaxed);
                        mutex.unlock();
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 80_000);
    }

    #[test]
    fn a_thread_that_ends_with_the_lock_is_told_of() {
        let mutex = mutex(Kind::Plain);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(mutex.lock(None), Locked::Taken));
        });
        assert!(matches!(mutex.lock(None), Locked::FromDead(tid) if tid != thread_id()));
        mutex.unlock();
        assert_eq!(mutex.try_lock(), Locked::Taken);
        assert!(mutex.let_go() && mutex.is_free());
    }

    #[test]
    fn taking_twice_is_told_or_counted() {
        let plain = mutex(Kind::Plain);
        assert_eq!(plain.lock(None), Locked::Taken);
        assert_eq!(plain.lock(None), Locked::Own);
        plain.unlock();
        let reentrant = mutex(Kind::Reentrant);
        assert_eq!(reentrant.lock(None), Locked::Taken);
        assert_eq!(reentrant.lock(None), Locked::Taken);
        reentrant.unlock();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(reentrant.lock(Some(Instant::now())), Locked::Busy);
                assert!(!reentrant.let_go());
            });
        });
        reentrant.unlock();
        assert!(reentrant.is_free());
    }
}
