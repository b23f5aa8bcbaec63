//! A process pool that never hangs, runs any function, and loses no result.
//!
//! Rust has threads without a global lock, so why processes? Because a process can be wrong on its
//! own: a task that aborts, overflows its stack, leaks, or calls into a C library that is not
//! thread-safe takes nothing down but itself. And because a fork hands a huge read-only input to
//! any number of workers without a copy. Where none of that matters, threads win; [`ThreadPool`]
//! has the same interface, so that you can measure it.
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
//! The workers are forked once and live on; in a program with threads, a fork server starts them
//! ([`StartMethod`]). The function need not exist when they are forked: it is sent as its offset in
//! its shared object, so in a notebook it may be defined in a later cell, or in the very cell of
//! the map. A closure that has captured something runs in workers that are forked for that one
//! call, and inherit whatever it refers to:
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
//! Whatever one task does, the others' results arrive. [`Pool::try_map`] gives each item its result
//! or a [`TaskError`] that names the item, the worker's pid and the signal; [`Pool::map`] panics
//! with the first of them, after all others have finished. The pool goes on with as many workers as
//! before.
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
//! # Asynchronous programs
//!
//! With the feature `async`, what is pending is a future, on any runtime or none, and
//! [`Pool::stream`] is a lazy map for tasks. A service gives its untrusted, blocking or crash-prone
//! work to workers, and goes on:
//!
//! ```no_run
//! # async fn thumbnail(pool: &forklore::Pool, image: Vec<u8>) -> Result<Vec<u8>, forklore::TaskError> {
//! # fn decode(image: Vec<u8>) -> Vec<u8> { image }
//! let thumbnail = pool.apply_async(decode, image).await?; // an abort in `decode` is this error
//! # Ok(thumbnail) }
//! ```
//!
//! Tasks are woken by a thread of the pool's where the program has threads, and by themselves where
//! it has none. A program that has a reactor needs neither: [`Pool::wakes`] gives it a descriptor
//! to wait for, as it waits for sockets.
//!
//! # Many nodes
//!
//! With the feature `cluster`, a [`Cluster`] has its workers on the nodes that Slurm or Grid Engine
//! gave this job, or on those of a list, and the same line maps over them:
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! # #[cfg(feature = "cluster")] {
//! let cluster = forklore::Cluster::builder().hosts(["localhost:2,localhost:2"]).build()?;
//! assert_eq!(cluster.map(|x: u64| x.pow(10), 0..24)[2], 1024);
//! # }
//! # Ok(()) }
//! ```
//!
//! # One process
//!
//! [`Process`] runs a closure in a child and brings its value back; [`fork`] is the bare system
//! call with a child that cannot fall out of its branch.
//!
//! # Sharing and waiting
//!
//! What processes are to have in common is made before the fork, and used through the value that
//! they inherit: numbers in a [`SharedArray`] or a [`Value`], anything else in a [`Lock`], messages
//! in a [`Queue`] or a [`pipe`]; [`sync`] has the rest. If one of them is killed, at any moment,
//! the others go on.
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
//! [`progress()`] shows how far an iterator is, [`Pool::with_progress`] how far a map is, with a
//! line or a row of a timeline for each worker. [`figure`] draws, for eyes and for screen readers;
//! [`display`] shows whatever else a notebook can.
//!
//! ```
//! let words = ["fork", "wait", "reap"];
//! let lengths: Vec<usize> = forklore::progress(words).map(str::len).collect();
//! assert_eq!(lengths, [4, 4, 4]);
//! ```
//!
//! # What an operator sees
//!
//! [`Pool::stats`] counts, for each worker and in total: tasks, deaths by their cause, retries,
//! time limits that were passed, respawns. With the feature `tracing`, a subscriber of that crate
//! gets each as it is noticed, with the target `forklore::pool`:
//!
//! | level | events | fields |
//! | --- | --- | --- |
//! | error | a worker could not be started | `slot`, `error` |
//! | warn | a worker died; a time limit passed, and the worker was ended | `slot`, `pid`, `cause`, `reason`, `item` if it was at one |
//! | info | an item is tried again | `slot`, `item` |
//! | debug | a pool started, was closed, was terminated; a worker started, retired | `n_workers`, `method`, `slot`, `pid` |
//!
//! Workers that are forked for a closure's call have `closure = true`, and their starts and
//! retirements the level trace. Events come from the owner alone, in the call in which it notices
//! something, and so in the span that this call is in. A subscriber may use the pool itself;
//! `tracing` does not send it the events that it causes that way.
//!
//! # In one line, in turns, from Python
//!
//! [`Parallel`] is a map in one line: `Parallel::jobs(-1).map(f, args)`. [`ThreadPool`], [`Serial`]
//! and a pool of threads that take turns ([`Gil::pool`]) have the interface of [`Pool`] in common,
//! the trait [`Map`]. If you come from `multiprocessing`, `concurrent.futures` or joblib, the page
//! [`coming_from_python`] has what you know beside what it is called here.
//!
//! # Features
//!
//! By default there is the process pool, and what it needs. The rest is opted into:
//!
//! | feature | gives | needs |
//! | --- | --- | --- |
//! | `auto-init` (default) | fresh workers [before `main`](#what-runs-before-main) | |
//! | `async` | [`Pending`] as a future, [`Pool::stream`], [`Pool::wakes`] | futures-core |
//! | `cluster` | [`Cluster`], [`Backend::Cluster`] | Open MPI, for other machines |
//! | `threads` | [`ThreadPool`], [`Backend::Threads`], [`Gil`] | rayon |
//! | `progress` | [`progress()`], [`Pool::with_progress`], [`Parallel::progress`] | indicatif, `figure` |
//! | `figure` | [`figure`], [`display`], [`Trace::timeline`], [`Overheads::figure`] | |
//! | `notebook` | [`input()`], [`password`], and how a cell shows its value | `figure` |
//! | `tracing` | [what an operator sees](#what-an-operator-sees), as events | tracing |
//! | `full` | all of them | |
//!
//! A clean debug build takes about 24 s of processor time with the default features and 31 s with
//! all of them, on a machine of 2 cores: rayon and indicatif cost 3 to 4 s each, `figure` and
//! `notebook` less than builds differ from each other.
//!
//! [`prelude`] has what a program uses daily.
//!
//! # Fork safety: what a worker has of its parent
//!
//! A forked worker is a copy of this process as it was *when the worker was forked*: with the pool,
//! or when it took a dead worker's slot. So is what it knows:
//!
//! - **Statics, thread-locals, environment variables and the working directory** are those of that
//!   moment. A static that is set after the pool was made is not set in its workers. A closure that
//!   captures something is run by workers that are forked for the call, and sees today's. With
//!   [`StartMethod::Forkserver`] and
//!   [`StartMethod::Spawn`], statics are as in a program that has just started.
//! - **Open files** stay open in an idle worker for as long as the pool lives: a pipe to a program
//!   that was started before the pool does not end when this process closes it, a listener's port
//!   stays taken, a file lock (`flock`) stays held. Make pools before those, or use
//!   [`StartMethod::Forkserver`] or [`StartMethod::Spawn`], whose workers inherit only standard
//!   input, output and error. (The library's own channels are not affected.)
//! - **Random generators** that this process has used go on from the same state in every worker,
//!   and so give the same numbers: see below.
//! - **Locked memory**: `mlockall` with `MCL_CURRENT` while a pool, a channel, a lock or a
//!   [`Process`] is alive takes memory for all that they have reserved. Use `MCL_ONFAULT` with it,
//!   or call it before.
//!
//! # Random numbers
//!
//! A generator that is kept in a static or a thread-local, as `rand::rng()`, `fastrand` and the
//! keys of a [`HashMap`](std::collections::HashMap) are, is copied by a fork together with its
//! state. Seed a generator in the task, from the item's number: then the numbers differ between
//! items, and are the same in each run, whatever worker runs what. An
//! [initialiser](pool::Builder::initializer) may seed it once per worker instead, from
//! [`std::process::id`].
//!
//! ```standalone_crate
//! # fn main() -> forklore::Result<()> {
//! /// A small generator, after splitmix64; with the `rand` crate, `StdRng::seed_from_u64(seed)`.
//! fn random(state: &mut u64) -> f64 {
//!     *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
//!     let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
//!     (mixed >> 11) as f64 / (1u64 << 53) as f64
//! }
//!
//! let walk = |item: u64| {
//!     let mut state = item; // the seed
//!     (0..100).map(|_| random(&mut state) - 0.5).sum::<f64>()
//! };
//! let pool = forklore::Pool::with_workers(2)?;
//! let ends = pool.map(walk, 0..1000);
//! assert_eq!(ends, pool.map(walk, 0..1000));
//! assert_ne!(ends[0], ends[1]);
//! # Ok(()) }
//! ```
//!
//! # What runs before `main`
//!
//! Workers of [`StartMethod::Spawn`] and [`StartMethod::Forkserver`] are fresh processes of this
//! very program. To make workers of them, the library puts one function on the list of those that
//! the loader runs before `main` (`.init_array`). In every process that no pool has started it
//! looks for one environment variable and returns.
//!
//! The variable alone does nothing, whatever sets it. It names a descriptor and a token, and the
//! function goes on only if the descriptor is a socket that this process's own parent has made,
//! with the same user's rights, and the token is what is in it. If that parent has ended meanwhile,
//! the process ends, too. A program that runs with more rights than the user who started it
//! (setuid) never goes on.
//!
//! To have nothing run before `main`, leave out the default feature `auto-init`, and call [`init`]
//! as the first line of `main` if you use those start methods or have threads.
//! [`StartMethod::Fork`] needs neither. With the feature, [`init`] is optional, and makes pools in
//! a program with threads start faster.
//!
//! # In tests
//!
//! The standard harness runs each `#[test]` on a thread of its own, also with `--test-threads=1`,
//! so a pool's workers come from a fork server there ([`StartMethod::Auto`]), and run functions
//! that capture nothing:
//!
//! ```standalone_crate
//! use forklore::Pool;
//!
//! fn doubles_are_even() {
//!     let pool = Pool::with_workers(2).unwrap();
//!     assert!(pool.map(|x: u64| 2 * x, 0..10).iter().all(|x| x % 2 == 0));
//! }
//!
//! // As `#[test]` runs it:
//! std::thread::spawn(doubles_are_even).join().unwrap();
//! ```
//!
//! Tests whose functions capture are a program of their own, whose `main` calls them one after the
//! other (the crate `libtest-mimic` gives it the standard harness's options). In `Cargo.toml`, for
//! `tests/pools.rs`:
//!
//! ```toml
//! [[test]]
//! name = "pools"
//! harness = false
//! ```
//!
//! # Trade-offs
//!
//! - A process can be forked only while it has **one thread**; with more, the child would inherit
//!   locks that no thread unlocks. A pool in a program with threads gets its workers from a fork
//!   server; what only a fork could do ([`fork`], [`Process`], a map of a closure that captures) is
//!   refused there, with an error that says what to do.
//! - Arguments and results of non-capturing functions are **copied** as bytes (serde): plain
//!   numbers fast, vectors of them and strings in one piece, everything else value by value. What a
//!   closure captures is not copied at all, but forking costs about 0.2 ms for each worker of the
//!   call, and more in a process with much memory. What all items need is sent once as a context
//!   ([`map_with`](Pool::map_with)).
//! - Values travel **without the names of their fields** (bincode), so serde attributes that need
//!   names do not survive. A type with `skip_serializing_if`, `flatten`, `untagged` or `tag` is an
//!   error that says so. Of an enum with `skip_deserializing` (or `skip`) on one variant, another
//!   variant may come back, without an error. A field with `skip` has its default in whatever was
//!   sent; in a closure's own workers, which inherit the arguments, and on threads it keeps its
//!   value. Send such a value as a `String` of `serde_json`.
//! - A panic, exit or death is an error; an endless task is one only in a pool with a
//!   [`timeout`](pool::Builder::timeout), or of a call that [has one](Pool::timeout). Without it a
//!   map waits, also for a worker that was stopped (`SIGSTOP`), until that is continued.
//! - Shared memory reserves addresses, of which a process has 128 TiB, and no memory. There is room
//!   for thousands of processes, channels and locks at a time, and for hundreds of pools (eight
//!   times the machine's memory for each).
//! - What a task changes in its memory is the worker's own and is not seen by the caller, unless it
//!   lies in what [`shared`], [`sync`] or [`channel`] made.
//! - Linux only: it stands on `fork`, futexes, robust locks and shared objects.

// docs.rs says which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "forklore runs on Linux only: it stands on fork, futexes, robust locks and shared objects"
);

// The program on the front page is run as the others are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;

mod caught;
pub mod channel;
// What the program `forklore-node` needs of the library. Not for others: it changes with both.
#[cfg(feature = "cluster")]
#[doc(hidden)]
pub mod cluster;
// A page, not a part of the library.
#[cfg(any(doc, doctest))]
pub mod coming_from_python;
pub mod cpus;
#[cfg(feature = "figure")]
pub mod display;
pub mod error;
#[cfg(feature = "figure")]
pub mod figure;
#[cfg(feature = "threads")]
pub mod gil;
#[cfg(feature = "notebook")]
mod input;
#[cfg(feature = "cluster")]
mod link;
pub mod memory;
pub mod parallel;
pub mod pool;
pub mod prelude;
pub mod process;
#[cfg(feature = "progress")]
pub mod progress;
pub mod shared;
// What the forklore kernel compiles its cells against. Not for others: it changes with the kernel.
#[cfg(feature = "notebook")]
#[doc(hidden)]
pub mod store;
mod symbol;
pub mod sync;
mod sys;
pub mod timing;
pub mod trace;
mod units;
mod wire;

pub use channel::{Queue, Receiver, Sender, pipe};
pub use cpus::{Cpus, cpu_count};
/// Without a name, so that `use forklore::*;` is enough for the stock kernel too to show a cell's
/// last expression: where the trait is not in scope, it takes rustc's hint for the learner's error.
#[cfg(feature = "notebook")]
#[doc(hidden)]
pub use display::cell::EvcxrDisplay as _;
pub use error::{Error, Outcome, Result, TaskError};
#[cfg(feature = "figure")]
pub use figure::Figure;
#[cfg(feature = "threads")]
pub use gil::{Gil, GilPool, GilReport};
#[cfg(feature = "notebook")]
pub use input::{input, password};
pub use parallel::{Backend, BatchSize, Parallel};
#[cfg(feature = "threads")]
pub use pool::ThreadPool;
#[cfg(feature = "async")]
pub use pool::Wakes;
pub use pool::{
    AsContext, Context, Map, Pending, Pool, Schedule, Serial, StartMethod, Stats, init,
};
#[cfg(feature = "cluster")]
pub use pool::{Cluster, ClusterBuilder, Node};
pub use process::{Child, ChildGuard, Fork, Process, fork};
#[cfg(feature = "progress")]
pub use progress::progress;
pub use shared::{SharedArray, Value};
pub use sync::{Barrier, Condition, Event, Lock, RLock, Semaphore};
pub use timing::{Timed, Timeit, Times, time, timeit};
pub use trace::{Overheads, Trace, Traced};
