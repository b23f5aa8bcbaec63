//! Calls whose tasks have a time limit of their own.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::callable::{Bound, Unary};
use super::call::options::Options;
use super::call::run::Call;
use super::context::AsContext;
use super::imap::Results;
use super::view::view_methods;
use super::{Pending, Pool};

/// A pool whose calls limit how long each task may take, made by [`Pool::timeout`].
#[derive(Debug, Clone, Copy)]
pub struct Limited<'p> {
    pub(super) pool: &'p Pool,
    pub(super) options: Options,
}

impl Pool {
    /// The same pool, for calls whose tasks may each take `limit` and no longer.
    ///
    /// Everything that [`Builder::timeout`](super::Builder::timeout) says holds for this limit,
    /// too; but for the initialiser, which has the pool's limit alone. If the pool has one, the
    /// shorter of both holds. The pool's CPU-time limit stays as it is. Calls with and without
    /// limits may be on their way at the same time.
    ///
    /// A limit of 0 s is an error of the call: [`map`](Limited::map) panics, and each item of
    /// [`try_map`](Limited::try_map) says so.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// use std::time::Duration;
    ///
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let limit = Duration::from_millis(50);
    /// let parse = |x: u32| if x == 1 { loop { std::thread::park() } } else { x };
    /// let results = pool.timeout(limit).try_map(parse, 0..3);
    /// assert!(results[1].as_ref().is_err_and(|error| error.is_timed_out()));
    /// assert_eq!(results[2], Ok(2));
    /// assert_eq!(pool.timeout(limit).apply(parse, 7), 7);
    /// # Ok(()) }
    /// ```
    pub fn timeout(&self, limit: Duration) -> Limited<'_> {
        Limited {
            pool: self,
            options: Options::of(self.shared.settings()).limited(limit),
        }
    }
}

impl<'p> Limited<'p> {
    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// As [`Pool::imap`].
    ///
    /// # Panics
    /// As [`Pool::imap`], also for a task that is over its limit.
    #[track_caller]
    pub fn imap<F, I, A, R>(&self, f: F, args: I) -> impl Iterator<Item = R> + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Unary(f), args, true).map(|(_, result)| result)
    }

    /// As [`Pool::imap_unordered`].
    ///
    /// # Panics
    /// As [`imap`](Limited::imap).
    #[track_caller]
    pub fn imap_unordered<F, I, A, R>(
        &self,
        f: F,
        args: I,
    ) -> impl Iterator<Item = (usize, R)> + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Unary(f), args, false)
    }

    /// As [`Pool::imap_with`].
    ///
    /// # Panics
    /// As [`Pool::imap_with`], also for a task that is over its limit.
    #[track_caller]
    pub fn imap_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Iterator<Item = R> + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let bound = Bound { f, context };
        Results::begin(&self.call(), bound, args, true).map(|(_, result)| result)
    }

    /// As [`Pool::imap_unordered_with`].
    ///
    /// # Panics
    /// As [`imap_with`](Limited::imap_with).
    #[track_caller]
    pub fn imap_unordered_with<'c, X, F, I, A, R>(
        &self,
        context: &'c X,
        f: F,
        args: I,
    ) -> impl Iterator<Item = (usize, R)> + use<'c, X, F, I, A, R>
    where
        X: AsContext,
        F: Fn(&X::Value, A) -> R,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Results::begin(&self.call(), Bound { f, context }, args, false)
    }

    /// As [`Pool::apply_async`]. A task is ended while its result is waited for.
    pub fn apply_async<F, A, R>(&self, f: F, arg: A) -> Pending<R>
    where
        F: Fn(A) -> R + 'static,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        Pending::one(self.call().begin(Unary(f), std::iter::once(arg)))
    }

    /// As [`Pool::map_async`]. A task is ended while the results are waited for.
    pub fn map_async<F, I, A, R>(&self, f: F, args: I) -> Pending<Vec<R>>
    where
        F: Fn(A) -> R + 'static,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        Pending::all(self.call().begin(Unary(f), args.into_iter()))
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call::with(&self.pool.shared, self.options)
    }

    fn traced_call(&self) -> Call<'_> {
        self.call().traced()
    }
}

view_methods!(Limited<'_>, imap);
