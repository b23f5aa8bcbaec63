//! Results that are still on their way.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::TaskError;

use super::call::flight::{Flight, Shared};
use super::call::outcome::Failed;
use super::call::run::Begun;
use super::call::turns::Turn;

/// A result that workers are still at work on, from [`Pool::apply_async`](super::Pool::apply_async)
/// or
/// [`Pool::map_async`](super::Pool::map_async).
///
/// The workers need no help: the result comes into being whether this process waits or not. Only a
/// function that has captured something may have to wait for its turn, while the pool has as many
/// workers at such calls as it may: it is begun when this process next waits for one of these
/// results, begins another call, or joins the pool. Dropping a result cancels what was not begun
/// yet.
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
    state: State<T>,
    land: fn(Flight) -> Result<T, TaskError>,
}

/// Where the results come from.
enum State<T> {
    Flying(Flight),
    /// Workers are forked for it when its turn comes.
    InTurn(Rc<Shared>, Rc<Turn<T>>),
    Ended(Result<T, TaskError>),
}

impl<R: DeserializeOwned + 'static> Pending<R> {
    pub(super) fn one(outcome: Result<Begun, Failed<R>>) -> Pending<R> {
        let outcome = outcome.map_err(Failed::first_error);
        Pending::new(
            outcome,
            || Err(no_argument()),
            |flight| {
                let last = land(flight)?.pop();
                last.ok_or_else(no_argument)
            },
        )
    }
}

impl<R: DeserializeOwned + 'static> Pending<Vec<R>> {
    pub(super) fn all(outcome: Result<Begun, Failed<R>>) -> Pending<Vec<R>> {
        let outcome = outcome.map_err(Failed::first_error);
        Pending::new(outcome, || Ok(Vec::new()), land)
    }
}

impl<T: 'static> Pending<T> {
    fn new(
        outcome: Result<Begun, TaskError>,
        nothing: fn() -> Result<T, TaskError>,
        land: fn(Flight) -> Result<T, TaskError>,
    ) -> Pending<T> {
        let state = match outcome {
            Ok(Begun::Flying(flight)) => State::Flying(flight),
            Ok(Begun::InTurn(pool, start)) => {
                let turn = Turn::take(pool.turns(), pool.n_workers(), start, land);
                State::InTurn(pool, turn)
            }
            Ok(Begun::Empty) => State::Ended(nothing()),
            Err(error) => State::Ended(Err(error)),
        };
        Pending { state, land }
    }

    /// Whether the result, or the error, is there.
    pub fn ready(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for the result, but no longer than `timeout`; false if it is not there.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        match &self.state {
            State::Flying(flight) => flight.wait(deadline),
            State::InTurn(pool, turn) => turn.wait(pool.n_workers(), deadline),
            State::Ended(_) => true,
        }
    }

    /// Waits for the result and takes it.
    ///
    /// # Errors
    /// The first item's error, as [`Pool::try_map`](super::Pool::try_map) gives it; the others have
    /// been run.
    pub fn get(self) -> Result<T, TaskError> {
        match self.state {
            State::Flying(flight) => (self.land)(flight),
            State::InTurn(pool, turn) => turn.land(pool.n_workers()),
            State::Ended(outcome) => outcome,
        }
    }
}

impl<T: 'static> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("ready", &self.ready())
            .finish()
    }
}

fn land<R: DeserializeOwned>(flight: Flight) -> Result<Vec<R>, TaskError> {
    let results = flight.land();
    results.map_err(|results| Failed::Items(results).first_error())
}

fn no_argument() -> TaskError {
    TaskError::not_run(0, "it has no argument")
}
