//! Arguments on their way out: encoded once, into memory that the workers already see.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::wire::{self, Sink};

use super::board::{ArgSpan, NO_BYTES};

/// Arguments in shared memory, ready to be published with a job.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The numbers, or the table of spans; 0 if there is no argument.
    pub(super) args: Offset,
    /// The size of a plain number; 0 for a table.
    pub(super) stride: u64,
    pub(super) n_items: usize,
    /// All blocks that hold a part of this, for the owner to give back.
    pub(super) blocks: Vec<Offset>,
    /// The arguments that could not be encoded, and why.
    pub(super) failures: Vec<(usize, Error)>,
}

/// Writes arguments into shared memory, growing as they come.
pub(super) struct Encoder<'a> {
    heap: &'a Heap,
    spans: Vec<ArgSpan>,
    failures: Vec<(usize, Error)>,
    blocks: Vec<Offset>,
    /// The block that is written: where the next byte goes, and where the room ends.
    cursor: Offset,
    limit: Offset,
    /// Where the argument that is being written begins.
    start: Offset,
    overflow: Option<Error>,
}

const FIRST_BLOCK_BYTES: usize = 3 << 10;
const LARGEST_STEP_BYTES: usize = 1 << 22;

impl<'a> Encoder<'a> {
    /// Encodes all of `args`.
    ///
    /// # Errors
    /// `is_os()` if the shared memory does not hold them. A single argument that cannot be encoded
    /// is no error here but one of `failures`.
    pub(super) fn encode<A: Serialize>(
        heap: &'a Heap,
        args: impl Iterator<Item = A>,
    ) -> Result<Encoded> {
        if wire::plain_size::<A>().is_some() {
            return PlainEncoder::encode(heap, args);
        }
        let mut encoder = Encoder {
            heap,
            spans: Vec::with_capacity(args.size_hint().0.min(1 << 16)),
            failures: Vec::new(),
            blocks: Vec::new(),
            cursor: 0,
            limit: 0,
            start: 0,
            overflow: None,
        };
        for arg in args {
            let outcome = wire::encode(&arg, &mut encoder);
            encoder.end_argument(outcome)?;
        }
        encoder.finish()
    }

    fn end_argument(&mut self, outcome: Result<()>) -> Result<()> {
        if let Some(error) = self.overflow.take() {
            return Err(error);
        }
        let bytes = match outcome {
            Ok(()) => self.cursor - self.start,
            Err(error) => {
                self.failures.push((self.spans.len(), error));
                self.cursor = self.start;
                NO_BYTES
            }
        };
        self.spans.push(ArgSpan {
            offset: self.start,
            bytes,
        });
        self.start = self.cursor;
        Ok(())
    }

    fn finish(mut self) -> Result<Encoded> {
        let table_bytes = size_of_val(self.spans.as_slice());
        let args = self.heap.take(table_bytes)?;
        self.blocks.push(args);
        // SAFETY: the block was just taken with this much room, and nobody else knows it.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.spans.as_ptr(),
                self.heap.at(args).cast::<ArgSpan>(),
                self.spans.len(),
            );
        }
        Ok(Encoded {
            args,
            stride: 0,
            n_items: self.spans.len(),
            blocks: std::mem::take(&mut self.blocks),
            failures: std::mem::take(&mut self.failures),
        })
    }

    /// Goes on in a larger block, with what was already written of the current argument.
    fn grow(&mut self, more: usize) -> Result<()> {
        let written = (self.cursor - self.start) as usize;
        let last = self
            .blocks
            .last()
            .map_or(FIRST_BLOCK_BYTES / 2, |&block| self.heap.capacity(block));
        let bytes = (written + more)
            .max(2 * written)
            .max((2 * last).min(LARGEST_STEP_BYTES));
        let block = self.heap.take(bytes)?;
        self.blocks.push(block);
        // SAFETY: the first range was written by this encoder, the second is a new block.
        unsafe {
            std::ptr::copy_nonoverlapping(self.heap.at(self.start), self.heap.at(block), written);
        }
        self.start = block;
        self.cursor = block + written as u64;
        self.limit = block + self.heap.capacity(block) as u64;
        Ok(())
    }
}

impl Sink for Encoder<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if self.overflow.is_some() {
            return;
        }
        if self.cursor + bytes.len() as u64 > self.limit
            && let Err(error) = self.grow(bytes.len())
        {
            self.overflow = Some(error);
            return;
        }
        // SAFETY: the block has room for the bytes, and only this encoder knows it.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.heap.at(self.cursor), bytes.len());
        }
        self.cursor += bytes.len() as u64;
    }
}

impl Drop for Encoder<'_> {
    /// An iterator may panic half way: nothing is lost then.
    fn drop(&mut self) {
        for &block in &self.blocks {
            self.heap.give_back(block);
        }
    }
}

/// Writes plain numbers one behind the other.
struct PlainEncoder<'a> {
    heap: &'a Heap,
    block: Option<Offset>,
    n_items: usize,
    capacity: usize,
    stride: usize,
}

impl<'a> PlainEncoder<'a> {
    fn encode<A>(heap: &'a Heap, args: impl Iterator<Item = A>) -> Result<Encoded> {
        let mut encoder = PlainEncoder {
            heap,
            block: None,
            n_items: 0,
            capacity: 0,
            stride: size_of::<A>(),
        };
        // The hint is only a hint: endless ranges announce the largest number there is.
        let announced = args.size_hint().0.clamp(1, 1 << 24);
        let mut slots = encoder.grow(announced)?.cast::<A>();
        for arg in args {
            if encoder.n_items == encoder.capacity {
                slots = encoder.grow(2 * encoder.n_items)?.cast::<A>();
            }
            // SAFETY: the block has room for `capacity` numbers, aligned for any of them.
            unsafe { slots.add(encoder.n_items).write(arg) };
            encoder.n_items += 1;
        }
        let block = encoder.block.take();
        Ok(Encoded {
            args: block.unwrap_or(0),
            stride: encoder.stride as u64,
            n_items: encoder.n_items,
            blocks: block.into_iter().collect(),
            failures: Vec::new(),
        })
    }

    fn grow(&mut self, n_items: usize) -> Result<*mut u8> {
        let block = self.heap.take(n_items.saturating_mul(self.stride))?;
        if let Some(old) = self.block.replace(block) {
            // SAFETY: the old block holds `n_items` numbers, the new one has room for more.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.heap.at(old),
                    self.heap.at(block),
                    self.n_items * self.stride,
                );
            }
            self.heap.give_back(old);
        }
        self.capacity = self.heap.capacity(block) / self.stride;
        Ok(self.heap.at(block))
    }
}

impl Drop for PlainEncoder<'_> {
    fn drop(&mut self) {
        if let Some(block) = self.block {
            self.heap.give_back(block);
        }
    }
}
