//! This process' own attributes.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};

use super::procs::Pid;

/// This process' id.
pub(crate) fn pid() -> Pid {
    std::process::id() as Pid
}

/// Changes the name that `ps` and the like show.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: only changes this process' own attribute; the name ends with a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Becomes the leader of a new process group, so that `kill(0, …)` in a cell affects only the
/// cell's group.
pub(crate) fn lead_group() {
    // SAFETY: only changes this process' own attribute.
    unsafe { libc::setpgid(0, 0) };
}

/// Becomes the leader of a new session, so that signals to its previous group do not reach it.
pub(crate) fn lead_session() {
    // SAFETY: only changes this process' own attribute.
    unsafe { libc::setsid() };
}

/// Makes Linux kill this process when its parent dies. Async-signal-safe.
pub(crate) fn die_with_parent() {
    // SAFETY: only changes this process' own attribute.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Makes orphaned descendants children of this process.
///
/// # Errors
///
/// The OS's error.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: only changes this process' own attribute.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Writes a text to the standard error of this process's parent, which may differ from its own.
pub(crate) fn tell_parent(text: &str) {
    let path = format!("/proc/{}/fd/2", std::os::unix::process::parent_id());
    let there = File::options().append(true).open(path);
    // It may now belong to another user, or be closed: then nothing reads it.
    let _ = there.and_then(|mut file| file.write_all(text.as_bytes()));
}

/// Whether the calling thread is the main one. (The call is made by number, because glibc has a
/// function for it only since 2.30.)
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: both have no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) == i64::from(libc::getpid()) }
}

/// Flushes the buffers of C code's streams.
pub(crate) fn flush_c_streams() {
    // SAFETY: null means every stream.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// The version of this system's C library.
pub(crate) fn c_library_version() -> &'static [u8] {
    // SAFETY: the function returns a constant string of the C library.
    unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.to_bytes()
}
