//! Crates of other sessions: what they have compiled is in this session's `target/` before cargo
//! looks for it, and what cargo compiles here is there for them (see `library::compiled`).

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::pins;
use crate::library::compiled::{self, Fetched, Store, Stores};
use crate::library::kept::{is_the_library_s, without_mark};
use crate::sys::this_process::tell_parent;

/// How often what is compiled is kept while cargo runs: of a compile that is killed, no more is
/// lost.
const INTERVAL: Duration = Duration::from_secs(5);
/// In a session's tools: that crates cannot be kept, and was said.
const NOT_KEPT: &str = "not-kept";
/// How the line begins that says so.
pub(crate) const COMPLAINT: &str = "forklore: compiled crates are not kept for other sessions: ";
const LOCK: &str = "Cargo.lock";
const TARGET: &str = "target";

/// Runs cargo, which is to do `what`; with the crates of other sessions where something else than
/// the cell may have to be compiled. Returns only in that case, or else becomes cargo.
pub(super) fn run(tools: &Path, mut cargo: Command, what: &str) -> io::Result<ExitStatus> {
    match Exchange::begin(tools, &cargo, what) {
        Some(exchange) => exchange.run(cargo),
        None => Err(cargo.exec()),
    }
}

/// The same, and returns in any case.
pub(super) fn run_and_return(
    tools: &Path,
    mut cargo: Command,
    what: &str,
) -> io::Result<ExitStatus> {
    match Exchange::begin(tools, &cargo, what) {
        Some(exchange) => exchange.run(cargo),
        None => cargo.status(),
    }
}

/// What goes in and out while cargo runs.
struct Exchange {
    stores: Vec<Store>,
    packages: HashSet<String>,
    fetched: Fetched,
    not_kept: PathBuf,
    /// Where it is written down on account of what this took place, and that.
    mark: (PathBuf, Vec<u8>),
}

impl Exchange {
    /// Begins one, if the crates may be others than last time.
    fn begin(tools: &Path, cargo: &Command, what: &str) -> Option<Exchange> {
        let cause = without_mark(fs::read("Cargo.toml").ok()?);
        let mark = tools.join(format!("exchanged-{what}"));
        let is_as_before = || fs::read(&mark).is_ok_and(|before| before == cause);
        if is_the_library_s(tools, &cause) || is_as_before() {
            return None;
        }
        pins::seed(tools, Path::new(LOCK));
        let stores = Stores::read(tools)?.current();
        choose_versions(cargo);
        let lock = fs::read(LOCK).ok()?;
        let packages = compiled::packages(&String::from_utf8_lossy(&lock));
        let mut fetched = Fetched::new();
        for store in &stores {
            fetched.extend(store.fetch(Path::new(TARGET), &packages));
        }
        Some(Exchange {
            stores,
            packages,
            fetched,
            not_kept: tools.join(NOT_KEPT),
            mark: (mark, cause),
        })
    }

    fn run(self, mut cargo: Command) -> io::Result<ExitStatus> {
        let mut cargo = cargo.spawn()?;
        let (ended, end) = channel();
        // It ends with cargo.
        thread::spawn(move || ended.send(cargo.wait()));
        let status = loop {
            match end.recv_timeout(INTERVAL) {
                Ok(status) => break status?,
                Err(RecvTimeoutError::Timeout) => self.keep(),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("cargo could not be waited for"));
                }
            }
        };
        self.keep();
        if status.signal().is_none() {
            // Where this cannot be written, the next cell looks again.
            let _ = fs::write(&self.mark.0, &self.mark.1);
        }
        Ok(status)
    }

    /// Keeps what was compiled. Where that fails, the session goes on without, and says so once.
    fn keep(&self) {
        let Some(store) = self.stores.last() else {
            return;
        };
        if self.not_kept.exists() {
            return;
        }
        if let Err(error) = store.keep(Path::new(TARGET), &self.packages, &self.fetched) {
            let _ = fs::write(&self.not_kept, "");
            // The kernel shows it in the cell: what cargo says is only evcxr's to read.
            tell_parent(&format!("{COMPLAINT}{error:#}\n"));
        }
    }
}

/// Has cargo complete the list of versions, as it would do before it compiles. Where it cannot, it
/// says so then.
fn choose_versions(cargo: &Command) {
    let offline = cargo.get_args().find(|word| *word == "--offline");
    let mut update = Command::new(cargo.get_program());
    // Versions that stand there already stay.
    update.args(["update", "--workspace"]).args(offline);
    update.envs(
        cargo
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let _ = update
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The stores of this session, for what is linked of crates.
pub(super) fn stores(tools: &Path) -> Vec<Store> {
    let is_safe = env::var_os("RUSTC_WRAPPER").is_none();
    let stores = is_safe.then(|| Stores::read(tools)).flatten();
    stores.map(|stores| stores.current()).unwrap_or_default()
}
