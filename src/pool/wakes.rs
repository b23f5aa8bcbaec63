//! Lets the program's own reactor wake the tasks that wait for a pool's futures.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::Pool;
use super::call::shared::Shared;
use crate::error::Result;
use crate::sys::process_id;

/// What a reactor waits for on behalf of a pool's futures, from [`Pool::wakes`]: a descriptor that
/// becomes readable on a result, a death or a time limit.
///
/// While it exists, the pool starts no thread for its futures and streams, and polling one never
/// sleeps. In a loop, the program's reactor (epoll, tokio, smol, its own event loop) waits until
/// the descriptor is readable and calls [`wake`](Wakes::wake); tasks of any thread await the
/// futures as usual. If nothing calls `wake`, they wait forever. The calls of `wake` also enforce
/// time limits.
///
/// A capturing function has its own workers, which the descriptor does not cover: its future wakes
/// its own task at each poll.
///
/// Dropping it wakes the waiting tasks, which continue as without it. It holds a descriptor for
/// each worker, and three more.
///
/// # Fork safety
/// It belongs to the process that made it. In a forked child, [`wake`](Wakes::wake) does nothing.
///
/// # Example
/// With tokio, on one thread; with smol it is `smol::Async`, and with neither `poll(2)`:
///
/// ```standalone_crate
/// use forklore::Pool;
/// use tokio::io::{Interest, unix::AsyncFd};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::with_workers(2)?;
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
/// let result = runtime.block_on(async {
///     // SAFETY: `Wakes` keeps its descriptor open, and the same, until it is dropped.
///     let wakes = unsafe { AsyncFd::register_with_interest(pool.wakes()?, Interest::READABLE)? };
///     tokio::spawn(async move {
///         while let Ok(mut ready) = wakes.readable().await {
///             wakes.get_ref().wake();
///             ready.clear_ready();
///         }
///     });
///     Ok::<_, Box<dyn std::error::Error>>(pool.apply_async(|x: u64| x * x, 12).await?)
/// })?;
/// assert_eq!(result, 144);
/// # Ok(()) }
/// ```
#[must_use = "dropped at once, it wakes nothing"]
pub struct Wakes {
    shared: Arc<Shared>,
    descriptor: OwnedFd,
    owner: u32,
}

impl Pool {
    /// With the feature `async`: lets the program's own reactor wake the tasks that wait for this
    /// pool's futures and streams. See [`Wakes`].
    ///
    /// # Errors
    /// `is_invalid_input()` if this pool already has one, `is_closed()`, and `is_os()` if this
    /// process or the system has too many open files.
    ///
    /// # Fork safety
    /// In a forked child, the pool has no `Wakes` until the child calls this.
    pub fn wakes(&self) -> Result<Wakes> {
        Ok(Wakes {
            descriptor: self.shared.begin_reactor()?,
            shared: Arc::clone(&self.shared),
            owner: process_id(),
        })
    }
}

impl Wakes {
    /// Handles a readable descriptor: makes it unreadable, wakes the tasks whose results are ready,
    /// makes up for dead workers, and ends tasks over their time limit.
    ///
    /// It does not block, and may be called at any time, from any thread. A waker that panics does
    /// not affect the others.
    pub fn wake(&self) {
        if self.owner == process_id() {
            self.shared.wake_from_reactor();
        }
    }
}

/// Only for waiting until it is readable: [`wake`](Wakes::wake) reads it.
impl AsFd for Wakes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// For reactors that take a raw descriptor. It stays valid until the `Wakes` is dropped.
impl AsRawFd for Wakes {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakes")
            .field("descriptor", &self.descriptor)
            .finish()
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        if self.owner == process_id() {
            self.shared.end_reactor();
        }
    }
}
