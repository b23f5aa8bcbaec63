//! A value behind a lock that a fork cannot leave locked.
//!
//! A fork copies only the calling thread. A value that another thread had locked stays locked in
//! the child, half changed, and no thread will ever unlock it. So each process has its own value
//! and lock: the first use in a child makes them, and never touches its parent's.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::atomic::{AtomicPtr, Ordering};
use super::process_id;
use crate::error::Result;

/// A value for each process that uses it.
pub(crate) struct PerProcess<T> {
    /// The newest link: this process's, or that of the nearest ancestor that has one.
    head: AtomicPtr<Link<T>>,
}

struct Link<T> {
    process: u32,
    value: Mutex<T>,
    /// The link of an ancestor, or null.
    next: *mut Link<T>,
}

impl<T> PerProcess<T> {
    /// A value for this process.
    pub(crate) fn new(value: T) -> PerProcess<T> {
        PerProcess {
            head: AtomicPtr::new(Link::boxed(value, ptr::null_mut())),
        }
    }

    /// Locks this process's value, which `make` makes if there is none. If several threads make one
    /// at the same time, one keeps its value, and the others drop theirs.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn lock(&self, make: impl FnOnce() -> Result<T>) -> Result<MutexGuard<'_, T>> {
        let head = self.head();
        let link = match head.process == process_id() {
            true => head,
            false => self.push(make()?),
        };
        // A caller that panicked has left a consistent value: code that changes it in several steps
        // runs no user code.
        Ok(link.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this process has a value.
    pub(crate) fn is_here(&self) -> bool {
        self.head().process == process_id()
    }

    fn head(&self) -> &Link<T> {
        // SAFETY: a link lives as long as this value, and its lock guards everything that changes.
        unsafe { &*self.head.load(Ordering::Acquire) }
    }

    #[cold]
    fn push(&self, value: T) -> &Link<T> {
        let ancestor = ptr::from_ref(self.head()).cast_mut();
        let link = Link::boxed(value, ancestor);
        let pushed =
            self.head
                .compare_exchange(ancestor, link, Ordering::AcqRel, Ordering::Acquire);
        if pushed.is_err() {
            // SAFETY: no other thread has seen this link.
            drop(unsafe { Box::from_raw(link) });
        }
        self.head()
    }
}

impl<T> Link<T> {
    fn boxed(value: T, next: *mut Link<T>) -> *mut Link<T> {
        Box::into_raw(Box::new(Link {
            process: process_id(),
            value: Mutex::new(value),
            next,
        }))
    }
}

impl<T> Drop for PerProcess<T> {
    /// Drops the values, except an ancestor's that was locked when this process was forked: it may
    /// be half changed.
    fn drop(&mut self) {
        let mut next = *self.head.get_mut();
        while !next.is_null() {
            // SAFETY: each link was boxed, and this is the only remaining reference to it.
            let link = unsafe { Box::from_raw(next) };
            next = link.next;
            if link.process != process_id() && link.value.try_lock().is_err() {
                std::mem::forget(link);
            }
        }
    }
}

// SAFETY: the value is accessed only through its mutex; moving the list moves the values.
unsafe impl<T: Send> Send for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for PerProcess<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_one_value() {
        let counter = PerProcess::new(0);
        let make = || unreachable!("there is one");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| *counter.lock(make).unwrap() += 1));
            }
        });
        assert_eq!(*counter.lock(make).unwrap(), 400);
    }

    #[test]
    fn another_process_makes_its_own_and_never_waits_for_its_parents() {
        let value = PerProcess::new("parent's");
        // As in a process that was forked while another thread held the lock.
        let inherited = value.head.load(Ordering::Acquire);
        // SAFETY: this test alone uses the link, which outlives this.
        let inherited = unsafe {
            (*inherited).process = 1;
            &*inherited
        };
        let locked = inherited.value.lock().unwrap();
        let values: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| *value.lock(|| Ok("child's")).unwrap()))
                .collect();
            let values = threads.into_iter().map(|thread| thread.join().unwrap());
            values.collect()
        });
        assert_eq!(values, ["child's"; 4]);
        drop(value);
        // The parent's value is untouched.
        assert_eq!(*locked, "parent's");
    }

    #[test]
    fn what_cannot_be_made_is_an_error_and_tried_again() {
        let value = PerProcess::new(1);
        // SAFETY: this test alone uses the link.
        unsafe { (*value.head.load(Ordering::Acquire)).process = 1 };
        let failed = value.lock(|| Err(crate::error::Error::closed()));
        assert!(failed.unwrap_err().is_closed());
        assert_eq!(*value.lock(|| Ok(2)).unwrap(), 2);
    }
}
