//! A line between two processes: short messages of three numbers, in order.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::descriptor::above_standard;
use crate::error::{Error, Result};

/// One end. Dropping it closes it, and the other end then reads the end of the stream.
#[derive(Debug)]
pub(crate) struct Line(UnixStream);

/// A message: its kind, and two numbers.
pub(crate) type Message = [i64; 3];

const MESSAGE_BYTES: usize = size_of::<Message>();

/// Makes a line.
pub(crate) fn line() -> Result<(Line, Line)> {
    let end = |stream: UnixStream| above_standard(stream.into()).map(|file| Line(file.into()));
    UnixStream::pair()
        .and_then(|(here, there)| Ok((end(here)?, end(there)?)))
        .map_err(|error| {
            Error::os(
                "cannot make a socket (see ulimit -n for how many files a process may have)",
                error,
            )
        })
}

impl Line {
    /// An end that this process has inherited.
    pub(crate) fn inherited(file: OwnedFd) -> Line {
        Line(file.into())
    }

    /// Shuts the line down for both sides.
    pub(crate) fn shut(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a message; false if the other end is closed.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.send_bytes(message.map(i64::to_le_bytes).as_flattened())
    }

    /// Sends a message followed by a text, in one step: a receiver of the message need not wait for
    /// the text. False if the other end is closed.
    pub(crate) fn send_with(&self, message: Message, text: &str) -> bool {
        let message = message.map(i64::to_le_bytes);
        self.send_bytes(&[message.as_flattened(), text.as_bytes()].concat())
    }

    /// Receives the text of `n_bytes` that follows a message.
    pub(crate) fn receive_text(&self, n_bytes: usize) -> Option<String> {
        let mut bytes = vec![0; n_bytes];
        let is_there = self.receive_bytes(&mut bytes);
        is_there.then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for a message; `None` if the other end is closed.
    pub(crate) fn receive(&self) -> Option<Message> {
        let mut bytes = [0; MESSAGE_BYTES];
        if !self.receive_bytes(&mut bytes) {
            return None;
        }
        let (numbers, _) = bytes.as_chunks::<8>();
        Some(std::array::from_fn(|index| {
            i64::from_le_bytes(numbers[index])
        }))
    }

    /// Fills `bytes` from the other end; false if that is closed first.
    pub(super) fn receive_bytes(&self, bytes: &mut [u8]) -> bool {
        (&self.0).read_exact(bytes).is_ok()
    }

    /// Sends a few bytes; false if the other end is closed.
    pub(super) fn send_bytes(&self, bytes: &[u8]) -> bool {
        loop {
            // SAFETY: the buffer has the given length. The call raises no signal when the other end
            // is gone.
            let sent = unsafe {
                libc::send(
                    self.0.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    libc::MSG_NOSIGNAL,
                )
            };
            if sent >= 0 || std::io::Error::last_os_error().kind() != ErrorKind::Interrupted {
                // A socket takes this little data completely or not at all.
                return sent == bytes.len() as isize;
            }
        }
    }

    /// Waits until there is something to receive, including the end; false if the time is over.
    pub(crate) fn is_ready_within(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, timeout).is_ok_and(|n| n > 0)
    }
}

/// The maximum number of files in one message.
const MAX_FILES: usize = 4;
const FILE_BYTES: usize = size_of::<RawFd>();

/// A message's control data, aligned as its header.
#[repr(C)]
struct Control {
    head: libc::cmsghdr,
    files: [RawFd; MAX_FILES],
}

impl Line {
    /// Sends a few bytes together with files; false if the other end is closed.
    pub(crate) fn send_files(&self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        let mut control = Control::of_files(files.len());
        for (number, file) in control.files.iter_mut().zip(files) {
            *number = file.as_raw_fd();
        }
        let sent = control.with(bytes.as_ptr().cast_mut(), bytes.len(), |message| {
            // SAFETY: the call reads the message's parts, which live until it returns.
            unsafe { libc::sendmsg(self.0.as_raw_fd(), message, libc::MSG_NOSIGNAL) }
        });
        sent == bytes.len() as isize
    }

    /// Fills `bytes` from one message, and takes its files; `None` if the other end is closed.
    pub(crate) fn receive_files(&self, bytes: &mut [u8]) -> Option<Vec<OwnedFd>> {
        let mut control = Control::empty();
        let got = control.with(bytes.as_mut_ptr(), bytes.len(), |message| {
            let flags = libc::MSG_CMSG_CLOEXEC;
            // SAFETY: the message's parts have the given lengths, and live until the call returns.
            unsafe { libc::recvmsg(self.0.as_raw_fd(), message, flags) }
        });
        // SAFETY: the descriptors are new, and have no other owner.
        let own = |&number: &RawFd| unsafe { OwnedFd::from_raw_fd(number) };
        let files = control.files[..control.n_files()].iter().map(own).collect();
        (got == bytes.len() as isize).then_some(files)
    }
}

impl Control {
    fn empty() -> Control {
        // SAFETY: zero is a value of each of its numbers.
        unsafe { std::mem::zeroed() }
    }

    /// Control data with room for this many files.
    fn of_files(n_files: usize) -> Control {
        let mut control = Control::empty();
        // SAFETY: takes a number.
        control.head.cmsg_len = unsafe { libc::CMSG_LEN((n_files * FILE_BYTES) as u32) } as _;
        control.head.cmsg_level = libc::SOL_SOCKET;
        control.head.cmsg_type = libc::SCM_RIGHTS;
        control
    }

    /// The number of files received.
    fn n_files(&self) -> usize {
        // The length's type depends on the C library.
        let are_there = |&n: &usize| self.head.cmsg_len >= Control::of_files(n).head.cmsg_len;
        (1..=MAX_FILES).take_while(are_there).count()
    }

    /// How much of it to pass: all when receiving files.
    fn n_bytes(&self) -> usize {
        match self.n_files() {
            0 => size_of::<Control>(),
            // SAFETY: takes a number.
            n_files => unsafe { libc::CMSG_SPACE((n_files * FILE_BYTES) as u32) as usize },
        }
    }

    /// Sends or receives with this control data, and repeats if a signal interrupts the call.
    fn with(
        &mut self,
        bytes: *mut u8,
        n_bytes: usize,
        mut call: impl FnMut(*mut libc::msghdr) -> isize,
    ) -> isize {
        loop {
            let mut part = libc::iovec {
                iov_base: bytes.cast(),
                iov_len: n_bytes,
            };
            // SAFETY: zero is a value of each of its numbers and pointers.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = std::ptr::from_mut(self).cast();
            message.msg_controllen = self.n_bytes() as _;
            let done = call(&raw mut message);
            if done >= 0 || std::io::Error::last_os_error().kind() != ErrorKind::Interrupted {
                return done;
            }
        }
    }
}

impl From<Line> for OwnedFd {
    fn from(line: Line) -> OwnedFd {
        line.0.into()
    }
}

impl From<OwnedFd> for Line {
    fn from(file: OwnedFd) -> Line {
        Line::inherited(file)
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_beside_bytes() {
        let (here, there) = line().unwrap();
        let (first, second) = line().unwrap();
        let files = [first.as_fd(), second.as_fd(), here.as_fd(), first.as_fd()];
        assert!(here.send_files(b"12345678", &files[..3]) && here.send_files(b"abcdefgh", &files));
        let mut bytes = [0; 8];
        let three = there.receive_files(&mut bytes).unwrap();
        let [one, ..]: [OwnedFd; 3] = three.try_into().unwrap();
        assert_eq!(&bytes, b"12345678");
        let four = there.receive_files(&mut bytes).unwrap();
        let [_, two, ..]: [OwnedFd; 4] = four.try_into().unwrap();
        assert_eq!(&bytes, b"abcdefgh");
        assert!(Line::from(one).send([1, 2, 3]));
        assert_eq!(Line::from(two).receive(), Some([1, 2, 3]));
        drop(here);
        assert!(there.receive_files(&mut bytes).is_none());
    }

    #[test]
    fn what_is_said_is_heard_and_the_end_too() {
        let (here, there) = line().unwrap();
        assert!(!there.is_ready_within(Duration::ZERO));
        assert!(here.send([1, -2, i64::MAX]) && here.send([4, 5, 6]));
        assert!(there.is_ready_within(Duration::from_secs(60)));
        assert_eq!(there.receive(), Some([1, -2, i64::MAX]));
        assert_eq!(there.receive(), Some([4, 5, 6]));
        assert!(here.send_with([7, 0, 4], "text") && here.send([8, 0, 0]));
        assert_eq!(there.receive(), Some([7, 0, 4]));
        assert_eq!(there.receive_text(4).as_deref(), Some("text"));
        assert_eq!(there.receive(), Some([8, 0, 0]));
        drop(here);
        assert_eq!(there.receive(), None);
        assert!(!there.send([1, 2, 3]));
    }
}
