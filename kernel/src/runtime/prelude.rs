//! The prelude: a small shared object with access to the standard library that the cells use.
//!
//! Cells are linked to the toolchain's shared `libstd`, while this program has its own. So a panic
//! in a cell runs the panic hook of *that* library, and `print!` fills *its* buffer. The prelude,
//! compiled by the same compiler, installs a hook there that records message and location on the
//! board, and flushes that buffer after a cell.

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

// A static, because the hook has no other access to the board. Written once, before the hook is
// installed.
static BOARD: OnceLock<&Board> = OnceLock::new();

pub(super) struct Prelude {
    flush: extern "C" fn(),
}

impl Prelude {
    /// Loads the prelude that the environment names and installs its hook. Without a prelude,
    /// panics have no message.
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

    /// Flushes the buffer of the cells' `print!`.
    pub(super) fn flush(&self) {
        (self.flush)();
    }
}

/// The file name of each cell for the compiler.
const FILE: &str = "src/lib.rs";
/// Added to the kind of a panic whose location is in code that an earlier cell compiled.
const UNPLACED: u8 = 4;

/// The maximum number of calls inspected, including the runtime's own.
const N_CALLS: usize = 256;

/// The kind of a panic, as numbered in the prelude.
#[derive(Clone, Copy)]
enum Panicked {
    /// A thread's panic. The cell continues, so it is shown.
    Thread = 0,
    /// The main thread's panic in a process that the cell forked. The cells' library does not know
    /// that thread's name.
    Child = 1,
    /// The cell's own panic. Not shown, because the cell's error may show it.
    Cell = 2,
}

/// Records a panic, and returns its kind.
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
        // The cell continued after the previous panic, and the board has room for only one.
        write_standard_error(caught.as_bytes());
    }
    let cell = board.cell_object();
    // All cells are compiled under one file name. Only the running cell's lines are known.
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
