//! Turns a fresh process of any program into a worker, or into the server that forks workers.
//!
//! ```text
//!  owner ── launch: order, in a socket ──▶ the same program ── loader ──▶ enter() ── worker, or server
//!                                                                          └─ no order: on to main
//! ```
//!
//! The library adds a function to the list of those that the loader runs before `main`. The
//! function looks for an order; if there is one, the process never reaches `main`: it maps the
//! pool's memory, which it inherits as a file, and follows the order. It finds the functions to run
//! as any worker does, by their offsets. Without the feature `auto-init` the loader runs nothing,
//! and the program calls the same function as the first line of its `main`: [`init`](crate::init).
//!
//! An order is a letter from this process's own parent, in a socket that only these two share. An
//! environment variable names the socket; alone it does nothing (see `sys::letter`).
//!
//! The program's other initialisers may not have run when tasks run. Nothing else is missing: the
//! loader has finished its work, and the standard library needs no `main`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::unistd::Pid;

use crate::error::Result;
use crate::shared::heap::{Heap, Offset};
use crate::symbol::KnownFiles;
use crate::sys::child::{self, Branch};
use crate::sys::eventfd::EventFd;
use crate::sys::launch::{Launch, forget_launch};
use crate::sys::leash::{self, Ties};
use crate::sys::letter::{self, Letter};
use crate::sys::line::{Line, line};
use crate::sys::{descriptor, process_id, thread_id};

use super::conditions::Conditions;
use super::entry;
#[cfg(feature = "cluster")]
use super::nodes::relay;
use super::server;
use super::worker::{self, Duty};
use crate::pool::settings::ShippedInitializer;
use crate::pool::shm::base::Base;
use crate::pool::shm::function;

/// Names the socket with the order; a process that finds one removes the variable.
const VARIABLE: &str = "FORKLORE_WORKER";

/// The loader runs this before `main`, even in processes without an order.
#[cfg(feature = "auto-init")]
#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = enter;

/// The order for a fresh process, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// The offset of the [mark](entry) in its object: an order for another version's copy does not
    /// match.
    entry: u64,
    /// The pid of the launching process.
    parent: u64,
    /// The descriptor of the file with the pool's memory.
    heap: u64,
    /// The descriptor of the eventfd; 0 if there is none.
    eventfd: u64,
    /// The descriptor of a server's leash; 0 in a worker's order.
    leash: u64,
    /// The flags below.
    flags: u64,
    slot_index: u64,
    n_workers: u64,
    max_tasks: u64,
    max_spinners: u64,
    /// The offset of the initialiser's record; 0 for none.
    initializer: Offset,
    /// The offset of the conditions; 0 for none.
    conditions: Offset,
    /// The offset of the nodes that the workers are relays for; 0 for none.
    nodes: Offset,
}

impl Order {
    /// The server starts its workers by launching the program, and not by a fork.
    const SPAWNS: u64 = 1;
    /// The process dies with the thread that launched it, a main thread, which lives as long as its
    /// process.
    const DIES_WITH_THREAD: u64 = 2;
    /// The owner holds the file with the pool's memory (see `sys::leash`).
    const IS_HELD: u64 = 4;

    const N_NUMBERS: usize = 13;
    pub(super) const N_BYTES: usize = 8 * Order::N_NUMBERS;

    /// The same for a server of this process, which gets the other end of a leash.
    pub(super) fn for_server(self, heap: &Heap, leash: &Line) -> Order {
        let is_held = heap.file().is_some_and(leash::hold);
        Order {
            parent: u64::from(process_id()),
            leash: leash.as_fd().as_raw_fd() as u64,
            flags: self.flags | if is_held { Order::IS_HELD } else { 0 },
            ..self
        }
    }

    /// A server's ties to its owner, which sends further requests over the line.
    pub(super) fn ties(self, heap: &Heap, line: Line, leash: Line) -> Ties<'_> {
        Ties {
            line,
            leash,
            pidfd: leash::pidfd(self.parent as i32),
            held: heap.file().filter(|_| self.flags & Order::IS_HELD != 0),
        }
    }

    /// Whether a server's workers are launched.
    pub(super) fn spawns(self) -> bool {
        self.flags & Order::SPAWNS != 0
    }

    /// The same for another worker.
    pub(super) fn for_slot(self, slot_index: u64, n_workers: u64) -> Order {
        Order {
            leash: 0,
            slot_index,
            n_workers,
            ..self
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Order::N_BYTES] {
        let numbers: [u64; Order::N_NUMBERS] = [
            self.entry,
            self.parent,
            self.heap,
            self.eventfd,
            self.leash,
            self.flags,
            self.slot_index,
            self.n_workers,
            self.max_tasks,
            self.max_spinners,
            self.initializer,
            self.conditions,
            self.nodes,
        ];
        let mut bytes = [0; Order::N_BYTES];
        let (places, _) = bytes.as_chunks_mut::<8>();
        for (place, number) in places.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Order::N_BYTES]) -> Order {
        let (numbers, _) = bytes.as_chunks::<8>();
        let [
            entry,
            parent,
            heap,
            eventfd,
            leash,
            flags,
            slot_index,
            n_workers,
            max_tasks,
            max_spinners,
            initializer,
            conditions,
            nodes,
        ] = std::array::from_fn(|index| u64::from_le_bytes(numbers[index]));
        Order {
            entry,
            parent,
            heap,
            eventfd,
            leash,
            flags,
            slot_index,
            n_workers,
            max_tasks,
            max_spinners,
            initializer,
            conditions,
            nodes,
        }
    }
}

/// An order with the workers' settings and whether each is launched.
pub(super) fn order(
    duty: &Duty<'_>,
    spawns: bool,
    initializer: Offset,
    conditions: Offset,
) -> Order {
    Order {
        entry: 0,
        parent: 0,
        heap: 0,
        eventfd: 0,
        leash: 0,
        flags: if spawns { Order::SPAWNS } else { 0 },
        slot_index: duty.slot_index as u64,
        n_workers: duty.n_workers as u64,
        max_tasks: duty.max_tasks,
        max_spinners: duty.max_spinners as u64,
        initializer,
        conditions,
        nodes: duty.nodes,
    }
}

/// Launches a process that becomes a worker, and dies with the thread that calls. Returns its pid.
pub(super) fn launch_worker(base: Base<'_>, order: Order) -> Result<i32> {
    let flags = Order::DIES_WITH_THREAD;
    launch(base, Order { flags, ..order }, None).map(|(pid, _)| pid)
}

/// A server, as seen by its owner.
pub(super) struct Launched {
    pub(super) pid: i32,
    pub(super) line: Line,
    pub(super) leash: Line,
}

/// Launches a server for this process's pool.
pub(super) fn launch_server(base: Base<'_>, order: Order) -> Result<Launched> {
    let (leash, its_end) = line()?;
    let mut order = order.for_server(base.heap, &its_end);
    if thread_id() == process_id() {
        order.flags |= Order::DIES_WITH_THREAD;
    }
    let (pid, line) = launch(base, order, Some(its_end.as_fd()))?;
    Ok(Launched { pid, line, leash })
}

fn launch(base: Base<'_>, order: Order, leash: Option<BorrowedFd<'_>>) -> Result<(i32, Line)> {
    let (offset, path) = entry::check_can_launch()?;
    let memory = base.heap.file().ok_or_else(|| {
        entry::unsupported(
            "this pool's memory could not be a file when it was made (see ulimit -n, ulimit -f)",
        )
    })?;
    let eventfd = base.eventfd.map(AsFd::as_fd);
    let order = Order {
        entry: offset,
        parent: u64::from(process_id()),
        heap: memory.as_raw_fd() as u64,
        eventfd: eventfd.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..order
    };
    let (here, there) = line()?;
    let mut files = vec![memory, there.as_fd()];
    files.extend(eventfd);
    files.extend(leash);
    let launch = Launch {
        object: &path,
        address: entry::address(),
        variable: (VARIABLE, letter::leave(&here, &order.to_bytes(), &there)?),
        files: &files,
    };
    Ok((launch.start()?, here))
}

/// Looks for an order, and follows it.
pub(super) extern "C" fn enter() {
    entry::note();
    let Some(value) = std::env::var_os(VARIABLE) else {
        return;
    };
    let Some(letter) = Letter::find(&value) else {
        return;
    };
    let order = Order::from_bytes(letter.content());
    // Another copy of the library, in a plugin or of another version, leaves the letter to its
    // recipient.
    if let Some((offset, path)) = entry::own_object()
        && order.entry == offset
    {
        if letter.is_orphaned() {
            child::exit_now(worker::FAILED_TO_START);
        }
        follow(order, letter.take(), &path);
    }
}

/// Follows an order. Neither a return nor a panic leads back to the loader, and from there to
/// `main`.
fn follow(order: Order, line: Line, object: &Path) -> ! {
    let _branch = Branch::enter();
    // The loader runs this before anything could have started a thread.
    if !cfg!(feature = "auto-init") && child::n_threads() > 1 {
        eprintln!(
            "a worker cannot start: `forklore::init()` was called after a thread was started; call it as the first line of `main`"
        );
        child::exit_now(worker::FAILED_TO_START);
    }
    forget_launch(VARIABLE, object);
    let parent = Pid::from_raw(order.parent as i32);
    match order.flags & Order::DIES_WITH_THREAD {
        0 => child::check_parent(parent),
        _ => child::die_with(parent),
    }
    descriptor::fill_standard();
    child::keep_zombies();
    let Ok(heap) = Heap::attach(inherited_file(order.heap as RawFd)) else {
        child::exit_now(worker::FAILED_TO_START)
    };
    let eventfd =
        (order.eventfd != 0).then(|| EventFd::inherited(inherited_file(order.eventfd as RawFd)));
    let base = Base {
        heap: &heap,
        eventfd: eventfd.as_ref(),
    };
    if order.leash != 0 {
        let leash = Line::inherited(inherited_file(order.leash as RawFd));
        server::serve(base, order, line, leash);
    }
    drop(line);
    work(base, order)
}

/// Works as ordered, in a process that has not inherited the initialiser.
pub(super) fn work(base: Base<'_>, order: Order) -> ! {
    child::name_process(c"forklore-worker");
    let initializer = || match function::find(base.heap, order.initializer, &mut KnownFiles::new())
    {
        Ok(address) => {
            // SAFETY: the record names a `ShippedInitializer`, and `find` has checked that the file
            // is the same and that there is code at the offset.
            let initializer =
                unsafe { std::mem::transmute::<*const (), ShippedInitializer>(address) };
            if !initializer() {
                child::exit_now(worker::FAILED_TO_START);
            }
        }
        Err(error) => panic!("{error}"),
    };
    let Ok(conditions) = Conditions::read(base.heap, order.conditions) else {
        child::exit_now(worker::FAILED_TO_START)
    };
    let duty = Duty {
        base,
        conditions: &conditions,
        slot_index: order.slot_index as usize,
        n_workers: order.n_workers as usize,
        initializer: (order.initializer != 0).then_some(&initializer as &dyn Fn()),
        max_tasks: order.max_tasks,
        local: None,
        max_spinners: order.max_spinners as usize,
        nodes: order.nodes,
    };
    #[cfg(feature = "cluster")]
    if duty.nodes != 0 {
        relay::run(&duty);
    }
    worker::work(&duty)
}

fn inherited_file(number: RawFd) -> OwnedFd {
    child::keep_from_programs(number);
    // SAFETY: the process that launched this one left the file open under this number, for this
    // code alone.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let order = Order {
            entry: 4711,
            parent: 2,
            heap: 3,
            eventfd: 10,
            leash: 1,
            flags: 4,
            slot_index: 5,
            n_workers: 6,
            max_tasks: u64::MAX,
            max_spinners: 7,
            initializer: 8,
            conditions: 9,
            nodes: 10,
        };
        assert_eq!(Order::from_bytes(&order.to_bytes()), order);
    }

    #[test]
    fn this_program_was_entered() {
        entry::check_can_launch().unwrap();
        assert!(entry::is_in_program());
    }
}
