//! Compiles the library exactly as a session needs it: by running a session.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::evcxr::build::TOOLS;
use crate::library::kept::KEPT;
use crate::library::toolchain::Compiler;
use crate::library::warm::{self, Warm};
use crate::session::{Control, Session};

/// Builds the library into a cache, for the session that requested it; returns the exit status. The
/// processes that it starts for cells have other roles.
pub(crate) fn run(root: &Path) -> u8 {
    let built = std::env::current_exe()
        .context("cannot find this program's own file")
        .and_then(|program| warm::find_or(root, &Compiler::find()?, &program, build));
    match built {
        Ok(_) => 0,
        Err(error) => {
            // This goes to the session; cargo's output goes where the session's own process would
            // have written it.
            print!("{error:#}");
            1
        }
    }
}

/// Starts a session whose crates are for all users, in a folder that has the library.
///
/// # Errors
///
/// If it cannot start.
pub(crate) fn session_for_all(
    folder: &Path,
    program: &Path,
    warm: &Warm,
) -> Result<(Session, Control)> {
    Session::start_in(folder, program, warm, Box::new(drop))
}

/// Compiles the library for a cache.
///
/// # Errors
///
/// If the cache cannot be written to, or a dependency is unavailable.
pub(crate) fn build(root: &Path, warm: &mut Warm, program: &Path) -> Result<()> {
    let building = warm.begin(root)?;
    let folder = building.join("session");
    fs::create_dir(&folder)?;
    let built = Session::start_in(&folder, program, warm, Box::new(drop));
    let (mut session, _) = built.with_context(|| {
        format!(
            "could not compile the library in {}: its dependencies have to be downloaded once",
            building.display()
        )
    })?;
    // For an error like this one evcxr runs `cargo check`, which needs the dependencies in a form
    // of its own. Without this, the first such error of every session would take as long as
    // compiling the library.
    let _ = session.run_cell("let unknown_type = no_such_function();");
    session.abandon();
    warm.complete(&building, &folder, &folder.join(TOOLS).join(KEPT))
}
