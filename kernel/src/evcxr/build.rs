//! Compiles a cell: the programs between evcxr and cargo, and between cargo and rustc.
//!
//! ```text
//!  evcxr ── cargo build ──▶ tools/cargo ──▶ tools/build ── first time, or something has changed ──▶ cargo
//!                           (see `tools`)           │                                                 │
//!                                                   └─ as last time ─▶ rustc ◀── tools/wrapper ◀──────┘
//! ```
//!
//! From one cell to the next only the cell changes, and cargo, which needs 35 ms to find that out,
//! would start rustc as it did before. `tools/wrapper`, through which cargo starts rustc for the
//! cells, records the call and its inputs. `tools/build` repeats the call as long as the inputs are
//! the same: cargo's arguments and environment, the manifest, the lock file, and cargo's
//! configuration. If a cell uses a crate whose sources may change, nothing is recorded.
//!
//! On the way, the library's variable store replaces evcxr's in the cell's text (see
//! `forklore::store`): compiling evcxr's was most of rustc's work for a small cell. The session's
//! knowledge about its definitions is added, too (see `definitions`). Lines keep their numbers,
//! because evcxr and the kernel find the cell's lines by them.
//!
//! `tools/build` and `tools/wrapper` are this program. They are not meant for the processes that
//! run the cells. They start programs by the paths that they were given; if one of these leads back
//! to them, a variable in its environment ends that at once.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::{crates, other_sessions, text, units};
use crate::library::kept::{Compiled, Kept, without_mark};

/// The folder of the tools, inside a session's folder.
pub(crate) const TOOLS: &str = "tools";
/// rustc's messages, where cargo does not keep them.
pub(crate) const SAID: &str = "said";
/// The file with the path of cargo itself.
pub(crate) const REAL: &str = "real";
/// The file with the path of the library that has the store.
pub(crate) const LIBRARY: &str = "library";
/// How rustc was called for the last cell.
const RECORD: &str = "record";
/// How rustc was called for the last cell, even if the next one may need another call.
const LAST: &str = "last";
/// The inputs of the last call of cargo.
const CAUSE: &str = "cause";
/// The two faces of this program. None is called `rustc`, because the folder is first on the `PATH`
/// while rust-analyzer looks for the compiler whose standard library it reads.
pub(crate) const FACES: [&str; 2] = ["build", "wrapper"];

/// Set by each face for the processes that it starts.
const BUILDS: &str = "FORKLORE_BUILDS";
const WRAPS: &str = "FORKLORE_WRAPS";
const WRAPPER_VARIABLE: &str = "RUSTC_WORKSPACE_WRAPPER";
/// A wrapper that a cell asked for (evcxr's `:cache` or `:sccache`).
const OTHER_WRAPPER: &str = "RUSTC_WRAPPER";
/// The file in which evcxr expects the path of the compiled object.
const RESULT_VARIABLE: &str = "EVCXR_EXECUTION_SO_PATH";
/// Connections to cargo's job server, which end with cargo.
const JOBS: [&str; 2] = ["CARGO_MAKEFLAGS", "MAKEFLAGS"];
/// Files from which cargo makes rustc's arguments.
const INPUTS: [&str; 3] = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
/// rustc's errors about a crate that it cannot use as it is. (cargo may build another.)
const UNFIT_CRATE: [&str; 4] = ["E0460", "E0461", "E0463", "E0514"];

/// cargo's exit status if a compile fails. (evcxr only checks whether it is zero; a signal has no
/// status.)
const FAILED: u8 = 101;

/// The name of evcxr's crate for cells, the file that is built from it, and its source.
pub(crate) const CRATE: &str = "ctx";
const MADE: &str = "libctx.so";
/// rustc's option that distinguishes crates of the same name.
const METADATA: &str = "metadata=";
pub(crate) const SOURCE: &str = "src/lib.rs";

/// One of this program's names in a session's tools.
#[derive(Debug, PartialEq, Eq)]
pub enum Face {
    /// Replaces cargo.
    Build {
        /// The folder of the tools.
        tools: PathBuf,
    },
    /// Runs between cargo and rustc.
    Wrapper {
        /// The folder of the tools.
        tools: PathBuf,
    },
}

impl Face {
    /// The face under which this process was started, if any.
    pub fn of_this_process() -> Option<Face> {
        Face::of(Path::new(&env::args_os().next()?))
    }

    fn of(program: &Path) -> Option<Face> {
        let tools = program.parent()?.to_owned();
        if tools.file_name() != Some(OsStr::new(TOOLS)) {
            return None;
        }
        match program.file_name()?.to_str()? {
            "build" => Some(Face::Build { tools }),
            "wrapper" => Some(Face::Wrapper { tools }),
            _ => None,
        }
    }
}

/// Builds a cell, or starts rustc for it; returns the exit status.
pub fn run(face: Face) -> u8 {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let ended = match face {
        Face::Build { tools } => build(&tools, arguments),
        Face::Wrapper { tools } => Err(wrap(&tools, arguments)),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("forklore: the compiler could not be started: {error}");
        FAILED
    })
}

/// Does for a cell what `cargo build` or `cargo check` would do. Returns the exit status, if it is
/// not cargo's own.
fn build(tools: &Path, arguments: Vec<OsString>) -> io::Result<u8> {
    enter(BUILDS)?;
    let said = tools.join(SAID);
    let _ = fs::remove_file(&said);
    if arguments.iter().all(|word| word != "build") {
        text::complete(tools)?;
        let ended = other_sessions::run(tools, cargo(tools, &arguments)?, "check")?;
        return Ok(code_of(ended));
    }
    let text = text::complete(tools)?;
    let kept = Kept::of(tools, &text, &arguments)?;
    // evcxr moves the object to its final path.
    if let Some(compiled) = kept.find(tools.join(MADE)) {
        fs::write(&said, &compiled.said)?;
        return tell(&compiled);
    }
    let (record, cause) = (tools.join(RECORD), cause(&arguments));
    let as_last_time = || match Rustc::recorded(&record, &cause) {
        Some(rustc) => compile(&rustc, &said),
        None => Ok(None),
    };
    if let Some(compiled) = as_last_time()? {
        kept.keep(&compiled)?;
        return tell(&compiled);
    }
    let _ = fs::remove_file(&record);
    fs::write(tools.join(CAUSE), &cause)?;
    let mut cargo = cargo(tools, &arguments)?;
    cargo.env(WRAPPER_VARIABLE, tools.join("wrapper"));
    let ended = match kept.is_wanted {
        false => other_sessions::run(tools, cargo, "build")?,
        true => {
            let ended = other_sessions::run_and_return(tools, cargo, "build")?;
            // Repeats the messages that rustc printed when cargo ran it.
            if let Some(compiled) = as_last_time()? {
                kept.keep(&compiled)?;
            }
            ended
        }
    };
    Ok(code_of(ended))
}

fn code_of(ended: ExitStatus) -> u8 {
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or(FAILED)
}

/// The command that runs cargo itself.
fn cargo(tools: &Path, arguments: &[OsString]) -> io::Result<Command> {
    let real = fs::read(tools.join(REAL))?;
    let real = Path::new(OsStr::from_bytes(real.trim_ascii_end()));
    let mut cargo = Command::new(outside(tools, real.to_owned())?);
    cargo.args(arguments).env(BUILDS, "1");
    Ok(cargo)
}

/// Runs rustc as cargo did, and stores its messages where the kernel reads them. Returns the
/// outcome, unless cargo might do better.
fn compile(rustc: &Rustc, said: &Path) -> io::Result<Option<Compiled>> {
    crates::import(&rustc.words, SOURCE)?;
    let mut command = rustc.command();
    command.args(units::argument(&rustc.words, SOURCE));
    let ended = command.stderr(fs::File::create(said)?).status()?;
    let text = fs::read(said)?;
    if ended.success() {
        let made = rustc.value_of("--out-dir").map(Path::new);
        let made = made.map(|folder| folder.join(MADE));
        return Ok(Some(Compiled { said: text, made }));
    }
    let is_unfit = |code: &&str| {
        let code = format!("\"code\":\"{code}\"");
        String::from_utf8_lossy(&text).contains(&code)
    };
    if UNFIT_CRATE.iter().any(is_unfit) {
        fs::remove_file(said)?;
        return Ok(None);
    }
    Ok(Some(Compiled {
        said: text,
        made: None,
    }))
}

/// Reports the outcome of a compile to evcxr, and returns the exit status.
fn tell(compiled: &Compiled) -> io::Result<u8> {
    match (&compiled.made, env::var_os(RESULT_VARIABLE)) {
        (Some(made), Some(path)) => fs::write(path, made.as_os_str().as_bytes())?,
        (Some(_), None) => {}
        (None, _) => {
            io::stderr().write_all(&compiled.said)?;
            return Ok(FAILED);
        }
    }
    Ok(0)
}

/// Records how rustc is called, if it is for a cell, and starts it.
fn wrap(tools: &Path, words: Vec<OsString>) -> io::Error {
    match wrapped(tools, words) {
        Ok(mut rustc) => rustc.exec(),
        Err(error) => error,
    }
}

fn wrapped(tools: &Path, words: Vec<OsString>) -> io::Result<Command> {
    enter(WRAPS)?;
    let mut rustc = Rustc {
        words,
        variables: variables(),
    };
    let program = rustc.words.first().cloned().unwrap_or_default();
    let program = outside(tools, PathBuf::from(program))?;
    if rustc.is_for_a_cell() {
        rustc.make_one_crate();
        rustc.words.push("-Clink-arg=-Wl,-O0".into());
        let shared = crates::arguments(tools, &rustc.words);
        rustc.words.extend(shared);
        crates::import(&rustc.words, SOURCE)?;
        fs::write(tools.join(LAST), rustc.parts().join(&BETWEEN))?;
        if env::var_os(OTHER_WRAPPER).is_none() {
            rustc.write(&tools.join(RECORD), fs::read(tools.join(CAUSE))?)?;
        }
    }
    let mut command = Command::new(program);
    command.args(&rustc.words[1..]).env(WRAPS, "1");
    command.args(units::argument(&rustc.words, SOURCE)); // not recorded: the next cell may be larger
    Ok(command)
}

/// Fails in a process that was started, directly or not, by such a process.
fn enter(variable: &str) -> io::Result<()> {
    match env::var_os(variable) {
        None => Ok(()),
        Some(_) => Err(io::Error::other("the kernel's tools were given themselves")),
    }
}

/// The path of a program, if it is absolute and not one of the tools.
fn outside(tools: &Path, program: PathBuf) -> io::Result<PathBuf> {
    if program.is_absolute() && program.parent() != Some(tools) {
        return Ok(program);
    }
    let program = program.display();
    Err(io::Error::other(format!("{program} is not its path")))
}

/// Everything that determines how cargo calls rustc, except the [`INPUTS`].
fn cause(arguments: &[OsString]) -> Vec<u8> {
    // cargo itself sets this for the processes that it starts.
    let is_cargo = |entry: &OsString| entry.as_bytes().starts_with(b"CARGO=");
    let variables = variables().into_iter().filter(|entry| !is_cargo(entry));
    join(arguments.iter().cloned().chain(variables))
}

/// One of the [`INPUTS`], reduced to what matters to cargo.
fn read_input(file: &str) -> io::Result<Vec<u8>> {
    fs::read(file).map(without_mark)
}

/// This process's environment, as NAME=VALUE.
fn variables() -> Vec<OsString> {
    let variables = env::vars_os().map(|(mut entry, value)| {
        entry.push("=");
        entry.push(value);
        entry
    });
    variables.collect()
}

/// A call of rustc.
pub(super) struct Rustc {
    /// The program and its arguments.
    pub(super) words: Vec<OsString>,
    variables: Vec<OsString>,
}

impl Rustc {
    /// The last call, if it may be repeated.
    fn recorded(record: &Path, cause: &[u8]) -> Option<Rustc> {
        let record = fs::read(record).ok()?;
        let mut parts = record.split(|byte| *byte == BETWEEN);
        let (words, variables) = (parts.next()?, parts.next()?);
        let is_same = parts.next()? == cause
            && INPUTS
                .iter()
                .all(|input| parts.next() == read_input(input).ok().as_deref());
        is_same.then(|| Rustc {
            words: split(words).collect(),
            variables: split(variables).collect(),
        })
    }

    /// The call for the last cell, if it is known.
    pub(super) fn last(tools: &Path) -> Option<Rustc> {
        let record = fs::read(tools.join(LAST)).ok()?;
        let mut parts = record.split(|byte| *byte == BETWEEN);
        let (words, variables) = (parts.next()?, parts.next()?);
        Some(Rustc {
            words: split(words).collect(),
            variables: split(variables).collect(),
        })
    }

    /// The command that repeats the call without cargo.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear();
        let is_kept = |name: &OsStr| JOBS.iter().all(|job| name != *job);
        command.envs(self.environment().filter(|(name, _)| is_kept(name)));
        command.stdin(Stdio::null());
        command
    }

    fn parts(&self) -> [Vec<u8>; 2] {
        [&self.words, &self.variables].map(|words| join(words.iter().cloned()))
    }

    /// Writes the record. Writes none if the next call may have to be different.
    fn write(&self, record: &Path, cause: Vec<u8>) -> io::Result<()> {
        let mut parts = Vec::from(self.parts());
        parts.push(cause);
        for input in INPUTS {
            parts.push(read_input(input)?);
        }
        let is_readable = parts.iter().all(|part| !part.contains(&BETWEEN));
        if !is_readable || may_have_sources_that_change(&String::from_utf8_lossy(&parts[3])) {
            return Ok(());
        }
        fs::write(record, parts.join(&BETWEEN))
    }

    /// Whether it builds the object that a cell runs, and does not only check the code.
    fn is_for_a_cell(&self) -> bool {
        let makes = self.words.iter().any(|word| {
            let emit = word.as_bytes().strip_prefix(b"--emit=");
            emit.is_some_and(|kinds| {
                kinds
                    .split(|byte| *byte == b',')
                    .any(|kind| kind == b"link")
            })
        });
        makes && self.value_of("--crate-name") == Some(OsStr::new(CRATE))
    }

    /// Makes all cells the same crate for the compiler: cargo would name it after its dependencies,
    /// and then the cells' types would be different types after each `:dep`.
    fn make_one_crate(&mut self) {
        for word in &mut self.words {
            if word.as_bytes().starts_with(METADATA.as_bytes()) {
                *word = format!("{METADATA}forklore").into();
            }
        }
    }

    pub(super) fn value_of(&self, option: &str) -> Option<&OsStr> {
        let at = self.words.iter().position(|word| word == option)?;
        Some(self.words.get(at + 1)?)
    }

    fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().filter_map(|entry| {
            let entry = entry.as_bytes();
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&entry[..at], &entry[at + 1..]);
            Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
        })
    }
}

/// Separates the parts of a record.
const BETWEEN: u8 = 1;

/// Joins words; each ends with a zero byte, which no word contains.
fn join(words: impl Iterator<Item = OsString>) -> Vec<u8> {
    words
        .flat_map(|word| word.into_vec().into_iter().chain([0]))
        .collect()
}

fn split(bytes: &[u8]) -> impl Iterator<Item = OsString> {
    let words = bytes
        .strip_suffix(b"\0")
        .map(|bytes| bytes.split(|byte| *byte == 0));
    words
        .into_iter()
        .flatten()
        .map(|word| OsStr::from_bytes(word).to_owned())
}

/// Whether a `:dep` names a folder: cargo looks there for changes before each cell. (The library
/// itself, which does not change, is in another table; see `manifest`.)
fn may_have_sources_that_change(manifest: &str) -> bool {
    let dependencies = manifest
        .split_once("\n[dependencies]\n")
        .map(|(_, dependencies)| dependencies);
    dependencies.is_none_or(|dependencies| dependencies.contains("path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_are_told_by_their_names() {
        let face = |program: &str| Face::of(Path::new(program));
        let tools = PathBuf::from("/tmp/s/tools");
        let build = Face::Build {
            tools: tools.clone(),
        };
        assert_eq!(face("/tmp/s/tools/build"), Some(build));
        assert_eq!(face("/tmp/s/tools/wrapper"), Some(Face::Wrapper { tools }));
        for other in [
            "forklore",
            "/usr/bin/build",
            "/tmp/s/tools/cargo",
            "build",
            "",
        ] {
            assert_eq!(face(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_among_a_cell_s_crates_may_change() {
        let manifest = |dependencies: &str| {
            format!(
                "[lib]\npath = \"src/lib.rs\"\n[target.'cfg(all())'.dependencies]\nforklore = {{ path = \"/l\" }}\n\n[dependencies]\n{dependencies}"
            )
        };
        assert!(!may_have_sources_that_change(&manifest("")));
        assert!(!may_have_sources_that_change(&manifest("rand = \"0.9\"\n")));
        assert!(may_have_sources_that_change(&manifest(
            "mine = { path = \"../mine\" }\n"
        )));
        assert!(may_have_sources_that_change("no such table"));
    }

    #[test]
    fn words_come_back_as_they_were() {
        for words in [&[][..], &[""], &["a", "", "b c"]] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let back: Vec<OsString> = split(&join(words.iter().cloned())).collect();
            assert_eq!(back, words);
        }
    }

    #[test]
    fn cells_are_one_crate_whatever_they_depend_on() {
        let words = ["rustc", "--crate-name", "ctx", "-C", "metadata=0123"];
        let mut rustc = Rustc {
            words: words.map(OsString::from).to_vec(),
            variables: Vec::new(),
        };
        rustc.make_one_crate();
        assert_eq!(rustc.words[3..], ["-C", "metadata=forklore"]);
    }

    #[test]
    fn a_check_is_not_for_a_cell() {
        let rustc = |words: &str| Rustc {
            words: words.split(' ').map(OsString::from).collect(),
            variables: Vec::new(),
        };
        assert!(rustc("rustc --crate-name ctx src/lib.rs --emit=dep-info,link").is_for_a_cell());
        assert!(
            !rustc("rustc --crate-name ctx src/lib.rs --emit=dep-info,metadata").is_for_a_cell()
        );
        assert!(!rustc("rustc --crate-name mine src/lib.rs --emit=dep-info,link").is_for_a_cell());
        assert!(!rustc("rustc - --crate-name ___ --print=file-names").is_for_a_cell());
    }
}
