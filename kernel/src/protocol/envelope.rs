//! The envelope of every message: a length (4 bytes, little endian), a kind (1 byte), and the
//! payload of that length.

use serde::Serialize;
use serde::de::DeserializeOwned;

const HEADER_BYTES: usize = 5;
/// The kind of a JSON payload. Each message type defines the other kinds.
const JSON: u8 = 0;

/// A message that travels in an envelope.
///
/// Most messages are short and rare, and travel as JSON. A message with bytes sends them unencoded.
pub trait Message: Serialize + DeserializeOwned {
    /// The message's kind (not 0) and bytes, if it has that form.
    fn as_bytes(&self) -> Option<(u8, &[u8])> {
        None
    }

    /// Decodes a message of such a kind; `None` for a kind that this type does not have.
    fn from_bytes(_kind: u8, _bytes: &[u8]) -> Option<Self> {
        None
    }

    /// Puts the message into its envelope.
    fn seal(&self) -> Vec<u8> {
        match self.as_bytes() {
            Some((kind, bytes)) => seal(kind, bytes),
            None => seal(JSON, &serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// Takes the message out; `None` for an unknown one.
    fn open(kind: u8, payload: &[u8]) -> Option<Self> {
        match kind {
            JSON => serde_json::from_slice(payload).ok(),
            kind => Self::from_bytes(kind, payload),
        }
    }
}

fn seal(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(HEADER_BYTES + payload.len());
    envelope.extend((payload.len() as u32).to_le_bytes());
    envelope.push(kind);
    envelope.extend(payload);
    envelope
}

/// Collects bytes as they arrive and returns whole messages.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Discards an incomplete message.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether no message has begun.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The complete messages so far. Messages of an unknown kind are skipped.
    pub fn messages<M: Message>(&mut self) -> Vec<M> {
        let mut messages = Vec::new();
        let mut from = 0;
        while let Some(&[a, b, c, d, kind]) = self.bytes.get(from..from + HEADER_BYTES) {
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            let start = from + HEADER_BYTES;
            let Some(payload) = self.bytes.get(start..start + length) else {
                break;
            };
            messages.extend(M::open(kind, payload));
            from = start + length;
        }
        self.bytes.drain(..from);
        messages
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Aftermath, Failure, Frame, Output, Place, ToKernel, ToSupervisor};

    #[test]
    fn messages_survive_any_cut() {
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 3,
            column: 7,
        };
        let failure = Failure {
            name: "Panic".to_owned(),
            message: "ö\n\0".to_owned(),
            causes: vec!["that".to_owned()],
            frames: vec![Frame {
                object: 2,
                offset: 3,
            }],
            place: Some(place),
            aftermath: Aftermath::RolledBack(Vec::new()),
        };
        let sent = vec![
            ToKernel::Hello(-1),
            ToKernel::Output(Output::Stdout(vec![0xff, 0, b'\n'])),
            ToKernel::Output(Output::Stderr(Vec::new())),
            ToKernel::Ended(None),
            ToKernel::Ended(Some(failure)),
            ToKernel::Synced(u64::MAX),
            ToKernel::Output(Output::Waits(3)),
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(Message::seal).collect();
        for cut in 1..bytes.len() {
            let mut reader = Reader::default();
            let mut received: Vec<ToKernel> = Vec::new();
            for piece in bytes.chunks(cut) {
                reader.push(piece);
                received.extend(reader.messages());
            }
            assert_eq!(received, sent, "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_unknown_kind_is_passed_over() {
        let mut reader = Reader::default();
        reader.push(&seal(9, &[1, 2]));
        reader.push(&seal(JSON, b"{\"NoSuchMessage\":1}"));
        reader.push(&ToSupervisor::Shutdown.seal());
        assert_eq!(reader.messages::<ToSupervisor>(), [ToSupervisor::Shutdown]);
    }

    proptest! {
        /// The reader takes any bytes, and waits for more.
        #[test]
        fn no_bytes_break_the_reader(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let (mut kernel, mut supervisor) = (Reader::default(), Reader::default());
            for piece in &pieces {
                kernel.push(piece);
                supervisor.push(piece);
                let _ = (kernel.messages::<ToKernel>(), supervisor.messages::<ToSupervisor>());
            }
        }
    }
}
