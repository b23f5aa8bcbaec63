//! A reentrant lock.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::shared::placed::Placed;
use crate::sys::mutex::{Kind, Locked, Mutex, deadline_in};

/// A reentrant lock, for functions that lock and call each other.
///
/// It guards something external: a file, a screen, several shared values. It cannot hold a value,
/// because two guards of one process could then both change it; use [`Lock`](crate::Lock) for that.
///
/// # Fork safety
/// Make it before the fork. A child that is forked while its parent holds the lock does not hold
/// it; the guards that it inherits do nothing. When a holder dies, the next process that locks gets
/// [`is_owner_died()`](Error::is_owner_died), once: what the lock guards may be half done.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// let lock = forklore::RLock::new()?;
/// let outer = lock.lock()?;
/// let inner = lock.lock()?;
/// drop((outer, inner));
/// # Ok(()) }
/// ```
pub struct RLock {
    mutex: Placed<Mutex>,
}

impl RLock {
    /// A free lock.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it: it takes a page.
    pub fn new() -> Result<RLock> {
        let mutex = Placed::<Mutex>::zeroed()?;
        mutex.init(Kind::Reentrant)?;
        Ok(RLock { mutex })
    }

    /// Waits until no other process holds the lock, and takes it.
    ///
    /// # Errors
    /// `is_owner_died()` if the last holder died with it: the lock is free then; call again to go
    /// on.
    #[doc(alias = "acquire")]
    pub fn lock(&self) -> Result<RLockGuard<'_>> {
        self.guard(self.mutex.lock(None))
    }

    /// As [`lock`](RLock::lock), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`lock`](RLock::lock), and `is_timed_out()`.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<RLockGuard<'_>> {
        self.guard(self.mutex.lock(deadline_in(timeout)))
    }

    /// Takes the lock if that is possible at once; `None` if another process holds it.
    ///
    /// # Errors
    /// As [`lock`](RLock::lock).
    pub fn try_lock(&self) -> Result<Option<RLockGuard<'_>>> {
        match self.mutex.try_lock() {
            Locked::Busy => Ok(None),
            locked => self.guard(locked).map(Some),
        }
    }

    fn guard(&self, locked: Locked) -> Result<RLockGuard<'_>> {
        match locked {
            Locked::Taken | Locked::Own => Ok(RLockGuard {
                mutex: &self.mutex,
                not_send: PhantomData,
            }),
            Locked::FromDead(pid) => {
                self.mutex.unlock();
                Err(Error::owner_died(
                    "a lock",
                    pid,
                    "what it guards may be half done",
                ))
            }
            Locked::Busy => Err(Error::timed_out("waiting for a lock")),
        }
    }
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock")
            .field("is_held", &!self.mutex.is_free())
            .finish_non_exhaustive()
    }
}

/// Holds an [`RLock`]; the lock is free when the last guard of its holder is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RLockGuard<'a> {
    mutex: &'a Mutex,
    /// The C library's list of held locks is the thread's own.
    not_send: PhantomData<*const ()>,
}

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        // A child forked in the meantime has a copy of the guard, but not the lock: the C library
        // then refuses to release it.
        self.mutex.unlock();
    }
}

impl fmt::Debug for RLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RLockGuard")
    }
}
