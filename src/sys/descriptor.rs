//! Numbers for the descriptors that the library keeps open.
//!
//! The OS gives each new descriptor the lowest free number. In a program that has closed its
//! standard streams, the pool's memory or a worker's line would get number 1, and the next
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
        // SAFETY: the caller guarantees that nothing uses the descriptor.
        unsafe { libc::close(fd) };
    }
}

/// The numbers that may be open: exactly those that are, if `/proc` is mounted.
pub(crate) fn all_open() -> Vec<RawFd> {
    /// Checking more would take milliseconds.
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

/// Opens `/dev/null` under each free standard number, as the standard library does before `main`,
/// so that no file that is opened later becomes a standard stream.
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
