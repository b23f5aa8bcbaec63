//! Results that are still on their way.

use std::fmt;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::TaskError;

use super::flight::Flight;
use super::run::Failed;

/// A result that workers are still at work on, from [`Pool::apply_async`](super::Pool::apply_async) or
/// [`Pool::map_async`](super::Pool::map_async).
///
/// The workers need no help: the result comes into being whether somebody waits or not. Dropping it
/// lets nobody begin what was not begun yet.
///
/// # Fork safety
/// The result belongs to the process that asked for it; in a forked child it is an error.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let pending = pool.apply_async(|n: u64| (1..=n).product::<u64>(), 20);
/// println!("in the meantime …");
/// assert_eq!(pending.get()?, 2_432_902_008_176_640_000);
/// # Ok(()) }
/// ```
#[must_use = "a result that is dropped is not worked on"]
pub struct Pending<T> {
    state: State,
    land: fn(State) -> Result<T, TaskError>,
}

/// Where the results come from.
enum State {
    Flying(Flight),
    /// There were no arguments.
    Empty,
    Failed(TaskError),
}

impl<R: DeserializeOwned> Pending<R> {
    pub(super) fn one(outcome: Result<Option<Flight>, Failed<R>>) -> Pending<R> {
        Pending {
            state: State::of(outcome),
            land: |state| {
                state.land().and_then(|mut results| {
                    results
                        .pop()
                        .ok_or_else(|| TaskError::not_run(0, "it has no argument"))
                })
            },
        }
    }
}

impl<R: DeserializeOwned> Pending<Vec<R>> {
    pub(super) fn all(outcome: Result<Option<Flight>, Failed<R>>) -> Pending<Vec<R>> {
        Pending {
            state: State::of(outcome),
            land: State::land,
        }
    }
}

impl<T> Pending<T> {
    /// Whether the result, or the error, is there.
    pub fn ready(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for the result, but no longer than `timeout`; false if it is not there.
    pub fn wait(&self, timeout: Duration) -> bool {
        match &self.state {
            State::Flying(flight) => flight.wait(Instant::now().checked_add(timeout)),
            State::Empty | State::Failed(_) => true,
        }
    }

    /// Waits for the result and takes it.
    ///
    /// # Errors
    /// The first item's error, as [`Pool::try_map`](super::Pool::try_map) gives it; the others have
    /// been run.
    pub fn get(self) -> Result<T, TaskError> {
        (self.land)(self.state)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("ready", &self.ready())
            .finish()
    }
}

impl State {
    fn of<R>(outcome: Result<Option<Flight>, Failed<R>>) -> State {
        match outcome {
            Ok(Some(flight)) => State::Flying(flight),
            Ok(None) => State::Empty,
            Err(failed) => State::Failed(failed.first_error()),
        }
    }

    fn land<R: DeserializeOwned>(self) -> Result<Vec<R>, TaskError> {
        match self {
            State::Flying(flight) => flight
                .land()
                .map_err(|results| Failed::Items(results).first_error()),
            State::Empty => Ok(Vec::new()),
            State::Failed(error) => Err(error),
        }
    }
}
