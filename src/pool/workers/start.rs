//! How a pool's processes come into being.

use std::collections::HashSet;
use std::time::Instant;

use crate::error::Result;
use crate::shared::heap::Heap;
use crate::sys::child::{self, Ended, Forks, Side};

use super::early;
use super::fresh::Order;
use super::server::Server;
use super::worker::{self, Duty};
use crate::pool::settings::{Initializer, Settings, StartMethod};

/// What a method comes to in this process as it is now: never `Auto`.
pub(in crate::pool) fn settle(method: StartMethod, first: Option<&Initializer>) -> StartMethod {
    match method {
        StartMethod::Auto if may_fork(first) => StartMethod::Fork,
        StartMethod::Auto => StartMethod::Forkserver,
        chosen => chosen,
    }
}

/// Whether this process has no threads that a fork would leave behind. Where only a forked worker
/// can run the initialiser, it is worth a few milliseconds to see whether they are about to end.
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
    /// Whether a server starts workers that this process cannot fork any more.
    is_auto: bool,
    /// The server, once it was needed.
    server: Option<Server>,
    /// Workers that are a server's children and were not reaped. All others are this process's.
    served: HashSet<i32>,
}

impl Starter {
    pub(super) fn new(settings: &Settings) -> Starter {
        Starter {
            method: settings.method,
            is_auto: settings.is_auto,
            server: None,
            served: HashSet::new(),
        }
    }

    /// How the next worker comes into being. Unless it is forked, and inherits what this process
    /// has, it needs an order.
    pub(super) fn method_now(&self, first: Option<&Initializer>) -> StartMethod {
        match self.method {
            StartMethod::Fork if self.is_auto && !may_fork(first) => StartMethod::Forkserver,
            method => method,
        }
    }

    /// Starts a worker as a fork of this process.
    pub(super) fn fork(&mut self, forks: &Forks, duty: &Duty<'_>) -> Result<i32> {
        match forks.fork()? {
            Side::Child(_branch) => worker::work(duty),
            Side::Parent(pid) => {
                self.served.remove(&pid);
                Ok(pid)
            }
        }
    }

    /// Starts a worker to which `order` says what `duty` does.
    pub(super) fn order(&mut self, duty: &Duty<'_>, order: Order) -> Result<i32> {
        let pid = self.start_by_server(duty, order)?;
        self.served.insert(pid);
        Ok(pid)
    }

    fn start_by_server(&mut self, duty: &Duty<'_>, order: Order) -> Result<i32> {
        let ask = |server: &mut Server| server.start(duty.slot_index, duty.n_workers);
        if let Some(started) = self.server.as_mut().and_then(ask) {
            return started;
        }
        // There was none, or it was killed: the dead one is reaped when it is replaced.
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

    /// Reaps a worker if it has ended; `None` while it runs.
    pub(super) fn try_reap(&mut self, pid: i32) -> Option<Ended> {
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

    /// Ends what was started beside the workers.
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
/// A pool that forks needs that only if this process has threads later, so it does without where no
/// file can be had (`ulimit -n`, `ulimit -f`).
pub(in crate::pool) fn heap(method: StartMethod, reserved: usize) -> Result<Heap> {
    let heap = Heap::in_file(reserved);
    match method {
        StartMethod::Fork => heap.or_else(|_| Heap::new(reserved)),
        _ => heap,
    }
}
