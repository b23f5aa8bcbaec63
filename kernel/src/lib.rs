//! The parts of the `forklore` kernel, as a library, so that tests can drive each of them.

pub mod frame;
pub mod procs;
pub mod runtime;
pub mod session;
pub mod supervisor;
pub mod warm;
