//! A process pool that never hangs, runs any function, and loses no result.
//!
//! Rust has threads without a global lock, so why processes? Because a process fails alone: a task
//! that aborts, overflows its stack, leaks, or calls into a C library that is not thread-safe takes
//! down nothing but itself. And because a fork shares a huge read-only input with any number of
//! workers without a copy. Where none of that matters, threads win; [`ThreadPool`] has the same
//! interface, so that you can measure it.
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
//! The workers are forked once and reused; in a program with threads, a fork server starts them
//! ([`StartMethod`]). The function need not exist when they are forked: the pool sends its offset
//! in its shared object, so in a notebook a later cell may define it, even the cell of the map
//! itself. A capturing closure runs in workers that are forked for that one call and inherit
//! whatever it refers to:
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
//! with the first of them, after all others have finished. The pool continues with as many workers
//! as before.
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
//! With the feature `async`, a pending result is a future, on any runtime or none, and
//! [`Pool::stream`] is a lazy map for async tasks. A service hands untrusted, blocking or
//! crash-prone work to workers and stays responsive:
//!
//! ```no_run
//! # async fn thumbnail(pool: &forklore::Pool, image: Vec<u8>) -> Result<Vec<u8>, forklore::TaskError> {
//! # fn decode(image: Vec<u8>) -> Vec<u8> { image }
//! let thumbnail = pool.apply_async(decode, image).await?; // an abort in `decode` is this error
//! # Ok(thumbnail) }
//! ```
//!
//! In a program with threads, a thread of the pool wakes the async tasks; in one without, they wake
//! themselves. A program with a reactor needs neither: [`Pool::wakes`] gives it a descriptor to
//! wait for, as it waits for sockets.
//!
//! # Many nodes
//!
//! With the feature `cluster`, a [`Cluster`] has its workers on the nodes that Slurm or Grid Engine
//! allocated to this job, or on those of a list, and the same line maps over them:
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
//! [`Process`] runs a closure in a child and returns its value; [`fork`] is the bare system call,
//! with a child that cannot leave its branch.
//!
//! # Sharing and waiting
//!
//! Make what processes share before the fork, and use it through the value that they inherit:
//! numbers in a [`SharedArray`] or a [`Value`], anything else in a [`Lock`], messages in a
//! [`Queue`] or a [`pipe`]; [`sync`] has the rest. If a process is killed, at any moment, the
//! others continue.
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
//! # Timing
//!
//! [`time`] prints what IPython's `%time` prints and, separately, the children's CPU time, which
//! `%time` does not see; [`timeit`] repeats, and warns when the machine is too busy to measure.
//! [`cpu_count`] is the number of CPUs that this process may use, not what the machine has.
//!
//! # Progress and figures
//!
//! [`progress()`] shows the progress of an iterator, [`Pool::with_progress`] that of a map, with a
//! line or a row of a timeline for each worker. [`figure`] draws charts that screen readers can
//! read too; [`display`] shows whatever else a notebook can.
//!
//! ```
//! let words = ["fork", "wait", "reap"];
//! let lengths: Vec<usize> = forklore::progress(words).map(str::len).collect();
//! assert_eq!(lengths, [4, 4, 4]);
//! ```
//!
//! # What an operator sees
//!
//! [`Pool::stats`] counts, for each worker and in total: tasks, deaths by cause, retries, exceeded
//! time limits, respawns. With the feature `tracing`, a subscriber of that crate gets an event when
//! the pool notices one, with the target `forklore::pool`:
//!
//! | level | events | fields |
//! | --- | --- | --- |
//! | error | a worker could not be started | `slot`, `error` |
//! | warn | a worker died; a task exceeded a time limit, and its worker was killed | `slot`, `pid`, `cause`, `reason`, `item` if it ran one |
//! | info | an item is retried | `slot`, `item` |
//! | debug | a pool started, was closed, was terminated; a worker started, retired | `n_workers`, `method`, `slot`, `pid` |
//!
//! Events of workers that are forked for a closure's call have `closure = true`, and the level
//! trace for starts and retirements. Only the owner emits events, in the call in which it notices
//! something, and therefore in that call's span. A subscriber may use the pool itself; `tracing`
//! does not send it the events that it causes that way.
//!
//! # In one line, in turns, from Python
//!
//! [`Parallel`] is a map in one line: `Parallel::jobs(-1).map(f, args)`. [`ThreadPool`], [`Serial`]
//! and a pool of threads that take turns ([`Gil::pool`]) share the interface of [`Pool`], the trait
//! [`Map`]. If you come from `multiprocessing`, `concurrent.futures` or joblib, the page
//! [`coming_from_python`] lists the equivalents.
//!
//! # Features
//!
//! The default features provide the process pool and what it needs. The rest is opt-in:
//!
//! | feature | gives | needs |
//! | --- | --- | --- |
//! | `auto-init` (default) | fresh workers [before `main`](#what-runs-before-main) | |
//! | `async` | [`Pending`] as a future, [`Pool::stream`], [`Pool::wakes`] | futures-core |
//! | `cluster` | [`Cluster`], [`Backend::Cluster`] | `auto-init`; Open MPI, for other machines |
//! | `threads` | [`ThreadPool`], [`Backend::Threads`], [`Gil`] | rayon |
//! | `progress` | [`progress()`], [`Pool::with_progress`], [`Parallel::progress`] | indicatif, `figure` |
//! | `figure` | [`figure`], [`display`], [`Trace::timeline`], [`Overheads::figure`] | |
//! | `notebook` | [`input()`], [`password`], and how a cell shows its value | `figure` |
//! | `tracing` | [what an operator sees](#what-an-operator-sees), as events | tracing |
//! | `full` | all of them | |
//!
//! A clean debug build takes about 24 s of CPU time with the default features and 31 s with all of
//! them, on a machine with 2 cores: rayon and indicatif cost 3 to 4 s each, `figure` and `notebook`
//! less than the variation between builds.
//!
//! [`prelude`] has the everyday names.
//!
//! # Fork safety: what a worker has of its parent
//!
//! A forked worker is a copy of this process as it was *when the worker was forked*: with the pool,
//! or when it took a dead worker's slot. So it has that moment's state:
//!
//! - **Statics, thread-locals, environment variables and the working directory** have the values of
//!   that moment. A static that is set after the pool was made is not set in its workers. A
//!   capturing closure runs in workers that are forked for the call, and sees the current values.
//!   With [`StartMethod::Forkserver`] and [`StartMethod::Spawn`], statics are as in a program that
//!   has just started.
//! - **Open files** stay open in an idle worker for as long as the pool lives: a pipe to a program
//!   that was started before the pool does not end when this process closes it, a listener's port
//!   stays taken, a file lock (`flock`) stays held. Make pools before those, or use
//!   [`StartMethod::Forkserver`] or [`StartMethod::Spawn`], whose workers inherit only standard
//!   input, output and error. (The library's own channels are not affected.)
//! - **Random generators** that this process has used continue from the same state in every worker,
//!   and so return the same numbers: see below.
//! - **Locked memory**: `mlockall` with `MCL_CURRENT` while a pool, a channel, a lock or a
//!   [`Process`] exists takes memory for everything that they have reserved. Use `MCL_ONFAULT` with
//!   it, or call it before.
//!
//! # Random numbers
//!
//! A fork copies a generator in a static or a thread-local, such as `rand::rng()`, `fastrand` and
//! the keys of a [`HashMap`](std::collections::HashMap), together with its state. Seed a generator
//! in the task, from the item's number: then the numbers differ between items, and are the same in
//! each run, whichever worker runs which item. An [initialiser](pool::Builder::initializer) may
//! seed it once per worker instead, from [`std::process::id`].
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
//! very program. To turn them into workers, the library adds one function to the list of those that
//! the loader runs before `main` (`.init_array`). In a process that no pool has started, this
//! function looks for one environment variable and returns.
//!
//! The variable alone does nothing, whatever sets it. It names a descriptor and a token, and the
//! function continues only if the descriptor is a socket that this process's own parent made, with
//! the same user's rights, and the socket contains the token. If that parent has ended in the
//! meantime, the process exits too. In a program that runs with more rights than the user who
//! started it (setuid), the function never continues.
//!
//! To have nothing run before `main`, leave out the default feature `auto-init`, and call [`init`]
//! as the first line of `main` if you use those start methods or have threads.
//! [`StartMethod::Fork`] needs neither. With the feature, [`init`] is optional, and makes pools in
//! a program with threads start faster. The feature `cluster` includes `auto-init`: a node's own
//! process is a fresh process of the program, too, and never gets to `main`.
//!
//! # In tests
//!
//! The standard harness runs each `#[test]` on its own thread, even with `--test-threads=1`, so a
//! pool's workers come from a fork server there ([`StartMethod::Auto`]), and run non-capturing
//! functions:
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
//! Put tests of capturing closures into a separate program, whose `main` calls them one after the
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
//!   server; what needs a fork ([`fork`], [`Process`], a map of a capturing closure) fails there,
//!   with an error that says what to do.
//! - Arguments and results of non-capturing functions are **copied** as bytes (serde): plain
//!   numbers fast, vectors of them and strings in one piece, everything else value by value. What a
//!   closure captures is not copied at all, but forking costs about 0.2 ms for each worker of the
//!   call, and more in a process with much memory. Send what all items need once, as a context
//!   ([`map_with`](Pool::map_with)).
//! - Values travel **without the names of their fields** (bincode), so serde attributes that need
//!   names do not survive. A type with `skip_serializing_if`, `flatten`, `untagged` or `tag` is an
//!   error that says so. Of an enum with `skip_deserializing` (or `skip`) on one variant, another
//!   variant may come back, without an error. A field with `skip` has its default in whatever was
//!   sent; in a closure's own workers, which inherit the arguments, and on threads it keeps its
//!   value. Send such a value as a `String` of `serde_json`.
//! - A panic, exit or death is an error; an endless task is one only if the pool has a
//!   [`timeout`](pool::Builder::timeout), or the call [has one](Pool::timeout). Without a limit, a
//!   map waits, even for a stopped worker (`SIGSTOP`) until that continues.
//! - Shared memory reserves address space, of which a process has 128 TiB, but no memory. There is
//!   room for thousands of processes, channels and locks at a time, and for hundreds of pools
//!   (eight times the machine's memory for each).
//! - What a task changes in memory changes only its worker's copy; the caller does not see it,
//!   unless it lies in a type of [`shared`], [`sync`] or [`channel`].
//! - Linux only: the library depends on `fork`, futexes, robust locks and shared objects.

// docs.rs shows which feature each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "forklore runs on Linux only: it stands on fork, futexes, robust locks and shared objects"
);

// The README's program is tested like the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;

mod caught;
pub mod channel;
// What the program `forklore-node` needs of the library. Internal: it changes with both.
#[cfg(feature = "cluster")]
#[doc(hidden)]
pub mod cluster;
// A page of documentation without code.
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
// What the forklore kernel compiles its cells against. Internal: it changes with the kernel.
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
/// Imported without a name, so that with `use forklore::*;` the stock kernel can show a cell's last
/// expression too: without the trait in scope, that kernel reports rustc's hint as the learner's
/// error.
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
