//! Memory shared by fork.

pub(crate) mod heap;
