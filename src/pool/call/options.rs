//! The options that may differ between the calls of one pool.

use std::time::Duration;

use crate::error::Result;
use crate::sys::thread_hash;

use super::transport::N_WAITERS;
use crate::pool::plan::Schedule;
use crate::pool::settings::{Settings, check_limit};

/// How to run the tasks of a call.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Options {
    /// How items are cut into chunks.
    pub(in crate::pool) schedule: Schedule,
    /// The time limit of each task, in addition to the pool's own.
    pub(in crate::pool) time_limit: Option<Duration>,
    /// Which of the owner's threads wait for the results: below [`N_WAITERS`], or
    /// [`FUTURES`](super::transport::FUTURES).
    pub(in crate::pool) waiters: usize,
    /// The item number of the first argument in the user's call: some calls are sent in parts.
    pub(in crate::pool) first_item: usize,
}

impl Options {
    /// The pool's own settings.
    pub(in crate::pool) fn of(settings: &Settings) -> Options {
        Options {
            schedule: settings.schedule,
            time_limit: None,
            waiters: 0,
            first_item: 0,
        }
    }

    /// The same, for results that the calling thread waits for.
    pub(in crate::pool) fn here(self) -> Options {
        let waiters = thread_hash() as usize % N_WAITERS;
        Options { waiters, ..self }
    }

    /// The same, cut into chunks by another schedule.
    pub(in crate::pool) fn scheduled(self, schedule: Schedule) -> Options {
        Options { schedule, ..self }
    }

    /// The same, with another time limit.
    pub(in crate::pool) fn limited(self, limit: Duration) -> Options {
        let time_limit = Some(limit);
        Options { time_limit, ..self }
    }

    /// The same, for a part of a call.
    pub(in crate::pool) fn beginning_at(self, first_item: usize) -> Options {
        Options { first_item, ..self }
    }

    /// Rejects options that no call can have.
    ///
    /// # Errors
    /// `is_invalid_input()` for a time limit of zero.
    pub(in crate::pool) fn check(&self) -> Result<()> {
        check_limit(self.time_limit)
    }
}
