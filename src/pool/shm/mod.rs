//! Carries a call on one machine: memory that the owner and its workers share.
//!
//! `board` has what is shared, and in which order it is written; `engine` is the owner's side of
//! the seam (`call::transport`), `desk` a worker's. Results come back in each worker's `lane`.

pub(super) mod args;
pub(super) mod base;
pub(super) mod board;
pub(super) mod contexts;
pub(super) mod desk;
pub(super) mod engine;
pub(super) mod function;
mod growing;
pub(super) mod lane;
pub(super) mod record;
pub(super) mod recorder;
pub(super) mod results;
pub(super) mod sleep;
pub(super) mod spin;
pub(super) mod watch;
