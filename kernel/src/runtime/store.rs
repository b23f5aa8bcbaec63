//! This process's side of the cells' variable store: `forklore::store` has the other half.
//!
//! Cells are compiled with a library that this program does not contain. So it calls their store
//! through function pointers at the start of the store.

use std::ffi::c_void;

/// The start of a store of the library. `forklore::store` has the same definition.
#[repr(C)]
struct Handle {
    mark: u64,
    guard: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> usize,
    settle: unsafe extern "C" fn(*mut c_void, bool),
}

/// Distinguishes a store of the library from evcxr's own, which cells without the library use.
const MARK: u64 = u64::from_le_bytes(*b"forkl-01");

/// The store that the last cell returned.
#[derive(Clone, Copy)]
pub(super) struct Store(pub(super) *mut c_void);

impl Store {
    fn handle(self) -> Option<&'static Handle> {
        let handle = self.0.cast::<Handle>();
        // SAFETY: a store of either kind is never freed, is aligned for pointers, and is larger
        // than its mark.
        let mark = (!handle.is_null()).then(|| unsafe { (&raw const (*handle).mark).read() });
        // SAFETY: the mark says that this is the library's, which begins with a handle that never
        // changes.
        (mark == Some(MARK)).then(|| unsafe { &*handle })
    }

    /// Copies those variables of these names that can be copied; returns their names.
    pub(super) fn guard(self, names: &str) -> String {
        let Some(handle) = self.handle() else {
            return String::new();
        };
        let mut names = Vec::from(names);
        // SAFETY: the store is this one, no cell runs, and the buffer has the given length.
        let n_bytes = unsafe { (handle.guard)(self.0, names.as_mut_ptr(), names.len()) };
        names.truncate(n_bytes);
        String::from_utf8_lossy(&names).into_owned()
    }

    /// Restores the variables from the copies, or discards the copies.
    pub(super) fn settle(self, restores: bool) {
        if let Some(handle) = self.handle() {
            // SAFETY: as above.
            unsafe { (handle.settle)(self.0, restores) };
        }
    }
}
