//! How a node gets the owner's program, before it has a station to run it.

use std::hash::Hasher;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::error::{Error, Result};
use crate::sys::token::Token;

/// The first messages from a relay to its agent. Later messages are for the station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// The first message, in every version: the [version](super::VERSION) of the owner's library,
    /// and of [these messages](PROTOCOL).
    Hello { library: String, protocol: u32 },
    /// The relay's token: it belongs to the owner whose launcher started the agent.
    Token(Token),
    /// Start the station: a fresh process of this program, in which the library's mark is at offset
    /// `mark` of `object`, or of the program itself.
    Start {
        program: ObjectFile,
        object: Option<ObjectFile>,
        mark: u64,
    },
    /// The file that was missing. Payload: its bytes.
    Bytes,
}

/// Changes whenever one of these messages, or the framing below them, changes.
pub(crate) const PROTOCOL: u32 = 2;

/// What an agent and its relay know of each other before they meet: the owner's part of the
/// launcher's standard input, which no other user can read or write.
///
/// MPI connects every program that reaches a port and says the right job number, and that could be
/// another user's, on one of the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) relay: Token,
    pub(crate) agent: Token,
}

impl Tokens {
    /// New ones.
    ///
    /// # Errors
    /// `is_os()` if the OS provides no random bytes.
    pub(crate) fn random() -> Result<Tokens> {
        Ok(Tokens {
            relay: Token::random()?,
            agent: Token::random()?,
        })
    }

    /// The launcher's first line of input.
    pub(crate) fn line(&self) -> String {
        format!("{} {}\n", self.relay, self.agent)
    }

    /// Those of a [line](Tokens::line).
    pub(crate) fn parse(line: &str) -> Option<Tokens> {
        let (relay, agent) = line.trim_end().split_once(' ')?;
        Some(Tokens {
            relay: Token::parse(relay)?,
            agent: Token::parse(agent)?,
        })
    }
}

/// A message from an agent to its relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// The agent's token: the relay sends nothing of the owner's to another program.
    Token(Token),
    /// The station is started.
    Started,
    /// The node has no such file at this path: the relay must send it.
    Missing { path: PathBuf },
    /// The station could not be started, and why.
    Failed { why: String },
}

impl ToAgent {
    /// The first message that this library sends.
    pub(crate) fn hello() -> ToAgent {
        ToAgent::Hello {
            library: VERSION.to_owned(),
            protocol: PROTOCOL,
        }
    }

    /// Checks that the owner has this version of the library.
    ///
    /// # Errors
    /// `is_invalid_input()` if it has another; the message says what to do.
    pub(crate) fn check_hello(&self) -> Result<()> {
        let other = match self {
            ToAgent::Hello { library, protocol } if library != VERSION || *protocol != PROTOCOL => {
                format!("{library} (messages {protocol})")
            }
            ToAgent::Hello { .. } => return Ok(()),
            _ => "an earlier version".to_owned(),
        };
        Err(Error::invalid_input(format!(
            "its forklore-node is of forklore {VERSION} (messages {PROTOCOL}), and the program that \
             needs it of {other}; build forklore-node again from that version (cargo install \
             --path node)"
        )))
    }
}

/// The file of a program, or of an object with code, identified by its path and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectFile {
    pub(crate) path: PathBuf,
    pub(crate) n_bytes: u64,
    pub(crate) digest: u64,
}

impl ObjectFile {
    /// The program of this process.
    ///
    /// # Errors
    /// `is_os()` if it cannot be read: this needs a mounted `/proc`.
    pub(crate) fn of_program() -> Result<ObjectFile> {
        let fail = |error| Error::os("cannot read this program's file", error);
        let path = std::env::current_exe().map_err(fail)?;
        let bytes = std::fs::read("/proc/self/exe").map_err(fail)?;
        Ok(ObjectFile::of_bytes(path, &bytes))
    }

    /// An object that this process has loaded.
    ///
    /// # Errors
    /// `is_os()` if it cannot be read.
    pub(crate) fn of_object(path: &Path) -> Result<ObjectFile> {
        let bytes = std::fs::read(path);
        let fail = |error| Error::os(&format!("cannot read {}", path.display()), error);
        Ok(ObjectFile::of_bytes(path.to_owned(), &bytes.map_err(fail)?))
    }

    fn of_bytes(path: PathBuf, bytes: &[u8]) -> ObjectFile {
        ObjectFile {
            path,
            n_bytes: bytes.len() as u64,
            digest: digest(bytes),
        }
    }

    /// Whether these bytes are the content of its file.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.n_bytes == bytes.len() as u64 && self.digest == digest(bytes)
    }
}

/// Distinguishes files that are not crafted to collide: FNV-1a (RFC 9923) over words of 8 bytes.
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
        let program = ObjectFile::of_program().unwrap();
        let mut bytes = std::fs::read(&program.path).unwrap();
        assert!(program.is(&bytes));
        assert!(program.path.is_absolute());
        bytes[1000] ^= 1;
        assert!(!program.is(&bytes));
        bytes[1000] ^= 1;
        bytes.pop();
        assert!(!program.is(&bytes));
    }
}
