//! How a pool's processes come into being.

use std::time::Instant;

use crate::error::Result;
use crate::shared::heap::Heap;
use crate::sys::child::{self, Ended, Side};

use super::fresh::{self, Order};
use super::server::Server;
use super::worker::{self, Duty};

/// How a pool starts its workers. The same functions can be mapped over workers of each kind, because
/// functions travel by their place in their shared object.
///
/// | | what a worker is | may the process have threads? | pool of 2 to first result |
/// | --- | --- | --- | --- |
/// | `Fork` | a copy of this process as it is now | no | 0.25 ms; 12 ms if it has touched 256 MiB |
/// | `Forkserver` | a copy of a server that was started with the pool | yes | 1.2 ms, whatever it has touched |
/// | `Spawn` | the same program, started afresh | yes | 0.8 ms, whatever it has touched |
///
/// (Medians of `cargo bench --bench starts` on a virtual machine with two processors. One worker
/// more costs a server 0.4 ms, a spawn 0.8 ms.)
///
/// With `Forkserver` and `Spawn`, workers inherit nothing from this process: no variables, no open
/// files but the standard ones. Initialisers and functions must have captured nothing; a closure
/// that has is run by workers that are forked from this process for that call, which needs one
/// thread as ever. The program's own code before and in `main` does not run in such workers.
/// They need Linux 3.17 and glibc 2.29.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Pool, StartMethod};
///
/// let thread = std::thread::spawn(std::thread::park); // a second thread: no fork from here
/// let pool = Pool::builder().workers(2).start_method(StartMethod::Forkserver).build()?;
/// assert_eq!(pool.map(|x: u64| x.pow(2), 0..4), [0, 1, 4, 9]);
/// # thread.thread().unpark();
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartMethod {
    /// Forks this process: fastest, and workers have all that it has when they are forked. That includes its open
    /// files: make a pool before pipes to other programs, listeners and file locks, which its idle workers would
    /// hold open, or use another method ([Fork safety](crate#fork-safety-what-a-worker-has-of-its-parent)).
    #[default]
    Fork,
    /// A fresh process of the same program, which has one thread and little memory, forks workers
    /// when it is asked to.
    Forkserver,
    /// Each worker is a fresh process of the same program.
    Spawn,
}

/// Starts workers in one way, and knows how to reap them.
pub(in crate::pool) enum Starter {
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
            Starter::Spawn => fresh::launch(duty.heap, order, None),
            Starter::Server(server) => {
                let ask = |server: &Server| server.start(duty.seat_index, duty.n_workers);
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
    pub(in crate::pool) fn try_reap(&self, pid: i32) -> Option<Ended> {
        match self {
            Starter::Server(Some(server)) => server.try_reap(pid),
            _ => child::try_reap(pid),
        }
    }

    /// Waits until a worker has ended or `deadline` has passed, and reaps it if it has ended.
    pub(in crate::pool) fn reap_before(&self, pid: i32, deadline: Instant) -> Option<Ended> {
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
