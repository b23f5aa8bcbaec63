//! Pipes and sockets of earlier cells, across a rollback.
//!
//! A snapshot that held a copy of them would keep them open after the cell that closed them: whoever waits at the
//! other end for the end of the stream would wait for ever. So a sleeping snapshot has none, and gets them back when it
//! takes over, from a process that shares the *table* of descriptors with the user process: what is closed there is
//! closed, and what was open when the user process died still is.
//!
//! ```text
//!  user process ──clone(CLONE_FILES)──▶ keeper: sleeps until a snapshot asks
//!       └── fork ──▶ snapshot: closes its copies ···TAKE··· ──numbers──▶ keeper ──descriptors──▶ goes on
//! ```
//!
//! There is a keeper only where there is such a descriptor. What the failed cell itself has closed is not rolled
//! back (it lies outside of the process): in its place comes one whose other end is gone.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::time::TimeVal;

/// The keeper's end of the wire, and the user process' own, are out of the way of what cells open.
const FIRST_PRIVATE: RawFd = 200;
/// How many numbers are asked for at once.
const N_AT_ONCE: usize = 1024;
/// A keeper that was killed does not answer.
const ANSWER: Duration = Duration::from_secs(1);

/// A pipe or socket that the process has open.
pub(super) struct Delicate {
    number: RawFd,
    /// Device and inode: whether a descriptor of this number is still the same.
    identity: (u64, u64),
    flags: i32,
}

/// The process that keeps the table, and the wire to it.
pub(super) struct Keeper {
    pub(super) pid: i32,
    ask: OwnedFd,
    answer: OwnedFd,
}

/// Pipes and sockets that are open in this process, without those in `private` and the first three.
pub(super) fn delicate(private: &[RawFd], keeper: Option<&Keeper>) -> Vec<Delicate> {
    let wire = keeper.map(|keeper| [keeper.ask.as_raw_fd(), keeper.answer.as_raw_fd()]);
    let is_ours = |number: &RawFd| {
        *number < 3 || private.contains(number) || wire.is_some_and(|wire| wire.contains(number))
    };
    let open = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let cells = numbers.filter(|number| !is_ours(number));
    cells.filter_map(Delicate::of).collect()
}

impl Delicate {
    fn of(number: RawFd) -> Option<Delicate> {
        let (kind, identity) = kind_and_identity(number)?;
        if kind != libc::S_IFIFO && kind != libc::S_IFSOCK {
            return None;
        }
        // SAFETY: only reads the flags of a number, which may also be none.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        Some(Delicate {
            number,
            identity,
            flags,
        })
    }

    /// In the snapshot: the copy goes.
    fn close(&self) {
        // SAFETY: whatever of the cells' owns this number sleeps until `put_back` has filled it again.
        unsafe { libc::close(self.number) };
    }

    /// Puts a descriptor in its place, or one whose other end is gone.
    fn put_back(&self, kept: Option<OwnedFd>) {
        let is_same = |kept: &OwnedFd| {
            kind_and_identity(kept.as_raw_fd()).is_some_and(|(_, found)| found == self.identity)
        };
        let kept = kept.filter(is_same);
        let Some(descriptor) = kept.or_else(dead_end) else {
            return;
        };
        let flags = if self.flags & libc::FD_CLOEXEC != 0 {
            libc::O_CLOEXEC
        } else {
            0
        };
        if descriptor.as_raw_fd() == self.number {
            let number = descriptor.into_raw_fd();
            // SAFETY: the number is open and belongs to the cells from here on.
            unsafe { libc::fcntl(number, libc::F_SETFD, self.flags) };
        } else {
            // SAFETY: the number is free: it was closed when the snapshot went to sleep, and a descriptor that
            // came to lie there since has been moved away before this one came.
            unsafe { libc::dup3(descriptor.as_raw_fd(), self.number, flags) };
        }
    }
}

fn kind_and_identity(number: RawFd) -> Option<(libc::mode_t, (u64, u64))> {
    // SAFETY: a zeroed structure is valid, and is filled in where the call succeeds.
    let status = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        if libc::fstat(number, &raw mut status) != 0 {
            return None;
        }
        status
    };
    Some((
        status.st_mode & libc::S_IFMT,
        (status.st_dev, status.st_ino),
    ))
}

/// Reads as the end of the stream, and is a broken pipe to write to.
fn dead_end() -> Option<OwnedFd> {
    let ends = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    Some(ends.ok()?.0)
}

impl Keeper {
    /// Starts one for this process' table. A child of this process' parent, so that no cell's `wait` meets it.
    pub(super) fn start() -> Option<Keeper> {
        let (ask, answer) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .ok()?;
        let ask = out_of_the_way(&ask)?;
        let answer = out_of_the_way(&answer)?;
        let flags = libc::CLONE_FILES | libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: without CLONE_VM this is a fork: the new process has a copy of memory and stack, and goes on in `keep`,
        // which uses nothing but the descriptors. All pointers may be null then.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        match pid {
            0 => keep(answer.as_raw_fd()),
            -1 => None,
            pid => Some(Keeper {
                pid: pid as i32,
                ask,
                answer,
            }),
        }
    }

    /// In a new snapshot: lets go of what it must not hold.
    pub(super) fn let_go(delicate: &[Delicate]) {
        for descriptor in delicate {
            descriptor.close();
        }
    }

    /// In a snapshot that takes over: gets everything back.
    pub(super) fn take_back(self, delicate: &[Delicate]) {
        let timeout = TimeVal::new(ANSWER.as_secs() as i64, 0);
        let _ = setsockopt(&self.ask, sockopt::ReceiveTimeout, &timeout);
        for some in delicate.chunks(N_AT_ONCE) {
            let numbers: Vec<u8> = some.iter().flat_map(|d| d.number.to_le_bytes()).collect();
            // SAFETY: the buffer is valid for its length.
            unsafe {
                libc::send(
                    self.ask.as_raw_fd(),
                    numbers.as_ptr().cast(),
                    numbers.len(),
                    libc::MSG_NOSIGNAL,
                )
            };
            for descriptor in some {
                descriptor.put_back(receive_descriptor(self.ask.as_raw_fd()));
            }
        }
    }
}

fn out_of_the_way(descriptor: &OwnedFd) -> Option<OwnedFd> {
    let moved = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(FIRST_PRIVATE)).ok()?;
    // SAFETY: the call has just made it, for nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// The keeper: answers each number with its descriptor, until the supervisor ends it.
fn keep(wire: RawFd) -> ! {
    // SAFETY: all only change this process' own attributes.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_NAME, c"forklore-keep".as_ptr());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let mut numbers = [0_u8; 4 * N_AT_ONCE];
    loop {
        // SAFETY: the buffer is valid for its length.
        let n_bytes = unsafe { libc::recv(wire, numbers.as_mut_ptr().cast(), numbers.len(), 0) };
        let Ok(n_bytes) = usize::try_from(n_bytes) else {
            if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            // SAFETY: ends this process alone.
            unsafe { libc::_exit(0) }
        };
        for number in numbers[..n_bytes].chunks_exact(4) {
            let number = RawFd::from_le_bytes([number[0], number[1], number[2], number[3]]);
            let known = [IoSlice::new(b"1")];
            let rights = [number];
            let sent = sendmsg::<()>(
                wire,
                &known,
                &[ControlMessage::ScmRights(&rights)],
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            if sent.is_err() {
                // The failed cell has closed it.
                let _ = sendmsg::<()>(
                    wire,
                    &[IoSlice::new(b"0")],
                    &[],
                    MsgFlags::MSG_NOSIGNAL,
                    None,
                );
            }
        }
    }
}

fn receive_descriptor(wire: RawFd) -> Option<OwnedFd> {
    let mut byte = [0_u8];
    let mut slices = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(RawFd);
    let message = recvmsg::<()>(
        wire,
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )
    .ok()?;
    let mut found = None;
    for control in message.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the system has just opened them for this message.
            found = descriptors
                .first()
                .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_dead_end_reads_as_the_end_and_is_broken_to_write_to() {
        let mut end = fs::File::from(dead_end().unwrap());
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0);
        let error = end.write(b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn pipes_and_sockets_are_delicate() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let file = fs::File::open("/proc/self/stat").unwrap();
        let is_found = |number: RawFd, private: &[RawFd]| {
            delicate(private, None)
                .iter()
                .any(|found| found.number == number)
        };
        assert!(is_found(reader.as_raw_fd(), &[]) && is_found(writer.as_raw_fd(), &[]));
        assert!(!is_found(file.as_raw_fd(), &[]));
        assert!(!is_found(reader.as_raw_fd(), &[reader.as_raw_fd()]));
    }
}
