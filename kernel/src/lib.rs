//! The parts of the `forklore` kernel, as a library, so that tests can drive each of them.

pub mod cell;
pub mod command;
mod definitions;
mod evcxr;
pub mod library;
pub mod output;
pub mod protocol;
pub mod runtime;
pub mod server;
pub mod session;
pub mod supervisor;
pub mod sys;
