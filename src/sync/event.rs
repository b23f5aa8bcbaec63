//! A flag that processes set, clear and wait for.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shared::placed::Placed;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::mutex::deadline_in;

/// A flag that processes wait for until one of them sets it.
///
/// Every [`set`](Event::set) wakes all waiters, even if [`clear`](Event::clear) follows
/// immediately. A waiter sees everything that a process wrote to shared memory before it set the
/// event.
///
/// # Fork safety
/// Make it before the fork. Setting is one step: a process that is killed while it sets the event
/// has either set it and woken all waiters, or done neither.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use forklore::{Event, Process};
///
/// let go = Event::new()?;
/// let child = Process::spawn(|| {
///     go.wait();
///     7
/// })?;
/// go.set();
/// assert_eq!(child.join()?, 7);
/// # Ok(()) }
/// ```
pub struct Event {
    /// Lowest bit: whether the event is set. The others: how often it was cleared, so that a waiter
    /// notices if it was set in between. A setter adds the bit and wakes in one system call, which
    /// publishes; waiters load with acquire.
    word: Placed<AtomicU32>,
}

const SET: u32 = 1;

impl Event {
    /// An event that is not set.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it: it takes a page.
    pub fn new() -> Result<Event> {
        Ok(Event {
            word: Placed::zeroed()?,
        })
    }

    /// Sets the event and wakes all waiters.
    pub fn set(&self) {
        futex::set_bit_and_wake_all(&self.word);
    }

    /// Resets the event, so that processes can wait for it again.
    pub fn clear(&self) {
        let _ = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & SET != 0).then_some((word & !SET).wrapping_add(2))
            });
    }

    /// Whether the event is set.
    pub fn is_set(&self) -> bool {
        self.word.load(Ordering::Acquire) & SET != 0
    }

    /// Waits until the event is set.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits until the event is set, but no longer than `timeout`.
    ///
    /// # Errors
    /// `is_timed_out()`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        match self.wait_until(deadline_in(timeout)) {
            true => Ok(()),
            false => Err(Error::timed_out("waiting for an event")),
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let start = self.word.load(Ordering::Acquire);
        if start & SET != 0 {
            return true;
        }
        // Any change means that the event was set, even if it was cleared since.
        while self.word.load(Ordering::Acquire) == start {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return false;
            }
            futex::wait(&self.word, start, deadline);
        }
        true
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish()
    }
}
