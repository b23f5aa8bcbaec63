//! A process with one thread and little memory that starts workers for a pool.
//!
//! ```text
//!  owner ── START slot ──▶ server ── fork, or launch ──▶ worker
//!        ◀── pid ─────────
//!        ── REAP pid ────▶        ── waitid
//!        ◀── how it ended
//! ```
//!
//! The workers are the server's children, so the server reaps them, and only on request: a pid
//! stays reserved until the owner knows how its worker ended.
//!
//! The owner may have any number of threads, and each of them may end. The server has one, and
//! lives exactly as long as its pool, so the workers are tied to the server: they die with its
//! thread (`PR_SET_PDEATHSIG`), or else when they see that the pool's lifeline, which that thread
//! holds, is cut. The server itself has three ways to notice that its owner is gone (`sys::leash`).

use std::collections::HashSet;
use std::error::Error as _;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::sys::child::{self, Ended, Side};
use crate::sys::line::{Line, Message};
use crate::sys::{leash, process_id};

use super::fresh::{self, Order};
use crate::pool::shm::base::Base;

/// "Start a worker for this slot, in a pool of this size." Reply: its pid; or the OS's error, the
/// length of a text, and the text, which says what failed.
const START: i64 = 1;
/// "Reap this process if it has ended." Reply: one of the following, and a code or signal.
const REAP: i64 = 2;

const FAILED: i64 = 0;
const STARTED: i64 = 1;
const RUNS: i64 = 2;
const EXITED: i64 = 3;
const SIGNALLED: i64 = 4;
const UNKNOWN: i64 = 5;

/// How long a reply may take before the owner checks what delays the server.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);

/// The owner's side of a server.
pub(super) struct Server {
    pid: i32,
    line: Line,
    /// Closing this kills the server.
    leash: Option<Line>,
    /// Its pidfd, if it is the early server's child and not this process's.
    pidfd: Option<OwnedFd>,
    owner: u32,
    /// The workers that it forked and has not reaped.
    workers: HashSet<i32>,
}

impl Server {
    /// The end of a worker that is presumed dead because its server is dead: it dies with the
    /// server.
    pub(super) const ENDED_WITH: Ended = Ended::Signalled(Signal::SIGKILL as i32);

    /// Launches a server for workers as the order says.
    pub(super) fn launch(base: Base<'_>, order: Order) -> Result<Server> {
        if child::has_children_elsewhere() {
            // The server's pids would belong to another PID namespace, and here to other processes.
            return Err(Error::os(
                "cannot start a server in the PID namespace that this process has made for its children \
                 (unshare); use StartMethod::Fork, or make the pool first",
                std::io::ErrorKind::Unsupported.into(),
            ));
        }
        let launched = fresh::launch_server(base, order)?;
        Ok(Server {
            pid: launched.pid,
            line: launched.line,
            leash: Some(launched.leash),
            pidfd: None,
            owner: process_id(),
            workers: HashSet::new(),
        })
    }

    /// A server that the early server forked.
    pub(super) fn of_early(pid: i32, pidfd: OwnedFd, line: Line, leash: Line) -> Server {
        Server {
            pid,
            line,
            leash: Some(leash),
            pidfd: Some(pidfd),
            owner: process_id(),
            workers: HashSet::new(),
        }
    }

    /// Whether the server has ended. Until then, its pid is still its own.
    fn has_ended(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => leash::has_ended(pidfd.as_fd(), PollTimeout::ZERO),
            None => child::has_ended(self.pid),
        }
    }

    /// Starts a worker; `None` if the server is dead.
    pub(super) fn start(&mut self, slot_index: usize, n_workers: usize) -> Option<Result<i32>> {
        let [what, number, n_bytes] = self.ask([START, slot_index as i64, n_workers as i64])?;
        Some(match what {
            STARTED => {
                self.workers.insert(number as i32);
                Ok(number as i32)
            }
            _ => {
                let text = self.line.receive_text(n_bytes as usize)?;
                let source = std::io::Error::from_raw_os_error(number as i32);
                Err(Error::os_elsewhere(
                    format!("the pool's server {text}"),
                    source,
                ))
            }
        })
    }

    /// Reaps a worker if it has ended; `None` while it runs.
    pub(super) fn try_reap(&mut self, pid: i32) -> Option<Ended> {
        // A worker dies with its server, so a worker of an earlier server is dead.
        if !self.workers.contains(&pid) {
            return Some(Server::ENDED_WITH);
        }
        let ended = match self.ask([REAP, i64::from(pid), 0]) {
            Some([RUNS, ..]) => return None,
            Some([EXITED, code, _]) => Ended::Exited(code as i32),
            Some([SIGNALLED, signal, _]) => Ended::Signalled(signal as i32),
            Some(_) => Ended::Unknown,
            None => Server::ENDED_WITH,
        };
        self.workers.remove(&pid);
        Some(ended)
    }

    /// Waits for the reply to a question; `None` if the server is dead.
    fn ask(&self, question: Message) -> Option<Message> {
        if !self.line.send(question) {
            return None;
        }
        while !self.line.is_ready_within(ANSWERS_WITHIN) {
            // Another process may hold the other end of the line open.
            if self.has_ended() {
                return None;
            }
            if child::is_stopped(self.pid) {
                // A user may stop workers, but a stopped server would block a process that is not
                // waiting for workers.
                child::kill(self.pid, Signal::SIGCONT);
            }
        }
        self.line.receive()
    }
}

impl Drop for Server {
    /// Ends the server, and with it all remaining workers.
    fn drop(&mut self) {
        if self.owner == process_id() {
            // A server that this process may not kill exits when its line closes.
            self.line.shut();
            self.leash = None;
            match &self.pidfd {
                Some(pidfd) => {
                    leash::kill(pidfd.as_fd());
                    leash::await_end(pidfd.as_fd());
                }
                None => {
                    child::kill(self.pid, Signal::SIGKILL);
                    child::reap(self.pid);
                }
            }
        }
    }
}

/// Starts and reaps until the owner closes the line, or is gone.
pub(super) fn serve(base: Base<'_>, order: Order, line: Line, leash: Line) -> ! {
    child::name_process(c"forklore-server");
    child::pass_interrupts();
    let owner = order.ties(base.heap, line, leash);
    // Check the file last: while the owner holds it, the pidfd belongs to the owner.
    if !leash::put_on(&owner.leash) || owner.is_over() {
        child::exit_now(0);
    }
    base.board().owner.hold();
    while let Some([what, number, n_workers]) = owner.receive() {
        let is_heard = if what == START {
            let order = order.for_slot(number as u64, n_workers as u64);
            match start(base, order) {
                Ok(Side::Child(_branch)) => {
                    drop(owner);
                    fresh::work(base, order);
                }
                Ok(Side::Parent(pid)) => owner.line.send([STARTED, i64::from(pid), 0]),
                Err(error) => {
                    let text = error.to_string();
                    let reply = [FAILED, os_code(&error), text.len() as i64];
                    owner.line.send_with(reply, &text)
                }
            }
        } else {
            owner.line.send(match child::try_reap(number as i32) {
                None => [RUNS, 0, 0],
                Some(Ended::Exited(code)) => [EXITED, i64::from(code), 0],
                Some(Ended::Signalled(signal)) => [SIGNALLED, i64::from(signal), 0],
                Some(Ended::Unknown) => [UNKNOWN, 0, 0],
            })
        };
        if !is_heard {
            break;
        }
    }
    child::exit_now(0)
}

/// Starts a worker. Returns the child's side in a forked worker.
fn start(base: Base<'_>, order: Order) -> Result<Side> {
    if order.spawns() {
        fresh::launch_worker(base, order).map(Side::Parent)
    } else {
        child::fork()
    }
}

fn os_code(error: &Error) -> i64 {
    let source = error.source().and_then(|error| error.downcast_ref());
    source
        .and_then(std::io::Error::raw_os_error)
        .unwrap_or(nix::errno::Errno::EAGAIN as i32)
        .into()
}
