//! Synchronisation between processes related by fork.
//!
//! Make everything here before the fork, and use it through the value that the child inherits. It
//! also works between the threads of one process.
//!
//! A process may be killed at any moment, even while it holds a lock, waits for one, or is about to
//! wake another. So:
//!
//! - Linux knows each holder (robust futexes) and reports its death to the next one: an error with
//!   [`is_owner_died()`](crate::Error::is_owner_died), once for each death.
//! - A [`Lock`]'s value is never half changed: a holder works on its own copy, which replaces the
//!   old value in one step when the lock is released.
//! - No change is separate from its wake-up: both are one system call, or the sleeper soon checks
//!   again by itself.
//! - Every wait has a variant with a time limit, which ends in an error with
//!   [`is_timed_out()`](crate::Error::is_timed_out). Limits use the monotonic clock.
//!
//! | Python's `multiprocessing` | here | in addition |
//! | --- | --- | --- |
//! | `Lock` with a `Value` or a `Manager` | [`Lock<T>`](Lock) | holds any value; survives its holder |
//! | `RLock` | [`RLock`] | survives its holder |
//! | `Semaphore` | [`Semaphore`] | a dead holder's permit comes back |
//! | `Event` | [`Event`] | |
//! | `Condition` | [`Condition`] | a killed waiter consumes no notification |
//! | `Barrier` | [`Barrier`] | a party that dies while it waits breaks it at once |

mod barrier;
mod condition;
mod event;
mod lock;
mod rlock;
mod semaphore;

pub use barrier::{Barrier, Passed};
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{Permit, Semaphore};
