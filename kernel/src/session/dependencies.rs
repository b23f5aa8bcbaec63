//! Cells that add a dependency: they may use the network, and leave the manifest as it was if they
//! fail.

use super::{CellError, Session};

impl Session {
    /// Does some work for code that may add dependencies.
    pub(super) fn with_dependencies(
        &mut self,
        code: &str,
        work: impl FnOnce(&mut Session) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        // evcxr asks cargo about the manifest before it writes the next one: with a dependency that
        // cannot be had, it would ask in vain from then on.
        let manifest = self.folder.path().join("Cargo.toml");
        let before = adds_dependency(code).then(|| std::fs::read(&manifest));
        let result = match self.is_offline && may_add_dependency(code) {
            true => self.online(work),
            false => work(self),
        };
        if let (Err(_), Some(Ok(before))) = (&result, before) {
            // Where this fails, so will evcxr, which then says so.
            let _ = std::fs::write(&manifest, before);
        }
        result
    }

    /// Does the work of the first cell that may add a dependency.
    fn online(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        self.set_offline(false);
        // evcxr writes it again when it compiles, but tries the dependency before that.
        let _ = std::fs::remove_file(self.folder.path().join(".cargo/config.toml"));
        let Some(home) = self.home.take() else {
            return work(self);
        };
        let before = self.dependencies();
        home.use_own();
        let result = work(self);
        if self.dependencies() == before {
            // It added none, perhaps because there is no network: then the shared library still
            // serves.
            home.use_shared();
            self.home = Some(home);
            self.set_offline(true);
        }
        result
    }

    /// Whether cargo may use the network. What evcxr answers is nothing that a cell asked for.
    fn set_offline(&mut self, is_offline: bool) {
        let command = format!(":offline {}", u8::from(is_offline));
        // It has no other way to fail than to be unknown.
        if self.context.execute(&command).is_ok() {
            self.is_offline = is_offline;
        }
    }

    /// What cells have added, as evcxr shows it.
    fn dependencies(&mut self) -> Option<String> {
        let outputs = self.context.execute(":show_deps").ok()?;
        outputs.get("text/plain").map(str::to_owned)
    }
}

/// Whether the cell may need a crate that is not there yet (a first `.await` adds tokio).
fn may_add_dependency(code: &str) -> bool {
    adds_dependency(code) || code.contains(".await")
}

pub(super) fn adds_dependency(code: &str) -> bool {
    let adds = |line: &str| {
        line.starts_with(":dep")
            || line.starts_with(":load_config")
            || line.starts_with("extern crate")
    };
    code.lines().any(|line| adds(line.trim_start()))
}
