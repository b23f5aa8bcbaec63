//! The atomics of shared memory, from one place, so that a model checker's can take theirs.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
