//! An allocator in shared memory that no process's death can wedge.
//!
//! Any process of the pool may take and return blocks, and any may be killed between two
//! instructions, so there is no lock that a process could die with. Fresh memory comes from a
//! counter that only grows; returned blocks wait on one stack per size, last in, first out, so that
//! the next block is the one still in the cache (a first touch costs nine times a copy). A process
//! that dies after it takes a block and before it links the block into a list that the owner knows
//! leaks that block until the pool ends: a few addresses and at most a page.
//!
//! Sizes are powers of two. That wastes addresses, of which a region has several times more than
//! the machine has memory (see `Region`), but no memory: an untouched page takes none.

use std::ops::RangeInclusive;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::region::Region;

/// An offset into the region, in bytes from its start. 0 is never a block.
pub(crate) type Offset = u64;

/// The smallest block, header included.
const SMALLEST_BITS: u32 = 12;
const N_CLASSES: usize = 48;
/// Blocks at least this large go back to the OS when too much memory is idle.
const LARGE_BYTES: u64 = 1 << 22;
/// Large blocks may keep one part in this many of the memory that the process may use. Touching a
/// page of shared memory for the first time costs 2.6 µs, so a map's blocks are worth keeping for
/// the next: a map of 256 MB that returns as much takes twice as long without them.
const IDLE_PART: u64 = 16;
/// Lower and upper limit of that, on any machine.
const IDLE_BYTES: RangeInclusive<u64> = 1 << 26..=1 << 32;

/// The top of the stack of free blocks of one size.
///
/// Written and read by every process, with acquire and release: a process that pops a block sees
/// what the pusher wrote into it. Lower 28 bits: the block's offset in units of the smallest block;
/// upper 36 bits: how often the word was changed, so that a block that was popped and pushed again
/// in between is not taken for unchanged.
type Stack = AtomicU64;

const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// The allocator's own words, at the start of the region.
#[repr(C, align(64))]
struct Head {
    /// The first byte that was never handed out. Every process adds to it, relaxed: the number
    /// alone matters.
    fresh: AtomicU64,
    /// Bytes that lie idle in large blocks; a hint, relaxed.
    idle_bytes: AtomicU64,
    /// The limit for that, 0 before the first lookup. Written by every process, relaxed: all find
    /// about the same value.
    most_idle_bytes: AtomicU64,
    stacks: [Stack; N_CLASSES],
}

/// The header of every block.
#[repr(C, align(64))]
struct BlockHead {
    /// The next block of the stack, as an index; written by the pusher before its compare-exchange.
    next: AtomicU64,
    /// The size as a power of two; written once, when the block is made.
    bits: AtomicU64,
    /// The number of bytes that the last taker asked for, and so may have touched.
    asked_bytes: AtomicU64,
    /// How often the block was returned. Written by the process that returns it, which alone has it
    /// at that moment; read by every process, acquire.
    generation: AtomicU64,
}

const BLOCK_HEAD_BYTES: u64 = size_of::<BlockHead>() as u64;

/// A shared region with an allocator. Each process that inherits the region has its own `Heap`
/// value over the same words.
#[derive(Debug)]
pub(crate) struct Heap {
    region: Region,
}

impl Heap {
    /// Reserves a region, with `reserved` bytes at its start, zeroed, for the owner's own use
    /// (behind the allocator's words; see [`reserved`](Heap::reserved)).
    pub(crate) fn new(reserved: usize) -> Result<Heap> {
        Heap::over(Region::reserve(1)?, reserved)
    }

    /// As [`new`](Heap::new), with one `part`th of the addresses, for objects that a program may
    /// have thousands of.
    pub(crate) fn of_part(reserved: usize, part: usize) -> Result<Heap> {
        Heap::over(Region::reserve(part)?, reserved)
    }

    /// As [`new`](Heap::new), but with at most `limit` bytes of address space: a process has 128
    /// TiB of it, which is enough for a hundred pools but not for a thousand locks of that size.
    pub(crate) fn with_limit(reserved: usize, limit: usize) -> Result<Heap> {
        Heap::over(Region::reserve_at_most(limit)?, reserved)
    }

    /// As [`new`](Heap::new), in a file that a process that was not forked can attach.
    pub(crate) fn in_file(reserved: usize) -> Result<Heap> {
        Heap::over(Region::reserve_file()?, reserved)
    }

    /// The heap in a file that another process has made.
    pub(crate) fn attach(file: OwnedFd) -> Result<Heap> {
        Region::attach(file).map(|region| Heap { region })
    }

    /// The file that holds this heap, if there is one.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.region.file()
    }

    fn over(region: Region, reserved: usize) -> Result<Heap> {
        let floor = (size_of::<Head>() + reserved).next_multiple_of(1 << SMALLEST_BITS) as u64;
        if floor >= region.bytes() as u64 {
            return Err(Error::invalid_input(format!(
                "{reserved} bytes of shared memory are too many for this system's limit"
            )));
        }
        let heap = Heap { region };
        heap.head().fresh.store(floor, Ordering::Relaxed);
        Ok(heap)
    }

    /// The bytes reserved for the owner.
    pub(crate) fn reserved(&self) -> *mut u8 {
        self.at(size_of::<Head>() as u64)
    }

    /// Keeps the page of an address in this heap mapped when all others are unmapped.
    pub(crate) fn keep_page_of(&self, address: *const u8) {
        let offset = address.addr() - self.region.base().addr().get();
        self.region.keep_page(offset);
    }

    /// Takes a block with room for `bytes`, aligned to 64; its content is arbitrary.
    ///
    /// # Errors
    /// `is_os()` when the region is used up.
    pub(crate) fn take(&self, bytes: usize) -> Result<Offset> {
        let total = (bytes as u64).saturating_add(BLOCK_HEAD_BYTES);
        let bits = u64::BITS - (total - 1).leading_zeros();
        let bits = bits.max(SMALLEST_BITS);
        let block = match self.pop(bits) {
            Some(block) => block,
            None => self.take_fresh(bits, bytes)?,
        };
        let asked = &self.block_head(block).asked_bytes;
        asked.store(bytes as u64, Ordering::Relaxed);
        Ok(block + BLOCK_HEAD_BYTES)
    }

    /// Returns a block.
    pub(crate) fn give_back(&self, content: Offset) {
        let block = content - BLOCK_HEAD_BYTES;
        let head = self.block_head(block);
        let generation = head.generation.load(Ordering::Relaxed);
        // Before the next taker can write: a reader that sees its bytes also finds another
        // generation.
        head.generation.store(generation + 1, Ordering::Release);
        let bits = head.bits.load(Ordering::Relaxed) as u32;
        let bytes = head.asked_bytes.load(Ordering::Relaxed);
        if bytes >= LARGE_BYTES {
            let idle = self.head().idle_bytes.fetch_add(bytes, Ordering::Relaxed);
            if idle + bytes > *IDLE_BYTES.start() && idle + bytes > self.most_idle_bytes() {
                let first_page = 1 << SMALLEST_BITS;
                self.region.give_back(
                    (block + first_page) as usize,
                    (1 << bits) - first_page as usize,
                );
                self.head().idle_bytes.fetch_sub(bytes, Ordering::Relaxed);
                head.asked_bytes.store(0, Ordering::Relaxed);
            }
        }
        self.push(bits, block);
    }

    /// The maximum number of idle bytes. It is looked up when it first matters, so that no pool's
    /// start waits for it.
    fn most_idle_bytes(&self) -> u64 {
        let known = &self.head().most_idle_bytes;
        match known.load(Ordering::Relaxed) {
            0 => {
                let part = Memory::detect().usable_bytes() / IDLE_PART;
                let most = part.clamp(*IDLE_BYTES.start(), *IDLE_BYTES.end());
                known.store(most, Ordering::Relaxed);
                most
            }
            most => most,
        }
    }

    /// The number of bytes that fit into a block.
    pub(crate) fn capacity(&self, content: Offset) -> usize {
        let block = content - BLOCK_HEAD_BYTES;
        let bits = self.block_head(block).bits.load(Ordering::Relaxed);
        ((1u64 << bits) - BLOCK_HEAD_BYTES) as usize
    }

    /// How often the block with this content was returned. It may be called for any block that ever
    /// existed: offset and generation together identify a block's content uniquely.
    pub(crate) fn generation(&self, content: Offset) -> u64 {
        let head = self.block_head(content - BLOCK_HEAD_BYTES);
        head.generation.load(Ordering::Acquire)
    }

    /// The address of an offset in this process.
    pub(crate) fn at(&self, offset: Offset) -> *mut u8 {
        assert!(
            offset < self.region.bytes() as u64,
            "offset {offset:#x} is outside of the region"
        );
        // SAFETY: the offset lies inside the mapping.
        unsafe { self.region.base().as_ptr().add(offset as usize) }
    }

    fn take_fresh(&self, bits: u32, bytes: usize) -> Result<Offset> {
        let size = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
        let limit = self.region.bytes() as u64;
        let block = self
            .head()
            .fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |fresh| {
                fresh.checked_add(size).filter(|&end| end <= limit)
            })
            .map_err(|_| {
                Error::os(
                    &format!(
                        "cannot take {bytes} bytes: all {limit} bytes of shared memory are in use"
                    ),
                    std::io::ErrorKind::OutOfMemory.into(),
                )
            })?;
        self.block_head(block)
            .bits
            .store(u64::from(bits), Ordering::Relaxed);
        Ok(block)
    }

    fn pop(&self, bits: u32) -> Option<Offset> {
        let stack = self.head().stacks.get(bits as usize)?;
        let mut top = stack.load(Ordering::Acquire);
        loop {
            let block = (top & INDEX_MASK) << SMALLEST_BITS;
            if block == 0 {
                return None;
            }
            // If another process has taken this block in the meantime, `next` is stale and the
            // compare-exchange fails, because the count has moved on.
            let next = self.block_head(block).next.load(Ordering::Relaxed);
            let changed = stack.compare_exchange_weak(
                top,
                successor(top, next),
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match changed {
                Ok(_) => {
                    let idle = self.block_head(block).asked_bytes.load(Ordering::Relaxed);
                    if idle >= LARGE_BYTES {
                        self.head().idle_bytes.fetch_sub(idle, Ordering::Relaxed);
                    }
                    return Some(block);
                }
                Err(now) => top = now,
            }
        }
    }

    fn push(&self, bits: u32, block: Offset) {
        let stack = &self.head().stacks[bits as usize];
        let mut top = stack.load(Ordering::Relaxed);
        loop {
            self.block_head(block)
                .next
                .store(top & INDEX_MASK, Ordering::Relaxed);
            let changed = stack.compare_exchange_weak(
                top,
                successor(top, block >> SMALLEST_BITS),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match changed {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: the region begins with the head, is zeroed at first, and all fields are atomic.
        unsafe { &*self.region.base().as_ptr().cast::<Head>() }
    }

    fn block_head(&self, block: Offset) -> &BlockHead {
        // SAFETY: every block begins with its head, aligned, and all fields are atomic.
        unsafe { &*self.at(block).cast::<BlockHead>() }
    }
}

/// The stack's next word: a new top and an incremented count.
fn successor(word: u64, index: u64) -> u64 {
    ((word >> INDEX_BITS).wrapping_add(1) << INDEX_BITS) | index
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_block_in_is_the_first_out() {
        let heap = Heap::new(100).unwrap();
        let (a, b) = (heap.take(10).unwrap(), heap.take(10).unwrap());
        assert_ne!(a, b);
        heap.give_back(a);
        heap.give_back(b);
        assert_eq!(heap.take(10).unwrap(), b);
        assert_eq!(heap.take(10).unwrap(), a);
    }

    #[test]
    fn a_block_that_was_given_back_has_another_generation() {
        let heap = Heap::new(100).unwrap();
        let (block, other) = (heap.take(10).unwrap(), heap.take(10).unwrap());
        let (before, of_other) = (heap.generation(block), heap.generation(other));
        heap.give_back(block);
        assert_ne!(heap.generation(block), before);
        assert_eq!(heap.take(10).unwrap(), block);
        assert_eq!(heap.generation(block), before + 1);
        assert_eq!(heap.generation(other), of_other);
    }

    #[test]
    fn idle_memory_is_kept_up_to_a_part_of_what_there_is() {
        let heap = Heap::new(0).unwrap();
        let large = LARGE_BYTES as usize;
        let n_kept = *IDLE_BYTES.start() as usize / large;
        let n_blocks = 4 * n_kept;
        // As on a machine that has little memory.
        let most = *IDLE_BYTES.start();
        heap.head().most_idle_bytes.store(most, Ordering::Relaxed);
        let blocks: Vec<Offset> = (0..n_blocks).map(|_| heap.take(large).unwrap()).collect();
        for &block in &blocks {
            // SAFETY: the block is this test's; what is written lies behind its first page.
            unsafe { heap.at(block + 8192).write(7) };
            heap.give_back(block);
        }
        let is_kept = |&&block: &&Offset| {
            // SAFETY: this test alone uses this heap; the block's pages are mapped, given back or
            // not.
            unsafe { heap.at(block + 8192).read() == 7 }
        };
        assert_eq!(blocks.iter().filter(is_kept).count(), n_kept);
        assert_eq!(heap.head().idle_bytes.load(Ordering::Relaxed), most);
    }

    #[test]
    fn what_is_reserved_is_zero_and_no_block_reaches_into_it() {
        let heap = Heap::new(5000).unwrap();
        // SAFETY: 5000 bytes were reserved, and no thread writes to them.
        let reserved = unsafe { std::slice::from_raw_parts(heap.reserved(), 5000) };
        assert!(reserved.iter().all(|&byte| byte == 0));
        assert!(heap.at(heap.take(1).unwrap()) as usize >= heap.reserved() as usize + 5000);
    }

    #[test]
    fn a_region_that_is_used_up_is_an_error() {
        let heap = Heap::new(0).unwrap();
        assert!(heap.take(usize::MAX / 4).unwrap_err().is_os());
        assert!(heap.take(10).is_ok());
    }

    #[test]
    fn threads_never_share_a_block() {
        let heap = Heap::new(0).unwrap();
        let heap = &heap;
        std::thread::scope(|scope| {
            for mark in 1..=4u64 {
                scope.spawn(move || {
                    for round in 0..20_000u64 {
                        let block = heap.take(8).unwrap();
                        let word = heap.at(block).cast::<u64>();
                        // SAFETY: the block is this thread's until it is given back.
                        unsafe {
                            word.write_volatile(mark << 32 | round);
                            assert_eq!(word.read_volatile(), mark << 32 | round);
                        }
                        heap.give_back(block);
                    }
                });
            }
        });
    }

    proptest! {
        #[test]
        fn blocks_in_use_never_overlap(sizes in prop::collection::vec((1usize..100_000, any::<bool>()), 1..60)) {
            let heap = Heap::new(0).unwrap();
            let mut used: Vec<(Offset, usize)> = Vec::new();
            for (bytes, drop_one) in sizes {
                let block = heap.take(bytes).unwrap();
                prop_assert!(heap.capacity(block) >= bytes);
                prop_assert!(block.is_multiple_of(64));
                for &(other, length) in &used {
                    prop_assert!(block + bytes as u64 <= other || other + length as u64 <= block);
                }
                used.push((block, bytes));
                if drop_one {
                    heap.give_back(used.remove(0).0);
                }
            }
        }
    }
}
