//! Forks.

use std::io;

use super::procs::Pid;

/// Forks this process: returns the child's pid in the parent and 0 in the child.
///
/// # Safety
///
/// If this process has more than one thread, the others may hold locks, which nothing releases in
/// the child. The C library handles its own. So the child must only call async-signal-safe
/// functions, or code that the caller knows to need none of these locks.
pub(crate) unsafe fn fork() -> io::Result<Pid> {
    // SAFETY: the caller's promise.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Forks a sibling of this process, a child of its parent, that shares its *table* of descriptors:
/// returns the sibling's pid, and 0 in the sibling.
///
/// # Safety
///
/// As [`fork`].
pub(crate) unsafe fn fork_sibling_with_descriptors() -> io::Result<Pid> {
    let flags = libc::CLONE_FILES | libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM this is a fork: the new process has a copy of memory and stack, and
    // all pointers may be null. The rest is the caller's promise.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid as Pid),
    }
}

/// Ends this process at once, without exit handlers, which belong to other code, and without
/// destructors.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: does not return and has no preconditions.
    unsafe { libc::_exit(code) }
}
