//! Waiting for each other, between processes related by fork.
//!
//! Everything here is made before the fork and used through the value that the child inherits. It
//! works between the threads of a process too.
//!
//! A process may be killed at any moment, also while it holds a lock, waits for one, or is about to
//! wake another. So:
//!
//! - Who holds something is known to the kernel (robust futexes), which tells the next one: an
//!   error with [`is_owner_died()`](crate::Error::is_owner_died), once for each death.
//! - A [`Lock`]'s value is never half changed: a holder works on a copy of its own, which takes
//!   the old one's place in one step when the lock is released.
//! - Nothing is changed and then announced: a change and its wake-up are one system call, or the
//!   sleeper looks again by itself soon.
//! - Every wait has a variant with a time limit, which ends in an error with
//!   [`is_timed_out()`](crate::Error::is_timed_out). Limits are kept on the monotonic clock.
//!
//! | Python's `multiprocessing` | here | what is more |
//! | --- | --- | --- |
//! | `Lock` with a `Value` or a `Manager` | [`Lock<T>`](Lock) | holds any value; survives its holder |
//! | `RLock` | [`RLock`] | survives its holder |
//! | `Semaphore` | [`Semaphore`] | a dead holder's permit comes back |
//! | `Event` | [`Event`] | |
//! | `Condition` | [`Condition`] | a killed waiter takes no notification with it |
//! | `Barrier` | [`Barrier`] | a party that dies in it breaks it at once |

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
