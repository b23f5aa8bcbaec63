//! The repository's own commands; `.cargo/config.toml` gives them their short names.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Lab(forklore_lab::lab::Options),
}

fn main() -> ExitCode {
    let Task::Lab(options) = Cli::parse().command;
    match forklore_lab::lab::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
