//! The user process: loads the shared objects that evcxr compiled and runs the cells' functions in them.
//!
//! The supervisor forks it, so it starts with one thread and little memory. It speaks with the supervisor over
//! a socket that cells do not see (`RUN` in, `DONE` out); its standard input, output and error are the
//! cells' alone. It never decides what a death means: the supervisor does.

pub mod board;
pub mod checkpoint;
mod fault;
mod keeper;
mod object;
mod prelude;
mod script;
mod snapshot;
mod store;

use std::ffi::{CStr, CString, c_void};
use std::os::fd::RawFd;

use board::Board;
use keeper::Keeper;
use snapshot::Side;
use store::Store;

pub use prelude::SOURCE as PRELUDE_SOURCE;

/// Names the shared object that [`PRELUDE_SOURCE`] was compiled to.
pub const PRELUDE_VARIABLE: &str = "FORKLORE_PRELUDE";

/// The longest message between supervisor and user process.
pub const MESSAGE_BYTES: usize = 8192;

/// What the user process got from the supervisor.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// Commands come in here and answers go out.
    pub control: RawFd,
    /// Where snapshots sleep, each on one of the two.
    pub slots: [RawFd; 2],
}

/// Exported by cells that share statics with later ones (see `definitions::statics`).
const STATICS: &CStr = c"FORKLORE_STATICS";

type CellFunction = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

struct Runtime {
    board: &'static Board,
    descriptors: Descriptors,
    prelude: Option<prelude::Prelude>,
    /// evcxr's store of variables: made, read and written by the cells' own code.
    variables: Store,
    /// The variables that the cell which comes may change, where its failure may have to be undone in this process.
    guard: Option<String>,
    /// Keeps the cells' pipes and sockets for a snapshot, once there is one of these.
    keeper: Option<Keeper>,
}

/// Runs cells until the supervisor closes the control socket.
pub fn run(board: &'static Board, descriptors: Descriptors) -> ! {
    attach(board);
    fault::install(board);
    let prelude = prelude::Prelude::load(board);
    let mut runtime = Runtime {
        board,
        descriptors,
        prelude,
        variables: Store(std::ptr::null_mut()),
        guard: None,
        keeper: None,
    };
    runtime.snapshot(0, "READY");
    while let Some(message) = receive(descriptors.control) {
        runtime.handle(&message);
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
    // A supervisor that died before the call above closed the control socket: `receive` will tell.
}

impl Runtime {
    fn handle(&mut self, message: &str) {
        if let Some(words) = message.strip_prefix("SCRIPT ") {
            return send(self.descriptors.control, &script::run(words));
        }
        if let Some(names) = message.strip_prefix("GUARD ") {
            self.guard = Some(names.to_owned());
            return;
        }
        let mut words = message.splitn(4, ' ');
        let command = words.next();
        let slot = words.next().and_then(|slot| slot.parse().ok()).unwrap_or(0);
        match (command, words.next(), words.next()) {
            (Some("RUN"), Some(function), Some(path)) => match self.call(path, function) {
                Ok(()) => self.snapshot(slot, "DONE"),
                Err(error) => send(self.descriptors.control, &format!("FAILED {error}")),
            },
            (Some("SNAPSHOT"), None, None) => self.snapshot(slot, "READY"),
            _ => send(
                self.descriptors.control,
                &format!("FAILED unknown command {message:?}"),
            ),
        }
    }

    /// Runs a cell: where it is guarded, the supervisor decides what becomes of what it has changed.
    fn call(&mut self, path: &str, function: &str) -> Result<(), String> {
        let Some(names) = self.guard.take() else {
            return self.call_unguarded(path, function);
        };
        let guarded = self.variables.guard(&names);
        let called = self.call_unguarded(path, function);
        let mut restores = false;
        if called.is_ok() {
            send(self.descriptors.control, &format!("RETURNED {guarded}"));
            let answer = receive(self.descriptors.control).unwrap_or_default();
            let children = answer.strip_prefix("SETTLE restore");
            restores = children.is_some();
            for child in children.unwrap_or_default().split_whitespace() {
                // It was killed, and only this process waits for it.
                crate::sys::procs::wait(child.parse().unwrap_or(0));
            }
        }
        self.variables.settle(restores);
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
    fn snapshot(&mut self, slot: usize, report: &str) {
        match snapshot::take(self.board, &self.descriptors, slot, &mut self.keeper) {
            Side::User(pid) => {
                let keeper = self.keeper.as_ref().map_or(0, |keeper| keeper.pid);
                send(
                    self.descriptors.control,
                    &format!("{report} {slot} {} {keeper}", pid.unwrap_or(0)),
                );
            }
            Side::Restored { next_slot } => {
                attach(self.board);
                self.snapshot(next_slot, "READY");
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

/// Sends one message. An error means that nobody is there any more, which `receive` will tell.
pub fn send(socket: RawFd, message: &str) {
    let bytes = &message.as_bytes()[..message.len().min(MESSAGE_BYTES)];
    // SAFETY: the buffer is valid for its length.
    unsafe {
        libc::send(
            socket,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
}

/// Receives one message; `None` when the other end is gone.
pub fn receive(socket: RawFd) -> Option<String> {
    let mut buffer = [0_u8; MESSAGE_BYTES];
    loop {
        // SAFETY: the buffer is valid for its length.
        let length = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match length {
            1.. => return Some(String::from_utf8_lossy(&buffer[..length as usize]).into_owned()),
            0 => return None,
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}
