//! The supervisor's view of the user process: its pid and the other ends of its descriptors.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, fork, pipe2};

use super::input::Input;
use crate::protocol::Wire;
use crate::runtime::board::Board;
use crate::runtime::{self, Wires};
use crate::sys::descriptors::{self, out_of_the_way, packet_pair};
use crate::sys::fork::exit_now;
use crate::sys::procs::Pid;
use crate::sys::sharing::write_no_core_files;

/// Enough for bursts of lines, but little enough to be forwarded at once when a cell is
/// interrupted.
const PIPE_BYTES: i32 = 256 * 1024;

/// The read end of one of the user process's pipes.
pub struct Output {
    pipe: File,
}

impl Output {
    /// Reads the available bytes, at most one buffer: empty if there are none, or no writer.
    pub fn read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        let n_bytes = self.pipe.read(&mut buffer).unwrap_or(0);
        buffer.truncate(n_bytes);
        buffer
    }

    /// The number of available bytes.
    pub fn available_bytes(&self) -> usize {
        descriptors::available_bytes(self.pipe.as_fd())
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// See the module's text.
pub struct User {
    /// The process that runs cells now; it changes with a rollback.
    pub pid: Pid,
    /// Sends commands and receives replies.
    pub control: Wire,
    /// Where the snapshots sleep.
    pub slots: [Wire; 2],
    /// What it writes to standard output.
    pub stdout: Output,
    /// What it writes to standard error.
    pub stderr: Output,
    /// What it reads from standard input.
    pub input: Input,
}

impl User {
    /// Forks the user process.
    pub fn start(board: &'static Board) -> io::Result<User> {
        let (control, its_control) = packet_pair()?;
        let (slot_0, its_slot_0) = packet_pair()?;
        let (slot_1, its_slot_1) = packet_pair()?;
        let (stdout, its_stdout) = output_pipe()?;
        let (stderr, its_stderr) = output_pipe()?;
        let (input, its_input) = Input::open()?;
        // SAFETY: the supervisor has one thread.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(User {
                pid: child.as_raw(),
                control: Wire::new(control),
                slots: [slot_0, slot_1].map(Wire::new),
                stdout,
                stderr,
                input,
            }),
            ForkResult::Child => {
                let standard = [its_input, its_stdout, its_stderr];
                match prepare(&standard, [its_control, its_slot_0, its_slot_1]) {
                    Ok([control, slots @ ..]) => runtime::run(board, Wires { control, slots }),
                    Err(_) => exit_now(1),
                }
            }
        }
    }
}

fn output_pipe() -> io::Result<(Output, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // This may exceed the user's limit for pipes; then the default size is sufficient.
    let _ = fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok((
        Output {
            pipe: File::from(reader),
        },
        writer,
    ))
}

/// In the new process: moves every descriptor to its number and closes all others.
fn prepare(standard: &[OwnedFd; 3], private: [OwnedFd; 3]) -> io::Result<[Wire; 3]> {
    let [control, slot_0, slot_1] = &private;
    let moved = [
        out_of_the_way(control)?,
        out_of_the_way(slot_0)?,
        out_of_the_way(slot_1)?,
    ];
    for (number, descriptor) in standard.iter().enumerate() {
        descriptors::replace_standard(number as RawFd, descriptor)?;
    }
    let is_needed =
        |number: &RawFd| *number <= 2 || moved.iter().any(|fd| fd.as_raw_fd() == *number);
    for number in descriptors::open_numbers()? {
        if !is_needed(&number) {
            // SAFETY: the supervisor's code that owned it never runs in this process.
            unsafe { descriptors::close(number) };
        }
    }
    std::mem::forget(private);
    SigSet::empty().thread_set_mask()?;
    write_no_core_files();
    Ok(moved.map(Wire::new))
}
