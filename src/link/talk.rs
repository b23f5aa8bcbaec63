//! Messages over a link: a head, which is any value that serde can serialize, and a payload of
//! bytes.

use std::io::{self, ErrorKind};
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Link, MAX_FRAME};
use crate::wire;

/// The first byte of a frame that is not the message's last.
const MORE: u8 = 0;
/// The first byte of the message's last frame.
const LAST: u8 = 1;
/// No message: nothing is under way, and the processes that carry frames may sleep until the next.
pub(crate) const QUIET: u8 = 2;
/// No message: none will follow, and the processes that carry frames may end. A link over MPI does
/// not show by itself that the other side is gone.
pub(crate) const END: u8 = 3;

/// Sends and receives messages over a link.
pub(crate) struct Talk<L> {
    link: L,
    /// The received part of the message that is arriving.
    arriving: Vec<u8>,
}

/// A message that was received.
pub(crate) struct Received<H> {
    pub(crate) head: H,
    bytes: Vec<u8>,
    payload: usize,
}

impl<H> Received<H> {
    /// The head, and the payload.
    pub(crate) fn split(self) -> (H, Payload) {
        let Received {
            head,
            bytes,
            payload,
        } = self;
        (head, Payload(bytes, payload))
    }
}

/// The payload of a message, from an offset on.
pub(crate) struct Payload(Vec<u8>, usize);

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

impl<L: Link> Talk<L> {
    pub(crate) fn new(link: L) -> Talk<L> {
        Talk {
            link,
            arriving: Vec::new(),
        }
    }

    pub(crate) fn link(&self) -> &L {
        &self.link
    }

    /// The link alone. The received part of an arriving message is lost.
    pub(crate) fn into_link(self) -> L {
        self.link
    }

    /// Queues a message: the head, and the parts of the payload, concatenated.
    ///
    /// # Errors
    /// If the other side is gone.
    pub(crate) fn send<H: Serialize>(&mut self, head: &H, payload: &[&[u8]]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(128);
        frame.push(LAST);
        frame.extend([0; size_of::<u32>()]);
        wire::encode(head, &mut frame).map_err(io::Error::other)?;
        let n_head = frame.len() - 1 - size_of::<u32>();
        let n_head = u32::try_from(n_head).map_err(|_| {
            let what = format!("a message's head has {n_head} bytes; send fewer items at once");
            io::Error::new(ErrorKind::InvalidInput, what)
        })?;
        frame[1..=size_of::<u32>()].copy_from_slice(&n_head.to_le_bytes());
        // A head may be long: it may hold a list of items.
        while frame.len() > MAX_FRAME {
            let rest = frame.split_off(MAX_FRAME - 1);
            frame = self.pass_on(frame, &rest)?;
        }
        for mut part in payload.iter().copied() {
            loop {
                let room = MAX_FRAME - frame.len();
                let (fits, rest) = part.split_at(room.min(part.len()));
                frame.extend_from_slice(fits);
                if rest.is_empty() {
                    break;
                }
                frame = self.pass_on(frame, &[])?;
                part = rest;
            }
        }
        self.link.send(frame)
    }

    /// Lets all processes that carry frames sleep until the next message is sent.
    ///
    /// # Errors
    /// If the other side is gone.
    pub(crate) fn fall_quiet(&mut self) -> io::Result<()> {
        self.link.send(vec![QUIET])
    }

    /// Sends a frame that is not the last, and starts the next with some bytes.
    fn pass_on(&mut self, mut frame: Vec<u8>, next: &[u8]) -> io::Result<Vec<u8>> {
        frame[0] = MORE;
        self.link.send(frame)?;
        let mut frame = Vec::with_capacity(MAX_FRAME);
        frame.push(LAST);
        frame.extend_from_slice(next);
        Ok(frame)
    }

    /// The next message that has arrived completely, if any.
    ///
    /// # Errors
    /// If the other side is gone, or has sent something other than a message.
    pub(crate) fn receive<H: DeserializeOwned>(&mut self) -> io::Result<Option<Received<H>>> {
        loop {
            let Some(mut frame) = self.link.receive()? else {
                return Ok(None);
            };
            let kind = *frame.first().ok_or_else(nonsense)?;
            if kind == QUIET {
                continue;
            }
            if self.arriving.is_empty() {
                self.arriving = frame;
            } else {
                self.arriving.extend_from_slice(&frame[1..]);
                frame.clear();
            }
            match kind {
                MORE => {}
                LAST => return read(std::mem::take(&mut self.arriving)).map(Some),
                _ => return Err(nonsense()),
            }
        }
    }
}

fn read<H: DeserializeOwned>(bytes: Vec<u8>) -> io::Result<Received<H>> {
    let (length, rest) = bytes[1..].split_first_chunk::<4>().ok_or_else(nonsense)?;
    let n_head = u32::from_le_bytes(*length) as usize;
    let head = rest.get(..n_head).ok_or_else(nonsense)?;
    let head = wire::decode(head).map_err(io::Error::other)?;
    let payload = 1 + size_of::<u32>() + n_head;
    Ok(Received {
        head,
        bytes,
        payload,
    })
}

fn nonsense() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "what has arrived is no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A link that returns the frames that are sent over it.
    #[derive(Default)]
    struct Echo(VecDeque<Vec<u8>>);

    impl Link for Echo {
        fn send(&mut self, frame: Vec<u8>) -> io::Result<()> {
            assert!(frame.len() <= MAX_FRAME);
            self.0.push_back(frame);
            Ok(())
        }

        fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
            Ok(self.0.pop_front())
        }

        fn progress(&mut self) {}

        fn n_queued_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn messages_of_all_lengths_arrive_whole() {
        let mut talk = Talk::new(Echo::default());
        let long_list: Vec<u32> = (0..1_000_000).collect();
        let bytes: Vec<u8> = (0..5 * MAX_FRAME).map(|i| i as u8).collect();
        for n_bytes in [0, 1, MAX_FRAME - 6, MAX_FRAME, bytes.len()] {
            for list in [&[][..], &[1, 2, 3], &long_list] {
                let (first, second) = bytes[..n_bytes].split_at(n_bytes / 3);
                talk.send(&(7u8, list), &[first, second]).unwrap();
                talk.send(&(8u8, [0u32; 0].as_slice()), &[]).unwrap();
                let message: Received<(u8, Vec<u32>)> = talk.receive().unwrap().unwrap();
                let (head, payload) = message.split();
                assert_eq!(head, (7, list.to_vec()));
                assert_eq!(*payload, bytes[..n_bytes]);
                let message: Received<(u8, Vec<u32>)> = talk.receive().unwrap().unwrap();
                let (head, payload) = message.split();
                assert_eq!((head.0, &*payload), (8, &[][..]));
            }
        }
        assert!(talk.receive::<(u8, Vec<u32>)>().unwrap().is_none());
    }

    #[test]
    fn nonsense_is_no_message() {
        for frame in [
            vec![],
            vec![9, 0, 0, 0, 0],
            vec![LAST, 1],
            vec![LAST, 200, 0, 0, 0, 1],
        ] {
            let mut talk = Talk::new(Echo::default());
            talk.link.0.push_back(frame);
            assert!(talk.receive::<(u8, u64)>().is_err());
        }
    }
}
