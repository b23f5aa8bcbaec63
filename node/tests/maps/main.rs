//! Maps over two nodes of a cluster of namespaces, by MPI. This program is the owner, too.

mod owner;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// What the owner does, and what it says if that went well.
const SCENES: [&str; 14] = [
    "maps",
    "deleted-program",
    "no-code-in-memory",
    "slow-link",
    "contexts",
    "failures",
    "killed-agent",
    "killed-launcher",
    "killed-relay",
    "stopped-agent",
    "unplugged",
    "killed-owner",
    "no-node",
    "strange-nodes",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("owner") {
        owner::play(&arguments.next().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Each has two nodes.
    arguments.test_threads = Some(1);
    let trials: Vec<Trial> = match why_no_nodes() {
        None => SCENES
            .map(|scene| Trial::test(scene, move || run(scene)))
            .into(),
        Some(reason) => {
            eprintln!("{} tests are left out: {reason}", SCENES.len());
            Vec::new()
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(scene: &str) -> Result<(), Failed> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(script("run"))
        .arg("2")
        .arg(program)
        .args(["owner", scene])
        .env("FORKLORE_NODE", node_program(scene))
        .env("RUST_BACKTRACE", "0")
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && said.trim_end().ends_with("all is well") {
        true => Ok(()),
        false => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Why there can be no cluster of namespaces on this machine.
fn why_no_nodes() -> Option<String> {
    let output = Command::new(script("run")).args(["1", "true"]).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// A script of the cluster's.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/cluster")
        .join(name)
}

/// The `forklore-node` that the owner finds.
fn node_program(scene: &str) -> &'static str {
    match scene {
        // One that the scene writes.
        "strange-nodes" => owner::STRANGE_PROGRAM,
        _ => env!("CARGO_BIN_EXE_forklore-node"),
    }
}
