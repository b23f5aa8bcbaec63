//! Code that comes to a node.

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

/// Which object it is: its path where it comes from, and which of the files that ever had it.
pub(super) type ObjectName = (PathBuf, [u64; 5]);

/// The objects that have come to this node. They are in memory, and go with this process: no folder
/// has to be writable and to allow execution, or is left with anything in it.
#[derive(Default)]
pub(super) struct Objects(HashMap<ObjectName, File>);

impl Objects {
    /// Keeps an object.
    ///
    /// # Errors
    /// `is_os()` if there is no memory for it.
    pub(super) fn put(&mut self, name: ObjectName, bytes: &[u8]) -> Result<()> {
        let mut file = File::from(region::file_without_a_name()?);
        file.write_all(bytes)
            .map_err(|error| Error::os("there is no memory for code", error))?;
        self.0.insert(name, file);
        Ok(())
    }

    /// Writes a function's name down for this node's workers.
    ///
    /// # Errors
    /// `is_os()` if there is no room for it.
    pub(super) fn write(&self, heap: &Heap, code: &Code) -> Result<Offset> {
        let name = (code.object.clone(), code.version);
        let path = match self.0.get(&name) {
            // Workers do not have the file, but this process, whose children they are.
            Some(file) => format!("/proc/{}/fd/{}", process_id(), file.as_raw_fd()).into(),
            None => name.0,
        };
        record::write(heap, &Symbol::in_object(path, code.offset).to_bytes())
    }
}
