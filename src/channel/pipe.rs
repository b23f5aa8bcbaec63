//! A channel with two sides, each of which detects when the other is gone.
//!
//! "Gone" means that no process has that side any more, and only the OS can count that. So each
//! side has the write end of an OS pipe, at whose read end the other side sleeps: a byte wakes it,
//! or the end of the last writer.
//!
//! A process that waits for a message cannot send one. Its own sender, which it may have only
//! because fork copies everything, must not keep it waiting; so it closes that write end while it
//! waits without a limit, and reopens it afterwards. All this happens under the ring's lock, so a
//! process that finds the ring empty and no writer knows that no process can send: all senders are
//! gone or wait for a message themselves. It notifies those (`n_ends`), and each returns the end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::sys::atomic::Ordering;
use crate::sys::fifo::{ReadEnd, WriteEnd, fifo};
use crate::sys::mutex::{PULSE, deadline_in};

use super::at_once;
use super::ring::{Door, Ring, Session};

/// The capacity of a pipe: a sender waits while this many messages, or bytes, are in it.
const N_MESSAGES: usize = 1024;
const MAX_BYTES: u64 = 1 << 24;

/// A channel from a [`Sender`] to a [`Receiver`], for messages of any size.
///
/// A sender waits while 1,024 messages or 16 MiB have not been received.
///
/// # Errors
/// `is_os()` if there is no memory for it, or this process cannot open four more files.
///
/// # Fork safety
/// Make it before the fork. Parent and children then have both sides, and a process need not drop
/// the side that it does not use: one that waits for a message does not count as a sender, and one
/// that waits for room does not count as a receiver. A process that has a sender and does something
/// else might still send, so it counts as a sender until it exits or drops it; a
/// [`Pool`'s](crate::Pool) idle workers do not count.
///
/// This needs a mounted `/proc`. Without it, a process that has both sides cannot wait without a
/// limit: drop one side, give a timeout, or use a [`Queue`](crate::Queue).
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, receiver) = forklore::pipe::<u32>()?;
/// let child = forklore::Process::spawn(|| receiver.iter().sum::<u32>())?;
/// for number in 1..=4 {
///     sender.send(number)?;
/// }
/// drop(sender);
/// assert_eq!(child.join()?, 10);
/// # Ok(()) }
/// ```
#[doc(alias = "Pipe")]
pub fn pipe<T: Serialize + DeserializeOwned>() -> Result<(Sender<T>, Receiver<T>)> {
    let sides = Rc::new(Sides {
        ring: Ring::new(N_MESSAGES, MAX_BYTES)?,
        messages: Gate::new()?,
        space: Gate::new()?,
    });
    let sender = Sender {
        sides: Rc::clone(&sides),
        message: PhantomData,
    };
    let receiver = Receiver {
        sides,
        message: PhantomData,
    };
    Ok((sender, receiver))
}

/// This process's sides of a pipe.
struct Sides {
    ring: Ring,
    /// Senders wake, receivers sleep.
    messages: Gate,
    /// Receivers wake, senders sleep.
    space: Gate,
}

/// An OS pipe: through it, one side of the channel wakes the other, and the OS counts the processes
/// that have it.
struct Gate {
    reader: ReadEnd,
    writer: RefCell<Option<WriteEnd>>,
    /// The number of values in this process that may wake, and therefore count.
    n_wakers: Cell<usize>,
}

impl Gate {
    fn new() -> Result<Gate> {
        let (reader, writer) = fifo()?;
        Ok(Gate {
            reader,
            writer: RefCell::new(Some(writer)),
            n_wakers: Cell::new(1),
        })
    }

    /// Opens the gate: every sleeper wakes, and no process sleeps until it is closed. The caller
    /// holds the ring's lock, so a woken process finds the caller's next change.
    fn open(&self, door: &Door) {
        if door.has_byte.load(Ordering::Relaxed) == 0
            && let Some(writer) = &*self.writer.borrow()
        {
            writer.wake();
            // Last: a process that dies before this leaves a byte too many, not too few.
            door.has_byte.store(1, Ordering::Relaxed);
        }
    }

    /// Makes sleeping possible. The caller holds the ring's lock.
    fn close(&self, door: &Door) {
        // First: a process that dies before the next step leaves a byte too many, not too few.
        door.has_byte.store(0, Ordering::Relaxed);
        self.reader.drain();
    }

    /// Starts or stops counting this process among those that may wake. One that has nothing left
    /// to wake with does not count in any case.
    fn count_self(&self, is_counted: bool) -> Result<()> {
        let mut writer = self.writer.borrow_mut();
        if !is_counted {
            if writer.is_some() && !self.reader.can_make_writer() {
                return Err(Error::os(
                    "cannot wait at this pipe without a limit while this process has its other side too: that \
                     takes a mounted /proc; drop the other side, give a timeout, or use a Queue",
                    std::io::ErrorKind::Unsupported.into(),
                ));
            }
            *writer = None;
        } else if self.n_wakers.get() > 0 && writer.as_ref().is_none_or(WriteEnd::is_shut) {
            *writer = Some(self.reader.writer()?);
        }
        Ok(())
    }

    fn drop_waker(&self) {
        self.n_wakers.set(self.n_wakers.get() - 1);
        if self.n_wakers.get() == 0 {
            *self.writer.borrow_mut() = None;
        }
    }
}

/// The result of one look at the ring.
enum Look<R> {
    Done(R),
    /// Nothing is available now.
    NotNow,
}

impl Sides {
    /// Looks repeatedly, under the ring's lock, until there is something to take, no process is
    /// left that could provide it, or the deadline has passed.
    fn wait<'s, R>(
        &'s self,
        (gate, door): (&Gate, &Door),
        deadline: Option<Instant>,
        gone: &str,
        mut look: impl FnMut(&Session<'s>) -> Look<R>,
    ) -> Result<R> {
        let n_ends = door.n_ends.load(Ordering::Relaxed);
        loop {
            let session = self.ring.lock(deadline)?;
            gate.count_self(true)?;
            if let Look::Done(done) = look(&session) {
                return Ok(done);
            }
            if door.n_ends.load(Ordering::Relaxed) != n_ends {
                return Err(Error::closed_channel(gone));
            }
            gate.close(door);
            if deadline.is_none() {
                gate.count_self(false)?;
            }
            if !gate.reader.has_writer() {
                gate.count_self(true)?;
                door.n_ends.store(n_ends.wrapping_add(1), Ordering::Relaxed);
                gate.open(door);
                return Err(Error::closed_channel(gone));
            }
            drop(session);
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(Error::timed_out("waiting at a pipe"));
            }
            let pulse = now + PULSE;
            gate.reader
                .sleep(deadline.map_or(pulse, |at| at.min(pulse)));
        }
    }
}

/// The side of a [`pipe`] that sends. Its clones, in all processes, are senders of the same pipe.
pub struct Sender<T> {
    sides: Rc<Sides>,
    message: PhantomData<fn(T)>,
}

impl<T: Serialize> Sender<T> {
    /// Sends a message, waiting for room.
    ///
    /// This returns when the message is in the pipe; it does not say whether any process receives
    /// it.
    ///
    /// # Errors
    /// `is_closed()` if there is no room and no receiver is left; `is_encode()` if the message
    /// cannot be encoded; `is_os()` if there is no memory for it. The message is lost then.
    #[doc(alias = "put")]
    pub fn send(&self, message: T) -> Result<()> {
        self.send_until(&message, None)
    }

    /// As [`send`](Sender::send), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`send`](Sender::send), and `is_timed_out()`.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<()> {
        self.send_until(&message, deadline_in(timeout))
    }

    fn send_until(&self, message: &T, deadline: Option<Instant>) -> Result<()> {
        let sides = &*self.sides;
        let mut parcel = Some(sides.ring.pack(message)?);
        sides.messages.count_self(true)?;
        let gone = "no room is left in this pipe, and no receiver that could make some";
        let event = (&sides.space, sides.ring.space());
        sides.wait(event, deadline, gone, |session| {
            match parcel.take_if(|parcel| !session.is_full_for(parcel)) {
                Some(parcel) => {
                    sides.messages.open(sides.ring.messages());
                    session.push(parcel);
                    Look::Done(())
                }
                None => Look::NotNow,
            }
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let wakers = &self.sides.messages.n_wakers;
        wakers.set(wakers.get() + 1);
        Sender {
            sides: Rc::clone(&self.sides),
            message: PhantomData,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.sides.messages.drop_waker();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The side of a [`pipe`] that receives. After a fork, several processes may receive; each message
/// is received once.
pub struct Receiver<T> {
    sides: Rc<Sides>,
    message: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Receives the oldest message, waiting for one.
    ///
    /// # Errors
    /// `is_closed()` at the end: there is no message, and every process that could send one is
    /// gone, has dropped its sender, or waits for a message itself. `is_decode()` if the message
    /// cannot be decoded, which is lost then.
    #[doc(alias = "get")]
    pub fn recv(&self) -> Result<T> {
        self.recv_until(None)
    }

    /// As [`recv`](Receiver::recv), but waits no longer than `timeout`. This process's own sender
    /// counts here, because it may send afterwards.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv), and `is_timed_out()`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T> {
        self.recv_until(deadline_in(timeout))
    }

    /// Receives the oldest message if there is one now.
    ///
    /// # Errors
    /// As [`recv_timeout`](Receiver::recv_timeout).
    #[doc(alias = "poll")]
    pub fn try_recv(&self) -> Result<Option<T>> {
        at_once(|deadline| self.recv_until(deadline))
    }

    /// Iterates over the messages as they arrive, until the end, or until one cannot be decoded.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<T> {
        let sides = &*self.sides;
        sides.space.count_self(true)?;
        let gone = "no message is left in this pipe, and no sender that could send one";
        let event = (&sides.messages, sides.ring.messages());
        let parcel = sides.wait(event, deadline, gone, |session| {
            if !session.is_empty() {
                sides.space.open(sides.ring.space());
            }
            session.pop().map_or(Look::NotNow, Look::Done)
        })?;
        parcel.unpack()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.sides.space.drop_waker();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
