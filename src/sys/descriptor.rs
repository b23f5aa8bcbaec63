//! Numbers for the descriptors that the library keeps.
//!
//! The system gives each new descriptor the lowest free number. A program that has closed its
//! standard streams would get the pool's memory or a worker's line under number 1, and its next
//! `println!` would write into that. So every descriptor that stays open has a number above the
//! standard ones.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::resource::{Resource, getrlimit};

/// The lowest number behind standard input, output and error.
const FIRST: i32 = 3;

/// The same file under a number that no standard stream has.
pub(crate) fn above_standard(file: OwnedFd) -> io::Result<OwnedFd> {
    if file.as_raw_fd() >= FIRST {
        return Ok(file);
    }
    // SAFETY: the call takes numbers, and gives a new descriptor or -1.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor is new and has no other owner.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Closes every descriptor of this process but the standard ones and those given, none of which
/// anything uses any more.
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let open = all_open().into_iter();
    let closed: Vec<RawFd> = open
        .filter(|fd| *fd >= FIRST && !kept.contains(fd))
        .collect();
    close(&closed);
}

/// Closes descriptors that nothing uses any more, whatever values own them.
pub(crate) fn close(files: &[RawFd]) {
    for &fd in files {
        // SAFETY: the caller vouches that nothing uses the descriptor.
        unsafe { libc::close(fd) };
    }
}

/// The numbers that may be open: those that are, where `/proc` tells.
pub(crate) fn all_open() -> Vec<RawFd> {
    /// More would take milliseconds to look at.
    const MOST: u64 = 4096;
    match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
        Err(_) => {
            let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((MOST, MOST));
            (0..limit.min(MOST) as RawFd).collect()
        }
    }
}

/// Opens `/dev/null` under each standard number that is free, as the standard library does before
/// `main`: a file that is opened later must not be taken for a standard stream.
pub(crate) fn fill_standard() {
    for fd in 0..FIRST {
        // SAFETY: the calls take numbers and a C string. The number is free, and the lowest such
        // number.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) == -1 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}
