//! OS pipes to sleep on, whose writers Linux counts.
//!
//! Only Linux knows which processes still have something that is inherited by fork: it counts a
//! pipe's open ends through forks, exits and kills. No data goes through these pipes, only bytes
//! that wake.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fchmod};

use super::descriptor::{above_standard, all_open};
use crate::error::{Error, Result};

/// The end that sleeps.
#[derive(Debug)]
pub(crate) struct ReadEnd(std::io::PipeReader);

/// The end that wakes, and that Linux counts.
#[derive(Debug)]
pub(crate) struct WriteEnd(std::io::PipeWriter);

/// Marks the descriptors of this module, for [`shut_writers`]: the number of the signal to send on
/// input, which is never sent because no signals were requested (fcntl(2), `F_SETSIG`).
const MARK: i32 = 47;

/// Makes a pipe.
pub(crate) fn fifo() -> Result<(ReadEnd, WriteEnd)> {
    let ends = std::io::pipe().and_then(|(reader, writer)| {
        Ok((
            above_standard(reader.into())?,
            above_standard(writer.into())?,
        ))
    });
    let (reader, writer) = ends.map_err(|error| {
        Error::os(
            "cannot make a pipe (see ulimit -n for how many files a process may have)",
            error,
        )
    })?;
    // A process that has changed its user in the meantime may still reopen a write end.
    let everyone = Mode::from_bits_truncate(0o666);
    fchmod(&reader, everyone).map_err(cannot_prepare)?;
    prepare(reader.as_fd())?;
    prepare(writer.as_fd())?;
    Ok((ReadEnd(reader.into()), WriteEnd(writer.into())))
}

impl ReadEnd {
    /// Whether any process has a write end.
    pub(crate) fn has_writer(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        !fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Sleeps until there is a byte, or no writer, or `until`.
    pub(crate) fn sleep(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up to whole milliseconds, so that it does not repeatedly wake too early.
        let left = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(left));
    }

    /// Takes all bytes out.
    pub(crate) fn drain(&self) {
        let mut bytes = [0; 64];
        while (&self.0).read(&mut bytes).is_ok_and(|n| n == bytes.len()) {}
    }

    /// Whether this process could make another write end.
    pub(crate) fn can_make_writer(&self) -> bool {
        Path::new(&self.path()).exists()
    }

    /// Makes another write end of the same pipe.
    pub(crate) fn writer(&self) -> Result<WriteEnd> {
        let path = self.path();
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| above_standard(file.into()))
            .map_err(|error| {
                Error::os(
                    &format!("cannot open {path} again, which takes a mounted /proc"),
                    error,
                )
            })?;
        prepare(file.as_fd())?;
        Ok(WriteEnd(file.into()))
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

impl WriteEnd {
    /// Wakes the sleeper at the other end, now or later. A pipe that is already full wakes it, too.
    pub(crate) fn wake(&self) {
        let _ = (&self.0).write(&[1]);
    }

    /// Whether this process has [shut](shut_writers) this end.
    pub(crate) fn is_shut(&self) -> bool {
        !is_marked(self.0.as_raw_fd())
    }
}

fn prepare(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(cannot_prepare)?;
    // SAFETY: the call takes numbers and changes a property of this descriptor only.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, MARK) };
    Ok(())
}

fn cannot_prepare(errno: nix::errno::Errno) -> Error {
    Error::os("cannot prepare a pipe", errno.into())
}

fn is_marked(fd: i32) -> bool {
    // SAFETY: the call takes numbers.
    unsafe { libc::fcntl(fd, F_GETSIG) == MARK }
}

/// Stops counting this process as a writer while it is idle; false if it has none of this module's
/// pipes.
///
/// The descriptor numbers stay taken: the values that own them may be used again later (a
/// non-capturing function finds them in a static), and must not find other files there.
pub(crate) fn shut_writers() -> bool {
    let is_writer = |fd: &i32| {
        // SAFETY: the call takes numbers.
        let flags = unsafe { libc::fcntl(*fd, libc::F_GETFL) };
        flags & libc::O_ACCMODE == libc::O_WRONLY
    };
    let mut pipes = all_open();
    pipes.retain(|fd| is_marked(*fd));
    let mut writers = pipes.iter().copied().filter(is_writer).peekable();
    // A read end of a pipe that no other process has: writing to it fails.
    if writers.peek().is_some()
        && let Ok((nothing, _)) = std::io::pipe()
    {
        for fd in writers {
            // SAFETY: the call takes numbers. A descriptor with this mark was made here.
            unsafe { libc::dup3(nothing.as_raw_fd(), fd, libc::O_CLOEXEC) };
        }
    }
    !pipes.is_empty()
}

/// Of `<linux/fcntl.h>`, the same on all architectures that Rust runs on under Linux but a few.
pub(super) const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn writers_are_counted_and_can_be_made_again() {
        let (reader, writer) = fifo().unwrap();
        assert!(reader.has_writer());
        drop(writer);
        assert!(!reader.has_writer());
        let writer = reader.writer().unwrap();
        assert!(reader.has_writer());
        writer.wake();
        reader.sleep(Instant::now() + Duration::from_secs(60));
        reader.drain();
        reader.sleep(Instant::now());
    }

    #[test]
    fn an_end_that_is_shut_is_not_counted_and_keeps_its_number() {
        // SAFETY: the child makes a pipe, looks at it, and ends.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                let is_right = std::panic::catch_unwind(|| {
                    let (reader, writer) = fifo().unwrap();
                    let (number, again) = (writer.0.as_raw_fd(), reader.writer().unwrap());
                    assert!(shut_writers() && !reader.has_writer());
                    assert!(again.is_shut());
                    again.wake();
                    // SAFETY: the call takes numbers.
                    assert_ne!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1);
                    assert!(reader.can_make_writer() && !reader.writer().unwrap().is_shut());
                });
                // SAFETY: uses no memory of ours.
                unsafe { libc::_exit(i32::from(is_right.is_err())) }
            }
            nix::unistd::ForkResult::Parent { child } => {
                let ended = nix::sys::wait::waitpid(child, None).unwrap();
                assert!(
                    matches!(ended, nix::sys::wait::WaitStatus::Exited(_, 0)),
                    "{ended:?}"
                );
            }
        }
    }
}
