//! Open files by their numbers, which matter here: cells may use any number.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

/// Private descriptors of processes that run cells are moved above this number, away from those
/// that cells open.
const FIRST_PRIVATE: RawFd = 200;

/// An open descriptor of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// The number.
    pub(crate) number: RawFd,
    /// Device and inode, to detect whether the number still refers to the same file.
    pub(crate) identity: (u64, u64),
    /// Whether it is a pipe or a socket.
    pub(crate) is_stream: bool,
    is_closed_by_exec: bool,
}

impl Open {
    /// The open descriptor with this number, if any.
    pub(crate) fn at(number: RawFd) -> Option<Open> {
        // SAFETY: a zeroed structure is valid, and a successful call fills it in.
        let status = unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            if libc::fstat(number, &raw mut status) != 0 {
                return None;
            }
            status
        };
        // SAFETY: only reads the flags of a number, which need not be open.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        Some(Open {
            number,
            identity: (status.st_dev, status.st_ino),
            is_stream: matches!(
                status.st_mode & libc::S_IFMT,
                libc::S_IFIFO | libc::S_IFSOCK
            ),
            is_closed_by_exec: flags & libc::FD_CLOEXEC != 0,
        })
    }

    /// Puts a descriptor under this number, with the previous one's flags. The number must be free,
    /// or the descriptor's own.
    pub(crate) fn put_back(&self, descriptor: OwnedFd) {
        use std::os::fd::IntoRawFd;
        if descriptor.as_raw_fd() == self.number {
            let flags = if self.is_closed_by_exec {
                libc::FD_CLOEXEC
            } else {
                0
            };
            let number = descriptor.into_raw_fd();
            // SAFETY: the number is open and from here on belongs to the cells.
            unsafe { libc::fcntl(number, libc::F_SETFD, flags) };
        } else {
            let flags = if self.is_closed_by_exec {
                libc::O_CLOEXEC
            } else {
                0
            };
            // SAFETY: the number is free, as the caller promises; at worst this replaces another
            // file, which does not affect memory safety.
            unsafe { libc::dup3(descriptor.as_raw_fd(), self.number, flags) };
        }
    }
}

/// The open descriptor numbers of this process. One of them was open only for this call.
pub(crate) fn open_numbers() -> io::Result<Vec<RawFd>> {
    let open = std::fs::read_dir("/proc/self/fd")?;
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

/// Closes a number, open or not.
///
/// # Safety
///
/// No running code of this process owns it.
pub(crate) unsafe fn close(number: RawFd) {
    // SAFETY: the caller's promise.
    unsafe { libc::close(number) };
}

/// Replaces standard input, output or error (0, 1, 2) by another open file.
pub(crate) fn replace_standard(number: RawFd, with: &impl AsFd) -> io::Result<()> {
    assert!(
        (0..=2).contains(&number),
        "only the standard three are replaced"
    );
    // SAFETY: no value owns the standard three, so the call may close what they were.
    match unsafe { libc::dup2(with.as_fd().as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A copy of a descriptor with a number away from those that cells open.
pub(crate) fn out_of_the_way(descriptor: &impl AsFd) -> io::Result<OwnedFd> {
    let moved = fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(FIRST_PRIVATE))?;
    // SAFETY: the call has just made it, so it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// The number of bytes that can be read without waiting.
pub(crate) fn available_bytes(pipe: BorrowedFd<'_>) -> usize {
    let mut n_bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut n_bytes) };
    n_bytes.max(0) as usize
}

/// Opens a pipe again, with a separate description that never waits.
pub(crate) fn reopen(pipe: &impl AsFd, options: &mut OpenOptions) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", pipe.as_fd().as_raw_fd());
    options.custom_flags(libc::O_NONBLOCK).open(path)
}

/// The two ends of a packet socket.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SockType::SeqPacket)
}

/// A descriptor that reads as the end of the stream, and is a broken pipe for writes.
pub(crate) fn dead_end() -> io::Result<OwnedFd> {
    Ok(pair(SockType::Stream)?.0)
}

fn pair(kind: SockType) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, kind, None, flags)?)
}

/// Reads standard input unbuffered: the standard library's buffer would hide its content from
/// `poll`.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(io::stdin().as_fd(), buffer)?)
}

/// Writes to standard error without a lock and without allocation, for panic hooks.
pub(crate) fn write_standard_error(bytes: &[u8]) {
    // SAFETY: standard error is not closed by this program; if a cell has closed it, the call
    // fails.
    let standard_error = unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) };
    let _: Result<usize, Errno> = nix::unistd::write(standard_error, bytes);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_dead_end_reads_as_the_end_and_is_broken_to_write_to() {
        let mut end = File::from(dead_end().unwrap());
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0);
        let error = end.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_pipe_is_known_by_its_number() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let open = |end: &OwnedFd| Open::at(end.as_raw_fd()).unwrap();
        assert!(open(&reader).is_stream);
        assert_eq!(open(&reader).identity, open(&writer).identity);
        assert!(open_numbers().unwrap().contains(&reader.as_raw_fd()));
        File::from(writer).write_all(b"abc").unwrap();
        assert_eq!(available_bytes(reader.as_fd()), 3);
        let number = reader.as_raw_fd();
        drop(reader);
        let file = File::open("/proc/self/stat").unwrap();
        assert!(!Open::at(file.as_raw_fd()).unwrap().is_stream);
        let _ = number;
    }
}
