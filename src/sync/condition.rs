//! Waits until a locked value meets a condition.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::shared::placed::Placed;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::mutex::{PULSE, deadline_in};

use super::lock::LockGuard;

/// Releases a [`Lock`](crate::Lock) and waits until another process signals that the lock's value
/// has changed.
///
/// Use [`wait_while`](Condition::wait_while), which checks the value: a notification only says that
/// a check is worthwhile.
///
/// # Fork safety
/// Make it before the fork. A process that is killed while it waits consumes no notification,
/// because each notification wakes all waiters. One that is killed between its change and its
/// notification delays `wait_while` by at most 100 ms, because `wait_while` also checks the value
/// at that interval.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use forklore::{Condition, Lock, Process};
///
/// let (basket, changed) = (Lock::new(Vec::<String>::new())?, Condition::new()?);
/// let child = Process::spawn(|| {
///     let guard = basket.lock().unwrap();
///     let mut guard = changed.wait_while(guard, |basket| basket.is_empty()).unwrap();
///     guard.pop()
/// })?;
/// basket.lock()?.push("apple".to_owned());
/// changed.notify_all();
/// assert_eq!(child.join()?.as_deref(), Some("apple"));
/// # Ok(()) }
/// ```
pub struct Condition {
    /// The number of notifications so far. A notifier adds and wakes in one system call; waiters
    /// load with acquire while they hold the lock.
    notified: Placed<AtomicU32>,
}

impl Condition {
    /// A condition without waiters.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it: it takes a page.
    pub fn new() -> Result<Condition> {
        Ok(Condition {
            notified: Placed::zeroed()?,
        })
    }

    /// Wakes at least one waiter.
    ///
    /// It wakes all of them: a single one could be killed before it acts, and the others would wait
    /// forever.
    #[doc(alias = "notify")]
    pub fn notify_one(&self) {
        self.notify_all();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        futex::add_and_wake_all(&self.notified);
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    ///
    /// # Errors
    /// Those of [`Lock::lock`](crate::Lock::lock) and [`LockGuard::unlock`]; the lock is not held
    /// then.
    pub fn wait<'a, T>(&self, guard: LockGuard<'a, T>) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        self.wait_until(guard, None)
    }

    /// As [`wait`](Condition::wait), but waits no longer than `timeout`, for the notification and
    /// for the lock.
    ///
    /// # Errors
    /// As [`wait`](Condition::wait), and `is_timed_out()`; the lock is not held then.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: LockGuard<'a, T>,
        timeout: Duration,
    ) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        self.wait_until(guard, deadline_in(timeout))
    }

    /// Waits while `condition` is true of the value.
    ///
    /// # Errors
    /// As [`wait`](Condition::wait).
    #[doc(alias = "wait_for")]
    pub fn wait_while<'a, T>(
        &self,
        guard: LockGuard<'a, T>,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        self.wait_while_until(guard, None, condition)
    }

    /// As [`wait_while`](Condition::wait_while), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`wait_timeout`](Condition::wait_timeout).
    pub fn wait_while_timeout<'a, T>(
        &self,
        guard: LockGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        self.wait_while_until(guard, deadline_in(timeout), condition)
    }

    fn wait_while_until<'a, T>(
        &self,
        mut guard: LockGuard<'a, T>,
        deadline: Option<Instant>,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        while condition(&guard) {
            let lock = guard.owner();
            let seen = self.notified.load(Ordering::Acquire);
            guard.unlock()?;
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(timed_out());
            }
            let pulse = now + PULSE;
            self.sleep(seen, Some(deadline.map_or(pulse, |at| at.min(pulse))));
            guard = lock.lock_until(deadline)?;
        }
        Ok(guard)
    }

    fn wait_until<'a, T>(
        &self,
        guard: LockGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> Result<LockGuard<'a, T>>
    where
        T: Serialize + DeserializeOwned,
    {
        let lock = guard.owner();
        let seen = self.notified.load(Ordering::Acquire);
        guard.unlock()?;
        match self.sleep(seen, deadline) {
            true => lock.lock_until(deadline),
            false => Err(timed_out()),
        }
    }

    /// Sleeps until there was a notification since `seen`; false if the deadline came first.
    fn sleep(&self, seen: u32, deadline: Option<Instant>) -> bool {
        while self.notified.load(Ordering::Acquire) == seen {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return false;
            }
            futex::wait(&self.notified, seen, deadline);
        }
        true
    }
}

fn timed_out() -> Error {
    Error::timed_out("waiting for a condition")
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}
