//! The process through which a station is reached, while it runs and when it ends.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, ChildStdin};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::sys::child::{self, Ended};

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

impl Reached {
    /// The station itself.
    pub(super) fn station(pid: i32) -> Reached {
        Reached {
            pid,
            ended: Cell::new(None),
            program: None,
        }
    }

    /// The program that reaches it.
    pub(super) fn by(name: String, mut child: Child) -> Reached {
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
    pub(super) fn what_it_said(&self) -> String {
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

    pub(super) fn begin_to_pass_on(&self) {
        if let Some(program) = &self.program {
            program.output.borrow_mut().is_passed_on = true;
        }
    }

    /// Wakes a program that sleeps because no message was under way.
    pub(super) fn wake(&mut self) {
        // A program that does not read its input does not sleep longer because of that.
        self.write(b"\n");
    }

    /// Writes into the program's standard input. Its exit is detected elsewhere.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let program = self.program.as_mut();
        if let Some(input) = program.and_then(|program| program.input.as_mut()) {
            let _ = input.write_all(bytes);
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
