//! The parts of the `forklore` kernel, as a library, so that tests can drive each of them.

pub mod aftermath;
pub mod allocator;
mod awaited;
mod build;
mod cache;
pub mod cell;
pub mod cli;
pub mod complete;
pub mod cursor;
mod definitions;
pub mod doctor;
pub mod export;
pub mod frame;
pub mod install;
mod kept;
mod lab;
pub mod output;
pub mod procs;
mod progress;
pub mod runtime;
pub mod server;
pub mod session;
pub mod shared;
mod sources;
pub mod supervisor;
mod toolchain;
pub mod warm;
