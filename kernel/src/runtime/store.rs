//! The cells' store of variables, as far as this process knows it: `forklore::store` has the other
//! half.
//!
//! Cells are compiled with a library that this program does not contain. What is asked of their
//! store is therefore asked through functions whose addresses stand at the store's beginning.

use std::ffi::c_void;

/// What stands at the beginning of a store of the library. `forklore::store` has the same
/// definition.
#[repr(C)]
struct Handle {
    mark: u64,
    guard: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> usize,
    settle: unsafe extern "C" fn(*mut c_void, bool),
}

/// Tells a store of the library from evcxr's own, which cells have that do without the library.
const MARK: u64 = u64::from_le_bytes(*b"forkl-01");

/// The store that the last cell returned.
#[derive(Clone, Copy)]
pub(super) struct Store(pub(super) *mut c_void);

impl Store {
    fn handle(self) -> Option<&'static Handle> {
        let handle = self.0.cast::<Handle>();
        // SAFETY: a store is never freed, is aligned for pointers, and larger than its mark, of
        // whichever kind it is.
        let mark = (!handle.is_null()).then(|| unsafe { (&raw const (*handle).mark).read() });
        // SAFETY: the mark says that this is the library's, which begins with a handle that never
        // changes.
        (mark == Some(MARK)).then(|| unsafe { &*handle })
    }

    /// Copies the variables of these names, as far as they can be copied; gives the names of those.
    pub(super) fn guard(self, names: &str) -> String {
        let Some(handle) = self.handle() else {
            return String::new();
        };
        let mut names = Vec::from(names);
        // SAFETY: the store is this one, no cell runs, and the buffer is as long as it says.
        let n_bytes = unsafe { (handle.guard)(self.0, names.as_mut_ptr(), names.len()) };
        names.truncate(n_bytes);
        String::from_utf8_lossy(&names).into_owned()
    }

    /// Puts the copies in the place of what the cell has left, or throws them away.
    pub(super) fn settle(self, restores: bool) {
        if let Some(handle) = self.handle() {
            // SAFETY: as above.
            unsafe { (handle.settle)(self.0, restores) };
        }
    }
}
