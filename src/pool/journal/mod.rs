//! Events of a pool and its workers, for the feature `tracing`.
//!
//! The owner notes events while it holds the engine, and emits them afterwards: a subscriber is the
//! user's code, which may be slow, or map over this very pool. Workers emit nothing: a subscriber's
//! locks may have been held when they were forked.

#[cfg(feature = "tracing")]
mod subscriber;
pub(super) mod telling;

use super::settings::StartMethod;
use super::stats::DeathCause;
#[cfg(feature = "tracing")]
use subscriber::tell;

/// Events not emitted yet. Without the feature, it records none.
pub(super) struct Journal {
    events: Vec<Event>,
    /// Whether the workers were forked for one call.
    is_of_closure: bool,
}

/// An event for operators. Without the feature, nothing reads it.
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
    /// No process could be started for a slot.
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
        /// The cause as the end of a sentence, with the messages of its last panics.
        reason: String,
        /// The item that it was running, if known.
        item: Option<usize>,
    },
    Retried {
        slot: usize,
        item: usize,
    },
}

/// Noted events: dropping this emits them.
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

    /// Takes the noted events.
    pub(super) fn take(&mut self) -> Told {
        Told(Journal {
            events: std::mem::take(&mut self.events),
            is_of_closure: self.is_of_closure,
        })
    }
}

impl Told {
    /// No events.
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
