//! How a fresh process of any program becomes a worker, or the server that forks workers.
//!
//! ```text
//!  owner ── launch: FORKLORE_WORKER=order ──▶ the same program ── loader ──▶ enter() ── worker, or server
//!                                                                            └─ no order: on to main
//! ```
//!
//! The library puts a function on the list of those that the loader runs before `main`. It looks for
//! an order in the environment, and if there is one, the process never gets to `main`: it maps the
//! pool's memory, which it has inherited as a file, and does what is ordered. What functions it is
//! to run, it learns as any worker does, by their symbols.
//!
//! Other initialisers of the program may not have run yet when tasks do. Nothing else is missing:
//! the loader has finished its work, and the standard library needs no `main`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::symbol::{self, KnownFiles};
use crate::sys::child::{self, Branch};
use crate::sys::launch::{Launch, forget_launch};
use crate::sys::line::Line;
use crate::sys::{descriptor, object};

use super::conditions::Conditions;
use super::server;
use super::worker::{self, Duty};
use crate::pool::settings::ShippedInitializer;
use crate::pool::shm::function;

/// Holds the order; a process that finds it takes it away.
const VARIABLE: &str = "FORKLORE_WORKER";

/// What the loader runs before `main`, also in every process that has no order.
#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = enter;

/// Whether the loader has run [`enter`] in this copy of the library, and so will again in a fresh
/// process. Were it not so, that process would run the program's `main`.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);

/// What a fresh process is to do, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// Where [`enter`] lies in its object: a copy of another version is not meant.
    entry: u64,
    /// The process that launches, and with which this one dies.
    owner: u64,
    /// The number of the file with the pool's memory.
    heap: u64,
    /// The number of the server's line, for a server.
    line: Option<u64>,
    slot_index: u64,
    n_workers: u64,
    max_tasks: u64,
    max_spinners: u64,
    /// Where the name of the initialiser is written; 0 for none.
    initializer: Offset,
    /// Where the conditions are written; 0 for none.
    conditions: Offset,
}

impl Order {
    const N_NUMBERS: usize = 10;
    const NO_LINE: u64 = u64::MAX;

    /// The same for another worker.
    pub(super) fn for_slot(self, slot_index: u64, n_workers: u64) -> Order {
        Order {
            slot_index,
            n_workers,
            ..self
        }
    }

    fn to_text(self) -> String {
        let numbers: [u64; Order::N_NUMBERS] = [
            self.entry,
            self.owner,
            self.heap,
            self.line.unwrap_or(Order::NO_LINE),
            self.slot_index,
            self.n_workers,
            self.max_tasks,
            self.max_spinners,
            self.initializer,
            self.conditions,
        ];
        numbers.map(|number| number.to_string()).join(" ")
    }

    fn from_text(text: &str) -> Option<Order> {
        let numbers: Vec<u64> = text
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        let numbers: [u64; Order::N_NUMBERS] = numbers.try_into().ok()?;
        let [
            entry,
            owner,
            heap,
            line,
            slot_index,
            n_workers,
            max_tasks,
            max_spinners,
            initializer,
            conditions,
        ] = numbers;
        Some(Order {
            entry,
            owner,
            heap,
            line: (line != Order::NO_LINE).then_some(line),
            slot_index,
            n_workers,
            max_tasks,
            max_spinners,
            initializer,
            conditions,
        })
    }
}

/// What workers are to be like, for an order.
pub(super) fn order(duty: &Duty<'_>, initializer: Offset, conditions: Offset) -> Order {
    Order {
        entry: 0,
        owner: 0,
        heap: 0,
        line: None,
        slot_index: duty.slot_index as u64,
        n_workers: duty.n_workers as u64,
        max_tasks: duty.max_tasks,
        max_spinners: duty.max_spinners as u64,
        initializer,
        conditions,
    }
}

/// Launches a process that becomes a worker, or with a line a server.
pub(super) fn launch(heap: &Heap, order: Order, line: Option<&Line>) -> Result<i32> {
    let unsupported = |why: &str| {
        Error::os(
            &format!("cannot start a fresh process: {why}; use StartMethod::Fork"),
            std::io::ErrorKind::Unsupported.into(),
        )
    };
    if !IS_ENTERED.load(Ordering::Relaxed) {
        return Err(unsupported(
            "this program does not run the library's initialiser",
        ));
    }
    let (base, path) =
        own_object().ok_or_else(|| unsupported("the loader does not list its code"))?;
    let memory = heap
        .file()
        .ok_or_else(|| unsupported("this pool's memory has no file"))?;
    let number = |file: BorrowedFd<'_>| file.as_raw_fd() as u64;
    let order = Order {
        entry: (entry_address() - base) as u64,
        owner: u64::from(std::process::id()),
        heap: number(memory),
        line: line.map(|line| number(line.as_fd())),
        ..order
    };
    let mut files = vec![memory];
    files.extend(line.map(AsFd::as_fd));
    let launch = Launch {
        object: &path,
        address: entry_address(),
        variable: (VARIABLE, order.to_text()),
        files: &files,
    };
    launch.start()
}

fn entry_address() -> usize {
    enter as extern "C" fn() as usize
}

/// Where this copy of the library was loaded, and from which object.
fn own_object() -> Option<(usize, std::path::PathBuf)> {
    let object = object::holding(entry_address())?;
    let path = if object.path.as_os_str().is_empty() {
        object.path
    } else {
        symbol::absolute(object.path, object::mapping_at(entry_address()))
    };
    Some((object.base, path))
}

/// Looks for an order, and follows it.
extern "C" fn enter() {
    IS_ENTERED.store(true, Ordering::Relaxed);
    let Some(text) = std::env::var_os(VARIABLE) else {
        return;
    };
    let order = text.to_str().and_then(Order::from_text);
    let object = own_object();
    if let (Some(order), Some((base, path))) = (order, object)
        && order.entry == (entry_address() - base) as u64
    {
        follow(order, &path);
    }
}

/// Neither a return nor a panic leads back to the loader, and so to `main`.
fn follow(order: Order, object: &Path) -> ! {
    let _branch = Branch::enter();
    // The loader runs this before anything could have started a thread.
    forget_launch(VARIABLE, object);
    child::die_with(Pid::from_raw(order.owner as i32));
    descriptor::fill_standard();
    child::keep_zombies();
    let Ok(heap) = Heap::attach(inherited_file(order.heap as RawFd)) else {
        child::exit_now(worker::FAILED_TO_START)
    };
    match order.line {
        Some(line) => server::serve(&heap, order, Line::inherited(inherited_file(line as RawFd))),
        None => work(&heap, order),
    }
}

/// Works as the order says, in a process that has not inherited the initialiser.
pub(super) fn work(heap: &Heap, order: Order) -> ! {
    child::name_process(c"forklore-worker");
    let initializer = || match function::find(heap, order.initializer, &mut KnownFiles::new()) {
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
    let Ok(conditions) = Conditions::read(heap, order.conditions) else {
        child::exit_now(worker::FAILED_TO_START)
    };
    worker::work(&Duty {
        heap,
        conditions: &conditions,
        slot_index: order.slot_index as usize,
        n_workers: order.n_workers as usize,
        initializer: (order.initializer != 0).then_some(&initializer as &dyn Fn()),
        max_tasks: order.max_tasks,
        local: None,
        max_spinners: order.max_spinners as usize,
    })
}

fn inherited_file(number: RawFd) -> OwnedFd {
    child::keep_from_programs(number);
    // SAFETY: the process that launched this one left the file open under this number, for this code
    // alone.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let order = Order {
            entry: 4711,
            owner: 2,
            heap: 3,
            line: None,
            slot_index: 5,
            n_workers: 6,
            max_tasks: u64::MAX,
            max_spinners: 7,
            initializer: 8,
            conditions: 9,
        };
        for line in [None, Some(4)] {
            let order = Order { line, ..order };
            assert_eq!(Order::from_text(&order.to_text()), Some(order));
        }
    }

    #[test]
    fn what_is_no_order_is_none() {
        for text in [
            "",
            "1 2 3",
            "yes",
            "1 2 3 4 5 6 7 8 9 x",
            "1 2 3 4 5 6 7 8 9 10 11",
        ] {
            assert_eq!(Order::from_text(text), None);
        }
    }

    #[test]
    fn this_program_was_entered() {
        assert!(IS_ENTERED.load(Ordering::Relaxed));
        assert_eq!(own_object().unwrap().1, std::path::PathBuf::new());
    }
}
