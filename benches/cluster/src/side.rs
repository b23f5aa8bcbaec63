//! A side of the table: a process that does the work of a row on request.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A process that reads names of rows from its input, and prints a number for each.
pub struct Side {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// The reply to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    Number(f64),
    /// No reply within the time limit: the side is of no further use.
    TooLate,
    /// The side has no such row, or has failed.
    Nothing,
}

impl Side {
    /// Starts the process.
    pub fn start(command: &mut Command) -> Side {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the side starts");
        Side {
            input: process.stdin.take().expect("a pipe"),
            output: process.stdout.take().expect("a pipe"),
            process,
        }
    }

    /// The side's reply to a row, within the time limit.
    pub fn ask(&mut self, row: &str, limit: Duration) -> Said {
        let deadline = Instant::now() + limit;
        if writeln!(self.input, "{row}").is_err() {
            return Said::Nothing;
        }
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            match poll(
                &mut fds,
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
            ) {
                Ok(0) => return Said::TooLate,
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
            let mut byte = [0];
            match self.output.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                _ => return Said::Nothing,
            }
        }
        match String::from_utf8_lossy(&line).trim().parse() {
            Ok(number) if f64::is_finite(number) => Said::Number(number),
            _ => Said::Nothing,
        }
    }
}

impl Drop for Side {
    /// Kills the process, and with it all processes of its cluster.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
