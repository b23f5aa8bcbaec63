//! The `forklore` command.

mod cli;
pub mod doctor;
mod finding;
pub mod install;
mod lab;
mod progress;
pub mod role;
mod stored;
