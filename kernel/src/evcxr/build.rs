//! Compiling a cell: what stands between evcxr and cargo, and between cargo and rustc.
//!
//! ```text
//!  evcxr ── cargo build ──▶ tools/cargo ──▶ tools/build ── first time, or something has changed ──▶ cargo
//!                           (see `tools`)           │                                                 │
//!                                                   └─ as last time ─▶ rustc ◀── tools/wrapper ◀──────┘
//! ```
//!
//! Between two cells only the cell changes, so cargo, which needs 35 ms to find that out, would
//! start rustc as it did the last time. `tools/wrapper`, through which cargo starts rustc for the
//! cells, writes down how, and on account of what; `tools/build` does it again as long as all that
//! is the same: cargo's arguments and environment, the manifest, the list of versions, cargo's
//! configuration. Where a crate is used whose sources may change, nothing is written down.
//!
//! On its way the cell's text gets the library's variable store in the place of evcxr's (see
//! `forklore::store`): most of what rustc did for a small cell was to compile that. It also gets
//! what the session knows of its definitions (see `definitions`). Lines stay where they are, as
//! evcxr and the kernel find the cell's lines by them.
//!
//! `tools/build` and `tools/wrapper` are this program. What it does is not for the processes that
//! run the cells. It starts what it was told the paths of; should one of these lead back to it, a
//! variable in its environment ends that at once.

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

/// The folder of the tools, in a session's folder.
pub(crate) const TOOLS: &str = "tools";
/// What rustc wrote, where cargo does not keep it.
pub(crate) const SAID: &str = "said";
/// The path of cargo itself.
pub(crate) const REAL: &str = "real";
/// The path of the library that has the store.
pub(crate) const LIBRARY: &str = "library";
/// How rustc was started for the last cell.
const RECORD: &str = "record";
/// How rustc was started for the last cell, also where the next one may need another call.
const LAST: &str = "last";
/// On account of what cargo was started.
const CAUSE: &str = "cause";
/// The two faces of this program. None is called `rustc`: the folder is first on the `PATH` while
/// rust-analyzer looks for the compiler whose standard library it reads.
pub(crate) const FACES: [&str; 2] = ["build", "wrapper"];

/// Set by each face for what it starts.
const BUILDS: &str = "FORKLORE_BUILDS";
const WRAPS: &str = "FORKLORE_WRAPS";
const WRAPPER_VARIABLE: &str = "RUSTC_WORKSPACE_WRAPPER";
/// A wrapper that a cell asked for (evcxr's `:cache` or `:sccache`).
const OTHER_WRAPPER: &str = "RUSTC_WRAPPER";
/// Where evcxr wants to be told the path of what was compiled.
const RESULT_VARIABLE: &str = "EVCXR_EXECUTION_SO_PATH";
/// Ways to cargo's jobs, which end with it.
const JOBS: [&str; 2] = ["CARGO_MAKEFLAGS", "MAKEFLAGS"];
/// Files from which cargo makes rustc's arguments.
const INPUTS: [&str; 3] = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
/// What rustc says of a crate that it cannot use as it is. (cargo may make another.)
const UNFIT_CRATE: [&str; 4] = ["E0460", "E0461", "E0463", "E0514"];

/// What cargo ends with when a compile fails. (evcxr only asks whether it is zero; a signal has no
/// code.)
const FAILED: u8 = 101;

/// The name of evcxr's crate for cells, the file that is made of it, and its source.
pub(crate) const CRATE: &str = "ctx";
const MADE: &str = "libctx.so";
/// Of rustc's options, what tells crates of one name apart.
const METADATA: &str = "metadata=";
pub(crate) const SOURCE: &str = "src/lib.rs";

/// One of this program's names in a session's tools.
#[derive(Debug, PartialEq, Eq)]
pub enum Face {
    /// Stands for cargo.
    Build {
        /// The folder of the tools.
        tools: PathBuf,
    },
    /// Stands between cargo and rustc.
    Wrapper {
        /// The folder of the tools.
        tools: PathBuf,
    },
}

impl Face {
    /// The face under which this process was started, if it was.
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

/// Builds a cell, or starts rustc for it; gives the exit status.
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

/// Does what `cargo build` or `cargo check` would do for a cell. Gives the exit status, if it is
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
    // evcxr moves what was made to where it wants to have it.
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
            // What rustc said to cargo, it says once more.
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

/// Cargo itself.
fn cargo(tools: &Path, arguments: &[OsString]) -> io::Result<Command> {
    let real = fs::read(tools.join(REAL))?;
    let real = Path::new(OsStr::from_bytes(real.trim_ascii_end()));
    let mut cargo = Command::new(outside(tools, real.to_owned())?);
    cargo.args(arguments).env(BUILDS, "1");
    Ok(cargo)
}

/// Runs rustc as cargo did, and keeps what it says where the kernel looks for it. Gives what came
/// of it, if cargo could do no better.
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

/// Tells evcxr what came of a compile, and gives the exit status.
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

/// Writes down how rustc is started, if it is for a cell, and starts it.
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

/// Fails in a process that such a process has started.
fn enter(variable: &str) -> io::Result<()> {
    match env::var_os(variable) {
        None => Ok(()),
        Some(_) => Err(io::Error::other("the kernel's tools were given themselves")),
    }
}

/// The path of a program, if it is one and none of the tools.
fn outside(tools: &Path, program: PathBuf) -> io::Result<PathBuf> {
    if program.is_absolute() && program.parent() != Some(tools) {
        return Ok(program);
    }
    let program = program.display();
    Err(io::Error::other(format!("{program} is not its path")))
}

/// All on account of which cargo starts rustc as it does, but for the [`INPUTS`].
fn cause(arguments: &[OsString]) -> Vec<u8> {
    // cargo sets it itself for what it starts.
    let is_cargo = |entry: &OsString| entry.as_bytes().starts_with(b"CARGO=");
    let variables = variables().into_iter().filter(|entry| !is_cargo(entry));
    join(arguments.iter().cloned().chain(variables))
}

/// One of the [`INPUTS`], as far as it matters to cargo.
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
    /// How it was called last, if it may be called so again.
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

    /// How it was called for the last cell, if that is known.
    pub(super) fn last(tools: &Path) -> Option<Rustc> {
        let record = fs::read(tools.join(LAST)).ok()?;
        let mut parts = record.split(|byte| *byte == BETWEEN);
        let (words, variables) = (parts.next()?, parts.next()?);
        Some(Rustc {
            words: split(words).collect(),
            variables: split(variables).collect(),
        })
    }

    /// The call, to be made again without cargo.
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

    /// Leaves no record where the next call may have to be another.
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

    /// Whether it makes what a cell runs, and does not only check it.
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
    /// and the types that cells define would be others after each `:dep`.
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

/// Stands between the parts of a record.
const BETWEEN: u8 = 1;

/// Words, each ended by a zero byte, which none of them has.
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
