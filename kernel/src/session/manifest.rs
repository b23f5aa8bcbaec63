//! How the library gets into the manifest of the very first cell.
//!
//! evcxr runs a cell of its own before it can be told anything, and a dependency that comes with the second one makes
//! rust-analyzer analyse the standard library a second time (seconds). But evcxr reads a configuration first, and puts one of its
//! values into the manifest as it is: the optimisation level.
//!
//! ```text
//! [profile.dev]
//! opt-level = 2
//!                                        ┐
//! [profile.dev.package."*"]              │ what `%profile` changes are the cells, not the library
//! …                                      │
//! [target.'cfg(…)'.dependencies]         │ all this is the "optimisation level"
//! forklore = { path = "…" }              │ (see `analysis` for the condition)
//!                                        │
//! [profile.release]                      ┘
//! debug = false                            evcxr's own settings, for a profile that nobody uses
//! …
//! ```
//!
//! The settings that evcxr meant for its profile are given through the environment instead, where there is also a say in them.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use super::analysis;
use crate::warm::Warm;

const CONFIG_VARIABLE: &str = "EVCXR_CONFIG_DIR";

/// evcxr's settings for the profile of cells. Debug assertions and overflow checks would falsify every timing. What an
/// incremental compile has to write and to read again takes longer than to compile a cell.
const PROFILE: [(&str, &str); 9] = [
    ("DEBUG", "false"),
    ("STRIP", "debuginfo"),
    ("RPATH", "true"),
    ("LTO", "false"),
    ("CODEGEN_UNITS", "4"),
    ("PANIC", "unwind"),
    ("INCREMENTAL", "false"),
    ("DEBUG_ASSERTIONS", "false"),
    ("OVERFLOW_CHECKS", "false"),
];

/// The profile of everything that is not a cell.
const DEPENDENCIES: &str = "[profile.dev.package.\"*\"]\nopt-level = 2\ndebug-assertions = false\noverflow-checks = false\n";

/// What cargo and rust-analyzer get in their environment for every cell. It is not meant for what the cells start.
pub(super) fn environment(warm: Option<&Warm>) -> Vec<(String, OsString)> {
    let profile = PROFILE.map(|(name, value)| (format!("CARGO_PROFILE_DEV_{name}"), value.into()));
    let mut environment = Vec::from(profile);
    if let Some(warm) = warm {
        // Or rust-analyzer's calls of cargo, a dozen, ask rustup for the compiler again and again.
        environment.push(("RUSTC".to_owned(), warm.rustc().into()));
        environment.push((analysis::FLAGS_VARIABLE.to_owned(), analysis::FLAGS.into()));
        if let Some(sources) = warm.standard_library() {
            let name = analysis::STANDARD_LIBRARY_VARIABLE.to_owned();
            environment.push((name, sources.into()));
        }
    }
    environment
}

/// Whether the configuration can be given: not where the notebook's folder holds one, which evcxr prefers.
pub(super) fn is_possible() -> bool {
    !Path::new("evcxr.toml").exists()
}

/// Points evcxr to a configuration in the session's folder, until it is dropped.
pub(super) struct Configuration {
    previous: Option<OsString>,
}

impl Configuration {
    /// Writes the configuration.
    pub(super) fn write(folder: &Path, warm: &Warm) -> Result<Configuration> {
        let dependencies = analysis::dependencies(warm.library());
        let level = format!("2\n\n{DEPENDENCIES}\n{dependencies}[profile.release]");
        let text = format!(
            "[evcxr]\nopt_level = {level:?}\noffline_mode = {}\n",
            warm.is_complete()
        );
        std::fs::write(folder.join("evcxr.toml"), text)?;
        let previous = std::env::var_os(CONFIG_VARIABLE);
        // SAFETY: see `set_compiler_environment`.
        unsafe { std::env::set_var(CONFIG_VARIABLE, folder) };
        Ok(Configuration { previous })
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            match self.previous.take() {
                Some(previous) => std::env::set_var(CONFIG_VARIABLE, previous),
                None => std::env::remove_var(CONFIG_VARIABLE),
            }
        }
    }
}
