//! What a relay and its agent say to each other goes through a link.

use std::io;

/// The longest message, in bytes: a heartbeat waits for no more than one such message.
pub const MAX_MESSAGE: usize = 1 << 20;

/// A channel of messages between a relay and its agent: ordered, reliable, nonblocking.
///
/// After an error it is broken, and gives no messages any more.
pub trait Link {
    /// Queues a message. Never blocks.
    ///
    /// # Errors
    /// If the message has more than [`MAX_MESSAGE`] bytes, or the link is broken.
    fn send(&mut self, message: Vec<u8>) -> io::Result<()>;

    /// The next message that has arrived, if one has; makes progress.
    ///
    /// # Errors
    /// If the link is broken.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// How many bytes are queued and not yet handed over.
    fn n_queued_bytes(&self) -> usize;
}
