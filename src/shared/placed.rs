//! A value made of atomics, in its own pages that fork shares.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;

use crate::error::Result;
use crate::sys::atomic::AtomicU32;
use crate::sys::mutex::Mutex;
use crate::sys::region::Region;

/// A type that several processes may use at once.
///
/// # Safety
/// Zeroed memory is a value of the type; everything in it is an atomic or a [`Mutex`], and holds
/// no address; it needs no drop, and no more alignment than a page has.
pub(crate) unsafe trait Shareable: Sync {
    /// Prepares for unmapping the memory; false if it must stay mapped.
    fn let_go(&self) -> bool {
        true
    }
}

// SAFETY: atomics, for which zero is a value.
unsafe impl Shareable for AtomicU32 {}

// SAFETY: the type holds an atomic and the C library's own memory, for which zero is a value.
unsafe impl Shareable for Mutex {
    fn let_go(&self) -> bool {
        Mutex::let_go(self)
    }
}

/// A `T` in shared memory, zeroed at first.
pub(crate) struct Placed<T: Shareable> {
    region: ManuallyDrop<Region>,
    value: PhantomData<T>,
}

// SAFETY: the memory is used only through `&T`, and `T` may be used from anywhere; the region is
// an address and a length, and unmapped by the thread that drops it.
unsafe impl<T: Shareable> Send for Placed<T> {}
// SAFETY: as above.
unsafe impl<T: Shareable> Sync for Placed<T> {}

impl<T: Shareable> Placed<T> {
    pub(crate) fn zeroed() -> Result<Placed<T>> {
        Ok(Placed {
            region: ManuallyDrop::new(Region::exactly(size_of::<T>().max(1))?),
            value: PhantomData,
        })
    }
}

impl<T: Shareable> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the region is as large as a `T`, begins with a page, was zeroed, and lives as
        // long as `self`; the rest is the trait's promise.
        unsafe { self.region.base().cast::<T>().as_ref() }
    }
}

impl<T: Shareable> Drop for Placed<T> {
    fn drop(&mut self) {
        if T::let_go(self) {
            // SAFETY: dropped here and never used again.
            unsafe { ManuallyDrop::drop(&mut self.region) };
        }
    }
}

impl<T: Shareable> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").finish_non_exhaustive()
    }
}
