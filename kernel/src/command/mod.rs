//! The `forklore` command.

pub mod cli;
pub mod doctor;
pub mod install;
mod lab;
mod progress;
