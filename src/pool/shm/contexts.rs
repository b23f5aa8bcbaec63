//! Contexts in a pool's shared memory: the owner writes each once, workers read it there.
//!
//! A context is a record: a head of one cache line, at whose end the bytes' length in the encoding
//! begins, so that plain numbers behind it are aligned for any type. Its name is its offset. A
//! worker that caches a decoded context also keeps the block's generation, so it does not mistake a
//! freed record, or a new one in the same block, for it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};
use crate::sys::process_id;

use super::board::Board;
use super::growing::{Growing, block_bytes};
use super::sleep;
use crate::pool::call::transport::{Arrived, ContextId};
use crate::pool::context::{ContextMemory, Encode};

/// The header, of such a size that the content of a vector or text, which follows its length,
/// begins at a multiple of 64.
const HEAD_BYTES: u64 = 64 - size_of::<u64>() as u64;

/// Idle workers are woken to drop a context that is at least this large. A smaller one waits until
/// they wake for a job: a map of microseconds has no time to wake them at its end.
const WORTH_WAKING_BYTES: u64 = 1 << 16;

/// The owner's side.
pub(in crate::pool) struct Contexts {
    heap: Arc<Heap>,
    /// The number of slots.
    n_slots: AtomicUsize,
    /// In any other process, the heap and the workers belong to this one.
    owner: u32,
}

impl Contexts {
    pub(super) fn new(heap: &Arc<Heap>, n_slots: usize) -> Contexts {
        Contexts {
            heap: Arc::clone(heap),
            n_slots: AtomicUsize::new(n_slots),
            owner: process_id(),
        }
    }

    fn wake_workers(&self) {
        let n_slots = self.n_slots.load(Ordering::Relaxed);
        for slot in &Board::of(&self.heap).slots[..n_slots] {
            sleep::wake(&slot.state);
        }
    }

    /// Sets the number of slots.
    pub(super) fn set_slots(&self, n_slots: usize) {
        self.n_slots.store(n_slots, Ordering::Relaxed);
    }
}

impl ContextMemory for Contexts {
    fn write(&self, encode: &mut Encode<'_>) -> Result<u64> {
        let heap = &*self.heap;
        let mut record = Record {
            heap,
            blocks: Vec::new(),
        };
        let first = record.grow(0)?;
        let mut more_room = |needed| record.grow(needed);
        let mut value = Growing::new(heap, first, &mut more_room);
        let outcome = encode(&mut value);
        let bytes = value.finish(outcome)?;
        Ok(record.finish(bytes.end - bytes.start))
    }

    fn forget(&self, name: u64) {
        if self.owner != process_id() {
            return;
        }
        // SAFETY: the record exists until the next line.
        let n_bytes = unsafe { length(&self.heap, name) };
        self.heap.give_back(name);
        if n_bytes >= WORTH_WAKING_BYTES {
            // A worker announces that it will sleep, and then checks the generation.
            fence(Ordering::SeqCst);
            self.wake_workers();
        }
    }
}

/// A record that is being written. Blocks that it has outgrown are freed at the end, because it may
/// still copy from them. If an encoder panics halfway, all blocks are freed.
struct Record<'h> {
    heap: &'h Heap,
    blocks: Vec<Offset>,
}

impl Record<'_> {
    /// A block with room for this many bytes.
    fn grow(&mut self, n_bytes: usize) -> Result<Range<Offset>> {
        let needed = n_bytes.saturating_add(HEAD_BYTES as usize);
        let n_taken = block_bytes(self.heap, self.blocks.last().copied(), needed);
        let block = self.heap.take(n_taken)?;
        self.blocks.push(block);
        Ok(block + HEAD_BYTES..block + self.heap.capacity(block) as u64)
    }

    /// Writes the length and keeps the record.
    fn finish(mut self, n_bytes: u64) -> Offset {
        let record = self.blocks.pop().unwrap_or(0);
        // SAFETY: the block begins with the head, aligned, and no other process knows it.
        unsafe { self.heap.at(record).cast::<u64>().write(n_bytes) };
        record
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let blocks = self.blocks.drain(..);
        blocks.for_each(|block| self.heap.give_back(block));
    }
}

/// The number of bytes of a context.
///
/// # Safety
/// The record exists.
unsafe fn length(heap: &Heap, record: Offset) -> u64 {
    // SAFETY: the owner wrote it before any job named the record, and never changes it.
    unsafe { heap.at(record).cast::<u64>().read() }
}

/// A worker's view of a context.
///
/// # Safety
/// An unfinished job names the record for as long as the result is used.
pub(super) unsafe fn arrived(heap: &Heap, record: Offset) -> Arrived<'_> {
    // SAFETY: the caller vouches for the record, which the owner never changes.
    let bytes = unsafe {
        let n_bytes = length(heap, record) as usize;
        std::slice::from_raw_parts(heap.at(record + HEAD_BYTES), n_bytes)
    };
    Arrived {
        id: ContextId {
            name: record,
            generation: heap.generation(record),
        },
        bytes,
        stay: true,
    }
}

/// Whether a context still exists.
pub(in crate::pool) fn is_alive(heap: &Heap, id: ContextId) -> bool {
    heap.generation(id.name) == id.generation
}
