//! How a relay connects to its node's station.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::cluster::bootstrap::{FromAgent, ObjectFile, ToAgent, Tokens};
use crate::cluster::node::{RENDEZVOUS, STATION};
use crate::error::Error;
use crate::link::{SocketLink, Talk};
use crate::pool::nodes::Reach;
use crate::pool::workers::entry;
use crate::sys::launch::Launch;
use crate::sys::line::{Line, line};
use crate::sys::{letter, program};

use super::reached::Reached;

/// A node that is not reached within this time is given up.
pub(super) const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// How often the program that reaches a node is checked in the meantime.
const LOOK: Duration = Duration::from_millis(5);

/// Starts the process through which a node's station is reached, and waits until the station is
/// connected. `is_over` returns true if the station is no longer needed.
///
/// # Errors
/// The reason why there is no station, as the end of a sentence about the node.
pub(super) fn reach(
    reach: &Reach,
    start: Option<&ToAgent>,
    is_over: &dyn Fn() -> bool,
) -> Result<(Reached, SocketLink), String> {
    match reach {
        Reach::Here => reach_here(),
        Reach::By {
            arguments,
            environment,
        } => {
            let listener = Listener::new()?;
            let mut environment = environment.clone();
            environment.push((RENDEZVOUS.into(), listener.name.clone()));
            let name = arguments
                .first()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let child = program::start(arguments, &environment)
                .map_err(|error| format!("cannot be reached: {name} does not start: {error}"))?;
            let mut reached = Reached::by(name, child);
            let tokens = Tokens::random().map_err(|error| format!("cannot be reached: {error}"))?;
            reached.write(tokens.line().as_bytes());
            let link = listener.accept(&reached, is_over)?;
            let link = start_station((link, start), tokens, &reached, is_over)?;
            reached.begin_to_pass_on();
            Ok((reached, link))
        }
    }
}

fn reach_here() -> Result<(Reached, SocketLink), String> {
    let (pid, line) = launch_station().map_err(|error| format!("has no station: {error}"))?;
    let stream = UnixStream::from(OwnedFd::from(line));
    let link = SocketLink::new(stream).map_err(|error| format!("has no station: {error}"))?;
    Ok((Reached::station(pid), link))
}

/// What an agent starts.
///
/// # Errors
/// `is_os()` if no process can be started as a station.
pub(in crate::pool) fn start_of_agents() -> Result<ToAgent, Error> {
    let (mark, object) = entry::check_can_launch()?;
    let object = match object.as_os_str().is_empty() {
        true => None,
        false => Some(ObjectFile::of_object(&object)?),
    };
    Ok(ToAgent::Start {
        program: ObjectFile::of_program()?,
        object,
        mark,
    })
}

/// Makes the agent start the station.
fn start_station(
    (link, start): (SocketLink, Option<&ToAgent>),
    tokens: Tokens,
    reached: &Reached,
    is_over: &dyn Fn() -> bool,
) -> Result<SocketLink, String> {
    let Some(start @ ToAgent::Start { program, .. }) = start else {
        return Err("has no station: it is not known what to start there".to_owned());
    };
    let mut talk = Talk::new(link);
    let lost = |error: std::io::Error| match reached.ends_soon() {
        true => reached.how_it_ended(),
        // A launcher takes its time to exit, and may have forwarded the reason.
        false => match reached.what_it_said().as_str() {
            "" => format!("is lost: {error}"),
            said => format!("is lost: {error}, after this was said: {said}"),
        },
    };
    talk.send(&ToAgent::hello(), &[]).map_err(lost)?;
    talk.send(&ToAgent::Token(tokens.relay), &[])
        .map_err(lost)?;
    let deadline = Instant::now() + REACHED_WITHIN;
    let mut is_known = false;
    loop {
        match talk
            .receive::<FromAgent>()
            .map_err(lost)?
            .map(|message| message.head)
        {
            Some(FromAgent::Token(token)) if token == tokens.agent && !is_known => {
                is_known = true;
                talk.send(start, &[]).map_err(lost)?;
            }
            Some(FromAgent::Started) if is_known => return Ok(talk.into_link()),
            Some(FromAgent::Missing { path }) if is_known => {
                // This program's file may have been replaced in the meantime.
                let path = match path == program.path {
                    true => Path::new("/proc/self/exe"),
                    false => &path,
                };
                let bytes = std::fs::read(path)
                    .map_err(|error| format!("cannot be sent {}: {error}", path.display()))?;
                talk.send(&ToAgent::Bytes, &[&bytes]).map_err(lost)?;
            }
            Some(FromAgent::Failed { why }) => return Err(format!("has no station: {why}")),
            Some(_) => {
                let what = "was answered for by a program that is not the agent started there";
                return Err(what.to_owned());
            }
            None => {
                reached.pass_on_output();
                if is_over() {
                    reached.end();
                    return Err("is not needed any more".to_owned());
                }
                if Instant::now() >= deadline {
                    return Err(format!(
                        "has not started a station within {REACHED_WITHIN:?}"
                    ));
                }
                talk.link().wait(LOOK);
            }
        }
    }
}

/// Launches a fresh process as a node's station. Returns its pid, and the line to it.
fn launch_station() -> Result<(i32, Line), Error> {
    let (offset, path) = entry::check_can_launch()?;
    let (here, there) = line()?;
    let letter = letter::leave(&here, &offset.to_le_bytes(), &there)?;
    let launch = Launch {
        object: &path,
        address: entry::address(),
        variable: (STATION, letter),
        files: &[there.as_fd()],
    };
    Ok((launch.start()?, here))
}

/// The socket to which the program connects.
struct Listener {
    socket: UnixListener,
    /// A name that was free, in the abstract namespace (unix(7), "Autobind").
    name: OsString,
}

impl Listener {
    fn new() -> Result<Listener, String> {
        let fail = |error: std::io::Error| format!("cannot be reached: no socket: {error}");
        let socket = UnixListener::bind("").map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        let name = address.as_abstract_name().unwrap_or_default().to_vec();
        let name = OsString::from_vec(name);
        Ok(Listener { socket, name })
    }

    /// Waits for the program. Connections of other users, who guessed the name, are closed, and
    /// prolong nothing.
    fn accept(&self, reached: &Reached, is_over: &dyn Fn() -> bool) -> Result<SocketLink, String> {
        let deadline = Instant::now() + REACHED_WITHIN;
        loop {
            reached.pass_on_output();
            if is_over() {
                reached.end();
                return Err("is not needed any more".to_owned());
            }
            if Instant::now() >= deadline {
                reached.end();
                return Err(format!("was not reached within {REACHED_WITHIN:?}"));
            }
            let has_ended = reached.has_ended();
            match self.socket.accept() {
                Ok((stream, _)) if letter::is_own(stream.as_fd()) => {
                    return SocketLink::new(stream).map_err(|error| format!("is lost: {error}"));
                }
                // The program connected before it ended, if it ever did.
                Ok(_) => {}
                Err(_) if has_ended => return Err(reached.how_it_ended()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut fds, LOOK.as_millis() as u16);
                }
                Err(error) => return Err(format!("cannot be reached: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::net::SocketAddr;
    use std::process::{Command, Stdio};

    use super::*;

    /// A launcher that never connects.
    fn launcher() -> Reached {
        let child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Reached::by("sleep".to_owned(), child.unwrap())
    }

    /// What a program receives that answers the relay with these messages, and what the relay makes
    /// of it.
    fn answer(answers: &[FromAgent]) -> (Vec<ToAgent>, String) {
        let (here, there) = UnixStream::pair().unwrap();
        let answers = answers.to_vec();
        let impostor = std::thread::spawn(move || {
            let mut talk = Talk::new(SocketLink::new(there).unwrap());
            for answer in &answers {
                talk.send(answer, &[]).unwrap();
            }
            let mut received = Vec::new();
            loop {
                match talk.receive::<ToAgent>() {
                    Ok(Some(message)) => received.push(message.split().0),
                    Ok(None) => talk.link().wait(REACHED_WITHIN),
                    Err(_) => return received,
                }
            }
        });
        let start = ToAgent::Start {
            program: ObjectFile::of_program().unwrap(),
            object: None,
            mark: 0,
        };
        let reached = launcher();
        let tokens = Tokens::random().unwrap();
        let link = (SocketLink::new(here).unwrap(), Some(&start));
        let why = start_station(link, tokens, &reached, &|| false)
            .err()
            .unwrap();
        reached.end();
        (impostor.join().unwrap(), why)
    }

    #[test]
    fn a_program_that_is_not_the_agent_gets_nothing_of_the_owners() {
        let path = std::env::current_exe().unwrap();
        for answer_of_impostor in [
            FromAgent::Token(Tokens::random().unwrap().agent),
            FromAgent::Started,
            FromAgent::Missing { path },
        ] {
            let (received, why) = answer(&[answer_of_impostor]);
            assert!(why.contains("not the agent"), "{why}");
            let secret =
                |message: &ToAgent| !matches!(message, ToAgent::Hello { .. } | ToAgent::Token(_));
            assert!(!received.iter().any(secret), "{received:?}");
        }
    }

    #[test]
    fn another_users_connections_reach_nothing_and_prolong_nothing() {
        let listener = Listener::new().unwrap();
        let address = SocketAddr::from_abstract_name(listener.name.as_encoded_bytes()).unwrap();
        let connect = || UnixStream::connect_addr(&address);
        let reached = launcher();
        let n_left = Cell::new(100);
        // Before each check, there is one more.
        let is_over = || {
            let connected = letter::as_another_user(connect);
            n_left.set(n_left.get() - 1);
            connected.is_none_or(|connected| connected.is_err()) || n_left.get() == 0
        };
        let error = listener.accept(&reached, &is_over).err().unwrap();
        assert_eq!(error, "is not needed any more");
        assert!(reached.has_ended());
    }

    #[test]
    fn two_listeners_have_two_names() {
        let (one, other) = (Listener::new().unwrap(), Listener::new().unwrap());
        assert!(!one.name.is_empty() && one.name != other.name);
    }
}
