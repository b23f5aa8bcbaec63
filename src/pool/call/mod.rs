//! One call of a pool, whatever carries it: from a function and its arguments to each item's
//! result.
//!
//! `run` has the journey, `way` the two ways of a function to workers; `transport` is the seam to
//! what carries it. Above the seam are `batch`, which publishes again what a lost worker has left,
//! and `collate` in the owner, and `task`, in which functions run, in a worker.

pub(super) mod batch;
mod bits;
pub(super) mod callable;
pub(super) mod collate;
pub(super) mod copied;
pub(super) mod decoded;
pub(super) mod flight;
#[cfg(feature = "async")]
pub(super) mod futures;
#[cfg(feature = "cluster")]
pub(super) mod harvest;
pub(super) mod input;
#[cfg(test)]
mod messages;
pub(super) mod notes;
pub(super) mod options;
pub(super) mod outcome;
mod panics;
pub(super) mod run;
pub(super) mod shared;
mod slots;
pub(super) mod spent;
pub(super) mod transport;
pub(super) mod turns;
pub(super) mod way;
pub(super) mod work;
