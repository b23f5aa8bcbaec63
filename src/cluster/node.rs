//! The two sides of `forklore-node`: it carries frames over MPI, and starts the station.
//!
//! ```text
//!  relay ── socket ── carry ── MPI ── agent: carry ── socket ── station
//! ```
//!
//! Neither side interprets the frames. While no message is under way, both sleep: the relay
//! announces that, and wakes the agent by a byte through the launcher's input.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_timerslack;

use super::arrivals::Arrivals;
use super::bootstrap::{FromAgent, ObjectFile, ToAgent, Tokens};
use crate::error::Result;
use crate::link::Link;
use crate::link::{END, Payload, QUIET, SocketLink, Talk};
use crate::sys::child;
use crate::sys::launch::start_program;
use crate::sys::letter;
use crate::sys::line::line;
use crate::sys::region;

/// The variable with the abstract name (unix(7)) of the socket on which a relay waits for the
/// program that reaches its node.
pub(crate) const RENDEZVOUS: &str = "FORKLORE_RELAY";

/// The variable that marks a process as a future station and says where its letter is: at the
/// offset of the library's mark in its object.
pub(crate) const STATION: &str = "FORKLORE_STATION";

/// While more than this is queued on one side, nothing is read from the other.
const MAX_QUEUED_BYTES: usize = 8 << 20;
/// How long a side sleeps between two checks, where speed does not matter.
const NAP: Duration = Duration::from_micros(200);
/// How long a relay tries to tell its agent that the owner is gone.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long it sleeps while no message is under way.
const ASLEEP: Duration = Duration::from_secs(3600);

/// The relay's side, in rank 0: carries frames between the relay's socket and the agent, to which
/// `connect` opens a link. Returns when either is gone, with the reason.
///
/// # Errors
/// If the relay or the agent is gone, or never connected.
pub fn run_relay<L: Link>(connect: impl FnOnce() -> io::Result<L>) -> io::Result<()> {
    let name = std::env::var_os(RENDEZVOUS).ok_or_else(|| {
        io::Error::new(
            ErrorKind::NotFound,
            "this process was not started by forklore::Cluster",
        )
    })?;
    let address = SocketAddr::from_abstract_name(name.as_encoded_bytes())?;
    let stream = UnixStream::connect_addr(&address)?;
    if !letter::is_own(stream.as_fd()) {
        let message = "the socket of its owner is another user's now";
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    serve_owner(stream, connect()?)
}

fn serve_owner<L: Link>(stream: UnixStream, mut agent: L) -> io::Result<()> {
    let wait = &mut |socket: &SocketLink, longest| {
        socket.wait(longest);
        Ok(())
    };
    // The launcher, when it is asked to end the job, sends it here first, and to the node after a
    // second or two. The owner's end comes with it, and there is something left to say.
    child::pass_requests_to_end();
    let carried = carry(&mut SocketLink::new(stream)?, &mut agent, wait);
    end(&mut agent);
    carried
}

/// Tells the agent that no message will follow, so that the node's work ends at once.
fn end<L: Link>(agent: &mut L) {
    let deadline = Instant::now() + FAREWELL;
    let mut is_told = agent.send(vec![END]);
    while is_told.is_ok() && agent.n_queued_bytes() > 0 && Instant::now() < deadline {
        std::thread::sleep(NAP);
        is_told = agent.receive().map(drop);
    }
}

/// The agent's side, in rank 1: starts the station that the relay requests, over the link that
/// `connect` opens, and carries frames between them. Returns when either is gone, with the reason.
///
/// # Errors
/// If the relay or the station is gone, or never connected, or if the relay does not belong to the
/// owner that started this agent.
pub fn run_agent<L: Link>(connect: impl FnOnce() -> io::Result<L>) -> io::Result<()> {
    serve_relay(connect, || {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line)
    })
}

fn serve_relay<L: Link>(
    connect: impl FnOnce() -> io::Result<L>,
    first_line: impl FnOnce() -> io::Result<String>,
) -> io::Result<()> {
    let mut relay = Talk::new(connect()?);
    let station = match start_station(&mut relay, first_line) {
        Ok(station) => station,
        Err(error) => {
            let why = error.to_string();
            relay.send(&FromAgent::Failed { why }, &[])?;
            wait_for_end(&mut relay);
            return Err(error);
        }
    };
    relay.send(&FromAgent::Started, &[])?;
    let mut station = SocketLink::new(station)?;
    carry(&mut station, &mut relay.into_link(), &mut wait_for_relay)
}

/// Waits until the relay wakes this side, or the station sends something. A zero timeout only reads
/// what is left of an earlier wake-up byte.
fn wait_for_relay(station: &SocketLink, longest: Duration) -> io::Result<()> {
    let input = io::stdin();
    let mut fds = [
        PollFd::new(input.as_fd(), PollFlags::POLLIN),
        PollFd::new(station.as_fd(), PollFlags::POLLIN),
    ];
    let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut fds, timeout);
    let is_there = fds[0].revents().is_some_and(|events| !events.is_empty());
    match is_there.then(|| input.lock().read(&mut [0; 64])) {
        Some(Ok(0)) => Err(ErrorKind::UnexpectedEof.into()),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Starts the station, and returns the socket that connects to it.
fn start_station<L: Link>(
    relay: &mut Talk<L>,
    first_line: impl FnOnce() -> io::Result<String>,
) -> io::Result<UnixStream> {
    let hello = receive(relay)?.0.check_hello();
    hello.map_err(|error| io::Error::other(error.to_string()))?;
    // The launcher's end ends this wait.
    let tokens = Tokens::parse(&first_line()?);
    let ToAgent::Token(token) = receive(relay)?.0 else {
        return Err(ErrorKind::InvalidData.into());
    };
    let Some(tokens) = tokens.filter(|tokens| tokens.relay == token) else {
        let message = "the program that has connected is not the one that started this agent";
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    };
    relay.send(&FromAgent::Token(tokens.agent), &[])?;
    let ToAgent::Start {
        program,
        object,
        mark,
    } = receive(relay)?.0
    else {
        return Err(ErrorKind::InvalidData.into());
    };
    let program = Here::find(relay, program)?;
    let object = object.map(|object| Here::find(relay, object)).transpose()?;
    start(&program, object.as_ref(), mark).map_err(|error| io::Error::other(error.to_string()))
}

/// Waits for the relay's next message.
fn receive<L: Link>(relay: &mut Talk<L>) -> io::Result<(ToAgent, Payload)> {
    loop {
        if let Some(message) = relay.receive::<ToAgent>()? {
            return Ok(message.split());
        }
        std::thread::sleep(NAP);
    }
}

/// A file with code on this node.
struct Here {
    path: PathBuf,
    /// The file, if the relay sent it. It is in this node's memory only: no folder needs to be
    /// writable, and none has anything left in it.
    file: Option<File>,
}

impl Here {
    /// Finds the file, or gets it from the relay.
    fn find<L: Link>(relay: &mut Talk<L>, wanted: ObjectFile) -> io::Result<Here> {
        if std::fs::read(&wanted.path).is_ok_and(|bytes| wanted.is(&bytes)) {
            let path = wanted.path;
            return Ok(Here { path, file: None });
        }
        let path = wanted.path.clone();
        relay.send(&FromAgent::Missing { path }, &[])?;
        let (_, bytes) = receive(relay)?;
        if !wanted.is(&bytes) {
            let path = wanted.path.display();
            return Err(io::Error::other(format!(
                "{path} has changed while it was sent"
            )));
        }
        let file = region::code_file();
        let file = file.map_err(|error| io::Error::other(error.to_string()))?;
        let mut file = File::from(file);
        file.write_all(&bytes)?;
        Ok(Here {
            path: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
            file: Some(file),
        })
    }
}

fn start(program: &Here, object: Option<&Here>, mark: u64) -> Result<UnixStream> {
    let (here, there) = line()?;
    let letter = letter::leave(&here, &mark.to_le_bytes(), &there)?;
    let mut files = vec![there.as_fd()];
    // The loader opens it in the new process.
    files.extend(object.and_then(|object| Some(object.file.as_ref()?.as_fd())));
    let object = object.map(|object| object.path.as_path());
    start_program(&program.path, object, (STATION, letter), &files)?;
    Ok(UnixStream::from(OwnedFd::from(here)))
}

/// Waits until the relay has read the last message and ends the link.
fn wait_for_end<L: Link>(relay: &mut Talk<L>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline && relay.receive::<ToAgent>().is_ok() {
        std::thread::sleep(NAP);
    }
}

/// Sets this thread's timer slack, so that it wakes when a nap is over and not up to 50 µs later.
/// Threads that it starts from here on inherit the setting.
pub(crate) fn nap_precisely() {
    // If this fails, naps are longer.
    let _ = set_timerslack(1);
}

/// How a side sleeps while no message is under way: until its socket, or another source, wakes it,
/// and at most for a duration.
type Sleep<'s> = dyn FnMut(&SocketLink, Duration) -> io::Result<()> + 's;

/// Carries frames in both directions until one side is gone.
fn carry<L: Link>(socket: &mut SocketLink, mpi: &mut L, sleep: &mut Sleep<'_>) -> io::Result<()> {
    nap_precisely();
    let mut is_quiet = false;
    let mut arrivals = Arrivals::default();
    let mut moved = Instant::now();
    loop {
        let mut did_any = false;
        // A side that is not read from, because the other has too much queued, still takes what is
        // queued for it: otherwise both could wait for each other.
        mpi.progress();
        socket.progress();
        while mpi.n_queued_bytes() < MAX_QUEUED_BYTES
            && let Some(frame) = socket.receive()?
        {
            is_quiet = frame == [QUIET];
            mpi.send(frame)?;
            did_any = true;
        }
        while socket.n_queued_bytes() < MAX_QUEUED_BYTES
            && let Some(frame) = mpi.receive()?
        {
            if frame == [END] {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            is_quiet = frame == [QUIET];
            socket.send(frame)?;
            did_any = true;
        }
        if did_any {
            moved = Instant::now();
            if is_quiet {
                sleep(socket, Duration::ZERO)?;
            }
        } else if is_quiet && mpi.n_queued_bytes() == 0 && socket.n_queued_bytes() == 0 {
            sleep(socket, ASLEEP)?;
            (is_quiet, moved) = (false, Instant::now());
        } else {
            arrivals.wait(socket, moved.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::sync::mpsc;

    use crate::link::MAX_FRAME;

    use super::*;

    /// The first reply to these messages of an agent that got this line of input.
    fn said_to(messages: &[ToAgent], line: String) -> FromAgent {
        let (here, there) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || serve_relay(|| SocketLink::new(there), || Ok(line)));
        let mut talk = Talk::new(SocketLink::new(here).unwrap());
        for message in messages {
            talk.send(message, &[]).unwrap();
        }
        let said = loop {
            match talk.receive::<FromAgent>().unwrap() {
                Some(message) => break message.split().0,
                None => talk.link().wait(Duration::from_secs(60)),
            }
        };
        drop(talk);
        assert!(agent.join().unwrap().is_err());
        said
    }

    #[test]
    fn an_agent_shows_its_token_to_its_own_relay_only() {
        let (own, other) = (Tokens::random().unwrap(), Tokens::random().unwrap());
        let said_to = |token, line| said_to(&[ToAgent::hello(), ToAgent::Token(token)], line);
        assert_eq!(said_to(own.relay, own.line()), FromAgent::Token(own.agent));
        for (token, line) in [
            (other.relay, own.line()),
            (own.agent, own.line()),
            (own.relay, String::new()),
            (own.relay, "\n".to_owned()),
        ] {
            let FromAgent::Failed { why } = said_to(token, line) else {
                panic!("the agent goes on");
            };
            assert!(why.contains("is not the one that started"), "{why}");
        }
    }

    /// Over MPI, neither side sees that the other is gone.
    #[test]
    fn the_owners_end_reaches_the_node_at_once() {
        let (owner, relay) = UnixStream::pair().unwrap();
        let (relays_agent, agents_relay) = UnixStream::pair().unwrap();
        let still_open = relays_agent.try_clone().unwrap();
        let relay = std::thread::spawn(move || {
            let agent = SocketLink::new(relays_agent).unwrap();
            serve_owner(relay, agent)
        });
        let (_station, agents_station) = UnixStream::pair().unwrap();
        let agent = std::thread::spawn(move || {
            let mut station = SocketLink::new(agents_station).unwrap();
            let mut relay = SocketLink::new(agents_relay).unwrap();
            let wait = &mut |socket: &SocketLink, longest| {
                socket.wait(longest);
                Ok(())
            };
            carry(&mut station, &mut relay, wait)
        });
        drop(owner);
        let is_end =
            |carried: io::Result<()>| carried.unwrap_err().kind() == ErrorKind::UnexpectedEof;
        assert!(is_end(relay.join().unwrap()));
        assert!(is_end(agent.join().unwrap()));
        drop(still_open);
    }

    /// A link with as much in its queue as it takes.
    struct Full(usize);

    impl Link for Full {
        fn send(&mut self, _: Vec<u8>) -> io::Result<()> {
            Ok(())
        }

        fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
            Ok(None)
        }

        fn progress(&mut self) {
            self.0 = 0;
        }

        fn n_queued_bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn both_directions_may_be_full() {
        let (here, there) = UnixStream::pair().unwrap();
        let (say, said) = mpsc::channel();
        let carrier = std::thread::spawn(move || {
            let mut socket = SocketLink::new(there).unwrap();
            while socket.n_queued_bytes() < MAX_QUEUED_BYTES {
                socket.send(vec![0; MAX_FRAME]).unwrap();
            }
            let carried = carry(&mut socket, &mut Full(MAX_QUEUED_BYTES), &mut |_, _| Ok(()));
            say.send(carried.unwrap_err().kind()).unwrap();
        });
        // It is read from, although the other side reads nothing, so this end is seen.
        here.shutdown(Shutdown::Write).unwrap();
        let seen = said.recv_timeout(Duration::from_secs(60));
        assert_eq!(seen, Ok(ErrorKind::UnexpectedEof));
        carrier.join().unwrap();
    }

    #[test]
    fn an_agent_of_another_version_says_what_to_do() {
        let hello = |library: &str, protocol| ToAgent::Hello {
            library: library.to_owned(),
            protocol,
        };
        for (first, part) in [
            (hello("9.9.9", 1), "of 9.9.9"),
            (hello(super::super::VERSION, 99), "(messages 99)"),
            (ToAgent::Bytes, "of an earlier version"),
        ] {
            let FromAgent::Failed { why } = said_to(&[first], String::new()) else {
                panic!("the agent goes on");
            };
            assert!(why.contains(part), "{why}");
            assert!(why.contains("cargo install"), "{why}");
        }
    }
}
