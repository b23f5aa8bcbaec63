//! A session: compiles cells with evcxr and runs them in a separate process.
//!
//! ```text
//!  server ── run_cell ─▶ Session ── Evcxr ─────────────────LOAD_AND_RUN──▶ supervisor ──▶ user process
//!    │                      ▲ ended, output                                    │
//!    └── interrupt ──▶ Control ◀────────────── messages ───────────────────────┘
//! ```
//!
//! A [`Session`] lives on one thread; any thread may use its [`Control`].

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

/// The options of a new session.
pub struct Options {
    /// Called, on another thread, with all output and requests of the user's process as they
    /// arrive. While it blocks, the cell may have to wait, but no output is lost.
    pub output: Box<dyn Fn(Output) + Send + Sync>,
    /// The program that serves as supervisor: by default the running one. Its `main` must call
    /// [`crate::command::role::serve_if_asked`] first.
    pub program: Option<PathBuf>,
    /// Whether `use forklore::*;` works without `:dep`. On by default.
    pub library: bool,
}

impl Options {
    /// The default options; `output` receives the output.
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
    /// Where compiled crates are stored.
    stores: Option<Stores>,
    /// Cargo's home and the user's own, if they differ.
    home: Option<Home>,
    /// Whether rust-analyzer has the standard library's sources, from which it infers types.
    has_rust_src: bool,
    /// `Some` as long as rust-analyzer has not been given everything to read.
    cells_only: Option<CellsOnly>,
    /// Whether a compile was killed, so that rust-analyzer may have read half a manifest.
    is_analysis_stale: bool,
    /// How cells are compiled.
    profile: Profile,
    opt_level: &'static str,
    /// The definitions of the cells.
    definitions: Definitions,
    /// The definitions that `definitions::statics` was given last.
    told_statics: Vec<Numbered>,
    /// The cell as it was written, if other code runs.
    written: String,
    shows_warnings: bool,
    /// The code of the last compile error that has one, such as `E0382`.
    last_error: Option<String>,
    /// The number of the running cell, as the user counts cells.
    number: u32,
    /// The versions that the notebook pins.
    pins: Vec<Pin>,
    /// The code that has run and was not rolled back, cell by cell.
    committed: Vec<String>,
    /// The numbers of those cells, as the user counts them.
    numbers: Vec<u32>,
    /// The variables of the running cell that later cells do not have.
    unkept: Vec<(String, Why)>,
    /// Variables that no longer exist, and the index of the cell that moved them.
    gone: HashMap<String, usize>,
    /// The library's sources, if cells can use it.
    library: Option<PathBuf>,
    // Dropped last: its processes must be gone when the folder is removed.
    folder: Folder,
}

impl Session {
    fn control(&self) -> Control {
        Control {
            link: self.link.clone(),
        }
    }

    /// Ends the session when the program is about to end too: removes its processes and its folder
    /// at once. The OS frees its memory: dropping rust-analyzer's database would take seconds.
    pub fn abandon(mut self) {
        // Read before the session ends, because the link then forgets it.
        let supervisor = self.link.supervisor_pid();
        self.control().shutdown();
        // Its parent is evcxr's part of this process, which is not dropped and therefore does not
        // wait for it.
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
