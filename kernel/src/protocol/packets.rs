//! Messages over a packet socket, between processes that may be killed at any moment.
//!
//! A snapshot continues to read where the killed user process stopped. So a packet arrives whole or
//! not at all, and the first packet of a message is marked: the rest of a truncated message is
//! skipped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use super::envelope::{Message, Reader};

/// The maximum packet size. Linux takes about 200 KB in one; a longer message travels in several.
const PACKET_BYTES: usize = 32 << 10;
/// The first byte of a packet that begins a message.
const BEGINS: u8 = 1;
const CONTINUES: u8 = 0;

/// One end of a wire. One process at a time reads and writes it.
pub struct Wire {
    socket: OwnedFd,
    reader: Reader,
}

impl Wire {
    /// A wire's end on this socket, of the kind `SOCK_SEQPACKET`.
    pub fn new(socket: OwnedFd) -> Wire {
        Wire {
            socket,
            reader: Reader::default(),
        }
    }

    /// Sends a message. Ignores errors: they mean that the other end is gone, which `receive` will
    /// notice.
    pub fn send(&self, message: &impl Message) {
        let mut first = BEGINS;
        for piece in message.seal().chunks(PACKET_BYTES - 1) {
            let packet = [&[first], piece].concat();
            while send(self.socket.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL)
                == Err(Errno::EINTR)
            {}
            first = CONTINUES;
        }
    }

    /// Waits for the next message; `None` when the other end is gone.
    pub fn receive<M: Message>(&mut self) -> Option<M> {
        loop {
            match self.take() {
                Ok(None) => {}
                Ok(message) => return message,
                Err(_) => return None,
            }
        }
    }

    /// Waits for the next packet. Returns the message if the packet completes one.
    ///
    /// # Errors
    ///
    /// When the other end is gone.
    pub fn take<M: Message>(&mut self) -> io::Result<Option<M>> {
        let mut packet = [0_u8; PACKET_BYTES];
        let n_bytes = loop {
            match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                received => break received?,
            }
        };
        let Some((first, piece)) = packet[..n_bytes].split_first() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if *first == BEGINS {
            self.reader.clear();
        } else if self.reader.is_empty() {
            return Ok(None);
        }
        self.reader.push(piece);
        // A packet has bytes of one message only.
        Ok(self.reader.messages().pop())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Wire {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;
    use crate::protocol::ToUser;

    fn wire() -> (Wire, Wire) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        (Wire::new(one), Wire::new(other))
    }

    #[test]
    fn a_long_message_arrives_whole() {
        let (sender, mut receiver) = wire();
        let sent: Vec<ToUser> = [0, 1, PACKET_BYTES, 3_000_000]
            .map(|n_bytes| ToUser::Guard("ö".repeat(n_bytes)))
            .into();
        let messages = sent.clone();
        let sending = std::thread::spawn(move || {
            messages.iter().for_each(|message| sender.send(message));
        });
        let received: Vec<ToUser> = std::iter::from_fn(|| receiver.receive()).collect();
        sending.join().unwrap();
        assert!(received == sent);
    }

    #[test]
    fn what_is_left_of_a_message_that_was_cut_is_passed_over() {
        let (sender, mut receiver) = wire();
        let whole = ToUser::Snapshot { slot: 1 };
        let cut = ToUser::Guard("x".repeat(2 * PACKET_BYTES));
        sender.send(&cut);
        sender.send(&whole);
        assert!(receiver.take::<ToUser>().unwrap().is_none());
        // The process that read the first packet is gone, and another one continues.
        receiver.reader.clear();
        assert_eq!(receiver.receive(), Some(whole));
        drop(sender);
        assert_eq!(receiver.receive::<ToUser>(), None);
    }
}
