//! The parts of the `forklore` kernel, as a library, so that tests can drive each of them.

pub mod cell;
pub mod cli;
pub mod complete;
pub mod export;
pub mod frame;
pub mod install;
pub mod output;
pub mod procs;
pub mod runtime;
pub mod server;
pub mod session;
mod sources;
pub mod supervisor;
pub mod warm;
