//! A line that this process keeps for as long as it lives, and finds again without a static: an
//! environment variable holds its number.
//!
//! Programs and children inherit the variable, it survives when this process replaces its program,
//! and any process that starts this program may set it. So it counts only if it names this process,
//! and if the socket under its number is the one that this process made: Linux gives no two sockets
//! the same cookie.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::letter::is_privileged;
use super::line::Line;
use super::process_id;

/// The line, which is never closed, and the process at its other end.
pub(crate) struct Kept {
    pub(crate) line: ManuallyDrop<Line>,
    pub(crate) pid: i32,
}

/// Keeps a line to a process, and files that must stay open with it. Closes the line and returns
/// false if sockets have no cookies (before Linux 4.12).
///
/// Only in a process with one thread: it changes the environment.
pub(crate) fn keep(variable: &str, line: Line, pid: i32, others: [OwnedFd; 2]) -> bool {
    let number = line.as_fd().as_raw_fd();
    let Some(cookie) = cookie(number) else {
        return false;
    };
    let owner = process_id();
    // SAFETY: the caller guarantees that no other thread uses the environment.
    unsafe { std::env::set_var(variable, format!("{owner} {pid} {number} {cookie:x}")) };
    std::mem::forget(line);
    for other in others {
        let _stays = other.into_raw_fd();
    }
    true
}

impl Kept {
    /// The line that this process has kept, if any.
    pub(crate) fn find(variable: &str) -> Option<Kept> {
        let value = std::env::var(variable).ok()?;
        let words: Vec<&str> = value.split(' ').collect();
        let [owner, pid, number, expected] = words[..] else {
            return None;
        };
        let number: RawFd = number.parse().ok()?;
        let expected = u64::from_str_radix(expected, 16).ok()?;
        let is_ours = owner.parse() == Ok(process_id()) && !is_privileged();
        if !is_ours || cookie(number) != Some(expected) {
            return None;
        }
        // SAFETY: the socket under this number is the one that was kept for this, as its cookie
        // says, and it is not closed with the value.
        let file = unsafe { OwnedFd::from_raw_fd(number) };
        Some(Kept {
            line: ManuallyDrop::new(Line::inherited(file)),
            pid: pid.parse().ok()?,
        })
    }
}

/// The number that Linux gives to this socket only (`SO_COOKIE`, socket(7)).
fn cookie(fd: RawFd) -> Option<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the buffer has the given length; the call only queries the descriptor, whatever it
    // is.
    let code = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (code == 0).then_some(cookie)
}

#[cfg(test)]
mod tests {
    use super::super::line::line;
    use super::*;

    #[test]
    fn sockets_have_cookies_of_their_own() {
        let (here, there) = line().unwrap();
        let of = |line: &Line| cookie(line.as_fd().as_raw_fd()).unwrap();
        assert_ne!(of(&here), of(&there));
        assert_eq!(of(&here), of(&here));
        assert_eq!(cookie(-1), None);
    }
}
