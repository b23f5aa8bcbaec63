//! Takes arguments from the caller's iterator and passes them to the transport.

use serde::Serialize;

use crate::error::Result;
use crate::wire::{self, Sink};

use super::spent::Spent;

/// Writes the bytes of one value.
pub(in crate::pool) type Encode<'e> = dyn FnMut(&mut dyn Sink) -> Result<()> + 'e;

/// Arguments of any type, taken from their iterator and encoded.
pub(in crate::pool) trait Input {
    /// Their size, if they are plain numbers.
    fn stride(&self) -> Option<usize>;

    /// The lower bound on their number that the iterator gives.
    fn announced(&self) -> usize;

    /// Writes plain numbers. Returns how many, and whether more are left.
    ///
    /// # Safety
    /// They are plain numbers, and `slots` has aligned space for `n_free` of them.
    unsafe fn fill(&mut self, slots: *mut u8, n_free: usize) -> (usize, bool);

    /// Encodes one value after another through `put`, which returns the number of bytes that it
    /// took, or `None` if there is no space.
    fn encode(&mut self, put: &mut dyn FnMut(&mut Encode<'_>) -> Option<usize>);

    /// Takes all remaining arguments, and counts them.
    fn count(&mut self) -> usize;

    /// Drops the iterator, whose destructor is user code.
    fn end(&mut self);
}

/// An iterator's arguments. Only code that depends on their type is here: every cell that maps
/// compiles it.
pub(in crate::pool) struct Args<'s, A, I> {
    /// `None` once it has ended.
    iterator: Option<I>,
    /// An argument that was taken and did not fit.
    next: Option<A>,
    /// Holds the large ones.
    spent: &'s mut Spent<A>,
}

impl<'s, A, I: Iterator<Item = A>> Args<'s, A, I> {
    pub(in crate::pool) fn of(iterator: I, spent: &'s mut Spent<A>) -> Self {
        Args {
            iterator: Some(iterator),
            next: None,
            spent,
        }
    }
}

impl<A: Serialize, I: Iterator<Item = A>> Input for Args<'_, A, I> {
    fn stride(&self) -> Option<usize> {
        wire::plain_size::<A>()
    }

    fn announced(&self) -> usize {
        let iterator = self.iterator.as_ref();
        iterator.map_or(0, |iterator| iterator.size_hint().0)
    }

    unsafe fn fill(&mut self, slots: *mut u8, n_free: usize) -> (usize, bool) {
        let Some(iterator) = &mut self.iterator else {
            return (0, false);
        };
        let (slots, mut n) = (slots.cast::<A>(), 0);
        if let Some(arg) = self.next.take() {
            // SAFETY: the caller vouches for the room.
            unsafe { slots.write(arg) };
            n = 1;
        }
        // Counted in a register, so that the loop over a range is short.
        iterator.by_ref().take(n_free - n).for_each(|arg| {
            // SAFETY: the caller vouches for the space, and this stays within it.
            unsafe { slots.add(n).write(arg) };
            n += 1;
        });
        // Takes one more to see whether any is left.
        if n == n_free {
            self.next = iterator.next();
        }
        (n, self.next.is_some())
    }

    fn encode(&mut self, put: &mut dyn FnMut(&mut Encode<'_>) -> Option<usize>) {
        let Some(iterator) = &mut self.iterator else {
            return;
        };
        for arg in iterator {
            let Some(bytes) = put(&mut |sink| wire::encode(&arg, sink)) else {
                return;
            };
            self.spent.put(arg, bytes);
        }
    }

    fn count(&mut self) -> usize {
        let iterator = self.iterator.as_mut();
        iterator.map_or(0, |iterator| iterator.by_ref().count())
    }

    fn end(&mut self) {
        self.iterator = None;
    }
}
