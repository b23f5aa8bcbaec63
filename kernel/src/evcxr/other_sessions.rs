//! Crates of other sessions: what they have compiled is put into this session's `target/` before
//! cargo looks there, and what cargo compiles here is stored for them (see `library::compiled`).

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

/// How often compiled crates are stored while cargo runs: a killed compile loses no more than this.
const INTERVAL: Duration = Duration::from_secs(5);
/// In a session's tools: a mark that crates cannot be stored, and that this was reported.
const NOT_KEPT: &str = "not-kept";
/// The beginning of the line that reports it.
pub(crate) const COMPLAINT: &str = "forklore: compiled crates are not kept for other sessions: ";
const LOCK: &str = "Cargo.lock";
const TARGET: &str = "target";

/// Runs cargo for `what`; with the crates of other sessions if anything other than the cell may
/// have to be compiled. Returns only in that case; otherwise this process becomes cargo.
pub(super) fn run(tools: &Path, mut cargo: Command, what: &str) -> io::Result<ExitStatus> {
    match Exchange::begin(tools, &cargo, what) {
        Some(exchange) => exchange.run(cargo),
        None => Err(cargo.exec()),
    }
}

/// The same, but always returns.
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

/// Exchanges crates with the stores while cargo runs.
struct Exchange {
    stores: Vec<Store>,
    packages: HashSet<String>,
    fetched: Fetched,
    not_kept: PathBuf,
    /// The file that records the inputs of the last exchange, and the current inputs.
    mark: (PathBuf, Vec<u8>),
}

impl Exchange {
    /// Starts an exchange, if the crates may differ from last time.
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
        // The thread ends with cargo.
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
            // If this cannot be written, the next cell checks again.
            let _ = fs::write(&self.mark.0, &self.mark.1);
        }
        Ok(status)
    }

    /// Stores the compiled crates. If that fails, the session continues without, and reports it
    /// once.
    fn keep(&self) {
        let Some(store) = self.stores.last() else {
            return;
        };
        if self.not_kept.exists() {
            return;
        }
        if let Err(error) = store.keep(Path::new(TARGET), &self.packages, &self.fetched) {
            let _ = fs::write(&self.not_kept, "");
            // The kernel shows this in the cell: only evcxr reads cargo's output.
            tell_parent(&format!("{COMPLAINT}{error:#}\n"));
        }
    }
}

/// Makes cargo complete the lock file, as it would before it compiles. If it cannot, it reports
/// that when it compiles.
fn choose_versions(cargo: &Command) {
    let offline = cargo.get_args().find(|word| *word == "--offline");
    let mut update = Command::new(cargo.get_program());
    // Versions that are already in it stay.
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

/// The stores of this session, for objects linked from crates.
pub(super) fn stores(tools: &Path) -> Vec<Store> {
    let is_safe = env::var_os("RUSTC_WRAPPER").is_none();
    let stores = is_safe.then(|| Stores::read(tools)).flatten();
    stores.map(|stores| stores.current()).unwrap_or_default()
}
