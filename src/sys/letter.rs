//! A letter from a process to a fresh one that it starts, in a socket that the fresh one inherits.
//!
//! ```text
//!  owner ── token and content into the socket, then start: VARIABLE="descriptor token" ──▶ fresh process
//! ```
//!
//! The environment variable only names the letter's location: a process that sets it, or passes it
//! on by mistake, has no socket that this process's own parent made, with the token in it. A
//! process that finds no letter has changed and read nothing.
//!
//! A process may start after its parent has ended, and then has another parent. A letter from a
//! dead sender still counts: the process is a worker without work, and must not run as the program
//! that it was started from.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
#[cfg(feature = "cluster")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::line::Line;
use super::thread::{self, Look};
use super::token::{TOKEN_BYTES, Token};
use crate::error::{Error, Result};

/// Leaves a letter for the process that inherits `line`, and returns the variable's value that
/// locates it.
///
/// # Errors
/// `is_os()` if the socket refuses it.
pub(crate) fn leave(line: &Line, content: &[u8], for_whom: &Line) -> Result<String> {
    let token = Token::random()?;
    let letter = [token.bytes(), content].concat();
    if !line.send_bytes(&letter) {
        let error = io::Error::last_os_error();
        return Err(Error::os("cannot write into a new socket", error));
    }
    let number = for_whom.as_fd().as_raw_fd();
    Ok(format!("{number} {token}"))
}

/// A letter that was found but not yet taken.
#[derive(Debug)]
pub(crate) struct Letter<const N: usize> {
    number: RawFd,
    content: [u8; N],
    is_orphaned: bool,
}

/// How often, and at which interval, to check a process that seems to be about to end: Linux gives
/// its children another parent a moment before it shows that the process has ended.
const N_LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl<const N: usize> Letter<N> {
    /// Looks for the letter that a variable's value locates. It was written before this process
    /// started.
    pub(crate) fn find(value: &OsStr) -> Option<Letter<N>> {
        let (number, token) = value.to_str()?.split_once(' ')?;
        let number: RawFd = number.parse().ok()?;
        let token = Token::parse(token)?;
        // SAFETY: the call takes nothing and gives a number.
        let user = unsafe { libc::geteuid() };
        let sender = peer(number).filter(|peer| !is_privileged() && peer.uid == user)?;
        let letter = peek(number, TOKEN_BYTES + N)?;
        let (found, content) = letter.split_at(TOKEN_BYTES);
        let content = content.try_into().ok()?;
        // A parent outside this process's PID namespace has pid 0, and so has a peer.
        let is_orphaned = sender.pid != nix::unistd::getppid().as_raw();
        let is_meant = found == token.bytes() && (!is_orphaned || ends(sender.pid));
        is_meant.then_some(Letter {
            number,
            content,
            is_orphaned,
        })
    }

    /// Whether the sender, this process's parent, has ended.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.is_orphaned
    }

    /// The letter's content.
    pub(crate) fn content(&self) -> &[u8; N] {
        &self.content
    }

    /// Takes the letter, and the line on which it arrived.
    pub(crate) fn take(self) -> Line {
        // SAFETY: this process's parent left the file open under this number for the letter's
        // reader, which is this code: a letter can be taken only once, because the socket is then
        // empty.
        let file = unsafe { OwnedFd::from_raw_fd(self.number) };
        super::child::keep_from_programs(self.number);
        let line = Line::inherited(file);
        line.receive_bytes(&mut vec![0; TOKEN_BYTES + N]);
        line
    }
}

/// Whether this program runs with more rights than the user who started it (setuid and the like).
/// Such a program takes no letters: that user must not choose what it runs.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: the call takes a number, and reads the loader's auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The process that made the other end of a socket, if the descriptor is one.
fn peer(number: RawFd) -> Option<libc::ucred> {
    let mut peer = MaybeUninit::<libc::ucred>::zeroed();
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the buffer has the given length, and all of its bytes are numbers; the call only
    // queries the descriptor, whatever it is.
    unsafe {
        let code = libc::getsockopt(
            number,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            peer.as_mut_ptr().cast(),
            &raw mut length,
        );
        (code == 0).then(|| peer.assume_init())
    }
}

/// Whether this process's user made the other end of a socket.
#[cfg(feature = "cluster")]
pub(crate) fn is_own(socket: BorrowedFd<'_>) -> bool {
    // SAFETY: the call takes nothing and gives a number.
    let user = unsafe { libc::geteuid() };
    peer(socket.as_raw_fd()).is_some_and(|peer| peer.uid == user)
}

/// Runs a function on a thread of another user; `None` if this process may not.
#[cfg(all(test, feature = "cluster"))]
pub(crate) fn as_another_user<T: Send>(run: impl FnOnce() -> T + Send) -> Option<T> {
    const NOBODY: libc::uid_t = 65534;
    const UNCHANGED: libc::uid_t = libc::uid_t::MAX;
    let on_thread = || {
        // SAFETY: the call takes numbers. Called by number, it changes the calling thread only,
        // which runs nothing but `run` from here on.
        let code = unsafe { libc::syscall(libc::SYS_setresuid, UNCHANGED, NOBODY, UNCHANGED) };
        (code == 0).then(run)
    };
    std::thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}

/// Whether a process has ended, or is about to.
fn ends(pid: i32) -> bool {
    pid > 0
        && (0..N_LOOKS).any(|look| {
            if look > 0 {
                std::thread::sleep(BETWEEN_LOOKS);
            }
            thread::has_ended(pid as u32, Look::Thorough)
        })
}

/// The next bytes in a socket, without consuming them or waiting for them.
fn peek(number: RawFd, n_bytes: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; n_bytes];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the buffer has the given length.
    let n = unsafe { libc::recv(number, bytes.as_mut_ptr().cast(), n_bytes, flags) };
    (n == n_bytes as isize).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::line::line;
    use super::*;

    #[test]
    fn a_variable_leads_to_no_letter_by_itself() {
        for value in [
            "",
            "7",
            "0 ",
            "x y",
            "-1 00",
            "0 00000000000000000000000000000000",
            "9999 00000000000000000000000000000000",
        ] {
            assert!(Letter::<8>::find(OsStr::new(value)).is_none(), "{value:?}");
        }
    }

    /// This process is not its own parent: a socket that it makes itself holds no letter, and stays
    /// untouched.
    #[test]
    fn a_socket_that_the_parent_has_not_made_is_left_alone() {
        let (here, there) = line().unwrap();
        let value = leave(&here, b"12345678", &there).unwrap();
        assert!(Letter::<8>::find(OsStr::new(&value)).is_none());
        let bytes = peek(there.as_fd().as_raw_fd(), TOKEN_BYTES + 8).unwrap();
        assert_eq!(bytes[TOKEN_BYTES..], *b"12345678");
        assert!(peek(there.as_fd().as_raw_fd(), TOKEN_BYTES + 9).is_none());
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(Token::random().unwrap(), Token::random().unwrap());
    }
}
