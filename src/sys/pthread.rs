//! The C library's robust mutex. This library uses it only to take a free mutex, to release it, and
//! to have Linux mark it when its holder dies.
//!
//! `pthread` keeps the list of held locks that Linux walks when a thread dies
//! (`Documentation/locking/robust-futexes.rst`). The loom models replace this module
//! (`tests/loom`).

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use super::atomic::AtomicU32;
use super::mutex::{Kind, Tried};
use crate::error::{Error, Result};

/// A robust mutex in shared memory.
#[repr(C)]
pub(crate) struct Robust(UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>);

// SAFETY: the mutex is initialised for use by several threads and processes at once.
unsafe impl Sync for Robust {}

impl Robust {
    /// Initialises the mutex, in zeroed memory or over a mutex that no thread holds, while no other
    /// process uses it.
    pub(crate) fn init(&self, kind: Kind) -> Result<()> {
        let kind = match kind {
            Kind::Plain => libc::PTHREAD_MUTEX_ERRORCHECK,
            Kind::Reentrant => libc::PTHREAD_MUTEX_RECURSIVE,
        };
        // SAFETY: the attribute is initialised before it is used and destroyed after; no other
        // process uses the mutex.
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

    /// Takes the mutex if no live thread has it.
    pub(crate) fn try_lock(&self) -> Tried {
        // SAFETY: `init` made the mutex.
        let code = unsafe { libc::pthread_mutex_trylock(self.raw()) };
        match code {
            0 => Tried::Taken,
            libc::EOWNERDEAD => {
                // SAFETY: this thread holds the mutex, in the state that this call requires. The
                // guarded data is always consistent here: see its users.
                unsafe { libc::pthread_mutex_consistent(self.raw()) };
                Tried::FromDead
            }
            _ => Tried::Held,
        }
    }

    /// Releases the mutex, once; does nothing if another thread holds it.
    pub(crate) fn unlock(&self) {
        // SAFETY: `init` made the mutex, which checks its holder.
        unsafe { libc::pthread_mutex_unlock(self.raw()) };
    }

    /// The futex word, in Linux's format.
    pub(crate) fn word(&self) -> &AtomicU32 {
        // SAFETY: the mutex begins with its 32-bit futex word, which every process changes only
        // atomically, and lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.raw().cast()) }
    }

    fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.0.get().cast()
    }
}
