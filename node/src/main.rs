//! `forklore-node`: what a cluster of forklore's runs, by `mpirun`, on its nodes.

use std::process::ExitCode;

const USAGE: &str = "forklore-node is started by programs that use forklore::Cluster, with mpirun; \
     by hand, there is only: forklore-node --version";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(argument) if argument == "--version" => match forklore_node::version() {
            Ok(version) => {
                print!("{version}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("forklore-node: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
