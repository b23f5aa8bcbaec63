//! A function's name in the pool's memory: a record with its [`Symbol`].

use std::collections::HashMap;

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};
use crate::symbol::{KnownFiles, Symbol};
use crate::sys::object;

use super::record;

/// The functions' records that a pool's owner has written.
#[derive(Default)]
pub(super) struct Records {
    /// For each function by its address: its record, and whether it is the program's own.
    by_address: HashMap<usize, (Offset, bool)>,
    by_name: HashMap<Vec<u8>, Offset>,
    /// The number of unloaded objects when `by_address` was last valid.
    n_unloaded: u64,
}

impl Records {
    /// The record of the function at `address`, made on first use.
    ///
    /// Another object may be loaded where one was unloaded, so addresses are then looked up again.
    /// The program itself is never unloaded, so its functions need no new lookup.
    ///
    /// # Errors
    /// As [`Symbol::of`], and `is_os()` if there is no room for it.
    pub(in crate::pool) fn of(&mut self, heap: &Heap, address: *const ()) -> Result<Offset> {
        if let Some(&(record, is_programs)) = self.by_address.get(&(address as usize))
            && (is_programs || object::n_unloaded() == self.n_unloaded)
        {
            return Ok(record);
        }
        self.look_up(heap, address)
    }

    #[cold]
    fn look_up(&mut self, heap: &Heap, address: *const ()) -> Result<Offset> {
        let n_unloaded = object::n_unloaded();
        if std::mem::replace(&mut self.n_unloaded, n_unloaded) != n_unloaded {
            self.by_address.retain(|_, (_, is_programs)| *is_programs);
        }
        let symbol = Symbol::of(address)?;
        let name = symbol.to_bytes();
        // A worker caches what it found for a record, so a record is never freed.
        let record = match self.by_name.get(&name) {
            Some(&record) => record,
            None => {
                let record = record::write(heap, &name)?;
                self.by_name.insert(name, record);
                record
            }
        };
        let known = (record, symbol.is_programs());
        self.by_address.insert(address as usize, known);
        Ok(record)
    }
}

/// Writes the name of the function at `address`.
pub(in crate::pool) fn write(heap: &Heap, address: *const ()) -> Result<Offset> {
    record::write(heap, &Symbol::of(address)?.to_bytes())
}

/// Finds the function in this process; `known` are the files in which it has found others.
///
/// # Errors
/// As [`Symbol::resolve`].
pub(in crate::pool) fn find(
    heap: &Heap,
    record: Offset,
    known: &mut KnownFiles,
) -> Result<*const ()> {
    Symbol::from_bytes(record::read(heap, record))?.resolve(known)
}
