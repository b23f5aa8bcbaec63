//! The repository's own commands; `.cargo/config.toml` gives them their short names.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use forklore_lab::checkout;

/// The repository's own commands
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Open the lessons in JupyterLab on our own kernel, with all set-up done on the way
    Lab(checkout::Options),
}

fn main() -> ExitCode {
    let Task::Lab(options) = Cli::parse().command;
    match checkout::run(xtask::repository(), &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
