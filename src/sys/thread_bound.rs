//! A value that belongs to one thread, but may be moved to others.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

/// A value that only the thread that made it can access. The wrapper is `Send` and `Sync`, whatever
/// the value is. If another thread drops it, the value is leaked: perhaps only its own thread may
/// run its destructor.
pub(crate) struct ThreadBound<T> {
    thread: ThreadId,
    value: ManuallyDrop<T>,
}

impl<T> ThreadBound<T> {
    /// Binds a value to the calling thread.
    pub(crate) fn new(value: T) -> ThreadBound<T> {
        ThreadBound {
            thread: thread::current().id(),
            value: ManuallyDrop::new(value),
        }
    }

    /// Whether the value belongs to the calling thread.
    pub(crate) fn is_here(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// The value, on its own thread.
    pub(crate) fn get(&self) -> Option<&T> {
        self.is_here().then(|| &*self.value)
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: nothing uses the value after this.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

// SAFETY: only the value's own thread accesses it; no second thread ever gets the same id
// (std::thread::ThreadId).
unsafe impl<T> Send for ThreadBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for ThreadBound<T> {}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn only_its_own_thread_reaches_and_drops_it() {
        let value = Rc::new(());
        let bound = ThreadBound::new(Rc::clone(&value));
        let bound = thread::spawn(move || {
            assert!(bound.get().is_none());
            bound
        });
        let bound = bound.join().unwrap();
        assert!(bound.get().is_some_and(|here| Rc::ptr_eq(here, &value)));
        drop(bound);
        assert_eq!(Rc::strong_count(&value), 1);
        let leaked = ThreadBound::new(Rc::clone(&value));
        thread::spawn(move || drop(leaked)).join().unwrap();
        assert_eq!(Rc::strong_count(&value), 2);
    }
}
