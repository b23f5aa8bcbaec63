//! The roles of this program. It starts itself again for other work; only here does a process
//! determine which work is its own.
//!
//! | role | recognised by | started by |
//! | --- | --- | --- |
//! | [`Role::CellBuilder`] | the program's name, in a session's tools | evcxr, in cargo's and rustc's place |
//! | [`Role::Supervisor`] | `EVCXR_IS_RUNTIME` and `FORKLORE_SOCKET` | a session's evcxr |
//! | [`Role::LibraryBuilder`] | `FORKLORE_WARM_ASKED` | a session without a compiled library |
//! | [`Role::Command`] | nothing of this | a user, Jupyter, or the unmodified `evcxr_jupyter` |

use std::ffi::OsString;
use std::path::PathBuf;

use super::cli;
use crate::evcxr::build::{self, Face};
use crate::library::warm;
use crate::session::start::prebuild;
use crate::supervisor;

/// The work of a process of this program.
pub enum Role {
    /// Compiles a cell.
    CellBuilder(Face),
    /// Runs between evcxr and the user process.
    Supervisor {
        /// The socket on which the kernel waits for it.
        socket: OsString,
    },
    /// Compiles the library into the cache that a session uses.
    LibraryBuilder {
        /// The cache.
        root: PathBuf,
    },
    /// Runs the command that its arguments name.
    Command,
}

impl Role {
    /// The role of this process.
    pub fn of_this_process() -> Role {
        if let Some(face) = Face::of_this_process() {
            return Role::CellBuilder(face);
        }
        if std::env::var_os(supervisor::EVCXR_VARIABLE).is_some() {
            // The runtime of the unmodified evcxr_jupyter has no socket: evcxr itself serves it.
            let socket = std::env::var_os(supervisor::SOCKET_VARIABLE);
            return socket.map_or(Role::Command, |socket| Role::Supervisor { socket });
        }
        match std::env::var_os(warm::ASKED_VARIABLE) {
            Some(root) => Role::LibraryBuilder { root: root.into() },
            None => Role::Command,
        }
    }

    /// Does the work, and returns the exit status.
    pub fn run(self) -> u8 {
        match self {
            Role::CellBuilder(face) => build::run(face),
            Role::Supervisor { socket } => supervisor::run(socket.as_ref()),
            Role::LibraryBuilder { root } => prebuild::run(&root),
            Role::Command => {
                crate::evcxr::serve_if_asked();
                cli::main()
            }
        }
    }
}

/// Does the work of any role but [`Role::Command`], and then exits. For programs whose sessions
/// start them again: call it first in `main`, before there are threads.
pub fn serve_if_asked() {
    let role = Role::of_this_process();
    if !matches!(role, Role::Command) {
        std::process::exit(role.run().into());
    }
}
