//! `cargo lab --cluster`: the program with which lessons map over other machines.
//!
//! It is built with the MPI that this machine has. Without MPI there is none, and
//! `forklore::Cluster` has its nodes on this machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::checkout::{built_program, cargo};
use crate::places::find_program;
use crate::prerequisites::{Missing, remedy};
use crate::steps::Step;

const PROGRAM: &str = "forklore-node";

/// Builds `forklore-node` of a checkout; `None` where there is no Open MPI, after it was said what
/// to install.
///
/// # Errors
///
/// When cargo fails; its messages are on stderr.
pub fn build(root: &Path) -> Result<Option<PathBuf>> {
    let missing = missing(|program| find_program(program).is_some());
    if let Some(missing) = missing.or_else(|| of_another_family(what_it_says)) {
        eprintln!("  Missing, and only needed for other machines: {missing}");
        return Ok(None);
    }
    let step = Step::start("forklore-node, with this machine's MPI");
    let mut command = cargo(root);
    command
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--bin", PROGRAM, "--manifest-path", "node/Cargo.toml"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null());
    let output = step.while_doing(|| command.output());
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        step.failed();
        // A closed output must not hide what follows.
        let _ = std::io::stderr().write_all(&output.stderr);
        if let Some(missing) = missing_clang(&String::from_utf8_lossy(&output.stderr)) {
            bail!("{PROGRAM} could not be built. Missing: {missing}");
        }
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

/// What a program says first about its version, on either output.
fn what_it_says(program: &str, switch: &str) -> String {
    let output = Command::new(program)
        .arg(switch)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return String::new();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().next().unwrap_or_default().trim().to_owned()
}

/// The program that is there but not Open MPI's. A `forklore-node` that was built by one MPI and is
/// started by another is a job of one rank, twice.
fn of_another_family(what_it_says: impl Fn(&str, &str) -> String) -> Option<Missing> {
    let programs = [("mpirun", "--version"), ("mpicc", "--showme:version")];
    programs.into_iter().find_map(|(program, switch)| {
        let said = what_it_says(program, switch);
        (!said.contains("Open MPI")).then(|| Missing {
            what: format!("Open MPI: the {program} on the PATH is another one ({said:?})"),
            remedy:
                "put Open MPI's folder first on the PATH (on a cluster: module load openmpi; on \
                     Debian and Ubuntu: update-alternatives --config mpi and mpirun)"
                    .to_owned(),
        })
    })
}

/// What reads MPI's headers, if a build's messages say that it was not found.
fn missing_clang(messages: &str) -> Option<Missing> {
    let remedy_of_clang = || remedy("libclang-dev", "clang-devel", "clang");
    messages.contains("Unable to find libclang").then(|| Missing {
        what: "libclang, which reads MPI's headers".to_owned(),
        remedy: remedy_of_clang()
            + " (or set LIBCLANG_PATH to the folder with libclang.so; on a cluster: module load llvm)",
    })
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
    fn another_mpi_is_named_in_its_own_words() {
        let of = |launcher: &'static str, compiler: &'static str| {
            of_another_family(|program, _| {
                let said = match program {
                    "mpirun" => launcher,
                    _ => compiler,
                };
                said.to_owned()
            })
        };
        let open = (
            "mpirun (Open MPI) 4.1.4",
            "mpicc: Open MPI 4.1.4 (Language: C)",
        );
        assert_eq!(of(open.0, open.1), None);
        let text = of(open.0, "gcc: error: unrecognized option")
            .unwrap()
            .to_string();
        assert!(
            text.contains("the mpicc on the PATH") && text.contains("unrecognized option"),
            "{text}"
        );
        let text = of("HYDRA build details:", open.1).unwrap().to_string();
        assert!(text.contains("the mpirun on the PATH"), "{text}");
    }

    #[test]
    fn a_build_without_libclang_says_what_to_install() {
        let said = "thread 'main' panicked: Unable to find libclang: \"couldn't find any valid \
                    shared libraries\"";
        assert!(missing_clang(said).unwrap().remedy.contains("clang"));
        assert_eq!(missing_clang("error[E0432]: unresolved import"), None);
    }

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
