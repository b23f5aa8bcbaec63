//! The operating system, with a safe face: the only place that calls `libc` by itself, where `nix`
//! has no safe call.

pub(crate) mod atomic;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod fifo;
pub(crate) mod futex;
pub(crate) mod launch;
pub(crate) mod line;
pub(crate) mod mutex;
pub(crate) mod object;
pub(crate) mod region;
pub(crate) mod robust;
