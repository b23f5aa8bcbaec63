//! What std's sockets lack: sending parts of a message without a signal, and receiving into memory
//! that is not written before.

use std::io::{self, IoSlice};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends some parts one behind the other, and says how many bytes were taken. No signal comes if
/// the other end is gone.
///
/// # Errors
/// As of sendmsg(2).
pub(crate) fn send(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: zero is a value of this plain struct: no address, no parts, no control data.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: `IoSlice` is laid out as an iovec; the parts live until the call returns, and it only
    // reads them.
    count(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// Receives up to `n` bytes behind those that are there, and says how many; 0 if no more will come.
///
/// # Errors
/// As of recv(2).
pub(crate) fn receive_behind(
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    n: usize,
) -> io::Result<usize> {
    bytes.reserve(n);
    let room = &mut bytes.spare_capacity_mut()[..n];
    // SAFETY: the room is as long as said, and the call only writes to it.
    let received = unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), n, 0) };
    let n_received = count(received)?;
    // SAFETY: this many bytes behind those that were there are written.
    unsafe { bytes.set_len(bytes.len() + n_received) };
    Ok(n_received)
}

/// The number of bytes that a call gave, or its error.
fn count(given: isize) -> io::Result<usize> {
    usize::try_from(given).map_err(|_| io::Error::last_os_error())
}
