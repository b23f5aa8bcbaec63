//! The cargo that evcxr finds: the machine's, behind a few lines of shell. `build` explains what
//! they do for a build.
//!
//! Before evcxr adds a dependency, it tries it in a manifest with no other dependencies. cargo then
//! removes all other crates from `Cargo.lock`, and the next build would use the newest versions:
//! the library would be compiled again, with new types, so that a pool in a variable would be lost.
//! So the lock file is preserved during that time.
//!
//! evcxr asks `rustup` once where cargo and rustc are. At that time, the first folder on the `PATH`
//! contains a `rustup` that replies with the other file there, and with the compiler that the
//! session has already found. It passes all other calls on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::evcxr::build::{FACES, LIBRARY, TOOLS};
use crate::library::kept;
use crate::library::warm::Warm;
use crate::sys::variables;

/// The file with the path of the compiler.
const COMPILER: &str = "compiler";

const RUSTUP: &str = r#"#!/bin/sh
tools=${0%/*}
PATH=${PATH#"$tools":}
compiler=
[ ! -e "$tools/compiler" ] || IFS= read -r compiler <"$tools/compiler"
case "$*" in
"which rustc")
    [ -n "$compiler" ] || exec rustup which rustc
    printf '%s\n' "$compiler"
    ;;
"which cargo")
    real=${compiler%/*}/cargo
    [ -x "$real" ] || real=$(rustup which cargo 2>/dev/null) || real=$(command -v cargo) || exit 1
    printf '%s\n' "$real" >"$tools/real"
    printf '%s\n' "$tools/cargo"
    ;;
*) exec rustup "$@" ;;
esac
"#;

/// cargo's output while it tries a dependency goes to evcxr, which shows it in an error. Its lines
/// about downloads also go to the kernel's standard error, from where the cell shows them; the rest
/// is about a manifest that the user never wrote.
const CARGO: &str = r#"#!/bin/sh
tools=${0%/*}
read -r real <"$tools/real"
# Left by one that was killed.
[ ! -e "$tools/Cargo.lock" ] || mv "$tools/Cargo.lock" Cargo.lock
case " $* " in
*" build "*)
    exec "$tools/build" "$@"
    ;;
*" check "*)
    # Only asked for errors: evcxr would take a warning for the reason why it refuses a cell.
    "$tools/build" "$@" | grep -v '"level":"warning"'
    exit
    ;;
*" metadata "*)
    if grep -q evcxr_dummy_validate_dep Cargo.toml; then
        [ ! -e Cargo.lock ] || cp Cargo.lock "$tools/Cargo.lock"
        exec 3>&1
        status=$({ { "$real" "$@" 2>&1 >&3 3>&-; echo $? >&4; } | while IFS= read -r line; do
            printf '%s\n' "$line" >&2
            case "$line" in
            *" Updating "* | *" Downloading "* | *" Downloaded "* | *" Blocking "*)
                printf '%s\n' "$line" >>"/proc/$PPID/fd/2"
                ;;
            esac
        done; } 4>&1)
        [ ! -e "$tools/Cargo.lock" ] || mv "$tools/Cargo.lock" Cargo.lock
        exit "$status"
    fi
    ;;
esac
exec "$real" "$@"
"#;

/// Keeps the tools first on the `PATH` until it is dropped.
pub(crate) struct Tools {
    path: Option<OsString>,
}

impl Tools {
    /// Writes the tools into the session's folder, and puts them first on the `PATH`. `warm` is the
    /// library, if cells can use it.
    pub(crate) fn install(folder: &Path, program: &Path, warm: Option<&Warm>) -> io::Result<Tools> {
        let tools = folder.join(TOOLS);
        fs::create_dir_all(&tools)?;
        for face in FACES {
            let link = tools.join(face);
            let _ = fs::remove_file(&link);
            symlink(program, link)?;
        }
        if let Some(warm) = warm {
            // On one line. With an invalid path, the scripts use their other way.
            let compiler = warm.rustc().as_os_str().as_bytes();
            fs::write(tools.join(COMPILER), [compiler, b"\n"].concat())?;
            fs::write(tools.join(LIBRARY), warm.library().as_os_str().as_bytes())?;
            kept::install(&tools, warm.kept().as_deref())?;
            if let Some(stores) = warm.stores() {
                stores.write(&tools)?;
            }
        }
        for (name, script) in [("rustup", RUSTUP), ("cargo", CARGO)] {
            let file = tools.join(name);
            fs::write(&file, script)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        let path = std::env::var_os("PATH");
        let mut first = tools.into_os_string();
        first.push(":");
        first.push(path.as_deref().unwrap_or_default());
        variables::set("PATH", Some(&first));
        Ok(Tools { path })
    }

    /// The original `PATH`, which cells get.
    pub(crate) fn path(&self) -> OsString {
        self.path.clone().unwrap_or_default()
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        variables::set("PATH", self.path.as_deref());
    }
}
