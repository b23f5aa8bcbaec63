//! Pipes and sockets of earlier cells, across a rollback.
//!
//! A snapshot with copies of them would keep them open after a cell has closed them: a reader at
//! the other end would wait forever for the end of the stream. So a sleeping snapshot has none.
//! When it takes over, it gets them from a process that shares the *table* of descriptors with the
//! user process: a descriptor that the user process closed is closed there, and one that was open
//! when the user process died is still open.
//!
//! ```text
//!  user process ──clone(CLONE_FILES)──▶ keeper: sleeps until a snapshot asks
//!       └── fork ──▶ snapshot: closes its copies ·TakeOver· ──numbers──▶ keeper ──descriptors──▶ goes on
//! ```
//!
//! There is a keeper only if there is such a descriptor. A descriptor that the failed cell itself
//! closed is not rolled back (it is outside the process): a descriptor whose other end is gone
//! replaces it.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, send, sendmsg, setsockopt,
    sockopt,
};
use nix::sys::time::TimeVal;

use crate::sys::descriptors::{self, Open, out_of_the_way, packet_pair};
use crate::sys::fork::{exit_now, fork_sibling_with_descriptors};
use crate::sys::procs::Pid;
use crate::sys::this_process;

/// The number of descriptors in one request.
const N_AT_ONCE: usize = 1024;
/// How long to wait for a reply: a killed keeper does not reply.
const ANSWER: Duration = Duration::from_secs(1);

/// The keeper process, and the wire to it.
pub(super) struct Keeper {
    pub(super) pid: Pid,
    ask: OwnedFd,
    answer: OwnedFd,
}

/// The open pipes and sockets of this process, except those in `private` and the first three.
pub(super) fn delicate(private: &[RawFd], keeper: Option<&Keeper>) -> Vec<Open> {
    let wire = keeper.map(|keeper| [keeper.ask.as_raw_fd(), keeper.answer.as_raw_fd()]);
    let is_ours = |number: &RawFd| {
        *number < 3 || private.contains(number) || wire.is_some_and(|wire| wire.contains(number))
    };
    let numbers = descriptors::open_numbers().unwrap_or_default().into_iter();
    let open = numbers
        .filter(|number| !is_ours(number))
        .filter_map(Open::at);
    open.filter(|open| open.is_stream).collect()
}

impl Keeper {
    /// Starts a keeper for this process's table. It is a child of this process's parent, so that no
    /// cell's `wait` finds it.
    pub(super) fn start() -> Option<Keeper> {
        let (ask, answer) = packet_pair().ok()?;
        let ask = out_of_the_way(&ask).ok()?;
        let answer = out_of_the_way(&answer).ok()?;
        // SAFETY: `keep` uses nothing but the descriptors.
        match unsafe { fork_sibling_with_descriptors() }.ok()? {
            0 => keep(answer.as_raw_fd()),
            pid => Some(Keeper { pid, ask, answer }),
        }
    }

    /// In a new snapshot: closes the descriptors that it must not hold.
    pub(super) fn let_go(delicate: &[Open]) {
        for open in delicate {
            // SAFETY: all code of the cells that owns this number sleeps until `take_back` has
            // filled it again.
            unsafe { descriptors::close(open.number) };
        }
    }

    /// In a snapshot that takes over: gets all descriptors back.
    pub(super) fn take_back(self, delicate: &[Open]) {
        let timeout = TimeVal::new(ANSWER.as_secs() as i64, 0);
        let _ = setsockopt(&self.ask, sockopt::ReceiveTimeout, &timeout);
        for some in delicate.chunks(N_AT_ONCE) {
            let numbers: Vec<u8> = some.iter().flat_map(|d| d.number.to_le_bytes()).collect();
            let _ = send(self.ask.as_raw_fd(), &numbers, MsgFlags::MSG_NOSIGNAL);
            for open in some {
                put_back(open, receive_descriptor(self.ask.as_raw_fd()));
            }
        }
    }
}

/// Restores a descriptor under its number, or one whose other end is gone.
fn put_back(open: &Open, kept: Option<OwnedFd>) {
    let is_same = |kept: &OwnedFd| {
        Open::at(kept.as_raw_fd()).is_some_and(|found| found.identity == open.identity)
    };
    let kept = kept.filter(is_same);
    if let Some(descriptor) = kept.or_else(|| descriptors::dead_end().ok()) {
        // The number was closed when the snapshot went to sleep, and any descriptor that has taken
        // it since has been moved before this one arrived.
        open.put_back(descriptor);
    }
}

/// The keeper's loop: replies to each number with its descriptor, until the supervisor kills it.
fn keep(wire: RawFd) -> ! {
    this_process::lead_group();
    this_process::set_name(c"forklore-keep");
    this_process::die_with_parent();
    let mut numbers = [0_u8; 4 * N_AT_ONCE];
    loop {
        let n_bytes = match recv(wire, &mut numbers, MsgFlags::empty()) {
            Ok(n_bytes) => n_bytes,
            Err(Errno::EINTR) => continue,
            Err(_) => exit_now(0),
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
            // SAFETY: the OS has just opened them for this message.
            found = descriptors
                .first()
                .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_sockets_are_delicate() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
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
