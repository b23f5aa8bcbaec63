//! Compiled separately, by the compiler that compiles the cells, and loaded into the user process.

use std::io::Write;
use std::panic::PanicHookInfo;

type OnPanic = extern "C" fn(*const u8, usize, *const u8, usize, u32, u32) -> u8;

/// The main thread of a process that a cell has forked.
const CHILD: u8 = 1;
/// The cell itself: its error shows the panic, or the kernel does, if the cell catches it.
const CELL: u8 = 2;
/// Added to these if the location is meaningless.
const UNPLACED: u8 = 4;

#[unsafe(no_mangle)]
pub extern "C" fn forklore_prelude_install(on_panic: OnPanic) {
    std::panic::set_hook(Box::new(move |info| {
        let message = message(info);
        let (file, line, column) = match info.location() {
            Some(place) => (place.file(), place.line(), place.column()),
            None => ("", 0, 0),
        };
        let panicked = on_panic(message.as_ptr(), message.len(), file.as_ptr(), file.len(), line, column);
        let unnamed = match panicked % UNPLACED {
            CELL => return,
            CHILD => "main",
            _ => "<unnamed>",
        };
        // Unlike the standard library, this prints no backtrace for RUST_BACKTRACE, because it
        // would consist of the kernel's own functions. A location in a cell is translated to the
        // cell's line on its way to the front end.
        let thread = std::thread::current();
        let name = thread.name().unwrap_or(unnamed);
        let text = match panicked >= UNPLACED {
            true => format!("thread '{name}' panicked: {message}\n"),
            false => format!("thread '{name}' panicked at {file}:{line}:{column}:\n{message}\n"),
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not a string".to_owned()
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn forklore_prelude_flush() {
    let _ = std::io::stdout().flush();
}
