//! A descriptor that one process makes readable for another (eventfd(2)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::descriptor::above_standard;

/// Readable from when a process [sets](EventFd::set) it until one [clears](EventFd::clear) it. All
/// processes that inherited it share it.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// # Errors
    /// If this process or the system has too many files open.
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: the call takes numbers and returns a new descriptor or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and has no other owner.
        above_standard(unsafe { OwnedFd::from_raw_fd(fd) }).map(EventFd)
    }

    /// An eventfd that this process has inherited.
    pub(crate) fn inherited(file: OwnedFd) -> EventFd {
        EventFd(file)
    }

    /// Makes it readable. If a task has closed this descriptor and another file now has its number,
    /// this writes nothing into that file.
    pub(crate) fn set(&self) {
        let fd = self.0.as_raw_fd();
        if has_no_file_type(fd) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer has the given length. If the counter is full, the write fails, but
            // the descriptor is readable anyway.
            unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
        }
    }

    /// Makes it unreadable until it is set again.
    #[cfg(any(feature = "async", test))]
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer has the given length. The descriptor does not block.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a descriptor is not a file, socket, pipe or device, but anonymous, as an eventfd is.
fn has_no_file_type(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the buffer is a record of the kind that is written, and all of its bytes are numbers;
    // whatever the descriptor is, it is only asked.
    unsafe {
        libc::fstat(fd, stat.as_mut_ptr()) == 0 && stat.assume_init().st_mode & libc::S_IFMT == 0
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(eventfd: &EventFd) -> bool {
        let mut fds = [PollFd::new(eventfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn it_is_readable_from_set_to_clear() {
        let eventfd = EventFd::new().unwrap();
        assert!(!is_readable(&eventfd));
        eventfd.set();
        eventfd.set();
        assert!(is_readable(&eventfd));
        eventfd.clear();
        assert!(!is_readable(&eventfd));
        eventfd.clear();
    }

    #[test]
    fn nothing_is_written_into_a_file_that_has_its_number() {
        use std::io::{Seek, Write};
        let path = std::env::temp_dir().join(format!("forklore-eventfd-{}", std::process::id()));
        let mut file = std::fs::File::create_new(&path).unwrap();
        file.write_all(b"12345678").unwrap();
        EventFd::inherited(file.try_clone().unwrap().into()).set();
        assert_eq!(file.stream_position().unwrap(), 8);
        std::fs::remove_file(path).unwrap();
    }
}
