//! Messages between two processes that may be on two machines.
//!
//! ```text
//!  message: head, payload ── Talk: cut into frames ──▶ Link (a socket, or MPI) ──▶ Talk: head, payload
//! ```
//!
//! Nothing here waits. What cannot be handed over yet is queued, so that two sides that both send
//! much never wait for each other.

mod socket;
mod talk;

use std::io;

pub(crate) use socket::SocketLink;
pub(crate) use talk::{Payload, QUIET, Talk};

/// The largest frame that a [`Link`] carries, in bytes: short enough that signs of life pass
/// between the frames of a large message.
pub const MAX_FRAME: usize = 1 << 20;

/// What carries frames from one process to another: in order, each once, none lost while both sides
/// live.
pub trait Link {
    /// Queues a frame of at most [`MAX_FRAME`] bytes. Never waits.
    ///
    /// # Errors
    /// If the other side is gone.
    fn send(&mut self, frame: Vec<u8>) -> io::Result<()>;

    /// The next frame that has arrived, if one has. Hands over what is queued, as far as the other
    /// side takes it. Never waits.
    ///
    /// # Errors
    /// If the other side is gone, and all that it had sent was received.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// How many bytes are queued and not handed over.
    fn n_queued_bytes(&self) -> usize;
}
