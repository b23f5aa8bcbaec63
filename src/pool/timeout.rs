//! Calls with their own time limit for each task.

use std::time::Duration;

use super::Pool;
use super::call::options::Options;
use super::call::run::Call;
use super::view::{lazy_view_methods, view_methods};

/// A pool whose calls limit how long each task may take, made by [`Pool::timeout`].
///
/// In calls with deferred results, the limit is enforced only while the owner waits for a result.
#[derive(Debug, Clone, Copy)]
pub struct Limited<'p> {
    pub(super) pool: &'p Pool,
    pub(super) options: Options,
}

impl Pool {
    /// A view of this pool whose calls limit each task to `limit`.
    ///
    /// Everything that [`Builder::timeout`](super::Builder::timeout) says also holds for this
    /// limit, except for the initialiser, which has only the pool's limit. If the pool has one too,
    /// the shorter applies. The pool's CPU-time limit still applies. Calls with and without limits
    /// may run at the same time.
    ///
    /// A limit of 0 s is an error of the call: [`map`](Limited::map) panics, and each item of
    /// [`try_map`](Limited::try_map) has that error.
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
