//! The supervisor's connection to the kernel: the socket, and messages that the kernel has not
//! taken yet.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::protocol::{Message, Reader, ToKernel, ToSupervisor};

/// Maximum amount of output queued for the kernel; beyond it, output stays in the cell's pipes.
const OUTBOX_BYTES: usize = 1 << 20;
/// How long to wait, at the end, for a kernel that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a kernel may take to announce that it exits on purpose.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// See the module's text.
pub(super) struct Kernel {
    stream: UnixStream,
    reader: Reader,
    outbox: Vec<u8>,
    /// Whether the kernel still takes messages, as far as known.
    pub(super) is_there: bool,
}

impl Kernel {
    /// Connects to the kernel's socket.
    pub(super) fn call(socket: &Path) -> io::Result<Kernel> {
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        Ok(Kernel {
            stream,
            reader: Reader::default(),
            outbox: Vec::new(),
            is_there: true,
        })
    }

    /// Whether messages wait to be written.
    pub(super) fn has_messages(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether there is room for more output.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_BYTES
    }

    /// Sends a message, now or when the kernel can take it.
    pub(super) fn tell(&mut self, message: &ToKernel) {
        self.outbox.extend(message.seal());
        self.write();
    }

    /// Writes as much as the kernel takes.
    pub(super) fn write(&mut self) {
        let mut n_written = 0;
        while n_written < self.outbox.len() {
            match self.stream.write(&self.outbox[n_written..]) {
                Ok(n) => n_written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.is_there = false;
                    n_written = self.outbox.len();
                }
            }
        }
        self.outbox.drain(..n_written);
    }

    /// Writes the rest before leaving, if the kernel still takes it.
    pub(super) fn write_rest(&mut self) {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(PATIENCE));
        let _ = self.stream.write_all(&self.outbox);
    }

    /// The messages that it has sent.
    pub(super) fn hear(&mut self) -> Vec<ToSupervisor> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.is_there = false,
            Ok(n) => self.reader.push(&buffer[..n]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.is_there = false,
        }
        self.reader.messages()
    }

    /// Whether it has died: before it exits on purpose, it sends a message. (Its process may still
    /// exist for a while after its end of the socket was closed.)
    pub(super) fn has_died(&mut self) -> bool {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_read_timeout(Some(LAST_WORDS));
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(n) => self.reader.push(&buffer[..n]),
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
            if self.reader.messages().contains(&ToSupervisor::Shutdown) {
                return false;
            }
        }
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
