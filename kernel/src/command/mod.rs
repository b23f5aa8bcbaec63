//! The `forklore` command.

mod cli;
pub mod doctor;
pub mod install;
mod lab;
mod progress;
pub mod role;
