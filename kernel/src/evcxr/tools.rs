//! The cargo that evcxr finds: the machine's, behind a few lines of shell. What they do about a
//! build is told in `build`.
//!
//! Before evcxr adds a dependency it tries it alone, in a manifest that has nothing else. cargo
//! then strikes all other crates out of `Cargo.lock`, and the next build takes whatever versions
//! are newest: the library would be compiled again, and its types would be others, so that a pool
//! in a variable would be lost. So the list is kept meanwhile.
//!
//! evcxr asks `rustup` where cargo and rustc are, and asks once. In the folder that is first on the
//! `PATH` while it asks is a `rustup` that answers with the other file there, and with the compiler
//! that the session has found already. It hands all other questions on.

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

/// The path of the compiler.
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

/// What cargo says while it tries a dependency goes to evcxr, which shows it in an error. What it
/// downloads meanwhile goes to the kernel's standard error too, from where the cell shows it; the
/// rest is about a manifest that the user never wrote.
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

/// The tools are first on the `PATH` until this is dropped.
pub(crate) struct Tools {
    path: Option<OsString>,
}

impl Tools {
    /// Writes the tools into the session's folder, and puts them first on the `PATH`. `warm` is the
    /// library, if cells have it.
    pub(crate) fn install(folder: &Path, program: &Path, warm: Option<&Warm>) -> io::Result<Tools> {
        let tools = folder.join(TOOLS);
        fs::create_dir_all(&tools)?;
        for face in FACES {
            let link = tools.join(face);
            let _ = fs::remove_file(&link);
            symlink(program, link)?;
        }
        if let Some(warm) = warm {
            // In a line: a path that is none leads to the other way.
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

    /// The `PATH` as it was, which cells get.
    pub(crate) fn path(&self) -> OsString {
        self.path.clone().unwrap_or_default()
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        variables::set("PATH", self.path.as_deref());
    }
}
