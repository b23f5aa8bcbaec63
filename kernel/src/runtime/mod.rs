//! The user process: loads the shared objects that evcxr compiled and runs the cells' functions in
//! them.
//!
//! The supervisor forks it, so it starts with one thread and little memory. It communicates with
//! the supervisor over a socket that cells do not see ([`ToUser`] in, [`FromUser`] out); its
//! standard input, output and error belong to the cells alone. It never decides what a death means:
//! the supervisor does.

pub mod board;
mod fault;
mod interpreter;
mod keeper;
mod onlooker;
mod prelude;
mod snapshot;
mod store;

use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;

use board::Board;
use keeper::Keeper;
use snapshot::Side;
use store::Store;

use crate::protocol::{FromUser, Saved, Snapshot, ToUser, Wire};
use crate::sys::fork::exit_now;
use crate::sys::object::{Binding, Object, object_of};
use crate::sys::{procs, this_process};

pub use prelude::SOURCE as PRELUDE_SOURCE;

/// Names the shared object compiled from [`PRELUDE_SOURCE`].
pub const PRELUDE_VARIABLE: &str = "FORKLORE_PRELUDE";

/// The user process's ends of the wires to the supervisor.
pub struct Wires {
    /// Receives commands and sends replies.
    pub control: Wire,
    /// Snapshots sleep on these, each on one of the two.
    pub slots: [Wire; 2],
}

/// Exported by cells that share statics with later ones (see `definitions::statics`).
const STATICS: &CStr = c"FORKLORE_STATICS";

type CellFunction = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

struct Runtime {
    board: &'static Board,
    wires: Wires,
    prelude: Option<prelude::Prelude>,
    /// evcxr's store of variables: made, read and written by the cells' own code.
    variables: Store,
    /// The variables that the next cell may change, if its failure may have to be undone in this
    /// process.
    guard: Option<String>,
    /// Keeps the cells' pipes and sockets for a snapshot, once there are any.
    keeper: Option<Keeper>,
}

/// Runs cells until the supervisor closes the control socket.
pub fn run(board: &'static Board, wires: Wires) -> ! {
    attach(board);
    fault::install(board);
    let prelude = prelude::Prelude::load(board);
    let mut runtime = Runtime {
        board,
        wires,
        prelude,
        variables: Store(std::ptr::null_mut()),
        guard: None,
        keeper: None,
    };
    runtime.save(0, FromUser::Ready);
    while let Some(message) = runtime.wires.control.receive() {
        runtime.handle(message);
    }
    exit_now(0)
}

/// Makes this process the one that runs cells, and ties its life to the supervisor's.
fn attach(board: &Board) {
    board.become_user();
    this_process::lead_group();
    this_process::set_name(c"forklore-cells");
    this_process::die_with_parent();
    // If the supervisor died before the call above, the control socket is closed, and `receive`
    // will notice.
}

impl Runtime {
    fn handle(&mut self, message: ToUser) {
        match message {
            ToUser::Script(words) => self.answer(&interpreter::run(&words)),
            ToUser::Guard(names) => self.guard = Some(names),
            ToUser::Run {
                slot,
                object,
                function,
            } => match self.call(&object, &function) {
                Ok(()) => self.save(slot, FromUser::Done),
                Err(error) => self.answer(&FromUser::Failed(error)),
            },
            ToUser::Snapshot { slot } => self.save(slot, FromUser::Ready),
            ToUser::Look { object, function } => {
                let cell = self.board.cell_object();
                onlooker::in_copy(|| {
                    let _ = self.call_unguarded(&object, &function);
                });
                self.board.set_cell_object(&cell);
                self.answer(&FromUser::Looked);
            }
            // Arrives only as a reply, which `call` waits for.
            ToUser::Settle { .. } => {}
        }
    }

    fn answer(&self, message: &FromUser) {
        self.wires.control.send(message);
    }

    /// Runs a cell. If it is guarded, the supervisor decides whether to undo its changes.
    fn call(&mut self, path: &str, function: &str) -> Result<(), String> {
        let Some(names) = self.guard.take() else {
            return self.call_unguarded(path, function);
        };
        let guarded = self.variables.guard(&names);
        let called = self.call_unguarded(path, function);
        let mut is_restored = false;
        if called.is_ok() {
            self.answer(&FromUser::Returned(guarded));
            if let Some(ToUser::Settle { restores, killed }) = self.wires.control.receive() {
                is_restored = restores;
                // Only their parent can wait for them.
                killed.into_iter().for_each(procs::wait);
            }
        }
        self.variables.settle(is_restored);
        called
    }

    /// Loads the shared object at `path` and calls `function`, as evcxr's own runtime does.
    fn call_unguarded(&mut self, path: &str, function: &str) -> Result<(), String> {
        let own_pid = this_process::pid();
        let function = CString::new(function).map_err(|error| error.to_string())?;
        // SAFETY: the object is a cell's, and its initialisers are the cell's own code.
        let object = unsafe { Object::load(path, Binding::Lazy) };
        let object = object.map_err(|error| format!("could not load the cell: {error}"))?;
        let address = object.symbol(&function);
        let address = address.map_err(|error| format!("could not find the cell: {error}"))?;
        self.board
            .set_cell_object(&object_of(address.as_ptr() as usize));
        if object.symbol(STATICS).is_ok() {
            // Later cells bind to the first instance of a static whose object shares its names.
            object.share_names();
        }
        // SAFETY: evcxr generates this function with this type, for the store that it returned
        // last.
        self.variables = unsafe {
            let function = std::mem::transmute::<NonNull<c_void>, CellFunction>(address);
            Store(function(self.variables.0))
        };
        self.flush();
        if this_process::pid() != own_pid {
            // A child that the cell forked has returned from the cell: the commands are not for it.
            exit_now(0);
        }
        Ok(())
    }

    /// Takes a snapshot and reports it. In the snapshot itself this returns when it has taken over.
    fn save(&mut self, slot: usize, report: fn(Saved) -> FromUser) {
        match snapshot::take(self.board, &mut self.wires, slot, &mut self.keeper) {
            Side::User(pid) => {
                let keeper = self.keeper.as_ref().map(|keeper| keeper.pid);
                let snapshot = pid.map(|pid| Snapshot { pid, slot });
                self.answer(&report(Saved { snapshot, keeper }));
            }
            Side::Restored { next_slot } => {
                attach(self.board);
                self.save(next_slot, FromUser::Ready);
            }
        }
    }

    fn flush(&self) {
        if let Some(prelude) = &self.prelude {
            prelude.flush();
        }
        // Code written in C may have used stdio.
        this_process::flush_c_streams();
    }
}
