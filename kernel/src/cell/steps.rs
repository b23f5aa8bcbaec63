//! What a cell asks for, step by step.

use std::fmt;

/// What to do with a cell, in order; when a step fails, those behind it are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each step.
    pub steps: Vec<Step>,
}

/// One step of a cell.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Shows a text.
    Say(String),
    /// Gives Rust to evcxr; lines and columns are the cell's.
    Run(String),
    /// Something that the session does itself.
    Do(Action),
}

/// `%limit`: how much memory the cells may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// As much as there is.
    Off,
    /// What the scheduler or container gives.
    Auto,
    /// So much.
    Bytes(u64),
}

/// `%profile`: how cells are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As `cargo build` does: with checks, without optimisation.
    Debug,
    /// As `cargo build --release` does.
    Release,
}

/// What a session does besides running Rust.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// `%who`: lists the variables.
    Variables,
    /// `%ps`: lists the session's processes.
    Processes,
    /// `%reset`: forgets all variables and definitions.
    Reset,
    /// `%checkpoint`: puts a policy in force, or says which is.
    Checkpoint(Option<String>),
    /// `%limit`: limits the cells' memory, or says what the limit is.
    Limit(Option<MemoryLimit>),
    /// `%profile`: what the compiler does with the cells to come, or says what it does.
    Profile(Option<Profile>),
    /// `%warnings`: whether the compiler's warnings are shown, or says whether they are.
    Warnings(Option<bool>),
    /// `:opt`: how much the cells to come are optimised; `None` switches between level 0 and 2.
    Optimise(Option<&'static str>),
    /// `:fmt`: whether a value is shown one part a line.
    Pretty(bool),
    /// `:types`: shows values with their types, or no longer.
    ToggleTypes,
    /// `%export`: writes the cells so far as a cargo project into this folder.
    Export(String),
    /// `%explain`: what the compiler has to say of an error with this number; by default the last
    /// one.
    Explain(Option<String>),
    /// `%%bash`, `%%python`: runs another language's program.
    Script(Script),
    /// `%%writefile`: writes a file.
    Write {
        /// The file, relative to where the cells are.
        path: String,
        /// Whether what the file holds is kept.
        appends: bool,
        /// What is written.
        text: String,
    },
    /// `%%html` and its like: shows the cell.
    Show {
        /// What it is.
        mime_type: &'static str,
        /// What is shown.
        text: String,
    },
    /// `%lock`: has the front end put the versions of the notebook's crates into the cell.
    Lock,
    /// `%%lock`: pins the versions that stand in the cell, one a line.
    Pin(String),
    /// `%%capture`: what is written from now on is not shown.
    Capture,
    /// The end of that; what was printed becomes the value of this variable.
    Captured(Option<String>),
    /// `?name`: says what is known about a name.
    Describe(String),
}

/// A program in another language.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// What runs it, as it is found on the `PATH`.
    pub program: &'static str,
    /// What that is given before the script.
    pub arguments: Vec<String>,
    /// The script.
    pub text: String,
    /// The script file's name, for messages.
    pub file: &'static str,
}

/// A cell that cannot be planned: what is wrong, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name, as in a traceback.
    pub name: &'static str,
    /// The sentence.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// The mistake of using something as it cannot be used.
pub(super) fn usage(message: &str) -> Mistake {
    Mistake {
        name: "UsageError",
        message: message.to_owned(),
    }
}
