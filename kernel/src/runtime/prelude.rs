//! The prelude: a small shared object that reaches the standard library which the cells use.
//!
//! Cells are linked to the toolchain's shared `libstd`, this program has its own. So a panic in a
//! cell runs the panic hook of *that* library, and `print!` fills *its* buffer. The prelude,
//! compiled by the same compiler, installs a hook there that notes message and place on the board,
//! and flushes that buffer after a cell.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::board::Board;
use crate::protocol::Frame;
use crate::sys::calls;
use crate::sys::descriptors::write_standard_error;
use crate::sys::object::{Binding, Object, path_and_offset};
use crate::sys::this_process;

/// The prelude's source, to be compiled as a `cdylib` with `-C prefer-dynamic`.
pub const SOURCE: &str = include_str!("prelude_source.rs");

type OnPanic = extern "C" fn(*const u8, usize, *const u8, usize, u32, u32) -> u8;

// The hook has nothing else to reach it by. Written once, before the hook is installed.
static BOARD: OnceLock<&Board> = OnceLock::new();

pub(super) struct Prelude {
    flush: extern "C" fn(),
}

impl Prelude {
    /// Loads the prelude that the environment names and installs its hook. Without one, panics have
    /// no message.
    pub(super) fn load(board: &'static Board) -> Option<Prelude> {
        let path = std::env::var(super::PRELUDE_VARIABLE).ok()?;
        // SAFETY: the object was compiled from SOURCE, which has no initialisers.
        let object = unsafe { Object::load(&path, Binding::Now) }.ok()?;
        let _ = BOARD.set(board);
        let install = object.symbol(c"forklore_prelude_install").ok()?;
        let flush = object.symbol(c"forklore_prelude_flush").ok()?;
        // SAFETY: SOURCE defines the two with these types.
        unsafe {
            let install = std::mem::transmute::<NonNull<c_void>, extern "C" fn(OnPanic)>(install);
            install(on_panic);
            board.hook_is_installed();
            Some(Prelude {
                flush: std::mem::transmute::<NonNull<c_void>, extern "C" fn()>(flush),
            })
        }
    }

    /// Writes out what the cells' `print!` left in its buffer.
    pub(super) fn flush(&self) {
        (self.flush)();
    }
}

/// What the compiler calls each cell.
const FILE: &str = "src/lib.rs";
/// Added to whose panic it is, where its place is in code that an earlier cell has compiled.
const UNPLACED: u8 = 4;

/// How many calls are looked at, machinery included.
const N_CALLS: usize = 256;

/// Whose panic it is, in the numbers that the prelude knows.
#[derive(Clone, Copy)]
enum Panicked {
    /// A thread's. The cell goes on, so it is shown.
    Thread = 0,
    /// The main thread's of a process that the cell forked. Its name the cells' library does not
    /// know.
    Child = 1,
    /// The cell's own. Not shown, as the cell's error may be about to.
    Cell = 2,
}

/// Notes the panic, and says whose it is.
extern "C" fn on_panic(
    message: *const u8,
    message_bytes: usize,
    file: *const u8,
    file_bytes: usize,
    line: u32,
    column: u32,
) -> u8 {
    // SAFETY: the prelude passes two valid strings.
    let (message, file) = unsafe {
        (
            std::slice::from_raw_parts(message, message_bytes),
            std::slice::from_raw_parts(file, file_bytes),
        )
    };
    let Some(board) = BOARD.get() else {
        return Panicked::Thread as u8;
    };
    let panicked = match (this_process::is_main_thread(), board.is_user()) {
        (false, _) => Panicked::Thread,
        (true, false) => Panicked::Child,
        (true, true) => Panicked::Cell,
    };
    if !matches!(panicked, Panicked::Child)
        && let Some(caught) = board.take_held_panic()
    {
        // The cell went on after it, and the board has room for one.
        write_standard_error(caught.as_bytes());
    }
    let cell = board.cell_object();
    // All cells are compiled under one name. Only the lines of the one that runs are known.
    let is_placed = file != FILE.as_bytes() || cell.contains(&(file.as_ptr() as usize));
    let file = if is_placed { file } else { b"" };
    let mut addresses = [0; N_CALLS];
    let n_calls = calls::addresses(&mut addresses);
    let frames = addresses[..n_calls].iter().filter_map(|address| {
        let (path, offset) = path_and_offset(*address)?;
        Frame::of(path.to_str().ok()?, offset)
    });
    board.note_panic(message, (file, line, column), frames);
    if let Panicked::Cell = panicked {
        board.hold_panic();
    }
    panicked as u8 + if is_placed { 0 } else { UNPLACED }
}
