//! The types of the library's shared memory that a board names; there is none here.

pub(crate) mod heap {
    pub(crate) type Offset = u64;

    pub(crate) struct Heap;

    impl Heap {
        pub(crate) fn reserved(&self) -> *mut u8 {
            unreachable!("a model makes its words itself")
        }
    }
}

/// Values in memory that is zeroed at first.
pub(crate) mod placed {
    use std::ops::Deref;

    use crate::error::Result;
    use crate::sys::atomic::AtomicU32;
    use crate::sys::mutex::Mutex;
    use crate::sys::robust::Lifeline;

    /// # Safety
    /// The type is made of `AtomicU32`s.
    pub(crate) unsafe trait Shareable: Sync {
        fn let_go(&self) -> bool {
            true
        }
    }

    // SAFETY: it is one.
    unsafe impl Shareable for AtomicU32 {}
    // SAFETY: it is made of three.
    unsafe impl Shareable for Mutex {}
    // SAFETY: it is made of two, and of room for more.
    unsafe impl Shareable for Lifeline {}

    pub(crate) struct Placed<T: Shareable>(Box<T>);

    impl<T: Shareable> Placed<T> {
        pub(crate) fn zeroed() -> Result<Placed<T>> {
            Ok(Placed(zeroed()))
        }
    }

    /// What the library makes in zeroed memory: nothing but atomics of 32 bits, which are loom's
    /// here.
    pub(crate) fn zeroed<T: Shareable>() -> Box<T> {
        let n_words = size_of::<T>() / size_of::<AtomicU32>();
        assert_eq!(size_of::<T>(), n_words * size_of::<AtomicU32>());
        let mut memory = Box::<T>::new_uninit();
        let words = memory.as_mut_ptr().cast::<AtomicU32>();
        for place in 0..n_words {
            // SAFETY: there is room for this many.
            unsafe { words.add(place).write(AtomicU32::new(0)) };
        }
        // SAFETY: every atomic that the type is made of was written.
        unsafe { memory.assume_init() }
    }

    impl<T: Shareable> Deref for Placed<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }
}
