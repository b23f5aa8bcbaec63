//! Messages between two processes, possibly on two machines.
//!
//! ```text
//!  message: head, payload ── Talk: cut into frames ──▶ Link (a socket, or MPI) ──▶ Talk: head, payload
//! ```
//!
//! Nothing here waits. Data that cannot be handed over yet is queued, so that two sides that both
//! send much never wait for each other.

mod socket;
mod talk;

use std::io;

pub(crate) use socket::SocketLink;
pub(crate) use talk::{END, Payload, QUIET, Talk};

/// The largest frame that a [`Link`] carries, in bytes: small enough that a large message is seen
/// to move, frame by frame, and that no process on its way needs memory for all of it.
pub const MAX_FRAME: usize = 1 << 20;

/// Carries frames from one process to another: in order, each once, and without loss while both
/// sides live.
pub trait Link {
    /// Queues a frame of at most [`MAX_FRAME`] bytes. Never waits.
    ///
    /// # Errors
    /// If the other side is gone.
    fn send(&mut self, frame: Vec<u8>) -> io::Result<()>;

    /// Returns the next frame that has arrived, if any. Hands over queued data, as far as the other
    /// side accepts it. Never waits.
    ///
    /// # Errors
    /// If the other side is gone, and everything that it sent has been received.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Hands over queued data, as far as the other side accepts it, and receives nothing. Never
    /// waits. If the other side is gone, the next call of another method says so.
    fn progress(&mut self);

    /// The number of bytes that are queued and not handed over.
    fn n_queued_bytes(&self) -> usize;
}
