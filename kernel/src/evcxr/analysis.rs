//! What rust-analyzer reads: only as much as completion and the types of variables need.
//!
//! evcxr asks it for the type of every `let`, and it reads all sources that cargo and rustc name
//! before it replies. Two thirds of these sources are useless in a cell, and cost seconds and
//! hundreds of megabytes:
//!
//! | left out | how |
//! | --- | --- |
//! | of the standard library: vector instructions, tests, parts of the compiler, its dependencies, the bodies of functions | [`STANDARD_LIBRARY_VARIABLE`] names a folder with the rest (see `library::sources`) |
//! | of the library and the course: their dependencies, none of which is in an interface | rust-analyzer's `cargo metadata` runs with a `cfg` by which [`dependencies`] distinguishes it from the build |
//!
//! evcxr's own calls of cargo set `RUSTFLAGS` themselves, so they see the dependencies that are
//! compiled.
//!
//! Most first cells need none of it: if each `let` gives its type, evcxr uses that. So a session
//! starts with a rust-analyzer that sees [`CellsOnly`]. It reads the rest before the first cell
//! that leaves a type out, or when the session is idle. Until then, it finds a cargo that knows
//! only one package, and no compiler, so that it does not look for a standard library either. A
//! change in the manifest's text makes evcxr load again: at first, the text contains
//! [`kept::MARK`].

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::build::{CRATE, SOURCE, TOOLS};
#[cfg(doc)]
use crate::library::kept;
use crate::sys::variables;

/// The variable in which rust-analyzer first looks for the standard library's sources.
pub(crate) const STANDARD_LIBRARY_VARIABLE: &str = "RUST_SRC_PATH";
/// The folder of the course's sources, inside the library's.
pub(crate) const COURSE: &str = "lessons";
/// Read by every cargo that evcxr does not start.
pub(crate) const FLAGS_VARIABLE: &str = "RUSTFLAGS";
/// The value: only rust-analyzer's calls of cargo get it.
pub(crate) const FLAGS: &str = "--cfg forklore_analysis";

/// The library and the course as dependencies in a manifest: with their own dependencies for rustc,
/// without them for rust-analyzer.
pub(crate) fn dependencies(library: &Path) -> String {
    let course = library.join(COURSE);
    let packages = [("forklore", library), ("forklore-course", &course)];
    let mut text = String::new();
    let _ = writeln!(text, "[target.'cfg(not(forklore_analysis))'.dependencies]");
    for (name, folder) in packages {
        let _ = writeln!(text, "{name} = {{ path = {folder:?} }}");
    }
    let _ = writeln!(text, "\n[target.'cfg(forklore_analysis)'.dependencies]");
    for (name, folder) in packages {
        let folder = folder.join("analysis");
        let _ = writeln!(text, "{name}-analysis = {{ path = {folder:?} }}");
    }
    text + "\n"
}

/// The variables in which rust-analyzer looks for cargo and for the compiler; with these values it
/// finds no standard library.
const CARGO_VARIABLE: &str = "CARGO";
const COMPILER_VARIABLE: &str = "RUSTC";
/// The program that it finds there, in a session's tools, and the program's output.
const PROGRAM: &str = "cells-only";
const METADATA: &str = "cells-only.json";
/// All other calls fail, and rust-analyzer works without their results.
const SCRIPT: &str = r#"#!/bin/sh
case " $* " in
*" metadata "*)
    IFS= read -r metadata <"$0.json"
    printf '%s\n' "$metadata"
    ;;
*) exit 1 ;;
esac
"#;

/// As long as this exists, rust-analyzer reads only the cells.
pub(crate) struct CellsOnly {
    cargo: Option<OsString>,
    compiler: Option<OsString>,
}

impl CellsOnly {
    /// Sets it up for the session in `folder`. The process of `user` keeps its environment.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written to.
    pub(crate) fn enter(folder: &Path, user: &mut Command) -> io::Result<CellsOnly> {
        let tools = folder.join(TOOLS);
        fs::create_dir_all(&tools)?;
        let program = tools.join(PROGRAM);
        fs::write(&program, SCRIPT)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        fs::write(tools.join(METADATA), metadata(folder))?;
        let cargo = std::env::var_os(CARGO_VARIABLE);
        match &cargo {
            Some(cargo) => user.env(CARGO_VARIABLE, cargo),
            None => user.env_remove(CARGO_VARIABLE),
        };
        let compiler = std::env::var_os(COMPILER_VARIABLE);
        for name in [CARGO_VARIABLE, COMPILER_VARIABLE] {
            variables::set(name, Some(program.as_os_str()));
        }
        Ok(CellsOnly { cargo, compiler })
    }
}

impl Drop for CellsOnly {
    fn drop(&mut self) {
        variables::set(CARGO_VARIABLE, self.cargo.as_deref());
        variables::set(COMPILER_VARIABLE, self.compiler.as_deref());
    }
}

/// What cargo would report about the cells' package if it had no dependencies, on one line.
fn metadata(folder: &Path) -> String {
    let id = format!("path+file://{}#{CRATE}@1.0.0", folder.display());
    let target = json!({
        "kind": ["cdylib"], "crate_types": ["cdylib"], "name": CRATE, "edition": "2024",
        "src_path": folder.join(SOURCE), "doctest": false, "test": false,
    });
    let package = json!({
        "name": CRATE, "version": "1.0.0", "id": id, "edition": "2024", "targets": [target],
        "manifest_path": folder.join("Cargo.toml"), "dependencies": [], "features": {},
    });
    let node = json!({"id": id, "dependencies": [], "deps": [], "features": []});
    let metadata = json!({
        "version": 1, "packages": [package], "workspace_members": [id],
        "resolve": {"nodes": [node], "root": id},
        "workspace_root": folder, "target_directory": folder.join("target"),
    });
    format!("{metadata}\n")
}
