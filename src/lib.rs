//! A process pool that never hangs, runs any function, and loses no result.

pub mod cpus;
pub mod error;
mod shared;
mod symbol;
mod sys;
pub mod timing;
mod wire;

pub use cpus::{Cpus, cpu_count};
pub use error::{Error, Result, TaskError};
pub use timing::{Timed, Timeit, Times, time, timeit};
