//! A safe interface to the OS: the only module that calls `libc` directly, where `nix` has no safe
//! call.

pub(crate) mod atomic;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod confine;
pub(crate) mod copy;
pub(crate) mod descriptor;
pub(crate) mod eventfd;
pub(crate) mod family;
pub(crate) mod fifo;
pub(crate) mod futex;
pub(crate) mod kept;
pub(crate) mod launch;
pub(crate) mod leash;
pub(crate) mod letter;
pub(crate) mod line;
pub(crate) mod mutex;
pub(crate) mod object;
mod per_process;
mod process_id;
#[cfg(feature = "cluster")]
pub(crate) mod program;
pub(crate) mod pthread;
pub(crate) mod region;
pub(crate) mod robust;
pub(crate) mod shortage;
#[cfg(feature = "cluster")]
pub(crate) mod socket;
pub(crate) mod thread;
mod thread_bound;
pub(crate) mod token;
#[cfg(feature = "async")]
pub(crate) mod wake_set;

pub(crate) use per_process::PerProcess;
pub(crate) use process_id::{Origin, pid_namespace, process_id};
pub(crate) use thread::{thread_hash, thread_id};
pub(crate) use thread_bound::ThreadBound;
