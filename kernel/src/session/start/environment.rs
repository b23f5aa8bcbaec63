//! Settings for cargo in the user's environment that must not affect the builds of cells.
//!
//! All sessions compile cells and the library in one way, or the prebuilt library would not match.
//! Programs that the cells start get the unchanged environment.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use forklore_lab::find_program;

use crate::sys::variables;

/// These variables change how the library is compiled.
const PROFILE: [&str; 4] = [
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_INCREMENTAL",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
];
/// These variables name programs through which cargo starts the compiler.
const WRAPPERS: [&str; 4] = [
    "RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
];

/// Removes these variables from this process's environment, and keeps them in `user`'s. Returns the
/// variables whose program is missing.
pub(in crate::session) fn clear(user: &mut Command) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for name in PROFILE.into_iter().chain(WRAPPERS) {
        let Some(value) = std::env::var_os(name) else {
            continue;
        };
        if WRAPPERS.contains(&name) {
            if exists(&value) {
                continue;
            }
            if !value.is_empty() {
                missing.push(name);
            }
        }
        user.env(name, value);
        variables::set(name, None);
    }
    missing
}

fn exists(program: &OsString) -> bool {
    let program = Path::new(program);
    let is_path = program.components().count() > 1;
    let by_name = || program.to_str().and_then(find_program).is_some();
    (is_path && program.exists()) || (!is_path && by_name())
}
