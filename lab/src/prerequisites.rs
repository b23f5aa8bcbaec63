//! Checks what a machine must have before anything is built.
//!
//! The kernel takes minutes to build, so these checks look first for everything that would stop the
//! work later, and report everything that is missing at once, each with the command that installs
//! it.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::steps::Step;
use crate::{places, python};

/// Something that is missing, and how to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, and what it is needed for.
    pub what: String,
    /// What to do, usually a command.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      {}", self.what, self.remedy)
    }
}

/// The result of the checks: anything in `missing` stops the work, `warnings` do not.
#[derive(Debug, Default)]
pub struct Report {
    /// Missing items that stop the work.
    pub missing: Vec<Missing>,
    /// Missing items that only make the lessons less comfortable.
    pub warnings: Vec<Missing>,
}

/// Free space needed in the target folder for a first build, and in the cache folder for the
/// Python environment and the prebuilt library.
const TARGET_BYTES: u64 = 3 << 30;
const CACHE_BYTES: u64 = 1 << 30;
const AGAIN_BYTES: u64 = 1 << 28;

/// Checks for everything that cells need. Tries to add `rust-src` if it is missing.
pub fn check_cells() -> Report {
    let mut report = Report::default();
    if !cfg!(target_os = "linux") {
        report.missing.push(Missing {
            what: "Linux: pools are built on fork, futex and pidfd as Linux has them".into(),
            remedy: "use Linux, WSL 2, or Binder".into(),
        });
    }
    check_rust(&mut report);
    check_linker(&mut report);
    match places::cache_folder() {
        Ok(cache) => {
            let made = cache.exists();
            report.check_space(&cache, if made { AGAIN_BYTES } else { CACHE_BYTES });
        }
        Err(error) => report.missing.push(Missing {
            what: error.to_string(),
            remedy: "export XDG_CACHE_HOME=/some/folder".into(),
        }),
    }
    report
}

impl Report {
    /// Checks for a Python that can make an environment.
    #[must_use]
    pub fn with_python(mut self) -> Report {
        if let Err(error) = python::find_interpreter() {
            self.missing.push(Missing {
                what: error.to_string(),
                remedy: remedy("python3-venv", "python3", "python3")
                    + " (or set FORKLORE_PYTHON to an interpreter)",
            });
        }
        self
    }

    /// Checks for what a build of the kernel needs in addition.
    #[must_use]
    pub fn with_build(mut self, target: &Path) -> Report {
        let built = target.join("debug/forklore").exists();
        self.check_space(target, if built { AGAIN_BYTES } else { TARGET_BYTES });
        self
    }

    fn check_space(&mut self, folder: &Path, bytes: u64) {
        if let Some(free) = free_bytes(folder).filter(|free| *free < bytes) {
            self.missing.push(Missing {
                what: format!(
                    "disk space: {} has {} MiB free, {} MiB are needed",
                    folder.display(),
                    free >> 20,
                    bytes >> 20
                ),
                remedy: "make room there, or set CARGO_TARGET_DIR and XDG_CACHE_HOME to folders \
                         on a larger disk"
                    .into(),
            });
        }
    }

    /// Prints what the machine lacks.
    ///
    /// # Errors
    ///
    /// If it lacks something that stops the work.
    pub fn require(&self) -> Result<()> {
        for warning in &self.warnings {
            eprintln!("  Missing, and not needed: {warning}");
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = self
            .missing
            .iter()
            .map(|missing| format!("\n  - {missing}"))
            .collect();
        bail!(
            "this machine lacks what the lessons need; nothing was started:{}",
            list.concat()
        );
    }
}

fn check_rust(report: &mut Report) {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let rustup = "install the toolchain from https://rustup.rs, then: rustup update stable";
    match first_line("rustc", &["--version"]) {
        None => report.missing.push(Missing {
            what: format!("rustc {wanted} or later: `rustc` was not found; cells need it"),
            remedy: rustup.into(),
        }),
        Some(line) if version(&line) < version(wanted) => report.missing.push(Missing {
            what: format!("rustc {wanted} or later: found `{line}`"),
            remedy: rustup.into(),
        }),
        Some(_) => check_rust_src(report),
    }
    if first_line("cargo", &["--version"]).is_none() {
        report.missing.push(Missing {
            what: "cargo: not found on the PATH; the kernel compiles cells with it".into(),
            remedy: rustup.into(),
        });
    }
}

fn check_rust_src(report: &mut Report) {
    if has_rust_src() {
        return;
    }
    let step = Step::start("rust-src is missing: rustup component add rust-src");
    let mut rustup = Command::new("rustup");
    rustup
        .args(["component", "add", "rust-src"])
        .stdin(Stdio::null());
    let added = step
        .while_doing(|| rustup.output())
        .is_ok_and(|output| output.status.success());
    if added && has_rust_src() {
        step.done();
        return;
    }
    step.failed();
    report.warnings.push(Missing {
        what: "rust-src: without it a `let` in a cell needs a type (`let x: u64 = 1;`), as \
               all `let`s of the lessons have"
            .into(),
        remedy: "rustup component add rust-src".into(),
    });
}

fn has_rust_src() -> bool {
    first_line("rustc", &["--print", "sysroot"]).is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/std")
            .is_dir()
    })
}

fn check_linker(report: &mut Report) {
    if first_line("cc", &["--version"]).is_none() {
        report.missing.push(Missing {
            what: "a C linker: `cc` was not found on the PATH; every cell is linked with it".into(),
            remedy: remedy("build-essential", "gcc", "base-devel"),
        });
    }
}

/// The free bytes for this user at `folder`, which need not exist yet.
fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = nix::sys::statvfs::statvfs(there).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// The command that installs a package with this machine's package manager.
pub(crate) fn remedy(debian: &str, fedora: &str, arch: &str) -> String {
    let has = |program: &str| first_line(program, &["--version"]).is_some();
    if has("dnf") {
        format!("sudo dnf install {fedora}")
    } else if has("pacman") {
        format!("sudo pacman -S {arch}")
    } else {
        format!("sudo apt-get install {debian}")
    }
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// The first `MAJOR.MINOR` in a text such as `rustc 1.95.0 (…)`.
fn version(text: &str) -> (u32, u32) {
    let word = text
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap_or_default();
    let mut parts = word.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("rustc 1.95.0 (0123abc 2026-04-14)"), (1, 95));
        assert_eq!(version("cargo 1.100.0-nightly"), (1, 100));
        assert!(version("rustc 1.100.0") > version("1.95"));
        assert_eq!(version("no number here"), (0, 0));
    }

    #[test]
    fn free_space_is_found_for_a_folder_that_is_not_there_yet() {
        assert!(free_bytes(Path::new("/not/there/yet")).is_some());
    }

    #[test]
    fn this_machine_passes() {
        let report = check_cells().with_python();
        assert!(report.missing.is_empty(), "{:?}", report.missing);
    }

    #[test]
    fn all_that_is_missing_is_said_at_once() {
        let missing = |what: &str| Missing {
            what: what.into(),
            remedy: format!("install {what}"),
        };
        let report = Report {
            missing: vec![missing("cc"), missing("python3")],
            warnings: vec![],
        };
        let error = report.require().unwrap_err().to_string();
        assert!(
            error.contains("install cc") && error.contains("install python3"),
            "{error}"
        );
    }
}
