//! A server that is forked at the top of `main`, and later forks servers for pools, when the
//! program has threads.
//!
//! ```text
//!  main ── init() ── fork ──▶ early server
//!  a thread: Pool::new() ── order, memory, line, leash ──▶ early server ── fork ──▶ pool's server
//!            ◀── its pid ────────────────────────────────────────────────────────────┘
//! ```
//!
//! Forking a small process is faster than launching one, and needs neither the program's file nor
//! `/proc`. A pool waits only for its own server, on its own line: so any number of threads may ask
//! at once, and a dead or stopped early server simply does not reply. Then the pool's server is
//! launched, as without an early server.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::shared::heap::Heap;
use crate::sys::eventfd::EventFd;
use crate::sys::kept::{self, Kept};
use crate::sys::leash::{self, Ties};
use crate::sys::line::{Line, line};
use crate::sys::{child, descriptor, letter, process_id, region};

use super::entry;
use super::fresh::{self, Order};
use super::server::{self, Server};
use crate::pool::shm::base::Base;

/// Names the line to the early server.
const VARIABLE: &str = "FORKLORE_SERVER";

/// How long the early server may take before its owner checks on it.
const LOOKED_AT_AFTER: Duration = Duration::from_millis(100);
/// The maximum time that it may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Turns this process into a worker if a pool started it as one; otherwise prepares for pools in a
/// program with threads, and returns.
///
/// # Workers
/// With [`StartMethod::Spawn`](crate::StartMethod::Spawn) and
/// [`StartMethod::Forkserver`](crate::StartMethod::Forkserver), a pool's workers are fresh
/// processes of this program, which must detect that they are workers before they run the program's
/// code. With the default feature `auto-init` they do so before `main`, and calling this is
/// optional. **Without that feature, call it as the first line of `main`**; otherwise making such a
/// pool is an error that says so.
///
/// Only a pool can turn a process that it started into a worker: see
/// [what runs before `main`](crate#what-runs-before-main).
///
/// # An early server
/// In a program that starts threads, call this as the first line of `main` to make pools start
/// faster. It forks a small process that sleeps until a pool needs a server
/// ([`StartMethod::Auto`](crate::StartMethod::Auto)), and then forks that server, which replaces
/// launching the whole program. It also works if the program cannot be launched again, because its
/// file can no longer be executed, or `/proc` is not mounted.
///
/// Workers then have the environment, the working directory and the statics from the time of this
/// call. The early server is a child of this process and ends with it. Without an early server,
/// pools launch their servers: if this is not called, or only in a plugin or a notebook's cell and
/// not in the program itself, or when the process already has threads, if the early server was
/// killed, or before Linux 5.3.
///
/// # Fork safety
/// In a worker this never returns. Call it while the process has one thread: a worker with more
/// exits at once, and prints why.
///
/// # Example
/// ```standalone_crate
/// use forklore::{Pool, StartMethod};
///
/// fn main() -> forklore::Result<()> {
///     forklore::init();
///     let squares = std::thread::spawn(|| -> forklore::Result<Vec<u64>> {
///         let pool = Pool::with_workers(2)?;
///         assert_eq!(pool.start_method(), StartMethod::Forkserver);
///         Ok(pool.map(|x: u64| x * x, 0..3))
///     });
///     assert_eq!(squares.join().unwrap()?, [0, 1, 4]);
///     Ok(())
/// }
/// ```
pub fn init() {
    fresh::enter();
    if child::n_threads() == 1
        && !letter::is_privileged()
        && entry::is_in_program()
        && Kept::find(VARIABLE).is_none()
    {
        // On failure, pools launch their servers, and report errors of that.
        let _ = begin();
    }
}

fn begin() -> Result<()> {
    let owner = process_id();
    let Some(pidfd) = leash::pidfd(owner as i32) else {
        return Ok(());
    };
    let (here, there) = line()?;
    let (leash, its_end) = line()?;
    let mark = region::file_without_a_name()?;
    let is_held = leash::hold(mark.as_fd());
    match child::fork()? {
        child::Side::Child(_branch) => {
            drop((here, leash));
            serve(&Ties {
                line: there,
                leash: its_end,
                pidfd: Some(pidfd),
                held: is_held.then(|| mark.as_fd()),
            })
        }
        child::Side::Parent(pid) => {
            if !kept::keep(VARIABLE, here, pid, [leash.into(), mark]) {
                child::reap(pid);
            }
        }
    }
    Ok(())
}

/// Forks servers until the owner is gone.
fn serve(owner: &Ties<'_>) -> ! {
    child::name_process(c"forklore-early");
    child::pass_interrupts();
    // The early server does not wait for the pools' servers.
    child::leave_no_zombies();
    descriptor::close_all_but(&owner.files());
    if !leash::put_on(&owner.leash) || owner.is_over() {
        child::exit_now(0);
    }
    let mut bytes = [0; Order::N_BYTES];
    while owner.is_spoken_to() {
        let files = owner.line.receive_files(&mut bytes).unwrap_or_default();
        let mut files = files.into_iter();
        let (Some(memory), Some(line), Some(leash)) = (files.next(), files.next(), files.next())
        else {
            break;
        };
        let eventfd = files.next().map(EventFd::inherited);
        // If it cannot fork, closing the line is the reply.
        if let Ok(child::Side::Child(_branch)) = child::fork() {
            descriptor::close(&owner.files());
            let order = Order::from_bytes(&bytes);
            serve_pool(order, memory, eventfd, line.into(), leash.into())
        }
    }
    child::exit_now(0)
}

fn serve_pool(
    order: Order,
    memory: OwnedFd,
    eventfd: Option<EventFd>,
    line: Line,
    leash: Line,
) -> ! {
    child::keep_zombies();
    if let Ok(heap) = Heap::attach(memory)
        && line.send([0, i64::from(process_id()), 0])
    {
        let base = Base {
            heap: &heap,
            eventfd: eventfd.as_ref(),
        };
        server::serve(base, order, line, leash)
    }
    child::exit_now(0)
}

/// A server for a pool, if an early server forks it.
pub(super) fn ask(base: Base<'_>, order: Order) -> Option<Server> {
    let early = Kept::find(VARIABLE)?;
    let memory = base.heap.file()?;
    let (line, its_end) = line().ok()?;
    let (leash, leash_end) = self::line().ok()?;
    let order = order.for_server(base.heap, &leash_end);
    let mut files = vec![memory, its_end.as_fd(), leash_end.as_fd()];
    files.extend(base.eventfd.map(AsFd::as_fd));
    if !early.line.send_files(&order.to_bytes(), &files) {
        return None;
    }
    // Now only the server's process has these open: when it ends, the line closes.
    drop((its_end, leash_end));
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while !line.is_ready_within(LOOKED_AT_AFTER) {
        if child::is_known_to_be_stopped(early.pid) || Instant::now() >= deadline {
            return None;
        }
    }
    let [_, pid, _] = line.receive()?;
    let pidfd = leash::pidfd(pid as i32)?;
    // While the line is open, the pidfd belongs to the server.
    (!line.is_ready_within(Duration::ZERO))
        .then(|| Server::of_early(pid as i32, pidfd, line, leash))
}
