//! The user process as the supervisor holds it: its pid and the other ends of its descriptors.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, fork, pipe2};

use super::input::Input;
use crate::protocol::Wire;
use crate::runtime::board::Board;
use crate::runtime::{self, Wires};
use crate::sys::procs::Pid;

/// The user process' private descriptors are moved up here, out of the way of those that cells open.
const FIRST_PRIVATE: RawFd = 200;
/// Enough for bursts of lines, little enough to be passed on at once when a cell is interrupted.
const PIPE_BYTES: i32 = 256 * 1024;

/// The reading end of one of the user process' pipes.
pub struct Output {
    pipe: File,
}

impl Output {
    /// What is there, at most a buffer full: empty when there is nothing (or nobody that could write).
    pub fn read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        let n_bytes = self.pipe.read(&mut buffer).unwrap_or(0);
        buffer.truncate(n_bytes);
        buffer
    }

    /// How much is there.
    pub fn available_bytes(&self) -> usize {
        let mut n_bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        unsafe { libc::ioctl(self.pipe.as_raw_fd(), libc::FIONREAD, &raw mut n_bytes) };
        n_bytes.max(0) as usize
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// See the module's text.
pub struct User {
    /// The process that runs cells now: another one after a rollback.
    pub pid: Pid,
    /// Commands go out here and answers come in.
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
        let (control, its_control) = socket_pair()?;
        let (slot_0, its_slot_0) = socket_pair()?;
        let (slot_1, its_slot_1) = socket_pair()?;
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
                    // SAFETY: does not return; the supervisor's exit handlers are not this process'.
                    Err(_) => unsafe { libc::_exit(1) },
                }
            }
        }
    }
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

fn output_pipe() -> io::Result<(Output, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Not allowed beyond the user's limit for pipes: the usual size does too.
    let _ = fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok((
        Output {
            pipe: File::from(reader),
        },
        writer,
    ))
}

/// In the new process: puts every descriptor in its place and closes all others.
fn prepare(standard: &[OwnedFd; 3], private: [OwnedFd; 3]) -> io::Result<[Wire; 3]> {
    let mut moved = [0; 3];
    for (moved, descriptor) in moved.iter_mut().zip(&private) {
        *moved = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(FIRST_PRIVATE))?;
    }
    for (number, descriptor) in standard.iter().enumerate() {
        // SAFETY: this process owns its first three descriptors and gives up what they were.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), number as RawFd) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let open = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|fd| *fd > 2 && !moved.contains(fd)) {
        // One of them was open only while the folder was read.
        // SAFETY: whoever owned it in the supervisor never gets to run in this process.
        unsafe { libc::close(descriptor) };
    }
    std::mem::forget(private);
    SigSet::empty().thread_set_mask()?;
    let no_core = libc::rlimit {
        rlim_cur: 0,
        rlim_max: libc::RLIM_INFINITY,
    };
    // A core file of a large process takes seconds to write, and nobody asked for one.
    // SAFETY: the structure is valid; where the hard limit may not be raised nothing changes.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) };
    // SAFETY: each was made above for nobody else, and is still open.
    Ok(moved.map(|descriptor| Wire::new(unsafe { OwnedFd::from_raw_fd(descriptor) })))
}
