//! Results that are not ready yet.

use std::fmt;
#[cfg(feature = "async")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::TaskError;

use super::call::copied::Copied;
use super::call::flight::Flight;
#[cfg(feature = "async")]
use super::call::futures::Polled;
use super::call::outcome::Failed;
use super::call::run::Begun;
use super::call::shared::Shared;
use super::call::turns::Turn;

/// A result that workers are still computing, from [`Pool::apply_async`](super::Pool::apply_async)
/// or [`Pool::map_async`](super::Pool::map_async).
///
/// The workers compute the result whether this process waits or not. Only a capturing function may
/// have to wait for its turn, while the pool already has as many workers for such calls as it may:
/// it starts when this process next waits for one of these results, starts another call, or joins
/// the pool. Dropping a result cancels everything not yet started.
///
/// # Fork safety
/// The result belongs to the process that made the call; in a forked child it is an error.
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
#[must_use = "dropping it cancels everything not yet started"]
pub struct Pending<T> {
    state: State<T>,
    land: fn(Arrived) -> Result<T, TaskError>,
    #[cfg(feature = "async")]
    polled: Polled,
}

/// The source of the results.
enum State<T> {
    Flying(Flight),
    /// Waits for its turn; then workers are forked for it.
    InTurn(Arc<Shared>, Arc<Turn>),
    Ended(Result<T, TaskError>),
}

/// Where the encoded results are.
enum Arrived {
    /// In a flight whose workers have ended.
    Flight(Flight),
    Copied(Copied),
}

impl Arrived {
    fn results<R: DeserializeOwned>(self) -> Result<Vec<R>, TaskError> {
        let results = match self {
            Arrived::Flight(flight) => flight.land(),
            Arrived::Copied(copied) => copied.results(),
        };
        results.map_err(Failed::first_error)
    }
}

impl<R: DeserializeOwned + 'static> Pending<R> {
    pub(super) fn one(outcome: Result<Begun, Failed<R>>) -> Pending<R> {
        let outcome = outcome.map_err(Failed::first_error);
        Pending::new(
            outcome,
            || Err(no_argument()),
            |arrived| {
                let last = arrived.results()?.pop();
                last.ok_or_else(no_argument)
            },
        )
    }
}

impl<R: DeserializeOwned + 'static> Pending<Vec<R>> {
    pub(super) fn all(outcome: Result<Begun, Failed<R>>) -> Pending<Vec<R>> {
        let outcome = outcome.map_err(Failed::first_error);
        Pending::new(outcome, || Ok(Vec::new()), Arrived::results)
    }
}

impl<T> Pending<T> {
    fn new(
        outcome: Result<Begun, TaskError>,
        nothing: fn() -> Result<T, TaskError>,
        land: fn(Arrived) -> Result<T, TaskError>,
    ) -> Pending<T> {
        let state = match outcome {
            Ok(Begun::Flying(flight)) => State::Flying(flight),
            Ok(Begun::InTurn(pool, start)) => {
                let turn = Turn::take(pool.turns(), pool.n_workers(), start);
                State::InTurn(pool, turn)
            }
            Ok(Begun::Empty) => State::Ended(nothing()),
            Err(error) => State::Ended(Err(error)),
        };
        Pending {
            state,
            land,
            #[cfg(feature = "async")]
            polled: Polled::default(),
        }
    }

    /// Whether the result, or the error, is ready.
    pub fn ready(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for the result, but no longer than `timeout`; false if it is not ready.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        match &self.state {
            State::Flying(flight) => flight.wait(deadline),
            State::InTurn(pool, turn) => turn.wait(pool.turns(), pool.n_workers(), deadline),
            State::Ended(_) => true,
        }
    }

    /// Waits for the result and returns it.
    ///
    /// # Errors
    /// The first item's error, as from [`Pool::try_map`](super::Pool::try_map); the other items
    /// have run.
    pub fn get(self) -> Result<T, TaskError> {
        self.state.get(self.land)
    }
}

impl<T> State<T> {
    fn get(self, land: fn(Arrived) -> Result<T, TaskError>) -> Result<T, TaskError> {
        match self {
            State::Flying(flight) => land(Arrived::Flight(flight)),
            State::InTurn(pool, turn) => {
                let copied = turn.land(pool.turns(), pool.n_workers())?;
                land(Arrived::Copied(copied))
            }
            State::Ended(outcome) => outcome,
        }
    }
}

/// With the feature `async`: yields what [`get`](Pending::get) returns, without blocking a thread.
///
/// No runtime is required. In a process with threads, one thread per pool wakes the async tasks
/// whose results are ready; it starts with the first waiting future, ends with the pool, and does
/// nothing else. A process with one thread gets no such thread, so that it may still fork: there,
/// polling a future sleeps for at most a millisecond and wakes its own task, so that other tasks of
/// the thread can run. Only one of a pool's futures sleeps at a time. A program with its own
/// reactor avoids both the thread and the sleep: [`Pool::wakes`](super::Pool::wakes).
///
/// Dropping it cancels everything not yet started, as dropping any [`Pending`] does. If the runtime
/// drops the future at a time limit, or because another was first, the worker still finishes its
/// current task. To end that too, give the call a limit ([`Pool::timeout`](super::Pool::timeout)).
/// Polling again after the result was taken returns an error that says so.
///
/// Dropping a [`Pool`](super::Pool) blocks until its workers have ended; in a runtime, do that on a
/// thread for blocking work, or at the end of `main`.
///
/// # Example
/// ```standalone_crate
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # // Any executor will do.
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = pin!(future);
/// #     loop {
/// #         if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
/// #             return output;
/// #         }
/// #     }
/// # }
/// # fn main() -> forklore::Result<()> {
/// let pool = forklore::Pool::with_workers(2)?;
/// let sum = block_on(async {
///     let (a, b) = (pool.apply_async(|n: u64| n * n, 7), pool.apply_async(|n: u64| n + 1, 9));
///     Ok::<u64, forklore::TaskError>(a.await? + b.await?)
/// });
/// assert_eq!(sum, Ok(59));
/// # Ok(()) }
/// ```
#[cfg(feature = "async")]
impl<T> Future for Pending<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let pending = self.get_mut();
        let waker = context.waker();
        let is_over = match &pending.state {
            State::Flying(flight) => flight.poll(waker, &mut pending.polled),
            State::InTurn(pool, turn) => {
                let deadline = pool.nap_before(&mut pending.polled);
                let is_over = turn.wait(pool.turns(), pool.n_workers(), Some(deadline));
                if !is_over {
                    waker.wake_by_ref();
                }
                is_over
            }
            State::Ended(_) => true,
        };
        if !is_over {
            return Poll::Pending;
        }
        let taken = State::Ended(Err(TaskError::not_run(0, "its result was taken before")));
        let state = std::mem::replace(&mut pending.state, taken);
        Poll::Ready(state.get(pending.land))
    }
}

/// Nothing in it is pinned: the result is made when it is taken.
#[cfg(feature = "async")]
impl<T> Unpin for Pending<T> {}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("ready", &self.ready())
            .finish()
    }
}

fn no_argument() -> TaskError {
    TaskError::not_run(0, "it has no argument")
}
