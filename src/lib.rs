//! A process pool that never hangs, runs any function, and loses no result.
//!
//! Rust has threads without a global lock, so why processes? Because a process can be wrong on its
//! own: a task that aborts, overflows its stack, leaks, or calls into a C library that is not
//! thread-safe takes nothing down but itself. And because a fork hands a huge read-only input to
//! any number of workers without a copy. Where none of that matters, threads win; [`ThreadPool`] has
//! the same interface, so that you can measure it.
//!
//! # A pool
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! use forklore::Pool;
//!
//! let pool = Pool::new()?; // a worker for each processor that this process may use
//! let powers = pool.map(|x: u64| x.pow(10), 0..24);
//! assert_eq!(powers[3], 59_049);
//! # Ok(()) }
//! ```
//!
//! The workers are forked once and live on. The function need not exist when they are forked: it is
//! sent as its place in its shared object, so in a notebook it may be defined in a later cell, or in
//! the very cell of the map. A closure that has captured something runs in workers that are forked
//! for that one call, and inherit whatever it refers to:
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! # let pool = forklore::Pool::with_workers(2)?;
//! let table: Vec<u64> = (0..1_000_000).collect();
//! let sums = pool.map(|i: usize| table[i * 1000..][..1000].iter().sum::<u64>(), 0..1000);
//! assert_eq!(sums[0], 499_500);
//! # Ok(()) }
//! ```
//!
//! # When tasks go wrong
//!
//! Whatever one task does, the others' results arrive. [`Pool::try_map`] gives each item its result or
//! a [`TaskError`] that names the item, the worker's pid and the signal; [`Pool::map`] panics with the
//! first of them, after all others have finished. The pool goes on with as many workers as before.
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! # let pool = forklore::Pool::with_workers(2)?;
//! let results = pool.try_map(|x: u32| if x == 2 { std::process::exit(1) } else { x * x }, 0..4);
//! assert_eq!(results[3], Ok(9));
//! assert!(results[2].as_ref().is_err_and(|error| error.is_died() && error.item() == Some(2)));
//! # Ok(()) }
//! ```
//!
//! # One process
//!
//! [`Process`] runs a closure in a child and brings its value back; [`fork`] is the bare system call
//! with a child that cannot fall out of its branch.
//!
//! # Sharing and waiting
//!
//! What processes are to have in common is made before the fork, and used through the value that
//! they inherit: numbers in a [`SharedArray`] or a [`Value`], anything else in a [`Lock`], messages in
//! a [`Queue`] or a [`pipe`]; [`sync`] has the rest. Whoever of them is killed, and whenever, the
//! others go on.
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! # let pool = forklore::Pool::with_workers(2)?;
//! let squares = forklore::SharedArray::<u64>::zeroed(1000)?;
//! pool.map(|i: usize| squares.set(i, (i * i) as u64), 0..1000);
//! assert_eq!(squares.get(30), 900);
//! # Ok(()) }
//! ```
//!
//! # What it took
//!
//! [`time`] prints what IPython's `%time` prints, and the children's processor time apart, which
//! `%time` does not see; [`timeit`] repeats, and says when the machine is too busy to tell.
//! [`cpu_count`] is what this process may use, not what the machine has.
//!
//! # Seeing it
//!
//! [`progress()`] shows how far an iterator is, [`Pool::with_progress`] how far a map is, with a line or a row
//! of a timeline for each worker. [`figure`] draws, for eyes and for screen readers; [`display`] shows
//! whatever else a notebook can.
//!
//! ```
//! let words = ["fork", "wait", "reap"];
//! let lengths: Vec<usize> = forklore::progress(words).map(str::len).collect();
//! assert_eq!(lengths, [4, 4, 4]);
//! ```
//!
//! # In one line, in turns, from Python
//!
//! [`Parallel`] is a map in one line: `Parallel::jobs(-1).map(f, args)`. [`ThreadPool`], [`Serial`] and a
//! pool of threads that take turns ([`Gil::pool`]) have the interface of [`Pool`] in common, the trait
//! [`Map`]. Who comes from `multiprocessing`, `concurrent.futures` or joblib finds what they know on
//! the page [`coming_from_python`].
//!
//! # Trade-offs
//!
//! - A process can be forked only while it has **one thread**; with more, the child would inherit
//!   locks that nobody unlocks. Such calls are refused with an error that says so. Make pools before
//!   threads, and drop a [`ThreadPool`] before you make a [`Pool`].
//! - Arguments and results of functions without captured state are **copied** as bytes (serde): plain
//!   numbers fast, vectors of them and strings in one piece, everything else value by value. What a
//!   closure captures is not copied at all, but forking costs about 0.2 ms for each worker of the
//!   call, and more in a process with much memory.
//! - Values travel **without the names of their fields** (bincode), so serde attributes that need names do not
//!   survive. A type with `skip_serializing_if`, `flatten`, `untagged` or `tag` is an error that says so. Of an enum with
//!   `skip_deserializing` (or `skip`) on one variant, another variant may come back, without an error. A field with `skip` has its
//!   default in whatever was sent; in a closure's own workers, which inherit the arguments, and on threads it keeps its value.
//!   Send such a value as a `String` of `serde_json`.
//! - A panic, exit or death is an error; an endless task is one only in a pool with a
//!   [`timeout`](pool::Builder::timeout). Without it a map waits, also for a worker that somebody has
//!   stopped (`SIGSTOP`), until that is continued.
//! - What a task changes in its memory is the worker's own and is not seen by the caller, unless it
//!   lies in what [`shared`], [`sync`] or [`channel`] made.
//! - Linux only: it stands on `fork`, futexes, robust locks and shared objects.

mod caught;
pub mod channel;
// A page, not a part of the library.
#[cfg(any(doc, doctest))]
pub mod coming_from_python;
pub mod cpus;
pub mod display;
pub mod error;
pub mod figure;
pub mod gil;
mod input;
pub mod lesson;
mod memory;
pub mod parallel;
pub mod pool;
pub mod process;
pub mod progress;
pub mod shared;
// What the forklore kernel compiles its cells against. Not for others: it changes with the kernel.
#[doc(hidden)]
pub mod store;
mod symbol;
pub mod sync;
mod sys;
pub mod timing;
pub mod trace;
mod wire;

pub use channel::{Queue, Receiver, Sender, pipe};
pub use cpus::{Cpus, cpu_count};
/// Without a name, so that `use forklore::*;` is enough for the stock kernel too to show a cell's last expression:
/// where the trait is not in scope, it takes rustc's hint for the learner's error.
#[doc(hidden)]
pub use display::cell::EvcxrDisplay as _;
pub use error::{Error, Outcome, Result, TaskError};
pub use figure::Figure;
pub use gil::{Gil, GilPool, GilReport};
pub use input::{input, password};
pub use parallel::{Backend, BatchSize, Parallel};
pub use pool::{Map, Pending, Pool, Schedule, Serial, StartMethod, ThreadPool};
pub use process::{Child, ChildGuard, Fork, Process, fork};
pub use progress::progress;
pub use shared::{SharedArray, Value};
pub use sync::{Barrier, Condition, Event, Lock, RLock, Semaphore};
pub use timing::{Timed, Timeit, Times, time, timeit};
pub use trace::{Overheads, Trace, Traced};
