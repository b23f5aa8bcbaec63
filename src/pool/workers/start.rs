//! Starts a pool's processes.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::error::Result;
use crate::shared::heap::Heap;
use crate::sys::child::{self, Ended, Forks, Side};

use super::early;
use super::fresh::Order;
#[cfg(feature = "cluster")]
use super::nodes::relay;
use super::server::Server;
use super::worker::{self, Duty};
use crate::pool::settings::{Initializer, Settings, StartMethod};
use crate::pool::shm::sleep;
use crate::sys::atomic::Ordering;

/// Resolves a start method for this process in its current state: never to `Auto`.
pub(in crate::pool) fn settle(method: StartMethod, first: Option<&Initializer>) -> StartMethod {
    match method {
        StartMethod::Auto if may_fork(first) => StartMethod::Fork,
        StartMethod::Auto => StartMethod::Forkserver,
        chosen => chosen,
    }
}

/// Whether this process has no threads that a fork would leave behind. If only a forked worker can
/// run the initialiser, this waits a few milliseconds for threads that are about to end.
fn may_fork(first: Option<&Initializer>) -> bool {
    if first.is_some_and(|initializer| initializer.shipped.is_err()) {
        child::is_alone_in_the_end()
    } else {
        child::is_alone()
    }
}

/// Starts a pool's workers, and knows how to reap them.
pub(super) struct Starter {
    method: StartMethod,
    /// Whether a server starts workers once this process cannot be forked any more.
    is_auto: bool,
    /// The server, once it was needed.
    server: Option<Server>,
    /// Unreaped workers that are a server's children. All others are this process's children.
    served: HashSet<i32>,
    /// Workers that hold several slots each.
    relays: Vec<Relay>,
}

/// A worker that holds several slots: its end becomes known once, and is reported for each slot.
struct Relay {
    pid: i32,
    slots: Range<usize>,
    /// It has left a slot by ending, or is about to end.
    is_lost: bool,
    ended: Option<Ended>,
}

impl Starter {
    pub(super) fn new(settings: &Settings) -> Starter {
        Starter {
            method: settings.method,
            is_auto: settings.is_auto,
            server: None,
            served: HashSet::new(),
            relays: Vec::new(),
        }
    }

    /// The start method of the next worker. Unless it is forked and inherits this process's state,
    /// it needs an order.
    pub(super) fn method_now(&self, first: Option<&Initializer>) -> StartMethod {
        match self.method {
            StartMethod::Fork if self.is_auto && !may_fork(first) => StartMethod::Forkserver,
            method => method,
        }
    }

    /// Starts a worker as a fork of this process, or offers the slot to the one that holds `slots`.
    pub(super) fn fork(
        &mut self,
        forks: &Forks,
        duty: &Duty<'_>,
        slots: Option<Range<usize>>,
    ) -> Result<i32> {
        self.start(duty, slots, |starter| match forks.fork()? {
            Side::Child(_branch) => {
                #[cfg(feature = "cluster")]
                if duty.nodes != 0 {
                    relay::run(duty);
                }
                worker::work(duty)
            }
            Side::Parent(pid) => {
                starter.served.remove(&pid);
                Ok(pid)
            }
        })
    }

    /// Starts a worker with an `order` that contains what `duty` does, or offers the slot to the
    /// one that holds `slots`.
    pub(super) fn order(
        &mut self,
        duty: &Duty<'_>,
        order: Order,
        slots: Option<Range<usize>>,
    ) -> Result<i32> {
        self.start(duty, slots, |starter| {
            let pid = starter.start_by_server(duty, order)?;
            starter.served.insert(pid);
            Ok(pid)
        })
    }

    /// Starts a worker for a slot. A worker that holds several slots is started for the first and
    /// offered the others.
    fn start(
        &mut self,
        duty: &Duty<'_>,
        slots: Option<Range<usize>>,
        start: impl FnOnce(&mut Starter) -> Result<i32>,
    ) -> Result<i32> {
        let Some(slots) = slots else {
            return start(self);
        };
        let board = duty.base.board();
        let offered = &board.slots[duty.slot_index].is_offered;
        offered.store(1, Ordering::SeqCst);
        let runs = |relay: &&Relay| relay.slots == slots && !relay.is_lost;
        if let Some(relay) = self.relays.iter().find(runs) {
            sleep::wake_some(&board.slots[slots], usize::MAX);
            return Ok(relay.pid);
        }
        let pid = start(self)?;
        self.relays.retain(|relay| relay.pid != pid);
        // Some slots of the last one may not have been cleared yet.
        let before = |relay: &Relay| relay.slots == slots;
        if self.relays.iter().filter(|relay| before(relay)).count() > 1
            && let Some(first) = self.relays.iter().position(before)
        {
            self.relays.remove(first);
        }
        self.relays.push(Relay {
            pid,
            slots,
            is_lost: false,
            ended: None,
        });
        Ok(pid)
    }

    /// Notes that a worker has left one of its slots by ending, so that it is offered no other: its
    /// end may be known some time before it is reaped.
    pub(super) fn lose(&mut self, pid: i32) {
        let mut relays = self.relays.iter_mut();
        if let Some(relay) = relays.find(|relay| relay.pid == pid) {
            relay.is_lost = true;
        }
    }

    fn start_by_server(&mut self, duty: &Duty<'_>, order: Order) -> Result<i32> {
        let ask = |server: &mut Server| server.start(duty.slot_index, duty.n_workers);
        if let Some(started) = self.server.as_mut().and_then(ask) {
            return started;
        }
        // There was no server, or it was killed: replacing a dead server reaps it.
        if self.method != StartMethod::Fork {
            duty.base.board().owner.reset()?;
        }
        let server = match early::ask(duty.base, order) {
            Some(server) => server,
            None => Server::launch(duty.base, order)?,
        };
        let fresh = self.server.insert(server);
        ask(fresh).unwrap_or_else(|| Err(dead_server()))
    }

    /// Sends a signal to a worker, unless its end is known; false if this process may not.
    pub(super) fn kill(&self, pid: i32, signal: Signal) -> bool {
        let relay = self.relays.iter().find(|relay| relay.pid == pid);
        relay.is_some_and(|relay| relay.ended.is_some()) || child::kill(pid, signal)
    }

    /// Reaps a worker if it has ended; `None` while it runs.
    pub(super) fn try_reap(&mut self, pid: i32) -> Option<Ended> {
        let relay = self.relays.iter().position(|relay| relay.pid == pid);
        let known = relay.and_then(|relay| self.relays[relay].ended);
        let ended = known.or_else(|| self.try_reap_once(pid));
        if let Some(relay) = relay {
            self.relays[relay].ended = ended;
        }
        ended
    }

    fn try_reap_once(&mut self, pid: i32) -> Option<Ended> {
        if !self.served.contains(&pid) {
            return child::try_reap(pid);
        }
        let server = self.server.as_mut();
        let ended = server.map_or(Some(Server::ENDED_WITH), |server| server.try_reap(pid));
        if ended.is_some() {
            self.served.remove(&pid);
        }
        ended
    }

    /// Waits until a worker has ended or `deadline` has passed, and reaps it if it has ended.
    pub(super) fn reap_before(&mut self, pid: i32, deadline: Instant) -> Option<Ended> {
        child::reap_before_by(pid, Some(deadline), || self.try_reap(pid))
    }

    /// Ends the server.
    pub(super) fn end(&mut self) {
        self.server = None;
    }
}

fn dead_server() -> crate::error::Error {
    crate::error::Error::os(
        "the server that starts this pool's workers died as soon as it was started",
        std::io::ErrorKind::BrokenPipe.into(),
    )
}

/// The memory of a pool: a file, which processes that are not forked from this one can map.
///
/// A pool that forks needs the file only if this process later has threads, so it does without if
/// no file can be made (`ulimit -n`, `ulimit -f`).
pub(in crate::pool) fn heap(method: StartMethod, reserved: usize) -> Result<Heap> {
    let heap = Heap::in_file(reserved);
    match method {
        StartMethod::Fork => heap.or_else(|_| Heap::new(reserved)),
        _ => heap,
    }
}
