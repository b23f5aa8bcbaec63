//! Calls whose tasks have a time limit of their own.

use std::time::Duration;

use super::Pool;
use super::call::options::Options;
use super::call::run::Call;
use super::view::{lazy_view_methods, view_methods};

/// A pool whose calls limit how long each task may take, made by [`Pool::timeout`].
///
/// Of calls whose results come later, a task is ended while its result is waited for.
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

    fn call(&self) -> Call<'_> {
        Call::with(&self.pool.shared, self.options)
    }

    fn traced_call(&self) -> Call<'_> {
        self.call().traced()
    }
}

view_methods!(Limited<'_>, imap);
lazy_view_methods!(Limited<'_>);
