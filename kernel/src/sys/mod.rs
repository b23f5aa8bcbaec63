//! What the kernel needs of the OS.

pub mod allocator;
pub mod procs;
