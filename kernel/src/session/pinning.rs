//! `%lock` and `%%lock`: a notebook keeps the versions of its crates, so that it runs the same a
//! year later.
//!
//! A kernel cannot write to a notebook, but it can make the front end replace the running cell:
//! `%lock` becomes a `%%lock` with the versions, which pins them when the notebook runs again.

use std::fs;

use super::{CellError, Session};
use crate::evcxr::build::TOOLS;
use crate::evcxr::pins::{self, Pin};

/// evcxr's name for the package of the cells.
const ROOT: &str = "ctx";

impl Session {
    /// A cell that pins the session's current versions.
    ///
    /// # Errors
    ///
    /// If no cell has added a crate.
    pub(super) fn pinning_cell(&self) -> Result<String, CellError> {
        let pins = pins::of_lock(&self.versions(), ROOT, "forklore");
        if pins.is_empty() {
            let message = "there is nothing to lock: no cell has added a crate with `:dep`";
            return Err(CellError::new("UsageError", message));
        }
        let mut cell = "%%lock\n# The versions of this notebook's crates. This cell has to run before the first `:dep`.\n".to_owned();
        for pin in pins {
            cell.push_str(&format!("{pin}\n"));
        }
        Ok(cell.trim_end().to_owned())
    }

    /// Pins the versions in a cell, one per line.
    ///
    /// # Errors
    ///
    /// If a line has no version, or the session already uses other versions.
    pub(super) fn pin(&mut self, text: &str) -> Result<(), CellError> {
        let lines = (2..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut pins = Vec::new();
        for (number, line) in lines {
            pins.push(Pin::read(line).ok_or_else(|| {
                let message = format!(
                    "line {number}, `{line}`, is no crate and version such as `rand 0.9.2`"
                );
                CellError::new("UsageError", message)
            })?);
        }
        self.refuse_others(&pins)?;
        let written = pins::write(&self.folder.path().join(TOOLS), &pins);
        written.map_err(|error| {
            let folder = self.folder.path().display();
            let message = format!("cannot write to the session's folder {folder}: {error}");
            CellError::new("Error", message)
        })?;
        let n_crates = pins.len();
        self.pins = pins;
        self.say(&match n_crates {
            1 => "1 crate is pinned\n".to_owned(),
            n => format!("{n} crates are pinned\n"),
        });
        Ok(())
    }

    /// Warns if a crate has another version than the pinned one.
    pub(super) fn check_pins(&self) {
        if let Err(error) = self.refuse_others(&self.pins) {
            self.link.warn(&error.evalue);
        }
    }

    fn refuse_others(&self, pins: &[Pin]) -> Result<(), CellError> {
        if pins.is_empty() {
            return Ok(());
        }
        let missed = pins::missed(&self.versions(), pins);
        let names: Vec<String> = self.added_names();
        // The library's own crates may be newer: no part of the notebook depends on them.
        let pairs = missed.iter().filter(|(pin, _)| names.contains(&pin.name));
        let pairs: Vec<String> = pairs
            .map(|(pin, has)| format!("`{pin}` is pinned, and the session has `{has}`"))
            .collect();
        match pairs.is_empty() {
            true => Ok(()),
            false => Err(CellError::new(
                "UsageError",
                format!(
                    "{}: pin versions before the first `:dep`, after a restart of the kernel",
                    pairs.join("; ")
                ),
            )),
        }
    }

    fn added_names(&self) -> Vec<String> {
        let pins = pins::of_lock(&self.versions(), ROOT, "forklore");
        pins.into_iter().map(|pin| pin.name).collect()
    }

    /// The list of versions.
    fn versions(&self) -> String {
        fs::read_to_string(self.folder.path().join("Cargo.lock")).unwrap_or_default()
    }
}
