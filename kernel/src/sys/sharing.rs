//! Shared memory, and limits on memory.

use std::io;

use super::procs::Pid;

/// Maps a new, zeroed `T` that all processes forked from now on share. It is never unmapped.
///
/// # Safety
///
/// A zeroed `T` is valid, and may be used by several processes at once.
pub(crate) unsafe fn map_shared<T: Sync>() -> io::Result<&'static T> {
    // SAFETY: a new mapping at an address that Linux chooses overlaps nothing.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is large enough, aligned to a page and never unmapped; the rest is the
    // caller's promise.
    Ok(unsafe { &*address.cast::<T>() })
}

/// Makes allocations fail that would exceed this many bytes of private memory in a process; `None`
/// for its hard limit. It ignores a process that is gone.
pub(crate) fn limit_data(pid: Pid, bytes: Option<u64>) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is valid for both calls.
    unsafe {
        if libc::prlimit(pid, libc::RLIMIT_DATA, std::ptr::null(), &raw mut limit) != 0 {
            return;
        }
        limit.rlim_cur = bytes.map_or(limit.rlim_max, |bytes| bytes.min(limit.rlim_max));
        let new = &raw const limit;
        libc::prlimit(pid, libc::RLIMIT_DATA, new, std::ptr::null_mut());
    }
}

/// Disables core files for this process and its children: that of a large process takes seconds to
/// write.
pub(crate) fn write_no_core_files() {
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the structure is valid; a refused call changes nothing.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}
