//! The worker processes of a pool: how they start, work, and end.

pub(super) mod conditions;
pub(super) mod crew;
pub(super) mod early;
pub(super) mod entry;
pub(super) mod fresh;
#[cfg(feature = "cluster")]
pub(super) mod nodes;
mod server;
pub(super) mod start;
mod time_limit;
pub(super) mod worker;
