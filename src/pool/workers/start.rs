//! How a pool's processes come into being.

use std::time::Instant;

use crate::error::Result;
use crate::shared::heap::Heap;
use crate::sys::child::{self, Ended, Side};

use super::fresh::{self, Order};
use super::server::Server;
use super::worker::{self, Duty};
use crate::pool::settings::StartMethod;

/// Starts workers in one way, and knows how to reap them.
pub(super) enum Starter {
    Fork,
    Spawn,
    /// The server, once it was needed.
    Server(Option<Server>),
}

impl Starter {
    pub(in crate::pool) fn new(method: StartMethod) -> Starter {
        match method {
            StartMethod::Fork => Starter::Fork,
            StartMethod::Spawn => Starter::Spawn,
            StartMethod::Forkserver => Starter::Server(None),
        }
    }

    /// Starts a worker. `order` says the same as `duty` to a process that inherits nothing.
    pub(in crate::pool) fn start(&mut self, duty: &Duty<'_>, order: Order) -> Result<i32> {
        match self {
            Starter::Fork => match child::fork()? {
                Side::Child(_branch) => worker::work(duty),
                Side::Parent(pid) => Ok(pid),
            },
            Starter::Spawn => fresh::launch_worker(duty.heap, order),
            Starter::Server(server) => {
                let ask = |server: &Server| server.start(duty.slot_index, duty.n_workers);
                if let Some(started) = server.as_ref().and_then(ask) {
                    return started;
                }
                // There was none, or it was killed: the dead one is reaped when it is replaced.
                let fresh = server.insert(Server::launch(duty.heap, order)?);
                ask(fresh).unwrap_or_else(|| Err(dead_server()))
            }
        }
    }

    /// Reaps a worker if it has ended; `None` while it runs.
    pub(super) fn try_reap(&self, pid: i32) -> Option<Ended> {
        match self {
            Starter::Server(Some(server)) => server.try_reap(pid),
            _ => child::try_reap(pid),
        }
    }

    /// Waits until a worker has ended or `deadline` has passed, and reaps it if it has ended.
    pub(super) fn reap_before(&self, pid: i32, deadline: Instant) -> Option<Ended> {
        child::reap_before_by(pid, Some(deadline), || self.try_reap(pid))
    }

    /// Ends what was started beside the workers.
    pub(in crate::pool) fn end(&mut self) {
        if let Starter::Server(server) = self {
            *server = None;
        }
    }
}

fn dead_server() -> crate::error::Error {
    crate::error::Error::os(
        "the server that forks this pool's workers died as soon as it was started",
        std::io::ErrorKind::BrokenPipe.into(),
    )
}

/// The memory of a pool: a file where processes that are not forked are to map it.
pub(in crate::pool) fn heap(method: StartMethod, reserved: usize) -> Result<Heap> {
    match method {
        StartMethod::Fork => Heap::new(reserved),
        StartMethod::Forkserver | StartMethod::Spawn => Heap::in_file(reserved),
    }
}
