//! Calls that run once on each worker.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;

use super::Pool;
use super::call::run;
use super::map::all_or_panic;

impl Pool {
    /// Runs `f` once on each worker, for example to set something up or to query state, and returns
    /// one result for each, always in the same order of workers.
    ///
    /// A busy worker runs `f` when it has finished its current work. The item that an error names
    /// is the worker's index.
    ///
    /// # Panics
    /// As [`map`](Pool::map), and if `f` captures state: the workers already exist and have not
    /// inherited it.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(3)?;
    /// let pids = pool.broadcast(|| std::process::id() as i32);
    /// assert_eq!(pids, pool.pids());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn broadcast<F, R>(&self, f: F) -> Vec<R>
    where
        F: Fn() -> R,
        R: Serialize + DeserializeOwned,
    {
        all_or_panic(self.try_broadcast(f))
    }

    /// As [`broadcast`](Pool::broadcast); each worker has its result or an error.
    pub fn try_broadcast<F, R>(&self, f: F) -> Vec<Outcome<R>>
    where
        F: Fn() -> R,
        R: Serialize + DeserializeOwned,
    {
        run::broadcast(&self.shared, &f)
    }
}
