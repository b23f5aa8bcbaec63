//! How a relay connects to its node's station.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::cluster::bootstrap::{FromAgent, ObjectFile, ToAgent};
use crate::cluster::node::{RENDEZVOUS, STATION};
use crate::error::Error;
use crate::link::{SocketLink, Talk};
use crate::pool::nodes::Reach;
use crate::pool::workers::entry;
use crate::sys::child::{self, Ended};
use crate::sys::launch::Launch;
use crate::sys::line::{Line, line};
use crate::sys::{letter, process_id, program};

/// A node that is not reached within this time is given up.
pub(super) const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// How often the program that reaches a node is checked in the meantime.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take to exit after a request; it is killed then.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait for its exit after the station's exit is known.
const ENDS_SOON: Duration = Duration::from_secs(1);
/// How many bytes of its standard error are kept, to explain a failure.
const TAIL_BYTES: usize = 2000;

/// The process through which a station is reached: the station itself, or the program that reaches
/// it.
pub(super) struct Reached {
    pid: i32,
    ended: Cell<Option<Ended>>,
    program: Option<Program>,
}

struct Program {
    name: String,
    input: Option<ChildStdin>,
    error: Option<RefCell<ChildStderr>>,
    output: RefCell<Output>,
}

/// The standard error of a program.
#[derive(Default)]
struct Output {
    tail: Vec<u8>,
    /// Whether it is forwarded. Not while the node is being reached: then it is the reason for a
    /// failure, or noise.
    is_passed_on: bool,
}

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
            environment.push((RENDEZVOUS.into(), listener.name.clone().into()));
            let name = arguments
                .first()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let child = program::start(arguments, &environment)
                .map_err(|error| format!("cannot be reached: {name} does not start: {error}"))?;
            let reached = Reached::by(name, child);
            let link = listener.accept(&reached, is_over)?;
            let link = start_station((link, start), &reached, is_over)?;
            reached.begin_to_pass_on();
            Ok((reached, link))
        }
    }
}

fn reach_here() -> Result<(Reached, SocketLink), String> {
    let (pid, line) = launch_station().map_err(|error| format!("has no station: {error}"))?;
    let stream = UnixStream::from(OwnedFd::from(line));
    let link = SocketLink::new(stream).map_err(|error| format!("has no station: {error}"))?;
    let reached = Reached {
        pid,
        ended: Cell::new(None),
        program: None,
    };
    Ok((reached, link))
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
    talk.send(start, &[]).map_err(lost)?;
    let deadline = Instant::now() + REACHED_WITHIN;
    loop {
        match talk
            .receive::<FromAgent>()
            .map_err(lost)?
            .map(|message| message.head)
        {
            Some(FromAgent::Started) => return Ok(talk.into_link()),
            Some(FromAgent::Missing { path }) => {
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

impl Reached {
    fn by(name: String, mut child: Child) -> Reached {
        let error = child.stderr.take();
        if let Some(error) = &error {
            let _ = fcntl(error, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        }
        Reached {
            pid: child.id() as i32,
            ended: Cell::new(None),
            program: Some(Program {
                name,
                input: child.stdin.take(),
                error: error.map(RefCell::new),
                output: RefCell::default(),
            }),
        }
    }

    /// Whether the process has ended.
    pub(super) fn has_ended(&self) -> bool {
        if self.ended.get().is_none() {
            self.ended.set(child::try_reap(self.pid));
        }
        self.ended.get().is_some()
    }

    /// As [`has_ended`](Reached::has_ended), if that is about to happen.
    pub(super) fn ends_soon(&self) -> bool {
        if !self.has_ended() {
            let deadline = Instant::now() + ENDS_SOON;
            self.ended.set(child::reap_before(self.pid, Some(deadline)));
        }
        self.has_ended()
    }

    /// How the process has ended, as the end of a sentence about the node.
    pub(super) fn how_it_ended(&self) -> String {
        let how = self
            .ended
            .get()
            .map_or("is lost".to_owned(), |ended| ended.to_string());
        let Some(program) = &self.program else {
            return format!("is lost: its station {how}");
        };
        let name = &program.name;
        match self.what_it_said().as_str() {
            "" => format!("is lost: {name} {how}"),
            said => format!("is lost: {name} {how}, and said: {said}"),
        }
    }

    /// The last informative lines of the program's output, joined to one.
    fn what_it_said(&self) -> String {
        let Some(program) = &self.program else {
            return String::new();
        };
        program.read_output();
        cause(&String::from_utf8_lossy(&program.output.borrow().tail))
    }

    /// Forwards what the program has printed since the last call.
    pub(super) fn pass_on_output(&self) {
        if let Some(program) = &self.program {
            program.read_output();
        }
    }

    fn begin_to_pass_on(&self) {
        if let Some(program) = &self.program {
            program.output.borrow_mut().is_passed_on = true;
        }
    }

    /// Wakes a program that sleeps because no message was under way.
    pub(super) fn wake(&mut self) {
        if let Some(input) = self
            .program
            .as_mut()
            .and_then(|program| program.input.as_mut())
        {
            // A program that does not read its input does not sleep longer because of that, and an
            // exit of the program is detected elsewhere.
            let _ = input.write_all(b"\n");
        }
    }

    /// Ends the process, and waits for its exit.
    pub(super) fn end(&self) {
        if self.has_ended() {
            return;
        }
        child::kill(self.pid, Signal::SIGTERM);
        let ended = child::reap_before(self.pid, Some(Instant::now() + ENDS_WITHIN));
        if ended.is_none() {
            child::kill(self.pid, Signal::SIGKILL);
            child::reap(self.pid);
        }
        self.ended.set(Some(ended.unwrap_or(Ended::Unknown)));
    }
}

/// How Open MPI begins what it adds to another program's message: pages on what might be wrong.
const COMMENTS: [&str; 2] = [
    "ORTE was unable to reliably start",
    "Primary job  terminated normally",
];

/// The informative lines of `mpirun`'s output, joined to one; if there are any before its own
/// comments, only those.
fn cause(output: &str) -> String {
    let lines = || {
        let lines = output.lines().map(str::trim);
        // `mpirun` draws boxes.
        lines.filter(|line| line.chars().any(char::is_alphanumeric))
    };
    let comments = |line: &&str| COMMENTS.iter().any(|start| line.starts_with(start));
    let first: Vec<&str> = lines().take_while(|line| !comments(line)).collect();
    match first.is_empty() {
        true => lines().collect::<Vec<_>>().join(" "),
        false => first.join(" "),
    }
}

impl Program {
    fn read_output(&self) {
        let Some(mut pipe) = self.error.as_ref().map(RefCell::borrow_mut) else {
            return;
        };
        let mut bytes = [0; 4096];
        let mut output = self.output.borrow_mut();
        while let Ok(n @ 1..) = pipe.read(&mut bytes) {
            if output.is_passed_on {
                let _ = std::io::stderr().write_all(&bytes[..n]);
            }
            output.tail.extend_from_slice(&bytes[..n]);
            let n_old = output.tail.len().saturating_sub(TAIL_BYTES);
            output.tail.drain(..n_old);
        }
    }
}

/// The socket to which the program connects.
struct Listener {
    socket: UnixListener,
    name: String,
}

impl Listener {
    fn new() -> Result<Listener, String> {
        let fail = |error: std::io::Error| format!("cannot be reached: no socket: {error}");
        for attempt in 0..100 {
            let name = format!("forklore-{}-{attempt}", process_id());
            let address = SocketAddr::from_abstract_name(&name).map_err(fail)?;
            match UnixListener::bind_addr(&address) {
                Ok(socket) => {
                    socket.set_nonblocking(true).map_err(fail)?;
                    return Ok(Listener { socket, name });
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Err(fail(ErrorKind::AddrInUse.into()))
    }

    /// Waits for the program. A connection of another user, who guessed the name, is closed.
    fn accept(&self, reached: &Reached, is_over: &dyn Fn() -> bool) -> Result<SocketLink, String> {
        let deadline = Instant::now() + REACHED_WITHIN;
        loop {
            match self.socket.accept() {
                Ok((stream, _)) if letter::is_own(stream.as_fd()) => {
                    return SocketLink::new(stream).map_err(|error| format!("is lost: {error}"));
                }
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(format!("cannot be reached: {error}")),
            }
            reached.pass_on_output();
            if reached.has_ended() {
                return Err(reached.how_it_ended());
            }
            if is_over() {
                reached.end();
                return Err("is not needed any more".to_owned());
            }
            if Instant::now() >= deadline {
                reached.end();
                return Err(format!("was not reached within {REACHED_WITHIN:?}"));
            }
            let mut fds = [nix::poll::PollFd::new(
                self.socket.as_fd(),
                nix::poll::PollFlags::POLLIN,
            )];
            let _ = nix::poll::poll(&mut fds, LOOK.as_millis() as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn the_shells_own_words_are_the_cause() {
        let output = "ssh: connect to host b port 22: Connection refused\n\
                      -----------------\n\
                      ORTE was unable to reliably start one or more daemons.\n\
                      This usually is caused by:\n";
        assert_eq!(
            cause(output),
            "ssh: connect to host b port 22: Connection refused"
        );
    }

    #[test]
    fn without_them_all_that_mpirun_said_is_the_cause() {
        let output = "--------\nORTE was unable to reliably start one or more daemons.\n\
                      * not finding the required libraries\n--------\n";
        assert_eq!(
            cause(output),
            "ORTE was unable to reliably start one or more daemons. * not finding the required libraries"
        );
    }
}
