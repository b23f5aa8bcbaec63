//! A session: compiles cells with evcxr and runs them in a process of their own.
//!
//! ```text
//!  server ── run_cell ─▶ Session ── Evcxr ─────────────────LOAD_AND_RUN──▶ supervisor ──▶ user process
//!    │                      ▲ ended, output                                    │
//!    └── interrupt ──▶ Control ◀────────────── messages ───────────────────────┘
//! ```
//!
//! A [`Session`] lives on one thread; its [`Control`] may be used on any.

mod act;
mod captured;
mod compile;
mod compiler;
mod dependencies;
mod diagnostic;
mod evaluate;
mod explain;
mod export;
mod link;
mod look;
mod outcome;
mod pinning;
mod places;
mod plan;
mod processes;
mod remains;
mod run_cell;
pub(crate) mod start;
mod unkept;
mod unread;
mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cell::Profile;
use crate::definitions::Definitions;
use crate::definitions::statics::Numbered;
use crate::evcxr::Evcxr;
use crate::evcxr::analysis::CellsOnly;
use crate::evcxr::pins::Pin;
use crate::evcxr::refusal::Why;
use crate::library::compiled::Stores;
use crate::protocol::Output;
use crate::sys::procs;
pub use link::Control;
use link::Link;
pub use look::{Candidate, Completions, Inspection};
pub use outcome::CellError;
pub use run_cell::Told;
use start::folder::Folder;
pub(crate) use start::folder::remove_own as remove_folders;
use start::home::Home;
pub use values::{Seen, Variable};

/// What a session is started with.
pub struct Options {
    /// Called with everything that the user's process writes and asks, as it comes, from another
    /// thread. While it blocks, the cell is slowed down, and nothing is lost.
    pub output: Box<dyn Fn(Output) + Send + Sync>,
    /// The program that serves as supervisor: by default the running one.
    /// Its `main` has to call [`crate::command::role::serve_if_asked`] first.
    pub program: Option<PathBuf>,
    /// Whether `use forklore::*;` works without `:dep`. On by default.
    pub library: bool,
}

impl Options {
    /// The usual options, with `output` as the place where the bytes go.
    pub fn new(output: impl Fn(Output) + Send + Sync + 'static) -> Options {
        Options {
            output: Box::new(output),
            program: None,
            library: true,
        }
    }
}

/// A session: compiler, variables and the process that runs the cells. Lives on one thread.
pub struct Session {
    context: Evcxr,
    link: Arc<Link>,
    /// Whether cargo must not use the network: until the first cell that adds a dependency.
    is_offline: bool,
    /// Where compiled crates are kept.
    stores: Option<Stores>,
    /// Cargo's home and the user's own, where they are not the same.
    home: Option<Home>,
    /// Whether rust-analyzer has the standard library's sources to infer types from.
    has_rust_src: bool,
    /// While there is something that rust-analyzer has not been given to read.
    cells_only: Option<CellsOnly>,
    /// Whether a compile was killed, so that rust-analyzer may have seen half of a manifest.
    is_analysis_stale: bool,
    /// How cells are compiled.
    profile: Profile,
    opt_level: &'static str,
    /// What the cells have defined.
    definitions: Definitions,
    /// What `definitions::statics` was told last.
    told_statics: Vec<Numbered>,
    /// The cell as it was written, where what runs is not the same.
    written: String,
    shows_warnings: bool,
    /// The number of the last compile error that has one, such as `E0382`.
    last_error: Option<String>,
    /// The number of the cell that runs, as the user counts them.
    number: u32,
    /// The versions that the notebook asks for.
    pins: Vec<Pin>,
    /// The code that has run and was not rolled back, cell by cell.
    committed: Vec<String>,
    /// Their numbers, as the user counts them.
    numbers: Vec<u32>,
    /// The variables of the running cell that no later one has.
    unkept: Vec<(String, Why)>,
    /// Variables that are no longer there, and the index of the cell which that is due to.
    gone: HashMap<String, usize>,
    /// The library's sources, if cells can use it.
    library: Option<PathBuf>,
    // Last: its processes are gone when the folder goes.
    folder: Folder,
}

impl Session {
    fn control(&self) -> Control {
        Control {
            link: self.link.clone(),
        }
    }

    /// Ends the session when the program is about to end too: its processes and its folder go at
    /// once. Its memory stays for the system to take: rust-analyzer's database needs seconds to be
    /// taken apart.
    pub fn abandon(mut self) {
        // Asked before it ends, when the link forgets it.
        let supervisor = self.link.supervisor_pid();
        self.control().shutdown();
        // Its parent is evcxr's part of this process, which is not dropped and so will not wait for
        // it.
        if let Some(supervisor) = supervisor {
            procs::reap(supervisor);
        }
        let nothing = Folder::existing(PathBuf::new());
        drop(std::mem::replace(&mut self.folder, nothing));
        std::mem::forget(self);
    }

    /// The session's private folder: cargo's files and the cells' shared objects.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.control().shutdown();
    }
}
