//! Arguments on their way from the caller's iterator to what carries them.

use serde::Serialize;

use crate::error::Result;
use crate::wire::{self, Sink};

use super::spent::Spent;

/// Writes a value's bytes.
pub(in crate::pool) type Encode<'e> = dyn FnMut(&mut dyn Sink) -> Result<()> + 'e;

/// Arguments that are taken from their iterator and encoded, whatever their type.
pub(in crate::pool) trait Input {
    /// Their size, if they are plain numbers.
    fn stride(&self) -> Option<usize>;

    /// How many there are, as far as the iterator says.
    fn announced(&self) -> usize;

    /// Writes plain numbers. Gives how many there were, and whether there are more.
    ///
    /// # Safety
    /// They are plain numbers, and there is room for `n_free` of them, aligned.
    unsafe fn fill(&mut self, slots: *mut u8, n_free: usize) -> (usize, bool);

    /// Encodes one after the other by `put`, which says how many bytes that took; `None` where
    /// there is no room.
    fn encode(&mut self, put: &mut dyn FnMut(&mut Encode<'_>) -> Option<usize>);

    /// Takes all that are left, and counts them.
    fn count(&mut self) -> usize;

    /// Drops the iterator, whose destructor is the user's.
    fn end(&mut self);
}

/// An iterator's arguments. What has its type is here, and compiled into every cell that maps.
pub(in crate::pool) struct Args<'s, A, I> {
    /// Until it has ended.
    iterator: Option<I>,
    /// One that was taken, and for which there was no room.
    next: Option<A>,
    /// What holds large ones.
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
        // Counted in a register, so that the loop over a range is a short one.
        iterator.by_ref().take(n_free - n).for_each(|arg| {
            // SAFETY: the caller vouches for the room, of which no more is used.
            unsafe { slots.add(n).write(arg) };
            n += 1;
        });
        // One more is taken, to see whether there is one.
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
