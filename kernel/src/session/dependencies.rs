//! Cells that add a dependency: they may use the network, and restore the manifest if they fail.

use super::{CellError, Session};
use crate::evcxr::pins;
use crate::library::compiled::Stores;

/// A word in cargo's message if it needed a crate from the network and was not allowed to use it.
const WITHOUT_NETWORK: &str = "offline";

impl Session {
    /// Runs `work` for code that may add dependencies. Dependencies that another session had before
    /// are resolved as they were then, without the network; if that fails, `work` runs again with
    /// the network.
    pub(super) fn with_dependencies(
        &mut self,
        code: &str,
        work: impl Fn(&mut Session) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        if !may_add_dependency(code) {
            return work(self);
        }
        let asked = asked(code);
        let stores = self.stores.as_ref().map(Stores::current);
        let is_known = |of: &String| {
            let mut stores = stores.iter().flatten();
            stores.any(|store| store.knows(of))
        };
        let is_there = match self.pins.as_slice() {
            [] => !asked.is_empty() && asked.iter().all(is_known),
            // Without the network, cargo would choose other versions.
            pins => pins.iter().all(pins::is_there),
        };
        if is_there {
            self.set_offline(true);
            match self.or_as_before(code, &work) {
                Err(error) if error.is_before_running() && is_about_network(&error) => {}
                ended => return ended,
            }
        }
        let result = match self.is_offline {
            true => self.online(|session| session.or_as_before(code, &work)),
            false => self.or_as_before(code, &work),
        };
        if result.is_ok() && self.pins.is_empty() {
            self.note(&asked);
        } else if result.is_ok() {
            self.check_pins();
        }
        result
    }

    /// Runs `work`, and restores the manifest if it fails.
    fn or_as_before(
        &mut self,
        code: &str,
        work: &impl Fn(&mut Session) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        // evcxr passes the manifest to cargo before it writes the next one: a dependency that is
        // unavailable would make every later call fail.
        let manifest = self.folder.path().join("Cargo.toml");
        let before = adds_dependency(code).then(|| std::fs::read(&manifest));
        let result = work(self);
        if let (Err(_), Some(Ok(before))) = (&result, before) {
            // If this fails, evcxr fails too, and reports it.
            let _ = std::fs::write(&manifest, before);
        }
        result
    }

    /// Stores this session's dependencies for other sessions.
    fn note(&self, asked: &[String]) {
        let stores = self.stores.as_ref().map(Stores::current);
        if let Some(store) = stores.iter().flatten().next_back() {
            // If that fails, the next session asks the network again.
            let noted = asked.iter().map(|of| store.note(of));
            let _ = noted.collect::<anyhow::Result<()>>();
        }
    }

    /// Runs `work` for the first cell that may add a dependency.
    fn online(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        self.set_offline(false);
        // evcxr writes it again when it compiles, but it tries the dependency before that.
        let _ = std::fs::remove_file(self.folder.path().join(".cargo/config.toml"));
        let Some(home) = self.home.take() else {
            return work(self);
        };
        let before = self.dependencies();
        home.use_own();
        let result = work(self);
        if self.dependencies() == before {
            // It added none, perhaps because there is no network: the shared library still works.
            home.use_shared();
            self.home = Some(home);
            self.set_offline(true);
        }
        result
    }

    /// Sets whether cargo may use the network. No cell asked for this, so evcxr's output is
    /// dropped.
    fn set_offline(&mut self, is_offline: bool) {
        if self.is_offline == is_offline {
            return;
        }
        let command = format!(":offline {}", u8::from(is_offline));
        // It can fail only if evcxr does not know the command.
        if self.context.execute(&command).is_ok() {
            self.is_offline = is_offline;
        }
    }

    /// The dependencies that cells have added, as evcxr lists them.
    fn dependencies(&mut self) -> Option<String> {
        let outputs = self.context.execute(":show_deps").ok()?;
        outputs.get("text/plain").map(str::to_owned)
    }
}

/// Whether the cell may need a crate that is not yet present (a first `.await` adds tokio).
fn may_add_dependency(code: &str) -> bool {
    adds_dependency(code) || code.contains(".await")
}

pub(super) fn adds_dependency(code: &str) -> bool {
    code.lines().any(|line| adds(line.trim_start()))
}

fn adds(line: &str) -> bool {
    [":dep", ":load_config", "extern crate"]
        .iter()
        .any(|word| line.starts_with(word))
}

/// The lines in which code requests crates, in a normal form; empty if some cannot be determined.
fn asked(code: &str) -> Vec<String> {
    let lines = code.lines().map(str::trim_start);
    let adding: Vec<&str> = lines.filter(|line| adds(line)).collect();
    // Crates in folders, or in other registries, may differ next time.
    let is_told = |line: &&str| line.starts_with(":dep ") && !line.contains("path");
    if !adding.iter().all(is_told) {
        return Vec::new();
    }
    let in_one_form = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut asked: Vec<String> = adding.into_iter().map(in_one_form).collect();
    if asked.is_empty() && code.contains(".await") {
        asked.push(".await".to_owned());
    }
    asked
}

fn is_about_network(error: &CellError) -> bool {
    let mut lines = error.traceback.iter().chain([&error.evalue]);
    lines.any(|line| line.contains(WITHOUT_NETWORK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_by_its_words() {
        assert_eq!(asked("1 + 1"), [""; 0]);
        assert_eq!(
            asked("  :dep  rand = \"0.9\"\n:dep log\n1"),
            [":dep rand = \"0.9\"", ":dep log"]
        );
        assert_eq!(asked("f().await"), [".await"]);
        for code in [
            ":dep mine = { path = \"../mine\" }\n:dep log",
            "extern crate log;",
            ":load_config x",
        ] {
            assert_eq!(asked(code), [""; 0], "{code}");
        }
    }
}
