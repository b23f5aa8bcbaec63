//! A Unix socket as a [`Link`].

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use super::{Link, MAX_FRAME};
use crate::sys::socket;

/// The length before each frame.
const LENGTH_BYTES: usize = size_of::<u32>();
/// How much is read at once, if frames are short.
const READ_BYTES: usize = 1 << 16;

/// One end of a socket; each frame is preceded by its length.
pub(crate) struct SocketLink {
    stream: UnixStream,
    queue: VecDeque<Vec<u8>>,
    /// The number of bytes of the first frame, including its length, that have been written.
    n_written: usize,
    n_queued: usize,
    n_moved_bytes: u64,
    /// Bytes that were read at once and not handed out: frames, with their lengths.
    input: Box<[u8]>,
    unread: Range<usize>,
    /// A frame of which some has arrived, and its length: the rest is read directly into it.
    coming: Option<(Vec<u8>, usize)>,
    /// The last read emptied the socket, so the next call reads nothing.
    is_dry: bool,
}

impl SocketLink {
    /// A link over a connected socket.
    ///
    /// # Errors
    /// If the socket cannot be made nonblocking.
    pub(crate) fn new(stream: UnixStream) -> io::Result<SocketLink> {
        stream.set_nonblocking(true)?;
        Ok(SocketLink {
            stream,
            queue: VecDeque::new(),
            n_written: 0,
            n_queued: 0,
            n_moved_bytes: 0,
            input: vec![0; READ_BYTES].into(),
            unread: 0..0,
            coming: None,
            is_dry: false,
        })
    }

    /// The number of bytes that were handed over or received so far.
    pub(crate) fn n_moved_bytes(&self) -> u64 {
        self.n_moved_bytes
    }

    /// Sleeps until something can be received, more of the queue can be handed over, or the time is
    /// over.
    pub(crate) fn wait(&self, longest: Duration) {
        let mut fds = [PollFd::new(self.stream.as_fd(), self.events())];
        // An interruption is like an event: the caller checks again.
        let _ = ppoll(
            &mut fds,
            Some(TimeSpec::from_duration(longest)),
            None::<SigSet>,
        );
    }

    /// The events of the socket that mean that there is something to do.
    pub(crate) fn events(&self) -> PollFlags {
        match self.queue.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(frame) = self.queue.front() {
            let length = (frame.len() as u32).to_le_bytes();
            let head = &length[self.n_written.min(LENGTH_BYTES)..];
            let body = &frame[self.n_written.saturating_sub(LENGTH_BYTES)..];
            let parts = [IoSlice::new(head), IoSlice::new(body)];
            match socket::send(self.stream.as_fd(), &parts) {
                Ok(n) => {
                    self.n_written += n;
                    self.n_queued -= n;
                    self.n_moved_bytes += n as u64;
                    if self.n_written == LENGTH_BYTES + frame.len() {
                        self.queue.pop_front();
                        self.n_written = 0;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next frame, if it has arrived completely.
    fn next_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some((frame, _)) = self.coming.take_if(|(frame, n)| frame.len() == *n) {
            return Ok(Some(frame));
        }
        let unread = &self.input[self.unread.clone()];
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let n_bytes = u32::from_le_bytes(*length) as usize;
        if n_bytes > MAX_FRAME {
            let what = format!("a frame of {n_bytes} bytes has arrived, and none is that long");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        if let Some(frame) = rest.get(..n_bytes) {
            let frame = frame.to_vec();
            self.unread.start += LENGTH_BYTES + n_bytes;
            return Ok(Some(frame));
        }
        let mut frame = Vec::with_capacity(n_bytes);
        frame.extend_from_slice(rest);
        self.coming = Some((frame, n_bytes));
        self.unread = 0..0;
        Ok(None)
    }

    /// Reads what has arrived; false if nothing has.
    fn fill(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.is_dry) {
            return Ok(false);
        }
        // Less than a length is left.
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        loop {
            let (read, n_wanted) = match &mut self.coming {
                Some((frame, n_bytes)) => {
                    let n_wanted = *n_bytes - frame.len();
                    let read = socket::receive_behind(self.stream.as_fd(), frame, n_wanted);
                    (read, n_wanted)
                }
                None => {
                    let room = &mut self.input[self.unread.end..];
                    let n_wanted = room.len();
                    let read = self.stream.read(room);
                    self.unread.end += *read.as_ref().unwrap_or(&0);
                    (read, n_wanted)
                }
            };
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.is_dry = n < n_wanted;
                    self.n_moved_bytes += n as u64;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Link for SocketLink {
    fn send(&mut self, frame: Vec<u8>) -> io::Result<()> {
        self.n_queued += LENGTH_BYTES + frame.len();
        self.queue.push_back(frame);
        self.flush()
    }

    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let flushed = self.flush();
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(Some(frame));
            }
            // Everything that the other side sent before it ended is received first.
            if !self.fill()? {
                return flushed.map(|()| None);
            }
        }
    }

    fn progress(&mut self) {
        let _ = self.flush();
    }

    fn n_queued_bytes(&self) -> usize {
        self.n_queued
    }
}

impl AsFd for SocketLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl From<SocketLink> for OwnedFd {
    fn from(link: SocketLink) -> OwnedFd {
        link.stream.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (SocketLink, SocketLink) {
        let (here, there) = UnixStream::pair().unwrap();
        (
            SocketLink::new(here).unwrap(),
            SocketLink::new(there).unwrap(),
        )
    }

    /// Receives frames of these lengths, filled with `fill(length)`, and hands over queued data.
    fn exchange(mut link: SocketLink, lengths: &[usize], fill: impl Fn(usize) -> u8) {
        let mut lengths = lengths.iter();
        let mut next = lengths.next();
        while next.is_some() || link.n_queued_bytes() > 0 {
            let received = match link.receive() {
                // The other side received the last of the queue, and is gone.
                Err(error) if next.is_none() && error.kind() == ErrorKind::UnexpectedEof => break,
                received => received.unwrap(),
            };
            match (received, next) {
                (Some(frame), Some(&length)) => {
                    assert_eq!(frame, vec![fill(length); length]);
                    next = lengths.next();
                }
                (Some(frame), None) => panic!("{} bytes more than were sent", frame.len()),
                (None, _) => link.wait(Duration::from_secs(60)),
            }
        }
    }

    #[test]
    fn frames_of_all_lengths_arrive_in_order_while_both_sides_send() {
        let (mut here, mut there) = pair();
        let lengths = [0, 1, 7, MAX_FRAME, 3, 100_000, MAX_FRAME];
        for length in lengths {
            here.send(vec![length as u8; length]).unwrap();
            there.send(vec![!length as u8; length]).unwrap();
        }
        assert!(here.n_queued_bytes() > 0);
        let other = std::thread::spawn(move || exchange(there, &lengths, |length| length as u8));
        exchange(here, &lengths, |length| !length as u8);
        other.join().unwrap();
    }

    #[test]
    fn what_was_sent_before_the_end_is_received() {
        let (mut here, mut there) = pair();
        here.send(b"last".to_vec()).unwrap();
        drop(here);
        assert_eq!(there.receive().unwrap().unwrap(), b"last");
        let error = loop {
            match there.receive() {
                Ok(frame) => assert_eq!(frame, None),
                Err(error) => break error,
            }
            there.wait(Duration::from_secs(60));
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_is_no_frame() {
        let (here, mut there) = pair();
        (&here.stream).write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(there.receive().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
