//! The machine, as far as the library's files need it: modelled by loom.

use std::cell::Cell;

pub(crate) mod atomic;
pub(crate) mod futex;
#[path = "../../../../src/sys/mutex.rs"]
pub(crate) mod mutex;
pub(crate) mod pthread;
pub(crate) mod robust;

loom::thread_local! {
    /// 1 in the model's first thread; `spawn` gives the others theirs.
    static THREAD_ID: Cell<u32> = Cell::new(1);
}

pub(crate) fn thread_id() -> u32 {
    THREAD_ID.with(Cell::get)
}

/// A thread of the model with a number of its own.
pub(crate) fn spawn<T: 'static>(
    id: u32,
    work: impl FnOnce() -> T + 'static,
) -> loom::thread::JoinHandle<T> {
    loom::thread::spawn(move || {
        THREAD_ID.with(|own| own.set(id));
        work()
    })
}
