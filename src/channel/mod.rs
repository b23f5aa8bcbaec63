//! Channels that send values from process to process.
//!
//! There are two kinds: a [`Queue`], which any process that has it may use from both sides, and a
//! [`pipe`] with a [`Sender`] and a [`Receiver`], which detects when one side is gone.
//!
//! Messages lie in shared memory, in a ring guarded by a robust lock:
//!
//! ```text
//!  send: encode ─▶ lock ─▶ wake sleepers ─▶ write the slot ─▶ tail + 1 ─▶ unlock
//!  recv:           lock ─▶ wake sleepers ─▶ read the slot  ─▶ head + 1 ─▶ unlock ─▶ decode
//! ```
//!
//! Each line takes effect in one step, when the number is stored. A process killed before that step
//! has sent or received nothing; one killed after it has completed it, and a message that it
//! received dies with it. The wake-up comes first: a woken process waits for the lock, and then
//! finds either the message or that there is none, so a death between the two steps leaves no
//! sleeper behind. Memory that a dead process had taken for a large message (over 40 bytes) stays
//! taken until the channel is dropped.
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sender, receiver) = forklore::pipe::<String>()?;
//! let child = forklore::Process::spawn(|| {
//!     for word in ["one", "two"] {
//!         sender.send(word.to_owned()).unwrap();
//!     }
//! })?;
//! drop(sender);
//! assert_eq!(receiver.iter().collect::<Vec<_>>(), ["one", "two"]);
//! child.join()?;
//! # Ok(()) }
//! ```

mod pipe;
mod queue;
mod ring;

use std::time::Instant;

use crate::error::Result;

pub use pipe::{Receiver, Sender, pipe};
pub use queue::Queue;

/// What `receive`, which waits until a deadline, can return at once.
fn at_once<T>(receive: impl FnOnce(Option<Instant>) -> Result<T>) -> Result<Option<T>> {
    match receive(Some(Instant::now())) {
        Err(error) if error.is_timed_out() => Ok(None),
        received => received.map(Some),
    }
}
