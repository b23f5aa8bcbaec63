//! What std's sockets lack: sending parts of a message without a signal, and receiving into memory
//! that is not written before.

use std::io::{self, IoSlice};
use std::mem::zeroed;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// This process's connected TCP sockets whose peer is wanted, as descriptors of their own; none
/// without `/proc`.
pub(crate) fn connections(is_wanted: impl Fn(IpAddr) -> bool) -> Vec<OwnedFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let entries = entries.flatten().filter(|entry| {
        let target = std::fs::read_link(entry.path());
        target.is_ok_and(|target| {
            target
                .as_os_str()
                .as_encoded_bytes()
                .starts_with(b"socket:")
        })
    });
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let sockets = numbers.filter_map(duplicate).map(TcpStream::from);
    let wanted = sockets.filter(|socket| {
        // A socket that is not connected has no peer, and one of another family no address.
        socket.peer_addr().is_ok_and(|peer| is_wanted(peer.ip()))
    });
    wanted.map(OwnedFd::from).collect()
}

/// Another descriptor of the file that is open under a number now.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers, and fails if nothing is open under the first.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    // SAFETY: the descriptor is new and has no other owner.
    (fd != -1).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An event of poll(2): the peer has sent its last byte.
pub(crate) const PEER_HAS_ENDED: i16 = libc::POLLRDHUP;

/// The number of bytes that a call gave, or its error.
fn count(given: isize) -> io::Result<usize> {
    usize::try_from(given).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn connections_are_found_by_their_peers() {
        let listener = TcpListener::bind("127.0.0.7:0").unwrap();
        let _local = UnixStream::pair().unwrap();
        let ours = |peer: IpAddr| peer.to_string() == "127.0.0.7";
        assert!(connections(ours).is_empty());
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // Only the side that has this peer: neither the listener nor the socket pair.
        let found = connections(ours);
        assert_eq!(found.len(), 1);
        let found = TcpStream::from(found.into_iter().next().unwrap());
        assert_eq!(found.local_addr().unwrap(), connected.local_addr().unwrap());
    }
}
