//! A vector that is filled in any order; only a few functions know the type of its values.
//!
//! Every notebook cell that maps compiles the generic code. There is little of it here: all
//! bookkeeping is compiled into the library.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::wire;

use super::bits::Bits;
use super::transport::Items;

/// Slots for values of one type, which the creator of the slots knows.
pub(super) struct Slots {
    start: NonNull<u8>,
    /// The capacity of the vector that owns the memory.
    capacity: usize,
    /// Which slots are initialised.
    filled: Bits,
    values: Values,
}

/// The values' type.
struct Values {
    size: usize,
    /// Their size, if they are plain numbers.
    stride: Option<usize>,
    /// Decodes a value into a slot.
    decode: unsafe fn(&[u8], NonNull<u8>) -> Result<()>,
    /// Drops the value in a slot.
    drop: unsafe fn(NonNull<u8>),
    /// Frees the memory of this many slots.
    free: unsafe fn(NonNull<u8>, usize),
}

impl Values {
    fn of<R: DeserializeOwned>() -> Values {
        unsafe fn decode<R: DeserializeOwned>(bytes: &[u8], slot: NonNull<u8>) -> Result<()> {
            let value = wire::decode::<R>(bytes)?;
            // SAFETY: the caller vouches that this is a free slot for such a value.
            unsafe { slot.cast::<R>().write(value) };
            Ok(())
        }
        unsafe fn drop<R>(slot: NonNull<u8>) {
            // SAFETY: the caller vouches that such a value is there, and not used any more.
            unsafe { slot.cast::<R>().drop_in_place() };
        }
        unsafe fn free<R>(start: NonNull<u8>, capacity: usize) {
            // SAFETY: the caller vouches that the memory came from such a vector.
            std::mem::drop(unsafe { Vec::<R>::from_raw_parts(start.cast().as_ptr(), 0, capacity) });
        }
        Values {
            size: size_of::<R>(),
            stride: wire::plain_size::<R>(),
            decode: decode::<R>,
            drop: drop::<R>,
            free: free::<R>,
        }
    }
}

impl Slots {
    /// `n` empty slots for values of type `R`.
    pub(super) fn new<R: DeserializeOwned>(n: usize) -> Slots {
        let mut slots = ManuallyDrop::new(Vec::<R>::with_capacity(n));
        let start = NonNull::from(slots.spare_capacity_mut()).cast();
        Slots::of(start, slots.capacity(), n, Values::of::<R>())
    }

    #[inline(never)]
    fn of(start: NonNull<u8>, capacity: usize, n: usize, values: Values) -> Slots {
        Slots {
            start,
            capacity,
            filled: Bits::new(n),
            values,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.filled.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled.is_full()
    }

    pub(super) fn has(&self, item: usize) -> bool {
        self.filled.has(item)
    }

    /// The size of the values, if they are plain numbers.
    pub(super) fn stride(&self) -> Option<usize> {
        self.values.stride
    }

    /// The slot of an item, or the end of all slots.
    fn slot(&self, item: usize) -> NonNull<u8> {
        assert!(item <= self.len());
        // SAFETY: the slot is within the memory, or at its end.
        unsafe { self.start.add(item * self.values.size) }
    }

    /// Decodes a value into its slot, which is empty.
    ///
    /// # Errors
    /// `is_decode()`.
    pub(super) fn decode(&mut self, item: usize, bytes: &[u8]) -> Result<()> {
        // Overwriting a value would leak it.
        assert!(item < self.len());
        let slot = self.slot(item);
        // SAFETY: the slot is empty, and for such a value.
        unsafe { (self.values.decode)(bytes, slot) }?;
        self.filled.set(item);
        Ok(())
    }

    /// Puts a plain number in its slot; drops it if the slot is full or does not exist.
    ///
    /// # Safety
    /// The values are plain numbers, and `bytes` is one of them.
    pub(super) unsafe fn put_number(&mut self, item: usize, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.values.size);
        if self.filled.set(item) {
            let slot = self.slot(item);
            // SAFETY: the slot has as many bytes. Most numbers have 8, and need no call.
            unsafe {
                match bytes.len() {
                    8 => copy::<8>(bytes.as_ptr(), slot.as_ptr()),
                    n => std::ptr::copy_nonoverlapping(bytes.as_ptr(), slot.as_ptr(), n),
                }
            }
        }
    }

    /// Puts plain numbers in their slots; consecutive items are copied in one piece.
    ///
    /// # Safety
    /// The values are plain numbers, and `bytes` holds `n` of them.
    pub(super) unsafe fn put_plain(&mut self, items: Items<'_>, first: u64, n: u64, bytes: &[u8]) {
        let size = self.values.size;
        assert_eq!(bytes.len(), n as usize * size);
        let ends = (items.at(first), items.at(first + n.saturating_sub(1)));
        if let (Some(start), Some(last)) = ends
            && n > 1
            // A list of items ascends, so its first and last item show whether it has gaps.
            && last.checked_sub(start) == Some(n as usize - 1)
            && self.filled.set_range(start, n as usize)
        {
            let slots = self.slot(start).as_ptr();
            // SAFETY: `set_range` has checked that the items exist; `bytes` holds as many plain
            // numbers, of which any bytes are a value.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), slots, bytes.len()) };
            return;
        }
        for (task, number) in (first..).zip(bytes.chunks_exact(size)) {
            if let Some(item) = items.at(task) {
                // SAFETY: the caller vouches for the bytes.
                unsafe { self.put_number(item, number) };
            }
        }
    }

    /// The values.
    ///
    /// # Safety
    /// The slots are full, and were made for this type.
    pub(super) unsafe fn into_vec<R>(self) -> Vec<R> {
        let (start, length, capacity) = self.leak();
        // SAFETY: it was such a vector's memory, all slots are initialised, and nothing else drops
        // them.
        unsafe { Vec::from_raw_parts(start.cast().as_ptr(), length, capacity) }
    }

    /// The start of the slots, their number, and the memory's capacity. The caller must drop them.
    fn leak(self) -> (NonNull<u8>, usize, usize) {
        let mut slots = ManuallyDrop::new(self);
        // The set is the only other thing to drop.
        let n = std::mem::replace(&mut slots.filled, Bits::new(0)).len();
        (slots.start, n, slots.capacity)
    }

    /// Moves a value out of its slot.
    ///
    /// # Safety
    /// The slots were made for this type, and this one is not empty.
    pub(super) unsafe fn take<R>(&mut self, item: usize) -> R {
        assert!(self.filled.unset(item));
        // SAFETY: the caller vouches for the type; the slot was initialised, and is empty now.
        unsafe { self.slot(item).cast().read() }
    }
}

/// Copies a number of bytes that is known at compile time.
///
/// # Safety
/// As of [`std::ptr::copy_nonoverlapping`].
#[inline]
unsafe fn copy<const N: usize>(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for it.
    unsafe { to.cast::<[u8; N]>().write(from.cast::<[u8; N]>().read()) };
}

impl Drop for Slots {
    /// A value's own decoder may panic half way: the values so far are dropped.
    fn drop(&mut self) {
        for item in 0..self.len() {
            if self.has(item) {
                // SAFETY: the slot is initialised, and is not used any more.
                unsafe { (self.values.drop)(self.slot(item)) };
            }
        }
        // SAFETY: the memory came from such a vector, and holds no value.
        unsafe { (self.values.free)(self.start, self.capacity) };
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde::{Deserialize, Deserializer, Serialize};

    use super::*;

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_full_vector_comes_back_in_order() {
        let (mut slots, texts) = (Slots::new::<String>(3), ["0", "1", "2"]);
        for item in [2, 0, 1] {
            assert!(!slots.is_full());
            slots.decode(item, &encoded(&texts[item])).unwrap();
        }
        assert!(slots.is_full());
        // SAFETY: it is, and of this type.
        assert_eq!(unsafe { slots.into_vec::<String>() }, texts);
    }

    #[test]
    fn a_value_is_taken_out_once() {
        let mut slots = Slots::new::<String>(3);
        slots.decode(2, &encoded(&"two")).unwrap();
        assert!(slots.decode(0, b"no text").is_err());
        assert!(!slots.has(0) && slots.has(2));
        // SAFETY: the slot is full, and the type is this.
        assert_eq!(unsafe { slots.take::<String>(2) }, "two");
        assert!(!slots.has(2));
    }

    #[test]
    fn numbers_are_placed_by_their_items() {
        let mut slots = Slots::new::<u32>(4);
        let bytes: Vec<u8> = [7u32, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
        // SAFETY: these are the bytes of two such numbers, of one for an item that does not exist,
        // and of one for a slot that is full.
        unsafe {
            slots.put_plain(Items::Same, 1, 2, &bytes);
            slots.put_plain(Items::Listed(&[0, 3]), 0, 2, &bytes);
            slots.put_number(4, &bytes[..4]);
            slots.put_number(3, &bytes[..4]);
        }
        assert!(slots.is_full());
        // SAFETY: it is, and of this type.
        assert_eq!(unsafe { slots.into_vec::<u32>() }, [7, 7, 8, 8]);
    }

    #[test]
    fn values_without_size_have_slots() {
        let mut slots = Slots::new::<()>(2);
        for item in [1, 0] {
            slots.decode(item, &[]).unwrap();
        }
        // SAFETY: the slots are full, and of this type.
        assert_eq!(unsafe { slots.into_vec::<()>() }, [(), ()]);
    }

    thread_local! {
        static ALIVE: Rc<()> = Rc::default();
    }

    /// A value whose live copies are counted.
    struct Counted(#[expect(dead_code, reason = "it counts")] Rc<()>);

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
            Ok(Counted(ALIVE.with(Rc::clone)))
        }
    }

    #[test]
    fn what_is_abandoned_is_dropped() {
        let n_alive = || ALIVE.with(Rc::strong_count) - 1;
        let mut slots = Slots::new::<Counted>(3);
        for item in [0, 2] {
            slots.decode(item, &[]).unwrap();
        }
        assert_eq!(n_alive(), 2);
        // SAFETY: the slot is full, and the type is this.
        drop(unsafe { slots.take::<Counted>(0) });
        assert_eq!(n_alive(), 1);
        drop(slots);
        assert_eq!(n_alive(), 0);
    }
}
