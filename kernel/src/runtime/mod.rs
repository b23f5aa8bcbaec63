//! The user process: loads the shared objects that evcxr compiled and runs the cells' functions in them.
//!
//! The supervisor forks it, so it starts with one thread and little memory. It speaks with the supervisor over
//! a socket that cells do not see ([`ToUser`] in, [`FromUser`] out); its standard input, output and error are the
//! cells' alone. It never decides what a death means: the supervisor does.

pub mod board;
mod fault;
mod keeper;
mod object;
mod prelude;
mod script;
mod snapshot;
mod store;

use std::ffi::{CStr, CString, c_void};

use board::Board;
use keeper::Keeper;
use snapshot::Side;
use store::Store;

use crate::protocol::{FromUser, Saved, Snapshot, ToUser, Wire};
use crate::sys::procs;

pub use prelude::SOURCE as PRELUDE_SOURCE;

/// Names the shared object that [`PRELUDE_SOURCE`] was compiled to.
pub const PRELUDE_VARIABLE: &str = "FORKLORE_PRELUDE";

/// The user process' ends of the wires to the supervisor.
pub struct Wires {
    /// Commands come in here and answers go out.
    pub control: Wire,
    /// Where snapshots sleep, each on one of the two.
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
    /// The variables that the cell which comes may change, where its failure may have to be undone in this process.
    guard: Option<String>,
    /// Keeps the cells' pipes and sockets for a snapshot, once there is one of these.
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
    end(0)
}

/// Makes this process the one that runs cells, and its life depend on the supervisor's.
fn attach(board: &Board) {
    board.become_user();
    // SAFETY: all only change or read this process' own attributes.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_NAME, c"forklore-cells".as_ptr());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // A supervisor that died before the call above closed the control socket, which `receive` will tell.
}

impl Runtime {
    fn handle(&mut self, message: ToUser) {
        match message {
            ToUser::Script(words) => self.answer(&script::run(&words)),
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
            // Comes only as an answer, which `call` waits for.
            ToUser::Settle { .. } => {}
        }
    }

    fn answer(&self, message: &FromUser) {
        self.wires.control.send(message);
    }

    /// Runs a cell: where it is guarded, the supervisor decides what becomes of what it has changed.
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
        let own_pid = std::process::id();
        let path = CString::new(path).map_err(|error| error.to_string())?;
        let function = CString::new(function).map_err(|error| error.to_string())?;
        // SAFETY: the object is a cell's, whose initialisers are the cell's own code. It is never
        // unloaded: variables hold pointers into it.
        let object = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        if object.is_null() {
            return Err(format!("could not load the cell: {}", last_loader_error()));
        }
        // SAFETY: `object` is loaded and the name ends with a zero.
        let address = unsafe { libc::dlsym(object, function.as_ptr()) };
        if address.is_null() {
            return Err(format!("could not find the cell: {}", last_loader_error()));
        }
        self.board
            .set_cell_object(&object::object_of(address as usize));
        // SAFETY: as above. The first instance of a static that is loaded this way is the one of all later cells.
        unsafe {
            if !libc::dlsym(object, STATICS.as_ptr()).is_null() {
                let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_GLOBAL;
                libc::dlopen(path.as_ptr(), flags);
            }
        }
        // SAFETY: evcxr generates this function with this type, for the store that it returned last.
        self.variables = unsafe {
            let function: CellFunction = std::mem::transmute::<*mut c_void, CellFunction>(address);
            Store(function(self.variables.0))
        };
        self.flush();
        if std::process::id() != own_pid {
            // A child that the cell forked has run out of the cell: the commands are not for it.
            end(0);
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
        // SAFETY: null means every stream; code written in C may have used stdio.
        unsafe { libc::fflush(std::ptr::null_mut()) };
    }
}

fn last_loader_error() -> String {
    // SAFETY: gives null or a string that lives until the next call.
    let error = unsafe { libc::dlerror() };
    if error.is_null() {
        return String::new();
    }
    // SAFETY: as above, and null is checked.
    unsafe { CStr::from_ptr(error) }
        .to_string_lossy()
        .into_owned()
}

/// Ends the process without running exit handlers: they belong to the cells' code.
fn end(code: i32) -> ! {
    // SAFETY: does not return and has no preconditions.
    unsafe { libc::_exit(code) }
}
