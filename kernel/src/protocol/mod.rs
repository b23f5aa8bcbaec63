//! The messages between the processes of a session.
//!
//! ```text
//!             ToSupervisor              ToUser            ToSnapshot
//!  kernel ──────stream──────▶ supervisor ──packets──▶ user process, snapshots
//!         ◀─────────────────             ◀──────────
//!              ToKernel                  FromUser
//! ```
//!
//! Every message travels in the same envelope, which one [`Reader`] opens. All ends are the same
//! version of the same program, so the format may change with every version.
//!
//! Output takes the shortest path: a cell's output stays an [`Output`] from the supervisor to the
//! server, and is never encoded as text in between.

mod checkpoint;
mod envelope;
mod failure;
mod messages;
mod packets;

pub use checkpoint::{Checkpoint, DEFAULT as DEFAULT_CHECKPOINT};
pub use envelope::{Message, Reader};
pub use failure::{Aftermath, Ended, Failure, Frame, Place, object_number, threads_in_words};
pub use messages::{
    FromUser, Limit, Output, Saved, Snapshot, Status, ToKernel, ToSnapshot, ToSupervisor, ToUser,
};
pub use packets::Wire;
