//! How a pool grows, shrinks, and ends.

use crate::error::Result;

use super::Pool;

impl Pool {
    /// Changes the number of workers to `n`. New ones start at once; surplus workers finish their
    /// current chunk and exit.
    ///
    /// # Errors
    /// As [`with_workers`](Pool::with_workers); the number is then unchanged. `is_closed()` if the
    /// pool takes no more tasks.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(1)?;
    /// pool.resize(3)?;
    /// assert_eq!(pool.pids().len(), 3);
    /// # Ok(()) }
    /// ```
    pub fn resize(&self, n: usize) -> Result<()> {
        self.shared.resize(n)
    }

    /// Closes the pool: it takes no more tasks, and the workers exit when they have finished
    /// theirs.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Closes the pool and waits until every started call is done and every worker has been reaped.
    /// It does not wait for a task whose [`Pending`](super::Pending) or iterator was dropped: if it
    /// still runs, its worker is killed.
    pub fn join(&self) {
        self.shared.join();
    }

    /// Kills the workers at once, whatever they are doing, and closes the pool.
    ///
    /// A worker that this process may not kill, because it has given up the privileges with which
    /// it made the pool, exits as soon as its task is done; this waits for such workers for at most
    /// a second.
    pub fn terminate(&self) {
        self.shared.terminate();
    }
}

impl Drop for Pool {
    /// Closes the pool and waits for its workers, if they are this process's. While a panic
    /// unwinds, it kills them, because the owner no longer waits for their results.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.terminate();
        } else {
            self.shared.join();
        }
    }
}
