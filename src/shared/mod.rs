//! Memory shared by fork: numbers that every process forked later sees and can change.
//!
//! A forked process has a copy of everything, and a change stays in the process that makes it. The
//! types here are not copied: they lie in pages that parent and children share. Make them *before*
//! the fork and use them through the value that the child inherits (captured by a closure, for
//! example); nothing has a name that other processes could open.
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! use forklore::{Pool, SharedArray};
//!
//! let pool = Pool::with_workers(2)?;
//! let squares = SharedArray::<u64>::zeroed(1000)?;
//! // The workers write their results in place; nothing comes back but `()`.
//! pool.map(|i: usize| squares.set(i, (i * i) as u64), 0..1000);
//! assert_eq!(squares.get(30), 900);
//! # Ok(()) }
//! ```
//!
//! A value that is larger than a number, or that must change together with another, belongs in a
//! [`Lock`](crate::Lock).

mod array;
pub(crate) mod heap;
mod number;
pub(crate) mod placed;
mod value;

pub use array::SharedArray;
pub use number::Number;
pub use value::Value;
