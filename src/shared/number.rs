//! The numbers that several processes may read and write at the same time.

use std::fmt::Debug;

use crate::sys::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

/// A number that fits into one atomic access: `u8` … `u64`, `i8` … `i64`, `usize`, `isize`, `f32`,
/// `f64` and `bool`.
///
/// In Rust, two processes that use the same memory at once, with one of them writing, must use
/// atomic accesses; a relaxed one is the same machine instruction as a plain one. This trait is the
/// list of types for which there are such accesses; other crates cannot add to it.
pub trait Number:
    Copy + Default + PartialEq + Debug + Send + Sync + 'static + sealed::Atomic
{
}

pub(crate) mod sealed {
    use super::Ordering;

    /// How a number lies in shared memory, where zeroed memory is the type's default.
    pub trait Atomic: Sized {
        /// The atomic type of the same size.
        type Cell: Send + Sync;

        fn load(cell: &Self::Cell, order: Ordering) -> Self;
        fn store(cell: &Self::Cell, value: Self, order: Ordering);
        fn swap(cell: &Self::Cell, value: Self) -> Self;
        /// Stores `new` if the cell's bits equal those of `current`; otherwise returns the cell's
        /// value.
        fn exchange(cell: &Self::Cell, current: Self, new: Self) -> Result<(), Self>;

        /// Replaces the value with what `f` returns for it, even if other processes do the same;
        /// returns the old value and the new one.
        fn update(cell: &Self::Cell, mut f: impl FnMut(Self) -> Self) -> (Self, Self)
        where
            Self: Copy,
        {
            let mut old = Self::load(cell, Ordering::Acquire);
            loop {
                let new = f(old);
                match Self::exchange(cell, old, new) {
                    Ok(()) => return (old, new),
                    Err(now) => old = now,
                }
            }
        }
    }
}

macro_rules! number {
    ($($number:ty, $cell:ty, $to:expr, $from:expr;)*) => { $(
        impl Number for $number {}

        impl sealed::Atomic for $number {
            type Cell = $cell;

            fn load(cell: &$cell, order: Ordering) -> Self {
                $from(cell.load(order))
            }

            fn store(cell: &$cell, value: Self, order: Ordering) {
                cell.store($to(value), order);
            }

            fn swap(cell: &$cell, value: Self) -> Self {
                $from(cell.swap($to(value), Ordering::AcqRel))
            }

            fn exchange(cell: &$cell, current: Self, new: Self) -> Result<(), Self> {
                cell.compare_exchange_weak(
                    $to(current),
                    $to(new),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .map(|_| ())
                .map_err($from)
            }
        }
    )* };
}

number! {
    u8, AtomicU8, std::convert::identity, std::convert::identity;
    u16, AtomicU16, std::convert::identity, std::convert::identity;
    u32, AtomicU32, std::convert::identity, std::convert::identity;
    u64, AtomicU64, std::convert::identity, std::convert::identity;
    usize, AtomicUsize, std::convert::identity, std::convert::identity;
    i8, AtomicI8, std::convert::identity, std::convert::identity;
    i16, AtomicI16, std::convert::identity, std::convert::identity;
    i32, AtomicI32, std::convert::identity, std::convert::identity;
    i64, AtomicI64, std::convert::identity, std::convert::identity;
    isize, AtomicIsize, std::convert::identity, std::convert::identity;
    f32, AtomicU32, f32::to_bits, f32::from_bits;
    f64, AtomicU64, f64::to_bits, f64::from_bits;
    bool, AtomicBool, std::convert::identity, std::convert::identity;
}
