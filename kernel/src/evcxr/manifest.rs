//! Puts the library into the manifest of the very first cell.
//!
//! evcxr runs a cell of its own before it accepts commands, and a dependency that is added with the
//! second cell makes rust-analyzer analyse the standard library a second time (seconds). But evcxr
//! first reads a configuration, and copies one of its values verbatim into the manifest: the
//! optimisation level.
//!
//! ```text
//! [profile.dev]
//! opt-level = 2
//!                                        ┐
//! [profile.dev.package."*"]              │ what `%profile` changes are the cells, not the library
//! …                                      │
//! [target.'cfg(…)'.dependencies]         │ all this is the "optimisation level"
//! forklore = { path = "…" }              │ (see `analysis` for the condition)
//! forklore-course = { path = "…" }       │
//!                                        │
//! [profile.release]                      ┘
//! debug = false                            evcxr's own settings, for a profile that is not used
//! …
//! ```
//!
//! The settings that evcxr intended for its profile are given through the environment instead,
//! which also overrides the manifest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::analysis;
use crate::cell::opt_level;
use crate::library::kept::MARK;
use crate::library::warm::Warm;
use crate::sys::variables;

const CONFIG_VARIABLE: &str = "EVCXR_CONFIG_DIR";

/// evcxr's settings for the profile of cells. Debug assertions and overflow checks would distort
/// every timing. Writing and reading the data of an incremental compile takes longer than compiling
/// a cell.
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

/// The profile of all crates but the cells'.
const DEPENDENCIES: &str = "[profile.dev.package.\"*\"]\nopt-level = 2\ndebug-assertions = false\noverflow-checks = false\n";

/// The environment of cargo and rust-analyzer for every cell. It is not meant for the processes
/// that the cells start.
pub(crate) fn environment(warm: Option<&Warm>) -> Vec<(String, OsString)> {
    let profile = PROFILE.map(|(name, value)| (format!("CARGO_PROFILE_DEV_{name}"), value.into()));
    let mut environment = Vec::from(profile);
    if let Some(warm) = warm {
        // Otherwise rust-analyzer's dozen calls of cargo ask rustup for the compiler again and
        // again.
        environment.push(("RUSTC".to_owned(), warm.rustc().into()));
        environment.push((analysis::FLAGS_VARIABLE.to_owned(), analysis::FLAGS.into()));
        if let Some(sources) = warm.standard_library() {
            let name = analysis::STANDARD_LIBRARY_VARIABLE.to_owned();
            environment.push((name, sources.into()));
        }
    }
    environment
}

/// The "optimisation level", followed by a comment.
pub(crate) fn level(library: &Path, comment: &str) -> String {
    let dependencies = analysis::dependencies(library);
    format!("2{comment}\n\n{DEPENDENCIES}\n{dependencies}[profile.release]")
}

/// A file that a notebook's folder may contain: evcxr would prefer it.
const FILE: &str = "evcxr.toml";

/// Makes evcxr read a configuration in the session's folder, until it is dropped.
pub(crate) struct Configuration {
    previous: Option<OsString>,
    /// The notebook's folder, if it contains a configuration.
    notebook: Option<PathBuf>,
}

impl Configuration {
    /// Writes the configuration. The process of `user` starts in the notebook's folder, even if
    /// evcxr must not read that folder.
    pub(crate) fn write(folder: &Path, warm: &Warm, user: &mut Command) -> Result<Configuration> {
        let level = level(warm.library(), MARK);
        let text = format!(
            "[evcxr]\nopt_level = {level:?}\noffline_mode = {}\n",
            warm.is_complete()
        );
        std::fs::write(folder.join(FILE), text)?;
        let previous = std::env::var_os(CONFIG_VARIABLE);
        variables::set(CONFIG_VARIABLE, Some(folder.as_os_str()));
        let notebook = std::env::current_dir().ok();
        let notebook = notebook.filter(|notebook| notebook.join(FILE).exists());
        if let Some(notebook) = &notebook {
            user.current_dir(notebook);
            std::env::set_current_dir(folder)?;
        }
        Ok(Configuration { previous, notebook })
    }

    /// The optimisation level in the notebook's own configuration. evcxr's other settings there
    /// concern folders and caches, which belong to the kernel.
    pub(crate) fn opt_level(&self) -> Option<&'static str> {
        let text = std::fs::read_to_string(self.notebook.as_ref()?.join(FILE)).ok()?;
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == "opt_level").then(|| opt_level(value.trim()))?
        })
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        if let Some(notebook) = &self.notebook {
            // It was the current folder a moment ago; if it has been removed since, it is not
            // needed.
            let _ = std::env::set_current_dir(notebook);
        }
        variables::set(CONFIG_VARIABLE, self.previous.as_deref());
    }
}
