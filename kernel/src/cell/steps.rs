//! The steps of a cell.

use std::fmt;

/// The steps of a cell, in order; if one fails, the steps after it are skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step of a cell.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Shows a text.
    Say(String),
    /// Runs Rust in evcxr; lines and columns are the cell's.
    Run(String),
    /// An action of the session itself.
    Do(Action),
}

/// `%limit`: how much memory the cells may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// No limit.
    Off,
    /// The limit of the scheduler or container.
    Auto,
    /// This number of bytes.
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
    /// `%checkpoint`: sets a policy, or shows the current one.
    Checkpoint(Option<String>),
    /// `%limit`: limits the cells' memory, or shows the limit.
    Limit(Option<MemoryLimit>),
    /// `%profile`: sets the compiler's profile for later cells, or shows it.
    Profile(Option<Profile>),
    /// `%warnings`: sets whether the compiler's warnings are shown, or shows the setting.
    Warnings(Option<bool>),
    /// `:opt`: sets the optimisation level for later cells; `None` switches between level 0 and 2.
    Optimise(Option<&'static str>),
    /// `:fmt`: sets whether a value is shown with one part per line.
    Pretty(bool),
    /// `:types`: switches whether values are shown with their types.
    ToggleTypes,
    /// `%export`: writes the cells so far into this folder, as a cargo project.
    Export(String),
    /// `%explain`: shows the compiler's explanation of the error with this code; by default, of the
    /// last error.
    Explain(Option<String>),
    /// `%%bash`, `%%python`: runs a program in another language.
    Script(Script),
    /// `%%writefile`: writes a file.
    Write {
        /// The file, relative to the cells' current folder.
        path: String,
        /// Whether the text is appended to the file's content.
        appends: bool,
        /// The text to write.
        text: String,
    },
    /// `%%html` and similar magics: shows the cell.
    Show {
        /// The MIME type of the text.
        mime_type: &'static str,
        /// The text to show.
        text: String,
    },
    /// `%lock`: makes the front end put the versions of the notebook's crates into the cell.
    Lock,
    /// `%%lock`: pins the versions in the cell, one per line.
    Pin(String),
    /// `%%capture`, `--out`: hides this output from now on.
    Capture(Captured),
    /// Ends that; the printed text becomes the value of this variable.
    Assign(Option<String>),
    /// `?name`: shows what is known about a name.
    Describe(String),
}

/// A program in another language.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// The interpreter, which is searched on the `PATH`.
    pub program: &'static str,
    /// The interpreter's arguments before the script.
    pub arguments: Vec<String>,
    /// The script.
    pub text: String,
    /// The script file's name, for messages.
    pub file: &'static str,
    /// Whether the cell goes on if the script fails or cannot be started.
    pub may_fail: bool,
}

/// The output that is hidden, and may become a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// Everything that is shown.
    All,
    /// Only what is printed to standard output.
    Stdout,
}

/// A cell that cannot be planned: what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The error's name, as in a traceback.
    pub name: &'static str,
    /// The sentence.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// The mistake of using something in an unsupported way.
pub(super) fn usage(message: &str) -> Mistake {
    Mistake {
        name: "UsageError",
        message: message.to_owned(),
    }
}
