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
