//! How a node gets the owner's program, before there is a station that runs it.

use std::hash::Hasher;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// From a relay to its agent: the first message. What follows is for the station alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// Start the station: a fresh process of this program, which finds the library's mark at
    /// `mark`.
    Start { program: Program, mark: u64 },
    /// The program's file. Payload: its bytes.
    Bytes,
}

/// From an agent to its relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// The station is started.
    Started,
    /// The node has no such program: send its file.
    Missing,
    /// There is no station, and why.
    Failed { why: String },
}

/// A program's file, by its path and by what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) n_bytes: u64,
    pub(crate) digest: u64,
}

impl Program {
    /// The program of this process, with its bytes.
    ///
    /// # Errors
    /// `is_os()` if it cannot be read: it takes a mounted `/proc`.
    pub(crate) fn own() -> Result<(Program, Vec<u8>)> {
        let fail = |error| Error::os("cannot read this program's file", error);
        let bytes = std::fs::read("/proc/self/exe").map_err(fail)?;
        let program = Program {
            path: std::env::current_exe().map_err(fail)?,
            n_bytes: bytes.len() as u64,
            digest: digest(&bytes),
        };
        Ok((program, bytes))
    }

    /// Whether these bytes are its file's.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.n_bytes == bytes.len() as u64 && self.digest == digest(bytes)
    }
}

/// Tells files apart that are not made to be confused: FNV-1a (RFC 9923) over words of 8 bytes.
fn digest(bytes: &[u8]) -> u64 {
    let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
    digest.write(bytes);
    digest.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        for word in words.chain(rest.iter().map(|&byte| u64::from(byte))) {
            self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_what_is_in_it() {
        let (program, mut bytes) = Program::own().unwrap();
        assert!(program.is(&bytes));
        assert!(program.path.is_absolute());
        bytes[1000] ^= 1;
        assert!(!program.is(&bytes));
        bytes[1000] ^= 1;
        bytes.pop();
        assert!(!program.is(&bytes));
    }
}
