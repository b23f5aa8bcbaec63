//! Code that is sent to a node.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::symbol::Symbol;
use crate::sys::{process_id, region};

use crate::pool::shm::record;
use crate::pool::workers::nodes::message::Code;

/// Identifies an object: its path on the machine it comes from, and which of the files that have
/// had that path it is.
pub(super) type ObjectName = (PathBuf, [u64; 5]);

/// The objects that were sent to this node. They are in memory, and are freed with this process: no
/// folder needs to be writable and allow execution, and none has anything left in it.
#[derive(Default)]
pub(super) struct Objects(HashMap<ObjectName, File>);

impl Objects {
    /// Keeps an object.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it.
    pub(super) fn put(&mut self, name: ObjectName, bytes: &[u8]) -> Result<()> {
        let mut file = File::from(region::code_file()?);
        file.write_all(bytes)
            .map_err(|error| Error::os("there is no memory for code", error))?;
        self.0.insert(name, file);
        Ok(())
    }

    /// Writes a function's name into the heap for this node's workers.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it.
    pub(super) fn write(&self, heap: &Heap, code: &Code) -> Result<Offset> {
        let name = (code.object.clone(), code.version);
        let path = match self.0.get(&name) {
            // The file is open in this process only; its workers are its children and reach it
            // there.
            Some(file) => format!("/proc/{}/fd/{}", process_id(), file.as_raw_fd()).into(),
            None => name.0,
        };
        record::write(heap, &Symbol::in_object(path, code.offset).to_bytes())
    }
}
