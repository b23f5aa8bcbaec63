//! Pipes of the operating system as a place to sleep, whose writers the kernel counts.
//!
//! Only the kernel knows which processes still have something that is inherited by fork: it counts
//! a pipe's open ends through forks, exits and kills. No value that matters goes through these
//! pipes, only bytes that wake.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};

/// The end that sleeps.
#[derive(Debug)]
pub(crate) struct ReadEnd(std::io::PipeReader);

/// The end that wakes, and that is counted.
#[derive(Debug)]
pub(crate) struct WriteEnd(std::io::PipeWriter);

/// Marks the descriptors of this module, for [`close_inherited`]: the number of the signal to send
/// when input comes, which is never sent because nobody asked for signals (fcntl(2), `F_SETSIG`).
const MARK: i32 = 47;

/// Makes a pipe.
pub(crate) fn fifo() -> Result<(ReadEnd, WriteEnd)> {
    let (reader, writer) = std::io::pipe().map_err(|error| {
        Error::os(
            "cannot make a pipe (see ulimit -n for how many files a process may have)",
            error,
        )
    })?;
    prepare(reader.as_fd())?;
    prepare(writer.as_fd())?;
    Ok((ReadEnd(reader), WriteEnd(writer)))
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
        // In whole milliseconds, upwards: it must not wake too early again and again.
        let left = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(left));
    }

    /// Takes all bytes out.
    pub(crate) fn drain(&self) {
        let mut bytes = [0; 64];
        while (&self.0).read(&mut bytes).is_ok_and(|n| n == bytes.len()) {}
    }

    /// Makes another write end of the same pipe.
    pub(crate) fn writer(&self) -> Result<WriteEnd> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| Error::os(&format!("cannot open {path} again"), error))?;
        prepare(file.as_fd())?;
        let fd = std::os::fd::OwnedFd::from(file);
        Ok(WriteEnd(fd.into()))
    }
}

impl WriteEnd {
    /// Wakes who sleeps at the other end, now or later. A pipe that is full of bytes wakes too.
    pub(crate) fn wake(&self) {
        let _ = (&self.0).write(&[1]);
    }
}

fn prepare(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(|errno| Error::os("cannot prepare a pipe", errno.into()))?;
    // SAFETY: the call takes numbers and changes a property of this descriptor only.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, MARK) };
    Ok(())
}

/// Closes all descriptors of this module that this process has inherited.
///
/// For a process that will never use them, but lives on: it would be counted as a writer. The
/// values that own the descriptors must never be used or dropped in this process.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let fds: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in fds {
        // SAFETY: the calls take numbers. A descriptor with this mark was made here, and by the
        // caller's promise nobody uses it any more in this process.
        unsafe {
            if libc::fcntl(fd, F_GETSIG) == MARK {
                libc::close(fd);
            }
        }
    }
}

/// Of `<linux/fcntl.h>`, the same on all architectures that Rust runs on under Linux but a few.
const F_SETSIG: i32 = 10;
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
}
