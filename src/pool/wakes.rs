//! Futures whose tasks are woken by the program's own reactor.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::Pool;
use super::call::shared::Shared;
use crate::error::Result;
use crate::sys::process_id;

/// What a reactor waits for in place of a pool's futures, from [`Pool::wakes`]: a descriptor that
/// is readable when a result, a death or a time limit is there.
///
/// While there is one, no thread is started for the pool's futures and streams, and none of them
/// sleeps while it is polled. The program's reactor (epoll, tokio, smol, an event loop of its own)
/// waits until the descriptor is readable, and calls [`wake`](Wakes::wake), again and again; the
/// futures are awaited as always, by any tasks of any threads. If nothing calls it, they wait
/// forever. The time limits of their calls are kept by the calls of `wake`, too.
///
/// A function that has captured something has workers of its own, of which this knows nothing: its
/// future wakes its own task at each poll.
///
/// When this is dropped, the tasks that wait are woken, and go on as without it. It holds a
/// descriptor for each worker, and three more.
///
/// # Fork safety
/// It is the process's that has made it. In a forked child, [`wake`](Wakes::wake) does nothing.
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
    /// Has the program's own reactor wake the tasks that wait for this pool's futures and streams:
    /// with the feature `async`. See [`Wakes`].
    ///
    /// # Errors
    /// `is_invalid_input()` if there is one for this pool already, `is_closed()`, and `is_os()` if
    /// this process or the system has too many files open.
    ///
    /// # Fork safety
    /// A pool that is used in a forked child has no `Wakes` there until the child asks for one.
    pub fn wakes(&self) -> Result<Wakes> {
        Ok(Wakes {
            descriptor: self.shared.begin_reactor()?,
            shared: Arc::clone(&self.shared),
            owner: process_id(),
        })
    }
}

impl Wakes {
    /// Does what there is to do when the descriptor is readable: makes it unreadable, wakes the
    /// tasks whose results are there, makes up for workers that have died, and ends tasks that are
    /// over their time limit.
    ///
    /// It does not block, and may be called at any time, from any thread. A waker that panics
    /// holds up no other.
    pub fn wake(&self) {
        if self.owner == process_id() {
            self.shared.wake_from_reactor();
        }
    }
}

/// To wait until it is readable, and for nothing else: [`wake`](Wakes::wake) reads it.
impl AsFd for Wakes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// For reactors that ask for a number. It stays valid until the `Wakes` is dropped.
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
