//! Bytes that the owner writes once for its workers: their length in 8 bytes, then the bytes.

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};

/// Writes a permanent record.
///
/// # Errors
/// `is_os()` if there is no room for it.
pub(in crate::pool) fn write(heap: &Heap, bytes: &[u8]) -> Result<Offset> {
    let record = heap.take(size_of::<u64>() + bytes.len())?;
    // SAFETY: the block was just taken with room for the length and the bytes.
    unsafe {
        let start = heap.at(record);
        start.cast::<u64>().write(bytes.len() as u64);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(size_of::<u64>()), bytes.len());
    }
    Ok(record)
}

/// The bytes of a record.
pub(in crate::pool) fn read(heap: &Heap, record: Offset) -> &[u8] {
    // SAFETY: the owner wrote the record before it published its offset, and never changes it.
    unsafe {
        let start = heap.at(record).cast_const();
        let length = start.cast::<u64>().read();
        std::slice::from_raw_parts(start.add(size_of::<u64>()), length as usize)
    }
}
