//! Mutual exclusion between processes that outlives its holders.
//!
//! The C library's robust `pthread` mutexes keep the list of held locks that the kernel walks when
//! a thread dies (`Documentation/locking/robust-futexes.rst`); the kernel then marks each lock and
//! wakes a sleeper. Taking, releasing and recovering are the library's; sleeping is done here, on
//! the mutex's futex word, because `pthread_mutex_timedlock` knows only the clock on the wall,
//! which can be set back, and `pthread_mutex_clocklock` is missing from older libraries.
//!
//! The kernel's help has holes of a few nanoseconds: if a process that was woken is killed before
//! it takes the lock, while a third takes it without knowing of further sleepers, nobody wakes
//! those. So nobody sleeps longer than a [`PULSE`] without looking.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, Ordering};
use super::{futex, thread_id};
use crate::error::{Error, Result};

/// The longest sleep without a look at what is waited for.
pub(crate) const PULSE: Duration = Duration::from_millis(100);

/// How often a held lock is looked at before sleeping; most are held for less than a microsecond.
const LOOKS: u32 = 100;

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
    /// Somebody else has it: at once, or until the deadline.
    Busy,
    /// This thread has it already.
    Own,
}

/// A robust mutex in shared memory.
#[repr(C)]
pub(crate) struct Mutex {
    raw: UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>,
    /// The id of the thread that took the lock last (of a main thread: the pid). Written by the
    /// holder; read by whoever takes the lock next, to tell who died, which the futex word does
    /// not. Relaxed: the lock orders it. A holder that is killed between taking and writing is
    /// told under its predecessor's name.
    holder: AtomicU32,
}

// SAFETY: the mutex is made to be used by several threads and processes at once.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// Makes the mutex, in zeroed memory, before any other process can know of it.
    pub(crate) fn init(&self, kind: Kind) -> Result<()> {
        let kind = match kind {
            Kind::Plain => libc::PTHREAD_MUTEX_ERRORCHECK,
            Kind::Reentrant => libc::PTHREAD_MUTEX_RECURSIVE,
        };
        // SAFETY: the attribute is initialised before it is used and destroyed after; the mutex is
        // nobody else's yet.
        let code = unsafe {
            let mut attributes = MaybeUninit::uninit();
            let attributes = attributes.as_mut_ptr();
            libc::pthread_mutexattr_init(attributes);
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutexattr_settype(attributes, kind);
            let code = libc::pthread_mutex_init(self.raw(), attributes);
            libc::pthread_mutexattr_destroy(attributes);
            code
        };
        match code {
            0 => Ok(()),
            _ => Err(Error::os(
                "cannot make a lock between processes",
                std::io::Error::from_raw_os_error(code),
            )),
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Locked {
        // SAFETY: `init` made the mutex.
        let code = unsafe { libc::pthread_mutex_trylock(self.raw()) };
        match code {
            0 => {
                self.holder.store(self.holding_tid(), Ordering::Relaxed);
                Locked::Taken
            }
            libc::EOWNERDEAD => {
                // SAFETY: this thread holds the mutex, in the state that this call is for. What
                // the lock guards is always consistent here: see its users.
                unsafe { libc::pthread_mutex_consistent(self.raw()) };
                let dead = self.holder.swap(self.holding_tid(), Ordering::Relaxed);
                Locked::FromDead(dead)
            }
            _ if self.is_mine() => Locked::Own,
            _ => Locked::Busy,
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
            let locked = self.try_lock();
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
                return Locked::Busy;
            }
            if let Some(held) = self.announce_sleeper() {
                let until = deadline.map_or(now + PULSE, |deadline| deadline.min(now + PULSE));
                futex::wait(self.word(), held, Some(until));
                slept = true;
            }
        }
    }

    /// Takes a lock that guards something whose every state is a good one: a holder's death is
    /// nobody's business.
    pub(crate) fn lock_anyhow(&self) {
        let _ = self.lock(None);
    }

    /// Releases the lock, which this thread holds (once more than it will after this).
    pub(crate) fn unlock(&self) {
        // SAFETY: `init` made the mutex; one that is not this thread's is left as it is.
        unsafe { libc::pthread_mutex_unlock(self.raw()) };
    }

    /// Makes a release, or the holder's death, wake a sleeper. The word's value to sleep on, or
    /// `None` if the lock is held by nobody that lives.
    pub(crate) fn announce_sleeper(&self) -> Option<u32> {
        let word = self.word();
        let seen = word.load(Ordering::Relaxed);
        if seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0 {
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

    /// Whether nobody that lives holds the lock.
    pub(crate) fn is_free(&self) -> bool {
        let seen = self.word().load(Ordering::Acquire);
        seen & futex::TID_MASK == 0 || seen & futex::OWNER_DIED != 0
    }

    /// Who died with the lock, if that is the last thing that happened to it.
    pub(crate) fn dead_holder(&self) -> Option<u32> {
        let is_dead = self.word().load(Ordering::Acquire) & futex::OWNER_DIED != 0;
        is_dead.then(|| self.holder.load(Ordering::Relaxed))
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
        // SAFETY: the mutex begins with its 32-bit futex word, which every process changes only
        // atomically, and lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.raw().cast()) }
    }

    fn holding_tid(&self) -> u32 {
        self.word().load(Ordering::Relaxed) & futex::TID_MASK
    }

    fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.raw.get().cast()
    }
}

/// When a wait of `timeout` that starts now is over; `None` if that is beyond all clocks.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutex(kind: Kind) -> Box<Mutex> {
        let mutex = Box::new(Mutex {
            raw: UnsafeCell::new(MaybeUninit::zeroed()),
            holder: AtomicU32::new(0),
        });
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
