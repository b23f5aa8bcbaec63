//! The ring of messages that queue and pipe share. It never waits for a message.

use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::mutex::{Kind, Locked, Mutex};
use crate::wire;

/// Address space of one ring, which bounds its messages to some gigabytes; only written pages take
/// memory.
const LIMIT: usize = 1 << 36;
/// Messages up to this size lie in the ring itself, larger ones in blocks of their own.
const INLINE_BYTES: usize = 40;
/// The longest ring.
const MAX_MESSAGES: usize = 1 << 24;

/// A ring of messages in shared memory.
#[derive(Debug)]
pub(super) struct Ring {
    heap: Heap,
}

// SAFETY: all that lies in the heap is atomic, or used under the mutex only, which excludes
// threads as well as processes.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

/// The ring's words. All except the doors' futex words are written only under the mutex, which
/// orders them, and, except for a [glance](Ring::glance), also read under it. Zero is the right
/// initial value of all but the first two.
#[repr(C, align(64))]
struct Head {
    mutex: Mutex,
    capacity: AtomicU64,
    /// Maximum number of bytes that wait to be received, unless a single message is larger.
    max_bytes: AtomicU64,
    /// The number of messages received so far.
    head: AtomicU64,
    /// The number of messages sent so far.
    tail: AtomicU64,
    /// Not zero once nothing more may be sent.
    closed: AtomicU32,
    pub(super) messages: Door,
    pub(super) space: Door,
}

/// Where processes wait for something: for messages, or for space.
#[repr(C)]
pub(super) struct Door {
    /// For a queue: the futex word that processes sleep on. It changes whenever a sleeper must look
    /// again.
    pub(super) event: AtomicU32,
    /// For a queue: whether a process may be asleep here.
    pub(super) has_sleepers: AtomicU32,
    /// For a pipe: whether the byte that wakes is in the OS pipe.
    pub(super) has_byte: AtomicU32,
    /// For a pipe: how often a process found the other side gone.
    pub(super) n_ends: AtomicU32,
}

/// One message, or room for one.
#[repr(C)]
struct Slot {
    bytes: AtomicU64,
    /// The number of bytes sent so far, this message included.
    total: AtomicU64,
    /// The block that holds the message, or 0 if it lies here.
    block: AtomicU64,
    inline: [AtomicU64; INLINE_BYTES / 8],
}

/// An encoded message that is not yet in the ring. One too large for a slot already lies in shared
/// memory.
pub(super) struct Parcel<'a> {
    ring: &'a Ring,
    bytes: Vec<u8>,
    length: usize,
    block: Offset,
}

impl Ring {
    /// A ring for `n` messages of together at most `max_bytes`, unless a single one is larger.
    pub(super) fn new(n: usize, max_bytes: u64) -> Result<Ring> {
        if n == 0 || n > MAX_MESSAGES {
            return Err(Error::invalid_input(format!(
                "a channel for {n} messages cannot be made: at least 1, and at most {MAX_MESSAGES}"
            )));
        }
        let words = size_of::<Head>() + n * size_of::<Slot>();
        let ring = Ring {
            heap: Heap::with_limit(words, LIMIT)?,
        };
        let head = ring.head();
        head.mutex.init(Kind::Plain)?;
        head.capacity.store(n as u64, Ordering::Relaxed);
        head.max_bytes.store(max_bytes, Ordering::Relaxed);
        Ok(ring)
    }

    /// Encodes a message.
    pub(super) fn pack<T: Serialize>(&self, value: &T) -> Result<Parcel<'_>> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes)?;
        self.pack_bytes(bytes)
    }

    #[inline(never)]
    fn pack_bytes(&self, mut bytes: Vec<u8>) -> Result<Parcel<'_>> {
        let length = bytes.len();
        let mut block = 0;
        if length > INLINE_BYTES {
            block = self.heap.take(length)?;
            // SAFETY: the block was just taken with this much room.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.heap.at(block), length);
            }
            bytes = Vec::new();
        }
        Ok(Parcel {
            ring: self,
            bytes,
            length,
            block,
        })
    }

    /// Takes the ring's lock for a moment: its holder never waits for anything.
    ///
    /// # Errors
    /// `is_timed_out()`: a holder that was stopped (`SIGSTOP`) delays all others.
    pub(super) fn lock(&self, deadline: Option<Instant>) -> Result<Session<'_>> {
        // A dead holder has either done its step or not; both states are valid.
        match self.head().mutex.lock(deadline) {
            Locked::Busy => Err(Error::timed_out("waiting for a channel's lock")),
            _ => Ok(Session { ring: self }),
        }
    }

    /// The number of messages, read without the lock and possibly a moment old.
    pub(super) fn glance(&self) -> usize {
        let head = self.head();
        // In this order the difference is not negative, although both may change in between.
        let received = head.head.load(Ordering::Acquire);
        let sent = head.tail.load(Ordering::Acquire);
        ((sent - received) as usize).min(self.capacity())
    }

    /// Where receivers wait for messages.
    pub(super) fn messages(&self) -> &Door {
        &self.head().messages
    }

    /// Where senders wait for space.
    pub(super) fn space(&self) -> &Door {
        &self.head().space
    }

    pub(super) fn capacity(&self) -> usize {
        self.head().capacity.load(Ordering::Relaxed) as usize
    }

    fn head(&self) -> &Head {
        // SAFETY: the heap was made with room for the head, zeroed, at an address aligned to 64.
        unsafe { &*self.heap.reserved().cast::<Head>() }
    }

    fn slot(&self, index: u64) -> &Slot {
        let index = (index % self.head().capacity.load(Ordering::Relaxed)) as usize;
        // SAFETY: the heap was made with room for `capacity` slots behind the head.
        unsafe {
            let slots = self.heap.reserved().add(size_of::<Head>()).cast::<Slot>();
            &*slots.add(index)
        }
    }
}

/// The ring, while this process has its lock.
pub(super) struct Session<'a> {
    ring: &'a Ring,
}

impl<'a> Session<'a> {
    pub(super) fn len(&self) -> usize {
        let head = self.ring.head();
        (head.tail.load(Ordering::Relaxed) - head.head.load(Ordering::Relaxed)) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a message of `bytes` must wait.
    pub(super) fn is_full_for(&self, parcel: &Parcel<'_>) -> bool {
        let head = self.ring.head();
        let bytes = self.bytes() + parcel.length as u64;
        let is_heavy = bytes > head.max_bytes.load(Ordering::Relaxed);
        self.len() >= self.ring.capacity() || (is_heavy && !self.is_empty())
    }

    /// The total size of the messages in the ring. It is derived from the slots, not from a word
    /// that a death could leave wrong.
    fn bytes(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let head = self.ring.head();
        let oldest = self.ring.slot(head.head.load(Ordering::Relaxed));
        let newest = self.ring.slot(head.tail.load(Ordering::Relaxed) - 1);
        newest.total.load(Ordering::Relaxed) - oldest.total.load(Ordering::Relaxed)
            + oldest.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ring.head().closed.load(Ordering::Relaxed) != 0
    }

    pub(super) fn close(&self) {
        self.ring.head().closed.store(1, Ordering::Relaxed);
    }

    /// Puts a message in. The ring is not full, and receivers were woken.
    pub(super) fn push(&self, mut parcel: Parcel<'_>) {
        let head = self.ring.head();
        let tail = head.tail.load(Ordering::Relaxed);
        let before = match tail {
            0 => 0,
            _ => self.ring.slot(tail - 1).total.load(Ordering::Relaxed),
        };
        let slot = self.ring.slot(tail);
        let block = std::mem::take(&mut parcel.block);
        slot.bytes.store(parcel.length as u64, Ordering::Relaxed);
        slot.total
            .store(before + parcel.length as u64, Ordering::Relaxed);
        slot.block.store(block, Ordering::Relaxed);
        for (word, bytes) in slot.inline.iter().zip(parcel.bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        head.tail.store(tail + 1, Ordering::Release);
    }

    /// Takes the oldest message out. Senders were woken.
    pub(super) fn pop(&self) -> Option<Parcel<'a>> {
        if self.is_empty() {
            return None;
        }
        let ring = self.ring;
        let head = ring.head();
        let first = head.head.load(Ordering::Relaxed);
        let slot = ring.slot(first);
        let length = slot.bytes.load(Ordering::Relaxed) as usize;
        let block = slot.block.load(Ordering::Relaxed);
        let mut bytes = Vec::new();
        if block == 0 {
            let words = slot.inline.iter().take(length.div_ceil(8));
            bytes.extend(words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()));
            bytes.truncate(length);
        }
        head.head.store(first + 1, Ordering::Release);
        Some(Parcel {
            ring,
            bytes,
            length,
            block,
        })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.ring.head().mutex.unlock();
    }
}

impl Parcel<'_> {
    /// Decodes a message that was taken out.
    pub(super) fn unpack<T: DeserializeOwned>(self) -> Result<T> {
        if self.block == 0 {
            return wire::decode(&self.bytes);
        }
        // SAFETY: the block was filled with this many bytes before the message was put in, and is
        // this process's alone since it was taken out.
        let bytes = unsafe {
            std::slice::from_raw_parts(self.ring.heap.at(self.block).cast_const(), self.length)
        };
        wire::decode(bytes)
    }
}

impl Drop for Parcel<'_> {
    /// Returns the memory of a message that was read, or not sent.
    fn drop(&mut self) {
        if self.block != 0 {
            self.ring.heap.give_back(self.block);
        }
    }
}
