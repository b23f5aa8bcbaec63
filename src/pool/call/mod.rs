//! One call of a pool, over any transport: from a function and its arguments to each item's result.
//!
//! `run` follows the whole path, `way` has the two ways in which a function reaches workers, and
//! `transport` is the interface to what carries jobs. Above that interface are `batch`, which
//! publishes again what a lost worker left, and `collate`, both in the owner, and `work`, which
//! runs functions in a worker.

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
