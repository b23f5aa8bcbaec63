//! One call for each worker, whatever it is at.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;

use super::Pool;
use super::call::run;
use super::map::all_or_panic;

impl Pool {
    /// Runs `f` once on each worker, and returns one result for each, always in the same order of
    /// workers: to set something up in all of them, or to ask all of them.
    ///
    /// A worker that is at work comes to it when it has finished what it has. The item that an
    /// error names is the worker's index.
    ///
    /// # Panics
    /// As [`map`](Pool::map), and if `f` has captured something: the workers exist already, and
    /// have not inherited it.
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
