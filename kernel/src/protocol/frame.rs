//! What kernel and supervisor say to each other: frames on a unix socket.
//!
//! A frame is a kind (1 byte), a length (4 bytes, little endian) and as many bytes. The two ends are
//! the same program in the same version, so nothing here has to last.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::protocol::aftermath::Aftermath;

/// From the supervisor to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToKernel {
    /// The first frame: the supervisor's process id.
    Hello(i32),
    /// What the user's process wrote to standard output.
    Stdout(Vec<u8>),
    /// What the user's process wrote to standard error.
    Stderr(Vec<u8>),
    /// The code that evcxr sent has run; its output is in the frames before this one.
    Ended(Option<Failure>),
    /// Everything that was asked for before the question with this number has been answered.
    Synced(u64),
    /// The cell waits for input, after it got the answers up to this number.
    Waits(u64),
    /// What there is to know about the processes: comes before the `Synced` of its question.
    Status(Status),
}

/// From the kernel to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToSupervisor {
    /// To be answered with `Synced`.
    Sync(u64),
    /// Ends the cell that runs, if any. To be answered with `Synced`.
    Interrupt(u64),
    /// Whether snapshots are taken: `on`, `off`, `auto` or `auto:BYTES`.
    Checkpoint(String),
    /// Ends every process, then the supervisor.
    Shutdown,
    /// Whether the cell that comes may wait for input. If not, it finds the end of file.
    AllowInput(bool),
    /// What it was waiting for. Answers are counted from each `AllowInput`.
    Input(Vec<u8>),
    /// Runs a program where the cells are: `NAME=VALUE` for its environment, its name, its arguments.
    /// To be answered with `Ended`.
    Script(Vec<String>),
    /// How much memory the cells may use. `None` for what the environment gives.
    Limit(Option<Limit>),
    /// To be answered with `Status`, then `Synced`.
    AskStatus(u64),
    /// The code that comes is of this cell, as the user counts them.
    Cell(u32),
}

/// How much memory the user process, and all that cells start, may use together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The most; `None` for as much as there is.
    pub bytes: Option<u64>,
    /// Where the limit comes from, in words.
    pub origin: String,
}

/// The processes' state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process that runs the cells.
    pub user_pid: i32,
    /// The policy for snapshots: `on`, `off` or `auto:BYTES`.
    pub checkpoint: String,
    /// Whether there is a snapshot of what the last cell left.
    pub has_snapshot: bool,
    /// How long the user process was held up by the last one.
    pub snapshot_micros: u32,
    /// Memory that the user process has in use.
    pub resident_bytes: u64,
    /// Memory that all processes of the session's cells have in use together, snapshots included.
    pub used_bytes: u64,
    /// The limit for it.
    pub limit: Limit,
}

/// Why a cell did not reach its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, such as `StackOverflow`.
    pub name: String,
    /// What happened, in a sentence.
    pub message: String,
    /// Where, if it is known.
    pub place: Option<Place>,
    /// What became of the variables, and of what earlier cells had started.
    pub aftermath: Aftermath,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// As the compiler calls it: `src/lib.rs` for a cell.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

const HEADER_BYTES: usize = 5;

/// Something that is sent in a frame.
pub trait Frame: Sized {
    /// The kind, and what goes with it.
    fn to_parts(&self) -> (u8, Vec<u8>);
    /// The frame again; `None` for one that this version does not know.
    fn from_parts(kind: u8, payload: Vec<u8>) -> Option<Self>;

    /// The bytes that travel.
    fn encode(&self) -> Vec<u8> {
        let (kind, payload) = self.to_parts();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.push(kind);
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
        bytes
    }
}

/// Collects bytes as they come and gives out whole frames.
#[derive(Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The frames that are complete by now.
    pub fn frames<F: Frame>(&mut self) -> Vec<F> {
        let mut frames = Vec::new();
        let mut from = 0;
        while let Some(header) = self.bytes.get(from..from + HEADER_BYTES) {
            let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
            let start = from + HEADER_BYTES;
            let Some(payload) = self.bytes.get(start..start + length) else {
                break;
            };
            frames.extend(F::from_parts(header[0], payload.to_vec()));
            from = start + length;
        }
        self.bytes.drain(..from);
        frames
    }
}

impl Frame for ToKernel {
    fn to_parts(&self) -> (u8, Vec<u8>) {
        match self {
            ToKernel::Hello(pid) => (0, pid.to_le_bytes().to_vec()),
            ToKernel::Stdout(bytes) => (1, bytes.clone()),
            ToKernel::Stderr(bytes) => (2, bytes.clone()),
            ToKernel::Ended(failure) => (3, serde_json::to_vec(failure).unwrap_or_default()),
            ToKernel::Synced(number) => (4, number.to_le_bytes().to_vec()),
            ToKernel::Waits(n_answers) => (5, n_answers.to_le_bytes().to_vec()),
            ToKernel::Status(status) => (16, serde_json::to_vec(status).unwrap_or_default()),
        }
    }

    fn from_parts(kind: u8, payload: Vec<u8>) -> Option<ToKernel> {
        Some(match kind {
            0 => ToKernel::Hello(i32::from_le_bytes(payload.try_into().ok()?)),
            1 => ToKernel::Stdout(payload),
            2 => ToKernel::Stderr(payload),
            3 => ToKernel::Ended(serde_json::from_slice(&payload).ok()?),
            4 => ToKernel::Synced(u64::from_le_bytes(payload.try_into().ok()?)),
            5 => ToKernel::Waits(u64::from_le_bytes(payload.try_into().ok()?)),
            16 => ToKernel::Status(serde_json::from_slice(&payload).ok()?),
            _ => return None,
        })
    }
}

impl Frame for ToSupervisor {
    fn to_parts(&self) -> (u8, Vec<u8>) {
        match self {
            ToSupervisor::Sync(number) => (0, number.to_le_bytes().to_vec()),
            ToSupervisor::Interrupt(number) => (1, number.to_le_bytes().to_vec()),
            ToSupervisor::Checkpoint(policy) => (2, policy.clone().into_bytes()),
            ToSupervisor::Shutdown => (3, Vec::new()),
            ToSupervisor::AllowInput(is_allowed) => (4, vec![u8::from(*is_allowed)]),
            ToSupervisor::Input(bytes) => (5, bytes.clone()),
            ToSupervisor::Script(words) => (16, serde_json::to_vec(words).unwrap_or_default()),
            ToSupervisor::Limit(limit) => (17, serde_json::to_vec(limit).unwrap_or_default()),
            ToSupervisor::AskStatus(number) => (18, number.to_le_bytes().to_vec()),
            ToSupervisor::Cell(number) => (19, number.to_le_bytes().to_vec()),
        }
    }

    fn from_parts(kind: u8, payload: Vec<u8>) -> Option<ToSupervisor> {
        Some(match kind {
            0 => ToSupervisor::Sync(u64::from_le_bytes(payload.try_into().ok()?)),
            1 => ToSupervisor::Interrupt(u64::from_le_bytes(payload.try_into().ok()?)),
            2 => ToSupervisor::Checkpoint(String::from_utf8(payload).ok()?),
            3 => ToSupervisor::Shutdown,
            4 => ToSupervisor::AllowInput(payload == [1]),
            5 => ToSupervisor::Input(payload),
            16 => ToSupervisor::Script(serde_json::from_slice(&payload).ok()?),
            17 => ToSupervisor::Limit(serde_json::from_slice(&payload).ok()?),
            18 => ToSupervisor::AskStatus(u64::from_le_bytes(payload.try_into().ok()?)),
            19 => ToSupervisor::Cell(u32::from_le_bytes(payload.try_into().ok()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 3,
            column: 7,
        };
        let failure = Failure {
            name: "Panic".to_owned(),
            message: "ö\n\0".to_owned(),
            place: Some(place),
            aftermath: Aftermath::RolledBack(Vec::new()),
        };
        let sent = vec![
            ToKernel::Hello(-1),
            ToKernel::Stdout(vec![0xff, 0, b'\n']),
            ToKernel::Stderr(Vec::new()),
            ToKernel::Ended(None),
            ToKernel::Ended(Some(failure)),
            ToKernel::Synced(u64::MAX),
            ToKernel::Waits(3),
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        for cut in 1..bytes.len() {
            let mut reader = Reader::default();
            let mut received: Vec<ToKernel> = Vec::new();
            for piece in bytes.chunks(cut) {
                reader.push(piece);
                received.extend(reader.frames());
            }
            assert_eq!(received, sent, "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_unknown_kind_is_passed_over() {
        let mut reader = Reader::default();
        reader.push(&[9, 2, 0, 0, 0, 1, 2]);
        reader.push(&ToSupervisor::Shutdown.encode());
        assert_eq!(reader.frames::<ToSupervisor>(), [ToSupervisor::Shutdown]);
    }

    proptest! {
        /// Random bytes from whoever holds the socket: the reader takes them all and waits for more.
        #[test]
        fn no_bytes_break_the_reader(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let (mut kernel, mut supervisor) = (Reader::default(), Reader::default());
            for piece in &pieces {
                kernel.push(piece);
                supervisor.push(piece);
                let _ = (kernel.frames::<ToKernel>(), supervisor.frames::<ToSupervisor>());
            }
        }
    }
}
