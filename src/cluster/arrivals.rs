//! How a process that carries frames over MPI sleeps until a message may have arrived.
//!
//! MPI has no descriptor to wait for. Over TCP, however, its messages arrive on sockets of this
//! process, and those can be waited for. Where MPI uses something else (InfiniBand, memory of the
//! same machine), there are none, and the process naps.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use crate::link::SocketLink;
use crate::sys::socket;

/// How long a side naps at first, and at most, while a message is under way.
const NAPS: (Duration, Duration) = (Duration::from_micros(40), Duration::from_millis(1));
/// Between these limits, it naps for this fraction of the time since it last carried a frame.
const NAPS_PER_TIME: u32 = 32;
/// How often MPI's connections are looked for: it makes them when the first message is sent.
const LOOK: Duration = Duration::from_millis(50);

/// The other end has sent its last byte (`POLLRDHUP` in poll(2)); nix does not have it.
const ENDED: PollFlags = PollFlags::from_bits_retain(socket::PEER_HAS_ENDED);

/// MPI's connections to other machines.
#[derive(Default)]
pub(super) struct Arrivals {
    connections: Vec<OwnedFd>,
    looked: Option<Instant>,
}

impl Arrivals {
    /// Sleeps until the socket has something to do, a message may have arrived, or a nap is over.
    /// The last frame was carried `calm` ago.
    pub(super) fn wait(&mut self, socket: &SocketLink, calm: Duration) {
        self.look();
        let nap = match self.connections.is_empty() {
            true => (calm / NAPS_PER_TIME).clamp(NAPS.0, NAPS.1),
            false => NAPS.1,
        };
        let mut fds = vec![PollFd::new(socket.as_fd(), socket.events())];
        let connections = self.connections.iter();
        fds.extend(connections.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN | ENDED)));
        // An interruption is like an event: the caller checks again.
        let _ = ppoll(&mut fds, Some(TimeSpec::from_duration(nap)), None::<SigSet>);
        // nix gives nothing if there is an event that it does not know, which is this one.
        let is_over = |fd: &PollFd<'_>| {
            let over = PollFlags::POLLERR | PollFlags::POLLHUP;
            fd.revents().is_none_or(|events| events.intersects(over))
        };
        // One that has ended would end every wait at once.
        if fds[1..].iter().any(is_over) {
            self.connections.clear();
        }
    }

    fn look(&mut self) {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if self.connections.is_empty() && is_due {
            self.connections = socket::connections(|peer| !is_loopback(peer));
            self.looked = Some(Instant::now());
        }
    }
}

/// Whether an address is this machine's own: MPI's daemon is connected there.
fn is_loopback(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn this_machines_own_addresses_are_known() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.77.0.1", false),
            ("::ffff:10.77.0.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), expected, "{address}");
        }
    }

    /// A pair of sockets, of which the second is among the arrivals.
    fn connected() -> (TcpStream, Arrivals) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (there, _) = listener.accept().unwrap();
        let arrivals = Arrivals {
            connections: vec![there.into()],
            looked: Some(Instant::now()),
        };
        (here, arrivals)
    }

    #[test]
    fn an_arrival_ends_the_sleep_and_an_ended_connection_is_forgotten() {
        let (here, mut arrivals) = connected();
        let (_other, socket) = UnixStream::pair().unwrap();
        let socket = SocketLink::new(socket).unwrap();
        (&here).write_all(b"frame").unwrap();
        arrivals.wait(&socket, Duration::ZERO);
        assert_eq!(arrivals.connections.len(), 1);
        here.shutdown(Shutdown::Write).unwrap();
        while !arrivals.connections.is_empty() {
            arrivals.wait(&socket, Duration::ZERO);
        }
    }
}
