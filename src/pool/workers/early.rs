//! A server that is forked at the top of `main`, and forks servers for the pools of a program that
//! has threads by then.
//!
//! ```text
//!  main ── init() ── fork ──▶ early server
//!  a thread: Pool::new() ── order, memory, line, leash ──▶ early server ── fork ──▶ pool's server
//!            ◀── its pid ────────────────────────────────────────────────────────────┘
//! ```
//!
//! A fork of a small process takes less than a launch, and needs neither the program's file nor
//! `/proc`. Nothing is waited for but the pool's server itself, on the pool's own line: so any
//! number of threads may ask at once, and an early server that is dead or stopped is one that does
//! not answer. Then the pool's server is launched, as without.

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

/// Says where the line to the early server is.
const VARIABLE: &str = "FORKLORE_SERVER";

/// How long the early server may take before it is looked at.
const LOOKED_AT_AFTER: Duration = Duration::from_millis(100);
/// How long it may take at all.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Makes this process a worker if a pool has started it as one; otherwise gets ready for pools in a
/// program with threads, and returns.
///
/// # Workers
/// With [`StartMethod::Spawn`](crate::StartMethod::Spawn) and
/// [`StartMethod::Forkserver`](crate::StartMethod::Forkserver), a pool's workers come from fresh
/// processes of this very program, which must learn what they are before they do what the program
/// does. With the default feature `auto-init` they learn it from the loader, before `main`, and
/// calling this is optional. **Without that feature, call it as the first line of `main`**;
/// otherwise such a pool is an error that says so.
///
/// Nothing but the pool that starts a worker makes one of a process: see
/// [what runs before `main`](crate#what-runs-before-main).
///
/// # An early server
/// In a program that starts threads, call this as the first line of `main` for pools that start
/// fastest. It forks a small process that sleeps until a pool needs a server
/// ([`StartMethod::Auto`](crate::StartMethod::Auto)), and then forks that, instead of a launch of
/// the whole program. It also works where the program cannot be launched again: its file cannot be
/// executed any more, or `/proc` is not mounted.
///
/// Workers then have the environment, the working directory and the statics of when this was
/// called. The early server ends with this process, and is a child of it for as long as that lives.
/// Without it (this is not called, or not in the program itself but in a plugin or a notebook's
/// cell, or when there are threads already, or the early server was killed, or before Linux 5.3),
/// pools launch their servers.
///
/// # Fork safety
/// In a worker this never returns. Call it while the process has one thread: a worker with more
/// ends at once, and says why.
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
        // Without it, pools launch their servers, and say what stands in the way of that.
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
    // Pools' servers are not waited for here.
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
        // Where it cannot fork, the line is closed, and that is the reply.
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

/// A server for a pool, if there is an early one that forks it.
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
    // Its process alone has them open now: if it ends, the line does.
    drop((its_end, leash_end));
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while !line.is_ready_within(LOOKED_AT_AFTER) {
        if child::is_known_to_be_stopped(early.pid) || Instant::now() >= deadline {
            return None;
        }
    }
    let [_, pid, _] = line.receive()?;
    let pidfd = leash::pidfd(pid as i32)?;
    // While the line is open, the pidfd is the server's.
    (!line.is_ready_within(Duration::ZERO))
        .then(|| Server::of_early(pid as i32, pidfd, line, leash))
}
