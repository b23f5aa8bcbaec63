//! In the place of `Lock`, whose value lies encoded in a heap: a value beside a mutex, for
//! `Condition`.

use std::time::Instant;

use loom::cell::UnsafeCell;

use crate::error::{Error, Result};
use crate::shared::placed::zeroed;
use crate::sys::mutex::{Kind, Locked, Mutex};

pub(crate) struct Lock<T> {
    mutex: Box<Mutex>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by the mutex's holder only; loom checks that.
unsafe impl<T> Sync for Lock<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Lock<T> {
        let mutex = zeroed::<Mutex>();
        mutex.init(Kind::Plain).unwrap();
        Lock {
            mutex,
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Result<LockGuard<'_, T>> {
        self.lock_until(None)
    }

    pub(crate) fn lock_until(&self, deadline: Option<Instant>) -> Result<LockGuard<'_, T>> {
        match self.mutex.lock(deadline) {
            Locked::Taken => Ok(LockGuard(self)),
            Locked::FromDead(id) => {
                self.mutex.unlock();
                Err(Error::owner_died("", id, ""))
            }
            Locked::Busy | Locked::Own => Err(Error::Other),
        }
    }
}

pub(crate) struct LockGuard<'a, T>(&'a Lock<T>);

impl<'a, T> LockGuard<'a, T> {
    pub(crate) fn owner(&self) -> &'a Lock<T> {
        self.0
    }

    pub(crate) fn unlock(self) -> Result<()> {
        drop(self);
        Ok(())
    }

    pub(crate) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the guard holds the mutex.
        self.0
            .value
            .with_mut(|value| change(unsafe { &mut *value }))
    }
}

impl<T> std::ops::Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the mutex.
        self.0.value.with(|value| unsafe { &*value })
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.0.mutex.unlock();
    }
}
