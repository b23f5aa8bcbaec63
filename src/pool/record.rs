//! A function's name in the pool's memory: its length in 8 bytes, then its [`Symbol`].

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};
use crate::symbol::Symbol;

/// Writes down the name of the function at `address`.
pub(super) fn write(heap: &Heap, address: *const ()) -> Result<Offset> {
    let symbol = Symbol::of(address)?.to_bytes();
    let record = heap.take(size_of::<u64>() + symbol.len())?;
    // SAFETY: the block was just taken with room for the length and the symbol.
    unsafe {
        let place = heap.at(record);
        place.cast::<u64>().write(symbol.len() as u64);
        std::ptr::copy_nonoverlapping(symbol.as_ptr(), place.add(size_of::<u64>()), symbol.len());
    }
    Ok(record)
}

/// Finds the function in this process.
///
/// # Errors
/// As [`Symbol::resolve`].
pub(super) fn find(heap: &Heap, record: Offset) -> Result<*const ()> {
    // SAFETY: the owner wrote the record before it told anybody of it, and never changes it.
    let bytes = unsafe {
        let record = heap.at(record);
        let length = record.cast::<u64>().read();
        std::slice::from_raw_parts(record.add(size_of::<u64>()), length as usize)
    };
    Symbol::from_bytes(bytes)?.resolve()
}
