//! What the processes of a session say to each other.
//!
//! ```text
//!             ToSupervisor              ToUser            ToSnapshot
//!  kernel ──────stream──────▶ supervisor ──packets──▶ user process, snapshots
//!         ◀─────────────────             ◀──────────
//!              ToKernel                  FromUser
//! ```
//!
//! Every message travels in the same envelope, and one [`Reader`] opens it. All ends are the same
//! program in the same version, so the format may change with every version.
//!
//! Output takes the shortest way: what a cell writes is an [`Output`] from the supervisor to the
//! front end's door, and is never encoded as text on its way.

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
