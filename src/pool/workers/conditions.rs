//! The conditions that each worker sets for its own process before it runs anything: limits,
//! environment, directory.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::{confine, shortage};
use crate::wire;

use crate::pool::shm::board::Slot;
use crate::pool::shm::record;

/// Set by the worker itself, before its initialiser runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Conditions {
    /// Variables to set, in this order.
    pub(in crate::pool) environment: Vec<(OsString, OsString)>,
    pub(in crate::pool) current_dir: Option<OsString>,
    /// Added to the niceness.
    pub(in crate::pool) niceness: i32,
    /// Private memory, in bytes.
    pub(in crate::pool) memory_limit: Option<u64>,
    /// Whether descendants whose parents end become the worker's children, so that it can find
    /// them.
    pub(in crate::pool) adopts_orphans: bool,
}

impl Conditions {
    /// Checks for conditions that no worker could meet.
    ///
    /// # Errors
    /// `is_invalid_input()`, with the invalid name, or with the folder that does not exist.
    pub(in crate::pool) fn check(&self) -> Result<()> {
        let has = |text: &OsString, bytes: &[u8]| {
            text.as_encoded_bytes()
                .iter()
                .any(|byte| bytes.contains(byte))
        };
        for (name, value) in &self.environment {
            if name.is_empty() || has(name, b"=\0") || has(value, b"\0") {
                return Err(Error::invalid_input(format!(
                    "the environment cannot have {name:?} set to {value:?}: a name has at least one \
                     byte and no `=`, and neither has a zero byte"
                )));
            }
        }
        match &self.current_dir {
            Some(folder) if !Path::new(folder).is_dir() => Err(Error::invalid_input(format!(
                "workers cannot start in {folder:?}: there is no such folder (see current_dir)"
            ))),
            _ => Ok(()),
        }
    }

    /// Writes the conditions for workers that inherit nothing; 0 if there is nothing to set.
    pub(super) fn write(&self, heap: &Heap) -> Result<Offset> {
        if *self == Conditions::default() {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        wire::encode(self, &mut bytes)?;
        record::write(heap, &bytes)
    }

    /// Reads what [`write`](Conditions::write) has written.
    pub(super) fn read(heap: &Heap, offset: Offset) -> Result<Conditions> {
        match offset {
            0 => Ok(Conditions::default()),
            _ => wire::decode(record::read(heap, offset)),
        }
    }

    /// Sets the conditions in this process; its slot has the word that reports a lack of memory.
    ///
    /// # Errors
    /// The first condition that cannot be set, by name.
    pub(super) fn set(&self, slot: &Slot) -> Result<()> {
        for (name, value) in &self.environment {
            // SAFETY: a worker has one thread until it runs a task.
            unsafe { std::env::set_var(name, value) };
        }
        if let Some(folder) = &self.current_dir {
            std::env::set_current_dir(folder).map_err(|error| {
                Error::os(
                    &format!(
                        "cannot work in {} (see current_dir)",
                        folder.to_string_lossy()
                    ),
                    error,
                )
            })?;
        }
        if self.niceness != 0 {
            confine::add_niceness(self.niceness)?;
        }
        if self.adopts_orphans {
            confine::adopt_orphans();
        }
        if let Some(limit) = self.memory_limit {
            confine::limit_memory(limit)?;
            // SAFETY: the slot lies in memory that the worker never unmaps, and the worker still
            // has one thread.
            unsafe { shortage::report(&slot.lacks_memory) };
        }
        Ok(())
    }
}
