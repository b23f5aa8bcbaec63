//! Mutual exclusion between processes that survives its holders.
//!
//! The C library keeps the list of held locks that Linux walks when a thread dies; Linux then marks
//! each lock and wakes a sleeper. The C library takes, releases and recovers locks (`pthread.rs`);
//! this module sleeps on the mutex's futex word itself, because `pthread_mutex_timedlock` uses only
//! the wall clock, which can be set back, and older libraries lack `pthread_mutex_clocklock`.
//!
//! Linux's help has gaps of a few nanoseconds: if a woken process is killed before it takes the
//! lock, while a third process takes it without knowing of further sleepers, no thread wakes those.
//! So no thread sleeps longer than a [`PULSE`] without checking. And Linux marks at most 2,048
//! locks of a dead thread (`ROBUST_LIST_LIMIT`): for any others, a waiter checks whether the holder
//! is alive. As long as no thread dies, no wake-up is lost: `tests/loom` runs this file, and those
//! in `sync`, through all interleavings, without any pulse.

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
    /// No: a second attempt returns [`Locked::Own`].
    Plain,
    /// Yes, and must release it as often.
    Reentrant,
}

/// The result of trying to take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It is this thread's now.
    Taken,
    /// This thread has it now; its holder, with this id, died with it.
    FromDead(u32),
    /// Another thread has it, now or until the deadline.
    Busy,
    /// This thread already has it.
    Own,
}

/// The result of trying to take the C library's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It is this thread's now.
    Taken,
    /// This thread has it now; its holder died with it.
    FromDead,
    /// A thread has it, perhaps this one.
    Held,
}

/// A robust mutex in shared memory.
#[repr(C)]
pub(crate) struct Mutex {
    raw: Robust,
    /// The thread that took the lock last: in the lower half its id (for a main thread: the pid),
    /// in the upper half the id's pid namespace, or 0. Written by the holder; read by the next
    /// holder, to learn which thread died, which the futex word does not say, and by waiters, to
    /// learn whether the holder is alive. Relaxed: the lock orders it for the former, and the
    /// latter compare it with the futex word. A holder that is killed between taking and writing is
    /// reported under its predecessor's name.
    holder: AtomicU64,
}

impl Mutex {
    /// Initialises the mutex, in zeroed memory, before any other process can know of it.
    pub(crate) fn init(&self, kind: Kind) -> Result<()> {
        self.raw.init(kind)
    }

    /// Takes the lock if no live thread has it.
    pub(crate) fn try_lock(&self) -> Locked {
        match self.try_take() {
            Locked::Busy if self.take_from_dead(Look::Quick) => self.try_take(),
            locked => locked,
        }
    }

    /// As [`try_lock`](Mutex::try_lock), but relies on Linux's mark alone.
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
                    // Others may sleep too: the release must wake one of them.
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

    /// Takes a lock that guards data for which every state is valid: a holder's death does not
    /// matter.
    pub(crate) fn lock_anyhow(&self) {
        let _ = self.lock(None);
    }

    /// Releases the lock, which this thread holds (once, if it holds it several times).
    pub(crate) fn unlock(&self) {
        self.raw.unlock();
    }

    /// Makes a release, or the holder's death, wake a sleeper. Returns the word's value to sleep
    /// on, or `None` if no live thread holds the lock.
    pub(crate) fn announce_sleeper(&self) -> Option<u32> {
        let word = self.word();
        let seen = word.load(Ordering::Relaxed);
        if seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0 {
            return None;
        }
        let look = match seen & futex::WAITERS {
            0 => Look::Quick,
            // Another thread is already waiting, or this one has waited for a pulse.
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

    /// Whether no live thread holds the lock.
    pub(crate) fn is_free(&self) -> bool {
        let seen = self.word().load(Ordering::Acquire);
        seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0
    }

    /// The thread that died with the lock, if no thread has taken it since.
    pub(crate) fn dead_holder(&self) -> Option<u32> {
        let is_dead = self.word().load(Ordering::Acquire) & futex::OWNER_DIED != 0;
        is_dead.then(|| self.holder.load(Ordering::Relaxed) as u32)
    }

    /// If the holder has died without Linux's mark, marks the lock as Linux would and returns true.
    pub(crate) fn take_from_dead(&self, look: Look) -> bool {
        let word = self.word();
        let seen = word.load(Ordering::Acquire);
        let tid = seen & futex::TID_MASK;
        let name = self.holder.load(Ordering::Relaxed);
        // A thread id is meaningful only in its own namespace.
        let is_known = pid_namespace().is_some_and(|namespace| name == name_of(tid, namespace));
        if tid == 0 || seen & futex::OWNER_DIED != 0 || !is_known || !thread::has_ended(tid, look) {
            return false;
        }
        let marked = seen & futex::WAITERS | futex::OWNER_DIED;
        let changed = word.compare_exchange(seen, marked, Ordering::AcqRel, Ordering::Relaxed);
        changed.is_ok()
    }

    /// What this thread writes into `holder`.
    fn own_name(&self) -> u64 {
        name_of(self.holding_tid(), pid_namespace().unwrap_or(0))
    }

    /// Releases a lock whose memory is about to be unmapped, if this thread has it (a guard was
    /// forgotten): the C library's list of held locks must not point to unmapped memory. False if
    /// another thread of this process has it: then the memory must stay mapped.
    pub(crate) fn let_go(&self) -> bool {
        while self.is_mine() {
            self.unlock();
        }
        let tid = self.holding_tid();
        // SAFETY: signal 0 only asks whether this process has such a thread.
        tid == 0 || unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) } != 0
    }

    /// The futex word, to sleep on together with others.
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

/// The deadline of a wait of `timeout` that starts now; `None` if it is beyond the clock's range.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutex(kind: Kind) -> Box<Mutex> {
        // SAFETY: a mutex is initialised in zeroed memory.
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
