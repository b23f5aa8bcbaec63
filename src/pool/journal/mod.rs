//! What happens to a pool and its workers, as the feature `tracing` tells it.
//!
//! The owner notes what happens while it has the engine to itself, and tells a subscriber of it
//! afterwards: a subscriber is the user's code, which may take its time, or map over this very
//! pool. Workers tell nothing: a subscriber's locks may have been held when they were forked.

#[cfg(feature = "tracing")]
mod subscriber;
pub(super) mod telling;

use super::settings::StartMethod;
use super::stats::DeathCause;
#[cfg(feature = "tracing")]
use subscriber::tell;

/// What has happened and was not told yet. Without the feature, nothing is noted.
pub(super) struct Journal {
    events: Vec<Event>,
    /// Whether the workers were forked for one call.
    is_of_closure: bool,
}

/// Something that an operator may want to know.
// Without the feature, nothing reads it.
#[cfg_attr(not(feature = "tracing"), allow(dead_code))]
pub(super) enum Event {
    PoolStarted {
        n_workers: usize,
        method: StartMethod,
    },
    PoolClosed,
    PoolTerminated,
    WorkerStarted {
        slot: usize,
        pid: i32,
        method: StartMethod,
    },
    /// There is no process for a slot.
    StartFailed {
        slot: usize,
        error: String,
    },
    WorkerRetired {
        slot: usize,
        pid: i32,
    },
    WorkerDied {
        slot: usize,
        pid: i32,
        cause: DeathCause,
        /// What became of it, as the end of a sentence; with what its last panics said.
        reason: String,
        /// What it was running, as far as that is known.
        item: Option<usize>,
    },
    Retried {
        slot: usize,
        item: usize,
    },
}

/// What was noted: a subscriber is told of it when this is dropped.
pub(super) struct Told(Journal);

impl Journal {
    pub(super) fn new(is_of_closure: bool) -> Journal {
        Journal {
            events: Vec::new(),
            is_of_closure,
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        if cfg!(feature = "tracing") {
            self.events.push(event);
        }
    }

    /// Takes what was noted.
    pub(super) fn take(&mut self) -> Told {
        Told(Journal {
            events: std::mem::take(&mut self.events),
            is_of_closure: self.is_of_closure,
        })
    }
}

impl Told {
    /// Nothing.
    pub(super) fn nothing() -> Told {
        Told(Journal::new(false))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        for event in self.0.events.drain(..) {
            tell(&event, self.0.is_of_closure);
        }
    }
}

#[cfg(not(feature = "tracing"))]
fn tell(_event: &Event, _is_of_closure: bool) {}
