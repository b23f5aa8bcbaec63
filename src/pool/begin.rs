//! Calls that return before their tasks have run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::callable::Unary;
use super::{Pending, Pool};

impl Pool {
    /// Starts `f` on one argument in a worker and returns at once. Any number of such calls may be
    /// pending.
    ///
    /// If `f` captures state, a worker is forked for it. At most as many such workers run at a time
    /// as the pool has workers; until its turn, the call waits ([`Pending`]), and then it sees this
    /// process's memory as of the fork.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let offset = 100;
    /// let add = move |x: u32| x + offset;
    /// let pending: Vec<_> = (0..50).map(|x| pool.apply_async(add, x)).collect();
    /// for (x, result) in (0..).zip(pending) {
    ///     assert_eq!(result.get()?, x + 100);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn apply_async<F, A, R>(&self, f: F, arg: A) -> Pending<R>
    where
        F: Fn(A) -> R + 'static,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        Pending::one(self.call().begin(Unary(f), std::iter::once(arg)))
    }

    /// Starts applying `f` to every argument, and returns as soon as they are encoded.
    pub fn map_async<F, I, A, R>(&self, f: F, args: I) -> Pending<Vec<R>>
    where
        F: Fn(A) -> R + 'static,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        Pending::all(self.call().begin(Unary(f), args.into_iter()))
    }
}
