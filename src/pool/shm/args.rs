//! Arguments for the workers: encoded once, into memory that the workers already map.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::process_id;

use super::board::{ArgSpan, Job, NO_BYTES};
use super::growing::{Growing, block_bytes};
use crate::pool::call::input::{Encode, Input};
use crate::pool::call::outcome::NotRun;
use crate::pool::call::transport::Encoded;

/// Arguments in shared memory.
#[derive(Debug, Default)]
pub(in crate::pool) struct Arguments {
    /// The numbers, or the table of spans; 0 if there is no argument.
    pub(in crate::pool) offset: Offset,
    /// The size of a plain number; 0 for a table.
    pub(in crate::pool) stride: u64,
    /// All blocks that hold these arguments.
    _blocks: Option<Blocks>,
}

/// Blocks that are freed when this is dropped in the process that took them.
#[derive(Debug)]
struct Blocks {
    heap: Arc<Heap>,
    owner: u32,
    blocks: Vec<Offset>,
}

impl Blocks {
    fn new(heap: &Arc<Heap>) -> Blocks {
        Blocks {
            heap: Arc::clone(heap),
            owner: process_id(),
            blocks: Vec::new(),
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if self.owner == process_id() {
            let blocks = self.blocks.iter();
            blocks.for_each(|&block| self.heap.give_back(block));
        }
    }
}

impl Arguments {
    /// Arguments that another process has encoded: plain numbers of `stride` bytes, or values of
    /// these lengths, contiguous.
    ///
    /// # Errors
    /// `is_os()` if the shared memory does not hold them, and `is_decode()` if the number of bytes
    /// does not match.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn copied(
        heap: &Arc<Heap>,
        layout: Layout<'_>,
        bytes: &[u8],
    ) -> Result<Arguments> {
        let n_said: u64 = match layout {
            Layout::Plain { stride, n } => stride.saturating_mul(n),
            Layout::Encoded { lengths } => lengths.iter().fold(0, |sum, n| sum.saturating_add(*n)),
        };
        if n_said != bytes.len() as u64 {
            return Err(Error::decode_message(format!(
                "{n_said} bytes of arguments were announced, and {} have come",
                bytes.len()
            )));
        }
        let mut blocks = Blocks::new(heap);
        let mut put = |bytes: &[u8]| -> Result<Offset> {
            let block = heap.take(bytes.len().max(1))?;
            blocks.blocks.push(block);
            // SAFETY: the block was just taken with this much room, and no other process knows it.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), heap.at(block), bytes.len());
            }
            Ok(block)
        };
        let mut offset = put(bytes)?;
        let mut stride = 0;
        match layout {
            Layout::Plain { stride: size, .. } => stride = size,
            Layout::Encoded { lengths } => {
                let mut table = Vec::with_capacity(lengths.len() * size_of::<ArgSpan>());
                for &n_bytes in lengths {
                    table.extend(offset.to_ne_bytes());
                    table.extend(n_bytes.to_ne_bytes());
                    offset += n_bytes;
                }
                offset = put(&table)?;
            }
        }
        Ok(Arguments {
            offset,
            stride,
            _blocks: Some(blocks),
        })
    }
}

/// The layout of contiguous encoded arguments.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) enum Layout<'l> {
    /// `n` plain numbers.
    Plain { stride: u64, n: u64 },
    /// Values of these lengths.
    Encoded { lengths: &'l [u64] },
}

/// Writes the list of items that a job makes up for.
pub(super) fn write_list(heap: &Heap, items: &[u64]) -> Result<Offset> {
    let list = heap.take(size_of_val(items))?;
    // SAFETY: the block was just taken with room for the list, and no other process knows it.
    unsafe {
        std::ptr::copy_nonoverlapping(items.as_ptr(), heap.at(list).cast::<u64>(), items.len());
    }
    Ok(list)
}

/// The item that a task of a job stands for.
pub(super) fn item(heap: &Heap, job: &Job, task: u64) -> u64 {
    match job.list.load(Ordering::Relaxed) {
        0 => task,
        // SAFETY: a list has an item for each task, and stays until the job is discarded.
        list => unsafe { heap.at(list).cast::<u64>().add(task as usize).read() },
    }
}

/// Writes arguments into shared memory.
pub(in crate::pool) struct Encoder<'a> {
    heap: &'a Heap,
    spans: Vec<ArgSpan>,
    failures: Vec<(usize, Error)>,
    /// Frees the blocks if the iterator panics halfway.
    blocks: Blocks,
    /// The free part of the current block.
    room: Range<Offset>,
}

impl<'a> Encoder<'a> {
    /// Encodes all arguments of `input`.
    ///
    /// # Errors
    /// `is_os()` if the shared memory does not hold them, with how many were taken. A single
    /// argument that cannot be encoded is not an error here, but goes into `failures`.
    pub(in crate::pool) fn encode(
        heap: &'a Arc<Heap>,
        input: &mut dyn Input,
    ) -> Result<Encoded<Arguments>, NotRun> {
        if let Some(stride) = input.stride() {
            return PlainEncoder::encode(heap, stride, input);
        }
        let mut encoder = Encoder {
            heap,
            spans: Vec::with_capacity(input.announced().min(1 << 16)),
            failures: Vec::new(),
            blocks: Blocks::new(heap),
            room: 0..0,
        };
        let mut not_run = None;
        input.encode(&mut |encode| match encoder.argument(encode) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                not_run = Some(encoder.not_run(error));
                None
            }
        });
        match not_run {
            Some(not_run) => Err(not_run),
            None => encoder.finish(),
        }
    }

    /// The error if there is no room for the argument that was taken last.
    fn not_run(&self, error: Error) -> NotRun {
        let n_items = self.spans.len() + 1;
        NotRun { error, n_items }
    }

    /// Writes one argument and returns its length.
    fn argument(&mut self, encode: &mut Encode<'_>) -> Result<usize> {
        let Encoder {
            heap, blocks, room, ..
        } = self;
        let heap = *heap;
        let mut has_room = true;
        let mut free = room.clone();
        let mut more_room = |needed| {
            let bytes = block_bytes(heap, blocks.blocks.last().copied(), needed);
            let block = heap.take(bytes).inspect_err(|_| has_room = false)?;
            blocks.blocks.push(block);
            free = block..block + heap.capacity(block) as u64;
            Ok(free.clone())
        };
        let mut value = Growing::new(heap, room.clone(), &mut more_room);
        let outcome = encode(&mut value);
        let outcome = value.finish(outcome);
        let span = match outcome {
            Ok(span) => {
                free.start = span.end;
                ArgSpan {
                    offset: span.start,
                    bytes: span.end - span.start,
                }
            }
            Err(error) if !has_room => return Err(error),
            Err(error) => {
                self.failures.push((self.spans.len(), error));
                ArgSpan {
                    offset: 0,
                    bytes: NO_BYTES,
                }
            }
        };
        self.room = free;
        self.spans.push(span);
        Ok(if span.bytes == NO_BYTES {
            0
        } else {
            span.bytes as usize
        })
    }

    fn finish(mut self) -> Result<Encoded<Arguments>, NotRun> {
        if self.spans.is_empty() {
            return Ok(Encoded::default());
        }
        let table_bytes = size_of_val(self.spans.as_slice());
        let n_items = self.spans.len();
        let fail = |error| NotRun { error, n_items };
        let offset = self.heap.take(table_bytes).map_err(fail)?;
        self.blocks.blocks.push(offset);
        // SAFETY: the block was just taken with this much room, and no other process knows it.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.spans.as_ptr(),
                self.heap.at(offset).cast::<ArgSpan>(),
                self.spans.len(),
            );
        }
        Ok(Encoded {
            args: Arguments {
                offset,
                stride: 0,
                _blocks: Some(self.blocks),
            },
            n_items,
            failures: self.failures,
            context: None,
            traced: false,
        })
    }
}

/// Writes plain numbers contiguously.
struct PlainEncoder {
    /// Only the current block.
    blocks: Blocks,
    n_items: usize,
    capacity: usize,
    stride: usize,
}

impl PlainEncoder {
    fn encode(
        heap: &Arc<Heap>,
        stride: usize,
        input: &mut dyn Input,
    ) -> Result<Encoded<Arguments>, NotRun> {
        let mut encoder = PlainEncoder {
            blocks: Blocks::new(heap),
            n_items: 0,
            capacity: 0,
            stride,
        };
        // The size hint is only a hint: infinite ranges announce the largest possible number.
        let (mut room, mut is_more) = (input.announced().clamp(1, 1 << 24), true);
        while is_more {
            // After the first round, one more was taken, to see whether there is one.
            let n_items = encoder.n_items + usize::from(encoder.n_items > 0);
            let fail = |error| NotRun { error, n_items };
            let slots = encoder.grow(room).map_err(fail)?;
            let n_free = encoder.capacity - encoder.n_items;
            // SAFETY: the block has room for `capacity` numbers, aligned for any of them.
            let (n, has_more) = unsafe { input.fill(slots.add(encoder.n_items * stride), n_free) };
            encoder.n_items += n;
            (room, is_more) = (2 * encoder.n_items, has_more);
        }
        if encoder.n_items == 0 {
            // Dropping the encoder frees its blocks.
            return Ok(Encoded::default());
        }
        Ok(Encoded {
            args: Arguments {
                offset: encoder.blocks.blocks.last().copied().unwrap_or(0),
                stride: encoder.stride as u64,
                _blocks: Some(encoder.blocks),
            },
            n_items: encoder.n_items,
            failures: Vec::new(),
            context: None,
            traced: false,
        })
    }

    fn grow(&mut self, n_items: usize) -> Result<*mut u8> {
        let Blocks { heap, blocks, .. } = &mut self.blocks;
        let block = heap.take(n_items.saturating_mul(self.stride))?;
        if let Some(old) = blocks.pop() {
            // SAFETY: the old block holds `n_items` numbers, the new one has room for more.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    heap.at(old),
                    heap.at(block),
                    self.n_items * self.stride,
                );
            }
            heap.give_back(old);
        }
        blocks.push(block);
        self.capacity = heap.capacity(block) / self.stride;
        Ok(heap.at(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::call::input::Args;
    use crate::pool::call::spent::Spent;

    #[test]
    fn no_arguments_take_no_memory() {
        let heap = Arc::new(Heap::new(64).unwrap());
        let block = heap.take(64).unwrap();
        heap.give_back(block);
        let (mut numbers, mut texts) = (Spent::<u64>::dropped(), Spent::<String>::dropped());
        let plain = Encoder::encode(&heap, &mut Args::of(std::iter::empty(), &mut numbers));
        let others = Encoder::encode(&heap, &mut Args::of(std::iter::empty(), &mut texts));
        assert!(plain.unwrap().args._blocks.is_none());
        assert!(others.unwrap().args._blocks.is_none());
        assert_eq!(heap.take(64).unwrap(), block);
    }
}
