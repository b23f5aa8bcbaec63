//! `forklore-node`: the program that a forklore cluster runs on its nodes, through `mpirun`.

use std::io;
use std::process::ExitCode;

use forklore::cluster::node::{run_agent, run_relay};
use forklore_node::MpiLink;

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
        Some(argument) if argument == "relay" => end(run_relay(MpiLink::open)),
        Some(argument) if argument == "agent" => end(run_agent(MpiLink::open)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Ends a rank without `MPI_Finalize`, which waits for the other rank, and hangs if that is lost.
/// The launcher ends the job when one of its ranks ends like this.
fn end(carried: io::Result<()>) -> ! {
    if let Err(error) = carried
        && error.kind() != io::ErrorKind::UnexpectedEof
    {
        eprintln!("forklore-node: {error}");
    }
    forklore_node::exit_now(1)
}
