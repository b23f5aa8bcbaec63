//! `cargo lab --cluster`: the program with which lessons map over other machines.
//!
//! It is built with the MPI that this machine has. Without MPI there is none, and
//! `forklore::Cluster` has its nodes on this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::checkout::{built_program, cargo};
use crate::places::find_program;
use crate::prerequisites::{Missing, remedy};
use crate::steps::Step;

const PROGRAM: &str = "forklore-node";

/// Builds `forklore-node` of a checkout; `None` where there is no MPI, after it was said what to
/// install.
///
/// # Errors
///
/// When cargo fails; its messages are on stderr.
pub fn build(root: &Path) -> Result<Option<PathBuf>> {
    if let Some(missing) = missing(|program| find_program(program).is_some()) {
        eprintln!("  Missing, and only needed for other machines: {missing}");
        return Ok(None);
    }
    let step = Step::start("forklore-node, with this machine's MPI");
    let mut command = cargo(root);
    command
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--bin", PROGRAM, "--manifest-path", "node/Cargo.toml"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = step.while_doing(|| command.output());
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        step.failed();
        bail!(
            "{PROGRAM} could not be built ({}); cargo's message is above, and node/README.md says what \
             to do about it. Without --cluster, the lessons start all the same",
            output.status
        );
    }
    let program = built_program(&output.stdout, PROGRAM)?;
    step.done();
    Ok(Some(program))
}

/// What of MPI is not in `PATH`.
fn missing(is_there: impl Fn(&str) -> bool) -> Option<Missing> {
    let programs = ["mpirun", "mpicc"];
    let missing: Vec<&str> = programs
        .into_iter()
        .filter(|name| !is_there(name))
        .collect();
    (!missing.is_empty()).then(|| Missing {
        what: format!(
            "Open MPI: {} not found on the PATH. Maps over nodes on this machine work without it: \
             Cluster::builder().hosts([\"localhost:2,localhost:2\"])",
            missing.join(" and ")
        ),
        remedy: remedy(
            "openmpi-bin libopenmpi-dev libclang-dev",
            "openmpi-devel clang-devel",
            "openmpi clang",
        ) + " (on a cluster: module load openmpi)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_of_mpi_is_named() {
        assert_eq!(missing(|_| true), None);
        let text = missing(|name| name == "mpirun").unwrap().to_string();
        assert!(
            text.contains("mpicc not found") && text.contains("localhost:2"),
            "{text}"
        );
        let text = missing(|_| false).unwrap().to_string();
        assert!(
            text.contains("mpirun and mpicc") && text.contains("module load"),
            "{text}"
        );
    }
}
