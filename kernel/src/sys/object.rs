//! Shared objects: loading them, and where they are in memory.

use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;

/// A shared object of this process. It is never unloaded, because values that it made may hold
/// pointers into it.
pub(crate) struct Object {
    handle: NonNull<c_void>,
    path: CString,
}

/// When the loader resolves the names that an object uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// On first use: less work if few are used.
    Lazy,
    /// At once, so that no use of the object waits for the loader's lock, which a fork may have
    /// left locked.
    Now,
}

impl Object {
    /// Loads the object at this path, and hides its names from other objects.
    ///
    /// # Safety
    ///
    /// The object's initialisers, which run here, are sound to run.
    ///
    /// # Errors
    ///
    /// The loader's message.
    pub(crate) unsafe fn load(path: &str, binding: Binding) -> Result<Object, String> {
        let path = CString::new(path).map_err(|error| error.to_string())?;
        // SAFETY: the path ends with a zero; the rest is the caller's promise.
        let handle = unsafe { libc::dlopen(path.as_ptr(), binding.flag() | libc::RTLD_LOCAL) };
        let handle = NonNull::new(handle).ok_or_else(last_error)?;
        Ok(Object { handle, path })
    }

    /// The address of a name.
    ///
    /// # Errors
    ///
    /// The loader's message if the object has no such name.
    pub(crate) fn symbol(&self, name: &CStr) -> Result<NonNull<c_void>, String> {
        // SAFETY: the object is loaded and the name ends with a zero.
        let address = unsafe { libc::dlsym(self.handle.as_ptr(), name.as_ptr()) };
        NonNull::new(address).ok_or_else(last_error)
    }

    /// Lets objects that are loaded later use this one's names.
    pub(crate) fn share_names(&self) {
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_GLOBAL;
        // SAFETY: the object is loaded, so no initialiser runs.
        unsafe { libc::dlopen(self.path.as_ptr(), flags) };
    }
}

impl Binding {
    fn flag(self) -> i32 {
        match self {
            Binding::Lazy => libc::RTLD_LAZY,
            Binding::Now => libc::RTLD_NOW,
        }
    }
}

fn last_error() -> String {
    // SAFETY: returns null or a string that lives until the next call.
    let error = unsafe { libc::dlerror() };
    if error.is_null() {
        return String::new();
    }
    // SAFETY: as above, and null is checked.
    let error = unsafe { CStr::from_ptr(error) };
    error.to_string_lossy().into_owned()
}

fn information(address: usize) -> libc::Dl_info {
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: writes to `found`, which is valid when zeroed, and only compares the address.
    unsafe {
        libc::dladdr(address as *const c_void, found.as_mut_ptr());
        found.assume_init()
    }
}

/// The path of the shared object that contains this address, and the address's offset in it.
pub(crate) fn path_and_offset(address: usize) -> Option<(&'static CStr, usize)> {
    let found = information(address);
    if found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader owns the name, and objects are never unloaded here.
    let path = unsafe { CStr::from_ptr(found.dli_fname) };
    Some((path, address - found.dli_fbase as usize))
}

/// The address range of the shared object that contains this address; empty if there is none.
pub(crate) fn object_of(address: usize) -> Range<usize> {
    let base = information(address).dli_fbase;
    if base.is_null() {
        return 0..0;
    }
    // SAFETY: a loaded object begins with its header, which locates the table of its segments; both
    // are mapped.
    let segments = unsafe {
        let header = &*base.cast::<libc::Elf64_Ehdr>();
        let table = base
            .byte_add(header.e_phoff as usize)
            .cast::<libc::Elf64_Phdr>();
        std::slice::from_raw_parts(table, header.e_phnum.into())
    };
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type == libc::PT_LOAD);
    let end = loaded
        .map(|segment| segment.p_vaddr + segment.p_memsz)
        .max();
    base as usize..base as usize + end.unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_a_function_is_found() {
        let address = object_of as fn(usize) -> Range<usize> as usize;
        assert!(object_of(address).contains(&address));
        assert!(object_of(1).is_empty());
        let (path, offset) = path_and_offset(address).unwrap();
        assert!(!path.is_empty() && offset == address - object_of(address).start);
        assert!(path_and_offset(1).is_none());
    }
}
