//! Captures the panics of tasks, so that they reach the map's caller instead of a terminal that the
//! user does not see.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::caught::Payload;
use crate::error::Cause;

use crate::caught::last_panic::LastPanic;

/// Captures panics while a job runs. Panics of other threads are printed.
pub(super) struct PanicNotes {
    last: Arc<Mutex<Option<Cause>>>,
    /// Where to record panics that this process may not survive.
    shared: Option<&'static LastPanic>,
    /// The previous hook, to be restored.
    before: Option<Arc<Hook>>,
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

impl PanicNotes {
    /// Starts capturing; each panic is also recorded in `shared`.
    pub(super) fn listen(shared: Option<&'static LastPanic>) -> PanicNotes {
        let last = Arc::new(Mutex::new(None));
        let before = Arc::new(take_hook());
        let (notes, others) = (Arc::clone(&last), Arc::clone(&before));
        let task_thread = thread::current().id();
        set_hook(Box::new(move |info| {
            if thread::current().id() != task_thread {
                return others(info);
            }
            let location = info.location().map(ToString::to_string).unwrap_or_default();
            let cause = Cause::panicked(info.payload(), location);
            if let Some(shared) = shared {
                shared.add(&cause.to_string());
            }
            if let Ok(mut notes) = notes.lock() {
                *notes = Some(cause);
            }
        }));
        PanicNotes {
            last,
            shared,
            before: Some(before),
        }
    }

    /// The message and location of a caught panic.
    pub(super) fn explain(&self, payload: &Payload) -> Cause {
        if let Some(shared) = self.shared {
            shared.clear();
        }
        let noted = self.last.lock().ok().and_then(|mut notes| notes.take());
        // A payload that was thrown without the hook (`resume_unwind`) has no location.
        noted.unwrap_or_else(|| Cause::panicked(payload.value(), String::new()))
    }
}

impl Drop for PanicNotes {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        drop(take_hook());
        // Our hook is gone, so this is the only reference to the previous one.
        if let Some(hook) = self.before.take().and_then(Arc::into_inner) {
            set_hook(hook);
        }
    }
}
