//! The user process's standard input: a pipe from the supervisor, which detects whether a cell
//! waits at the other end.
//!
//! A cell asks for input by reading, which no event announces. So while a cell may ask, the
//! supervisor checks every [`LOOK_EVERY`], in `/proc`, whether a thread of the cell's processes
//! sleeps in a `read` of this pipe. (If the OS hides that, with Yama's strictest settings, only the
//! library's `input` asks, and an interrupt ends any other read.) A cell that may not ask finds the
//! end of file, because the pipe then has no writer. (It can get one again: a pipe can be opened
//! through `/proc` like a file.)
//!
//! In a terminal, Ctrl-D ends the input. A front end's field has no such key, so a reply can do it:
//! see [`Input::answer`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::sys::descriptors::{self, Open, reopen};
use crate::sys::procs::{self, Pid};
use crate::sys::thread::Activity;

/// A reply that ends the input: Ctrl-D, as a terminal sends it, or as typed into a field.
const ENDS: [&[u8]; 2] = [b"\x04", b"^D"];
/// The size of the standard library's reads of lines. Code that reads to the end uses other sizes.
const LINES: u64 = 8192;

/// How long a cell may wait for input before the supervisor notices.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The supervisor's side of the pipe.
pub struct Input {
    /// Never waits. Empties the pipe between cells, and names it in `/proc`.
    reader: File,
    /// Never waits. `None`: a read finds the end of file.
    writer: Option<File>,
    /// Input that the pipe has not taken yet.
    pending: Vec<u8>,
    /// The number of replies since input was last allowed.
    n_answers: u64,
    /// The number of replies at which the kernel was last notified that the cell waits.
    told: Option<u64>,
    /// Whether the waiting reader reads until the input ends.
    reads_to_end: bool,
    /// Whether the input ends after the pending bytes.
    is_ended: bool,
    looked_at: Instant,
}

impl Input {
    /// Makes the pipe; returns it with the user process's end.
    pub fn open() -> io::Result<(Input, OwnedFd)> {
        let (its_reader, _writer) = pipe2(OFlag::O_CLOEXEC)?;
        let input = Input {
            reader: reopen(&its_reader, OpenOptions::new().read(true))?,
            writer: None,
            pending: Vec::new(),
            n_answers: 0,
            told: None,
            reads_to_end: false,
            is_ended: false,
            looked_at: Instant::now(),
        };
        Ok((input, its_reader))
    }

    /// At the start or end of a cell: drops input that the previous cell left unread.
    pub fn allow(&mut self, is_allowed: bool) {
        let mut buffer = [0; 4096];
        while matches!(self.reader.read(&mut buffer), Ok(1..)) {}
        self.pending.clear();
        self.n_answers = 0;
        self.told = None;
        self.reads_to_end = false;
        self.is_ended = false;
        self.writer = if is_allowed {
            reopen(&self.reader, OpenOptions::new().write(true)).ok()
        } else {
            None
        };
    }

    /// Takes a reply for the cell. A reply that is, or ends with, Ctrl-D or `^D` ends the input for
    /// this cell; so does an empty one, for a reader that reads until the input ends.
    pub fn answer(&mut self, bytes: &[u8]) {
        self.n_answers += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let last = ENDS.iter().find_map(|end| line.strip_suffix(*end));
        match last {
            Some(rest) => {
                self.pending.extend_from_slice(rest);
                self.is_ended = true;
            }
            None if line.is_empty() && self.reads_to_end => self.is_ended = true,
            None => self.pending.extend_from_slice(bytes),
        }
        self.write();
    }

    /// Writes as much as the pipe takes.
    pub fn write(&mut self) {
        let Some(writer) = &mut self.writer else {
            self.pending.clear();
            return;
        };
        let n_written = writer.write(&self.pending).unwrap_or(0);
        self.pending.drain(..n_written);
        if self.is_ended && self.pending.is_empty() {
            self.writer = None;
        }
    }

    /// The pipe, if there is still pending input.
    pub fn to_write(&self) -> Option<BorrowedFd<'_>> {
        let writer = self.writer.as_ref()?;
        (!self.pending.is_empty()).then(|| writer.as_fd())
    }

    /// How long until the next check; `None` if no cell may ask.
    pub fn look_in(&self) -> Option<Duration> {
        let may_ask = self.writer.is_some() && self.told != Some(self.n_answers);
        may_ask.then(|| LOOK_EVERY.saturating_sub(self.looked_at.elapsed()))
    }

    /// Checks, if it is time: returns the number of replies so far if the cell waits for another
    /// one.
    pub fn look(&mut self, user: Pid) -> Option<u64> {
        if self.look_in() != Some(Duration::ZERO) {
            return None;
        }
        self.looked_at = Instant::now();
        let waits = self.pending.is_empty() && self.is_empty();
        let reader = waits.then(|| self.reader_of(user)).flatten();
        self.told = reader.map(|n_bytes| {
            self.reads_to_end = n_bytes != LINES;
            self.n_answers
        });
        self.told
    }

    fn is_empty(&self) -> bool {
        descriptors::available_bytes(self.reader.as_fd()) == 0
    }

    /// The size of the read of the pipe in which the user process, or a process that it waits for,
    /// sleeps, if any.
    fn reader_of(&self, user: Pid) -> Option<u64> {
        let reads = |process: Pid, thread: Pid| match Activity::of(process, thread) {
            Activity::ReadsInput(n_bytes) if self.is_standard_input(process) => Some(n_bytes),
            _ => None,
        };
        match Activity::of(user, user) {
            Activity::Busy => None,
            Activity::ReadsInput(_) => reads(user, user),
            Activity::WaitsForChild => procs::descendants(user)
                .into_iter()
                // Other programs read lines with any size.
                .find_map(|pid| reads(pid, pid).map(|_| LINES)),
            Activity::Sleeps => {
                let mut others = procs::threads(user)
                    .into_iter()
                    .filter(|thread| *thread != user);
                others.find_map(|thread| reads(user, thread))
            }
        }
    }

    /// Whether a process has this pipe as standard input.
    fn is_standard_input(&self, pid: Pid) -> bool {
        let own = Open::at(self.reader.as_raw_fd()).map(|open| open.identity);
        own.is_some() && own == procs::standard_input_of(pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipe_has_an_end_of_file_or_answers() {
        let (mut input, its_reader) = Input::open().unwrap();
        let mut reader = File::from(its_reader);
        let mut text = [0; 16];
        assert_eq!(reader.read(&mut text).unwrap(), 0, "no cell may ask yet");
        input.allow(true);
        input.answer(b"one\n");
        assert_eq!(reader.read(&mut text).unwrap(), 4);
        input.answer(b"never read\n");
        input.allow(true);
        input.answer(b"two\n");
        assert_eq!(reader.read(&mut text).unwrap(), 4);
        assert_eq!(&text[..4], b"two\n");
        input.allow(false);
        assert_eq!(reader.read(&mut text).unwrap(), 0);
    }

    #[test]
    fn an_answer_ends_the_input() {
        let (mut input, its_reader) = Input::open().unwrap();
        let mut reader = File::from(its_reader);
        for (answers, reads_to_end, expected) in [
            (&["a\n", "\x04\n"][..], false, "a\n"),
            (&["a^D\n"], false, "a"),
            (&["a\n", "\n"], true, "a\n"),
            (&["\n", "^D\n"], false, "\n"),
        ] {
            input.allow(true);
            input.reads_to_end = reads_to_end;
            for answer in answers {
                input.answer(answer.as_bytes());
            }
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected, "{answers:?}");
        }
    }

    #[test]
    fn what_the_pipe_does_not_take_at_once_is_kept() {
        let (mut input, its_reader) = Input::open().unwrap();
        input.allow(true);
        let long = vec![b'x'; 1 << 20];
        input.answer(&long);
        let mut reader = File::from(its_reader);
        let mut n_read = 0;
        let mut buffer = vec![0; 1 << 16];
        while n_read < long.len() {
            n_read += reader.read(&mut buffer).unwrap();
            assert_eq!(input.to_write().is_none(), input.pending.is_empty());
            input.write();
        }
        assert!(input.is_empty() && input.pending.is_empty());
    }
}
