//! Encoded arguments that are kept to free memory for results.

use std::collections::VecDeque;
use std::marker::PhantomData;

use super::decoded::Held;

/// Arguments that were encoded and are still held, so that the results can reuse their memory.
///
/// For large results the allocator hands out fresh pages, and the first touch of each page costs
/// about ten times as much as copying into it. Dropping an argument just before a result of its
/// size is made leaves pages that are already mapped.
pub(in crate::pool) struct Spent<A> {
    args: VecDeque<Held>,
    /// How many more bytes may be held.
    room_bytes: usize,
    _args: PhantomData<A>,
}

/// Smaller values do not get fresh pages.
pub(super) const LARGE_BYTES: usize = 1 << 17;
/// The maximum that is held after encoding.
const MOST_HELD_BYTES: usize = 1 << 28;

impl<A> Spent<A> {
    /// Holds large arguments.
    pub(super) fn held() -> Self {
        Spent {
            args: VecDeque::new(),
            room_bytes: MOST_HELD_BYTES,
            _args: PhantomData,
        }
    }

    /// Drops each argument as soon as it is encoded.
    pub(in crate::pool) fn dropped() -> Self {
        Spent {
            args: VecDeque::new(),
            room_bytes: 0,
            _args: PhantomData,
        }
    }

    pub(in crate::pool) fn put(&mut self, arg: A, bytes: usize) {
        if (LARGE_BYTES..=self.room_bytes).contains(&bytes) {
            self.hold(Held::new(arg), bytes);
        }
    }

    #[inline(never)]
    fn hold(&mut self, arg: Held, bytes: usize) {
        self.room_bytes -= bytes;
        self.args.push_back(arg);
    }

    /// Drops the argument that was held longest. Its destructor is user code, which must not
    /// disturb the collection of results.
    pub(super) fn drop_one(&mut self) {
        drop(self.args.pop_front());
    }
}
