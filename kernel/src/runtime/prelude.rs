//! The prelude: a small shared object that reaches the standard library which the cells use.
//!
//! Cells are linked to the toolchain's shared `libstd`, this program has its own. So a panic in a cell runs the
//! panic hook of *that* library, and `print!` fills *its* buffer. The prelude, compiled by the same compiler,
//! installs a hook there that notes message and place on the board, and flushes that buffer after a cell.

use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::runtime::board::Board;

/// The prelude's source, to be compiled as a `cdylib` with `-C prefer-dynamic`.
pub const SOURCE: &str = include_str!("prelude_source.rs");

type OnPanic = extern "C" fn(*const u8, usize, *const u8, usize, u32, u32) -> u8;

// The hook has nothing else to reach it by. Written once, before the hook is installed.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());

pub(super) struct Prelude {
    flush: extern "C" fn(),
}

impl Prelude {
    /// Loads the prelude that the environment names and installs its hook. Without one, panics have no message.
    pub(super) fn load(board: &'static Board) -> Option<Prelude> {
        let path = std::env::var(super::PRELUDE_VARIABLE).ok()?;
        let path = CString::new(path).ok()?;
        // SAFETY: the object was compiled from SOURCE, which has no initialisers.
        let object = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if object.is_null() {
            return None;
        }
        BOARD.store(std::ptr::from_ref(board).cast_mut(), Ordering::Relaxed);
        // SAFETY: `object` is loaded and the names end with a zero.
        let [install, flush] = [c"forklore_prelude_install", c"forklore_prelude_flush"]
            .map(|name| unsafe { libc::dlsym(object, name.as_ptr()) });
        if install.is_null() || flush.is_null() {
            return None;
        }
        // SAFETY: SOURCE defines the two with these types.
        unsafe {
            let install = std::mem::transmute::<*mut c_void, extern "C" fn(OnPanic)>(install);
            install(on_panic);
            board.hook_is_installed();
            Some(Prelude {
                flush: std::mem::transmute::<*mut c_void, extern "C" fn()>(flush),
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

/// Whose panic it is, in the numbers that the prelude knows.
#[derive(Clone, Copy)]
enum Panicked {
    /// A thread's. The cell goes on, so it is shown.
    Thread = 0,
    /// The main thread's of a process that the cell forked. Its name the cells' library does not know.
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
    // SAFETY: the prelude passes two valid strings; the board was stored before it got this function.
    let (board, message, file) = unsafe {
        (
            &*BOARD.load(Ordering::Relaxed),
            std::slice::from_raw_parts(message, message_bytes),
            std::slice::from_raw_parts(file, file_bytes),
        )
    };
    // By number, because glibc has had a function for it since 2.30 only.
    // SAFETY: both have no preconditions.
    let is_main = unsafe { libc::syscall(libc::SYS_gettid) == i64::from(libc::getpid()) };
    let panicked = match (is_main, board.is_user()) {
        (false, _) => Panicked::Thread,
        (true, false) => Panicked::Child,
        (true, true) => Panicked::Cell,
    };
    if !matches!(panicked, Panicked::Child)
        && let Some(caught) = board.take_held_panic()
    {
        // The cell went on after it, and the board has room for one.
        // SAFETY: the buffer is valid for its length.
        unsafe { libc::write(2, caught.as_ptr().cast(), caught.len()) };
    }
    let cell = board.cell_object();
    // All cells are compiled under one name. Only the lines of the one that runs are known.
    let is_placed = file != FILE.as_bytes() || cell.contains(&(file.as_ptr() as usize));
    let file = if is_placed { file } else { b"" };
    board.note_panic(message, file, line, column);
    if let Panicked::Cell = panicked {
        board.hold_panic();
    }
    panicked as u8 + if is_placed { 0 } else { UNPLACED }
}
