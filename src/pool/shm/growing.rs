//! Bytes that are written into shared memory as they are produced, and stay contiguous however long
//! they get.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::copy;
use crate::wire::Sink;

/// The first block of a series.
const FIRST_BLOCK_BYTES: usize = 3 << 10;
/// Blocks double up to this size; a larger value has a block of its own size.
const LARGEST_STEP_BYTES: usize = 1 << 22;

/// The size of the next block when `needed` bytes do not fit into the last one of a series.
/// Doubling keeps the number of blocks small.
pub(super) fn block_bytes(heap: &Heap, last: Option<Offset>, needed: usize) -> usize {
    let step = last.map_or(FIRST_BLOCK_BYTES, |block| 2 * heap.capacity(block));
    needed.max(step.min(LARGEST_STEP_BYTES))
}

/// A value that is being written into a block that only the writer uses.
pub(super) struct Growing<'a> {
    heap: &'a Heap,
    /// Where the value begins, and where its next byte goes.
    written: Range<Offset>,
    /// The end of the room.
    limit: Offset,
    /// Finds room for this many bytes in another block.
    more_room: &'a mut dyn FnMut(usize) -> Result<Range<Offset>>,
    /// Set when there is none: the value is lost.
    overflow: Option<Error>,
}

impl<'a> Growing<'a> {
    /// Begins a value at the start of `room`, which only the writer uses. When the value outgrows
    /// it, this calls `more_room` for another such range that holds a number of bytes.
    pub(in crate::pool) fn new(
        heap: &'a Heap,
        room: Range<Offset>,
        more_room: &'a mut dyn FnMut(usize) -> Result<Range<Offset>>,
    ) -> Self {
        Growing {
            heap,
            written: room.start..room.start,
            limit: room.end,
            more_room,
            overflow: None,
        }
    }

    /// The range of the value, if its `encoder` succeeded and there was room.
    pub(in crate::pool) fn finish(self, encoder: Result<()>) -> Result<Range<Offset>> {
        match self.overflow {
            Some(error) => Err(error),
            None => encoder.map(|()| self.written),
        }
    }

    fn grow(&mut self, more: usize) -> Result<()> {
        let n_written = (self.written.end - self.written.start) as usize;
        let room = (self.more_room)(n_written.saturating_add(more).max(2 * n_written))?;
        // SAFETY: the first range was written by this value, the second is new and larger, and
        // blocks do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.heap.at(self.written.start),
                self.heap.at(room.start),
                n_written,
            );
        }
        self.written = room.start..room.start + n_written as u64;
        self.limit = room.end;
        Ok(())
    }
}

impl Sink for Growing<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if self.overflow.is_some() {
            return;
        }
        let n_left = (self.limit - self.written.end) as usize;
        if bytes.len() > n_left
            && let Err(error) = self.grow(bytes.len())
        {
            self.overflow = Some(error);
            return;
        }
        // SAFETY: there is room for the bytes, and only this value's writer uses it.
        unsafe {
            let end = self.heap.at(self.written.end);
            copy::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.written.end += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_moves_as_a_whole() {
        let heap = Heap::new(0).unwrap();
        let first = heap.take(100).unwrap();
        let mut asked = Vec::new();
        let mut more_room = |bytes| {
            asked.push(bytes);
            let block = heap.take(bytes)?;
            Ok(block..block + bytes as u64)
        };
        let mut value = Growing::new(&heap, first..first + 4, &mut more_room);
        value.put(b"abc");
        value.put(b"de");
        value.put(b"fghi");
        let block = value.finish(Ok(())).unwrap();
        // SAFETY: the value lies there.
        let bytes = unsafe {
            std::slice::from_raw_parts(heap.at(block.start), (block.end - block.start) as usize)
        };
        assert_eq!(bytes, b"abcdefghi");
        assert_eq!(asked, [6, 10]);
    }

    #[test]
    fn a_value_without_room_is_lost() {
        let heap = Heap::new(0).unwrap();
        let mut more_room = |_| heap.take(usize::MAX / 4).map(|block| block..block);
        let mut value = Growing::new(&heap, 0..0, &mut more_room);
        value.put(b"abc");
        value.put(b"d");
        assert!(value.finish(Ok(())).unwrap_err().is_os());
    }
}
