//! Compares a cluster with other engines for many nodes: mpi4py.futures, Dask, Ray.
//!
//! ```sh
//! cargo run --release --manifest-path benches/cluster/Cargo.toml                   # all
//! cargo run --release --manifest-path benches/cluster/Cargo.toml -- times forklore # some sides
//! cargo run --release --manifest-path benches/cluster/Cargo.toml -- growth         # 1 to 8 nodes
//! ```
//!
//! Both print Markdown. The nodes are namespaces on this machine (`tests/cluster/run`), so this
//! needs root or user namespaces, and Open MPI with what `node/README.md` names. It builds
//! `forklore-node`, and creates its own Python environment under `target/` the first time. All
//! sides take about ten minutes, most of them for Python's; growth takes one.

#[path = "../../common/environment.rs"]
mod environment;
mod growth;
mod ours;
mod side;
#[path = "../../common/table.rs"]
mod table;
mod times;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// This folder.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            times::print_table("");
            growth::print_table();
        }
        ["times"] => times::print_table(""),
        ["times", filter] => times::print_table(filter),
        ["growth"] => growth::print_table(),
        // The commands above start this, within a cluster of namespaces.
        ["side", ref hosts @ ..] => ours::serve(hosts),
        ["grow", n_nodes] => growth::measure(n_nodes.parse().expect("a number")),
        _ => {
            eprintln!("usage: cluster-bench [times [WORDS OF A SIDE] | growth]");
            exit(2);
        }
    }
}

/// A command that runs another on the head of a cluster of namespaces. All its processes end with
/// it.
fn on_nodes(n_nodes: usize) -> Command {
    let mut command = Command::new(script("run"));
    command
        .arg(n_nodes.to_string())
        .env("FORKLORE_NODE", node_program());
    command
}

fn script(name: &str) -> PathBuf {
    Path::new(HERE).join("../../tests/cluster").join(name)
}

/// The `forklore-node` that was built last.
fn node_program() -> PathBuf {
    let path = Path::new(HERE).join("../../node/target/release/forklore-node");
    path.canonicalize()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds `forklore-node` for this machine's MPI.
fn build_node_program() {
    let mut build = Command::new("cargo");
    build
        .args(["build", "--quiet", "--release", "--bins", "--manifest-path"])
        .arg(Path::new(HERE).join("../../node/Cargo.toml"))
        // Cargo sets these for this program.
        .env_remove("CARGO_TARGET_DIR");
    let status = build.status().expect("cargo starts");
    assert!(status.success(), "{build:?} failed: {status}");
}
