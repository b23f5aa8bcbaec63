//! How a pool grows, shrinks, and ends.

use crate::error::Result;

use super::Pool;

impl Pool {
    /// Changes the number of workers to `n`. New ones start at once; those that are too many finish
    /// the chunk that they are at, and leave.
    ///
    /// # Errors
    /// As [`with_workers`](Pool::with_workers); the number is as before then. `is_closed()` if the
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

    /// Takes no more tasks; the workers end when they have finished what they have.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Closes the pool and waits until everything that was begun is done and every worker has
    /// ended. None is left then. A task whose [`Pending`](super::Pending) or iterator was dropped
    /// is not waited for: if it still runs, its worker is killed.
    pub fn join(&self) {
        self.shared.join();
    }

    /// Kills the workers at once, whatever they are doing, and closes the pool.
    ///
    /// A worker that this process may not kill, because it has given up the privileges with which
    /// it made the pool, leaves as soon as its task is done; for those at work, this waits for a
    /// second at most.
    pub fn terminate(&self) {
        self.shared.terminate();
    }
}

impl Drop for Pool {
    /// Closes the pool and waits for its workers, where they are this process's. While a panic
    /// unwinds, it kills them: what they would still do, its owner no longer waits for.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.terminate();
        } else {
            self.shared.join();
        }
    }
}
