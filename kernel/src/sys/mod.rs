//! The kernel's interface to the OS, safe where possible. No other module calls `libc` or reads
//! `/proc`.

pub mod allocator;
pub(crate) mod calls;
pub(crate) mod control_groups;
pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod object;
pub mod procs;
pub(crate) mod sharing;
pub(crate) mod signals;
pub(crate) mod this_process;
pub(crate) mod thread;
pub(crate) mod trap;
pub(crate) mod variables;
