//! Events for subscribers of the crate `tracing`.

use tracing::{debug, error, info, trace, warn};

use super::Event;
use crate::caught;
use crate::pool::stats::DeathCause;

/// Subscribers filter by this target. It stays the same if modules are renamed.
const TARGET: &str = "forklore::pool";

/// Emits an event to this thread's subscriber, or the process's. A subscriber's panic is caught:
/// this may run while another panic unwinds, and results wait behind it.
pub(super) fn tell(event: &Event, is_of_closure: bool) {
    // The panic hook has reported it.
    let _ = caught::run(|| match event {
        Event::PoolStarted { .. } | Event::PoolClosed | Event::PoolTerminated => {
            tell_of_pool(event, is_of_closure);
        }
        _ => tell_of_worker(event, is_of_closure),
    });
}

/// Workers of closures start and retire with each call, so their events are less interesting.
macro_rules! seldom_of_interest {
    ($is_of_closure:expr, $($told:tt)*) => {
        if $is_of_closure {
            trace!(target: TARGET, closure = true, $($told)*)
        } else {
            debug!(target: TARGET, closure = false, $($told)*)
        }
    };
}

fn tell_of_pool(event: &Event, closure: bool) {
    match event {
        Event::PoolStarted { n_workers, method } => {
            seldom_of_interest!(closure, n_workers, ?method, "pool started");
        }
        Event::PoolClosed => seldom_of_interest!(closure, "pool closed"),
        Event::PoolTerminated => seldom_of_interest!(closure, "pool terminated"),
        _ => {}
    }
}

fn tell_of_worker(event: &Event, closure: bool) {
    match event {
        Event::WorkerStarted { slot, pid, method } => {
            seldom_of_interest!(closure, slot, pid, ?method, "worker started");
        }
        Event::WorkerRetired { slot, pid } => {
            seldom_of_interest!(closure, slot, pid, "worker retired");
        }
        Event::StartFailed { slot, error } => {
            error!(target: TARGET, closure, slot, error, "worker could not be started");
        }
        Event::WorkerDied {
            slot,
            pid,
            cause,
            reason,
            item,
        } => {
            let item = item.map(|item| item as u64);
            let text = match cause {
                DeathCause::TimedOut => "time limit passed, worker ended",
                DeathCause::FailedToStart => "worker died before it was ready",
                _ => "worker died",
            };
            warn!(target: TARGET, closure, slot, pid, %cause, reason, item, "{text}");
        }
        Event::Retried { slot, item } => {
            info!(target: TARGET, closure, slot, item, "item is tried again");
        }
        _ => {}
    }
}
