//! Calls that return before their tasks have run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::callable::Unary;
use super::{Pending, Pool};

impl Pool {
    /// Begins to run `f` on one argument, and returns at once. Any number may be on their way.
    ///
    /// If `f` has captured something, a worker is forked for it as soon as fewer such workers than
    /// the pool has are at work; until then it waits for its turn ([`Pending`]), and sees this
    /// process's memory as it is then.
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

    /// Begins to apply `f` to every argument, and returns as soon as they are encoded.
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
