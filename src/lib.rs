//! A process pool that never hangs, runs any function, and loses no result.

pub mod cpus;
pub mod display;
pub mod error;
pub mod lesson;
pub mod pool;
pub mod process;
mod shared;
mod symbol;
mod sys;
pub mod timing;
mod wire;

pub use cpus::{Cpus, cpu_count};
pub use error::{Error, Result, TaskError};
pub use pool::{Map, Pool, Serial, ThreadPool};
pub use process::{Child, ChildGuard, Fork, Process, fork};
pub use timing::{Timed, Timeit, Times, time, timeit};
