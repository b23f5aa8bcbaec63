//! Everyday names in one import.
//!
//! ```standalone_crate
//! use forklore::prelude::*;
//!
//! fn sum_of_squares(pool: &impl Map) -> u64 {
//!     pool.map(|x: u64| x * x, 0..10).iter().sum()
//! }
//!
//! fn main() -> Result<(), Error> {
//!     let pool = Pool::builder().workers(2).start_method(StartMethod::Fork).build()?;
//!     assert_eq!(sum_of_squares(&pool), 285);
//!     let pending: Pending<u64> = pool.apply_async(|x: u64| x + 1, 1);
//!     assert_eq!(pending.get().unwrap(), 2);
//!     Ok(())
//! }
//! ```
//!
//! [`Result`](crate::Result) is not in it: it would hide the standard library's.

#[cfg(feature = "cluster")]
#[doc(no_inline)]
pub use crate::Cluster;
#[cfg(feature = "threads")]
#[doc(no_inline)]
pub use crate::ThreadPool;
#[doc(no_inline)]
pub use crate::{
    Backend, Context, Error, Lock, Map, Parallel, Pending, Pool, Process, Queue, Serial,
    SharedArray, StartMethod, TaskError, Value, cpu_count,
};
