//! A queue that any process may use from both sides.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::sys::atomic::Ordering;
use crate::sys::futex;
use crate::sys::mutex::deadline_in;

use super::at_once;
use super::ring::{Door, Ring, Session};

/// A queue of messages between processes: any of them may send or receive, and each message is
/// received once, in the order of sending.
///
/// # The end
/// Every process that has the queue may send, even the one that waits for a message, so no process
/// can know that no more messages will arrive. Call [`close`](Queue::close) to say so, or use
/// [`recv_timeout`](Queue::recv_timeout), or a [`pipe`](crate::pipe), which knows its senders.
///
/// # Fork safety
/// Make it before the fork. A process that is killed while it sends or receives loses at most that
/// message, and delays no other process.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use forklore::{Process, Queue};
///
/// let (tasks, results) = (Queue::<u64>::bounded(10)?, Queue::<u64>::bounded(10)?);
/// let worker = Process::spawn(|| {
///     for task in tasks.iter() {
///         results.send(task * task).unwrap();
///     }
/// })?;
/// tasks.send(7)?;
/// tasks.close();
/// assert_eq!(results.recv()?, 49);
/// worker.join()?;
/// # Ok(()) }
/// ```
pub struct Queue<T> {
    ring: Ring,
    message: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Queue<T> {
    /// A queue with room for `n` messages, of any size each.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0 or more than 16,777,216; `is_os()` if there is no memory
    /// for it.
    pub fn bounded(n: usize) -> Result<Queue<T>> {
        Ok(Queue {
            ring: Ring::new(n, u64::MAX)?,
            message: PhantomData,
        })
    }

    /// Sends a message, waiting for room.
    ///
    /// # Errors
    /// `is_closed()` if the queue is closed, even during the wait; `is_encode()` if the message
    /// cannot be encoded; `is_os()` if there is no memory for it. The message is lost then.
    #[doc(alias = "put")]
    pub fn send(&self, message: T) -> Result<()> {
        self.send_until(&message, None)
    }

    /// As [`send`](Queue::send), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`send`](Queue::send), and `is_timed_out()`.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<()> {
        self.send_until(&message, deadline_in(timeout))
    }

    /// Receives the oldest message, waiting for one.
    ///
    /// # Errors
    /// `is_closed()` if the queue is closed and empty; `is_decode()` if the message cannot be
    /// decoded, which is lost then.
    #[doc(alias = "get")]
    pub fn recv(&self) -> Result<T> {
        self.recv_until(None)
    }

    /// As [`recv`](Queue::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Queue::recv), and `is_timed_out()`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T> {
        self.recv_until(deadline_in(timeout))
    }

    /// Receives the oldest message if there is one now.
    ///
    /// # Errors
    /// As [`recv`](Queue::recv).
    #[doc(alias = "get_nowait")]
    pub fn try_recv(&self) -> Result<Option<T>> {
        at_once(|deadline| self.recv_until(deadline))
    }

    /// Iterates over the messages as they arrive, until the queue is closed and empty, or until one
    /// cannot be decoded.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    fn send_until(&self, message: &T, deadline: Option<Instant>) -> Result<()> {
        let parcel = self.ring.pack(message)?;
        loop {
            let session = self.ring.lock(deadline)?;
            if session.is_closed() {
                return Err(closed());
            }
            if !session.is_full_for(&parcel) {
                wake(self.ring.messages());
                session.push(parcel);
                return Ok(());
            }
            sleep(self.ring.space(), session, deadline)?;
        }
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<T> {
        loop {
            let session = self.ring.lock(deadline)?;
            if !session.is_empty() {
                wake(self.ring.space());
            }
            if let Some(parcel) = session.pop() {
                drop(session);
                return parcel.unpack();
            }
            if session.is_closed() {
                return Err(closed());
            }
            sleep(self.ring.messages(), session, deadline)?;
        }
    }
}

impl<T> Queue<T> {
    /// Closes the queue for senders: receivers get what is in the queue, and then the end.
    pub fn close(&self) {
        // Without a deadline there is no error.
        if let Ok(session) = self.ring.lock(None) {
            // Wake first: a process that dies in between has not closed the queue.
            wake(self.ring.messages());
            wake(self.ring.space());
            session.close();
        }
    }

    /// The number of messages in the queue now. This never waits.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.ring.glance()
    }

    /// Whether the queue is empty now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of messages that the queue has room for.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

/// Wakes all processes that sleep at a door. The caller holds the ring's lock, so a woken process
/// finds the caller's next change. It wakes all, because a single one could be killed before it
/// acts.
fn wake(door: &Door) {
    if door.has_sleepers.load(Ordering::Relaxed) != 0 {
        futex::add_and_wake_all(&door.event);
        // Last: a process that dies before this leaves the next one to wake them again.
        door.has_sleepers.store(0, Ordering::Relaxed);
    }
}

/// Releases the lock and sleeps at a door.
fn sleep(door: &Door, session: Session<'_>, deadline: Option<Instant>) -> Result<()> {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(Error::timed_out("waiting at a queue"));
    }
    door.has_sleepers.store(1, Ordering::Relaxed);
    let seen = door.event.load(Ordering::Relaxed);
    drop(session);
    futex::wait(&door.event, seen, deadline);
    Ok(())
}

fn closed() -> Error {
    Error::closed_channel("this queue was closed; make a new one with Queue::bounded()")
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
