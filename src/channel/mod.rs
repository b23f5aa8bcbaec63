//! Sending values from process to process.
//!
//! Two kinds: a [`Queue`], which every process that has it may send to and receive from, and a
//! [`pipe`] with a [`Sender`] and a [`Receiver`], which knows when one side is gone.
//!
//! Messages lie in shared memory, in a ring that is guarded by a robust lock:
//!
//! ```text
//!  send: encode ─▶ lock ─▶ wake who sleeps ─▶ write the slot ─▶ tail + 1 ─▶ unlock
//!  recv:           lock ─▶ wake who sleeps ─▶ read the slot  ─▶ head + 1 ─▶ unlock ─▶ decode
//! ```
//!
//! Each line becomes true in one step, when the number is stored. A process that is killed before
//! it has sent or received nothing; one that is killed after has done it, and a message that it had
//! received dies with it. The wake-up comes first: who is woken waits for the lock, and finds
//! either the message or that there is none, so that no death between the two leaves a sleeper
//! behind. What a dead process had taken of the memory for large messages (over 40 bytes) stays
//! taken for as long as the channel lives.
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

/// What `receive`, which waits until a deadline, has at this moment.
fn at_once<T>(receive: impl FnOnce(Option<Instant>) -> Result<T>) -> Result<Option<T>> {
    match receive(Some(Instant::now())) {
        Err(error) if error.is_timed_out() => Ok(None),
        received => received.map(Some),
    }
}
