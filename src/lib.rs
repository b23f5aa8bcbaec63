//! A process pool that never hangs, runs any function, and loses no result.

pub mod channel;
pub mod cpus;
pub mod error;
pub mod pool;
pub mod process;
pub mod shared;
mod symbol;
pub mod sync;
mod sys;
pub mod timing;
mod wire;

pub use channel::{Queue, Receiver, Sender, pipe};
pub use cpus::{Cpus, cpu_count};
pub use error::{Error, Result, TaskError};
pub use pool::{Map, Pool, Serial, ThreadPool};
pub use process::{Child, ChildGuard, Fork, Process, fork};
pub use shared::{SharedArray, Value};
pub use sync::{Barrier, Condition, Event, Lock, RLock, Semaphore};
pub use timing::{Timed, Timeit, Times, time, timeit};
