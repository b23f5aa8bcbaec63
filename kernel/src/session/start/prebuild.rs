//! Compiling the library as a session will ask for it: by a session.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::evcxr::build::TOOLS;
use crate::library::kept::KEPT;
use crate::library::toolchain::Compiler;
use crate::library::warm::{self, Warm};
use crate::session::{Control, Session};

/// Builds the library into a cache, for a session that has asked for it; gives the exit status.
/// What it starts for cells in its turn has other roles.
pub(crate) fn run(root: &Path) -> u8 {
    let built = std::env::current_exe()
        .context("cannot find this program's own file")
        .and_then(|program| warm::find_or(root, &Compiler::find()?, &program, build));
    match built {
        Ok(_) => 0,
        Err(error) => {
            // To the session; what cargo says goes where the session's own process would have said
            // it.
            print!("{error:#}");
            1
        }
    }
}

/// A session whose crates are for all users, in a folder that has the library.
///
/// # Errors
///
/// When it cannot start.
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
/// When the cache cannot be written to, or a dependency cannot be had.
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
    // For an error like this one evcxr asks `cargo check`, which wants the dependencies in a form
    // of its own: or the first such error of every session would take as long as the library takes
    // to compile.
    let _ = session.run_cell("let unknown_type = no_such_function();");
    session.abandon();
    warm.complete(&building, &folder, &folder.join(TOOLS).join(KEPT))
}
