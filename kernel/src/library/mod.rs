//! The library in the sessions: unpacked from this program, compiled once, and kept in a cache,
//! together with everything that is made for the user's compiler.

pub(crate) mod cache;
pub(crate) mod compiled;
mod copy;
mod embedded;
pub(crate) mod kept;
pub(crate) mod registry;
pub mod shared_cache;
mod sources;
pub(crate) mod toolchain;
pub mod warm;
pub(crate) mod workspace;
