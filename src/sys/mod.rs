//! The operating system, with a safe face: the only place that calls `libc` by itself, where `nix`
//! has no safe call.

pub(crate) mod atomic;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod fifo;
pub(crate) mod futex;
pub(crate) mod launch;
pub(crate) mod line;
pub(crate) mod mutex;
pub(crate) mod object;
mod process_id;
pub(crate) mod pthread;
pub(crate) mod region;
pub(crate) mod robust;

pub(crate) use process_id::process_id;

/// The calling thread, by the system's number. (glibc has had a function for it since 2.30 only, and on a cluster's
/// nodes it may be 2.17.)
pub(crate) fn thread_id() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}
