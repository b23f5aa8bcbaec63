//! Where a shared object is in memory.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Where the shared object with this address is in memory; empty if there is none.
pub(super) fn object_of(address: usize) -> Range<usize> {
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: writes to `found`, which is valid when zeroed, and only compares the address.
    let base = unsafe {
        libc::dladdr(address as *const c_void, found.as_mut_ptr());
        found.assume_init().dli_fbase
    };
    if base.is_null() {
        return 0..0;
    }
    // SAFETY: an object that is loaded begins with its header, which says where the table of its segments is; both are mapped.
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
    }
}
