//! Numbers for the descriptors that the library keeps.
//!
//! The system gives each new descriptor the lowest free number. A program that has closed its
//! standard streams would get the pool's memory or a worker's line under number 1, and its next
//! `println!` would write into that. So every descriptor that stays open has a number above the
//! standard ones.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

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
