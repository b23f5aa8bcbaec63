//! The machine, as far as the library's files need it: modelled by loom.

use std::cell::Cell;

pub(crate) mod atomic;
pub(crate) mod futex;
#[path = "../../../../src/sys/mutex.rs"]
pub(crate) mod mutex;
pub(crate) mod pthread;
#[path = "../../../../src/sys/robust.rs"]
pub(crate) mod robust;

loom::thread_local! {
    /// 1 in the model's first thread; `spawn` gives the others theirs.
    static THREAD_ID: Cell<u32> = Cell::new(1);
}

pub(crate) fn thread_id() -> u32 {
    THREAD_ID.with(Cell::get)
}

/// Threads have one namespace, and the kernel marks all that they hold: no waiter has to look.
pub(crate) fn pid_namespace() -> Option<u32> {
    None
}

pub(crate) mod thread {
    pub(crate) use super::thread_id;

    #[derive(Clone, Copy)]
    pub(crate) enum Look {
        Quick,
        Thorough,
    }

    pub(crate) fn has_ended(_tid: u32, _look: Look) -> bool {
        false
    }
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
