//! Coming from Python: equivalents and differences.
//!
//! | `multiprocessing` | forklore | |
//! | --- | --- | --- |
//! | `Pool()` | [`Pool::new()?`](crate::Pool::new) | counts the CPUs that you may use, not those of the machine |
//! | `Pool(4, initializer=f, maxtasksperchild=100)` | [`Pool::builder()`](crate::Pool::builder)`.workers(4).initializer(f).max_tasks_per_worker(100).build()?` | |
//! | `Pool(initializer=f, initargs=(table,))`, and `table` a global | [`pool.map_with(&table, f, xs)`](crate::Pool::map_with) | `f(&table, x)`; a [`Context`](crate::Context) stays with the workers over many maps |
//! | `pool.map(f, xs)` | [`pool.map(f, xs)`](crate::Pool::map) | `f` may be a closure, and may be newer than the pool |
//! | `pool.map(f, xs, chunksize=8)` | [`pool.map_chunked(f, xs, 8)`](crate::Pool::map_chunked) | without a size, chunks shrink towards the end |
//! | `pool.starmap(f, pairs)` | [`pool.starmap(f, pairs)`](crate::Pool::starmap) | |
//! | `pool.imap(f, xs)` | [`pool.imap(f, xs)`](crate::Pool::imap) | takes arguments only a little ahead, so they may be infinite |
//! | `pool.imap_unordered(f, xs)` | [`pool.imap_unordered(f, xs)`](crate::Pool::imap_unordered) | yields each result's item too |
//! | `pool.apply(f, (x,))` | [`pool.apply(f, x)`](crate::Pool::apply) | |
//! | `pool.apply_async(f, (x,))`, `map_async` | [`pool.apply_async(f, x)`](crate::Pool::apply_async), [`map_async`](crate::Pool::map_async) | `.ready()`, `.wait(timeout)`, `.get()?`; no callbacks: they would need a thread |
//! | `result.get(timeout)`, `TimeoutError` | `.wait(timeout)`, then `.get()?` | to end a task that takes too long: [`Pool::builder().timeout(limit)`](crate::pool::Builder::timeout), or [`pool.timeout(limit)`](crate::Pool::timeout) for one call |
//! | `multiprocessing.dummy.Pool`, `pool.ThreadPool` | [`ThreadPool`](crate::ThreadPool) | with `Pool` behind the trait [`Map`](crate::Map) |
//! | `pool.close()`, `join()`, `terminate()` | the same | dropping a pool closes and joins it |
//! | `Process(target=f)`, `start()`, `join()` | [`Process::spawn(f)?`](crate::Process::spawn), `join()?` | returns the value |
//! | `p.pid`, `p.is_alive()`, `p.terminate()`, `p.kill()` | the same, as methods | |
//! | `p.exitcode` | [`TaskError`](crate::TaskError)`.exit_code()`, `.signal()` | in the error that `join` returns |
//! | `daemon=True` | always | a child dies with its parent, however that ends |
//! | `os.fork()` | [`fork()?`](crate::fork()) | the child cannot leave its branch |
//! | `set_start_method("forkserver")` | `Pool::builder().start_method(StartMethod::Forkserver)` | for one pool, not for the whole program; by default, only a pool in a program with threads uses one |
//! | `Queue(n)`, `Pipe()` | [`Queue::bounded(n)?`](crate::Queue::bounded), [`pipe()?`](crate::pipe) | no feeder thread |
//! | `queue.get(timeout=t)`, `get_nowait()` | `queue.recv_timeout(t)?`, `queue.try_recv()?` | |
//! | `Value("d", x)`, `Array("d", n)` | [`Value::new(x)?`](crate::Value::new), [`SharedArray::zeroed(n)?`](crate::SharedArray::zeroed) | `update` is atomic, without a lock |
//! | `shared_memory.SharedMemory(create=True, size=n)` | [`SharedArray`](crate::SharedArray) | has no name, so there is nothing to `unlink`, and nothing is left after a crash |
//! | `Manager().dict()`, `.list()` | [`Lock`](crate::Lock)`<HashMap<K, V>>`, `Lock<Vec<T>>` | no server process |
//! | `Lock`, `RLock`, `Semaphore`, `Event`, `Condition`, `Barrier` | [`sync`](crate::sync) | a holder that dies is an error and not a hang; a `Lock` holds its value |
//! | `cpu_count()`, `os.sched_getaffinity(0)` | [`cpu_count()`](crate::cpu_count) | after affinity, quota and the scheduler's slots |
//!
//! | `concurrent.futures` | forklore | |
//! | --- | --- | --- |
//! | `ProcessPoolExecutor(4)` | [`Pool::with_workers(4)?`](crate::Pool::with_workers) | |
//! | `initializer=f`, `max_tasks_per_child=100`, `mp_context` | [`Pool::builder()`](crate::Pool::builder)`.initializer(f).max_tasks_per_worker(100).start_method(m)` | |
//! | `executor.submit(f, x).result(10)` | `pool.apply_async(f, x)`, then `.wait(timeout)` and `.get()?` | |
//! | `executor.map(f, xs)` | `pool.imap(f, xs)` | takes arguments only a little ahead |
//! | `as_completed(futures)` | [`pool.imap_unordered(f, xs)`](crate::Pool::imap_unordered) | each result with its item |
//! | `wait(futures)` | [`pool.map_async(f, xs)`](crate::Pool::map_async)`.get()?` | all of them, or the first error |
//! | `future.done()`, `future.exception()` | `pending.ready()`, the error of `.get()` | |
//! | `future.cancel()` | drop the [`Pending`](crate::Pending) | cancels everything not yet started |
//! | `executor.shutdown()`, `shutdown(cancel_futures=True)` | `pool.join()`, `pool.terminate()` | |
//! | `BrokenProcessPool` | [`TaskError::is_died`](crate::TaskError::is_died) | of one item; the others' results arrive, and the pool continues |
//! | `ThreadPoolExecutor(4)` | [`ThreadPool::with_workers(4)?`](crate::ThreadPool::with_workers) | runs at the same time; [`Gil::new().pool(4)?`](crate::Gil::pool) takes turns |
//!
//! | joblib | forklore | |
//! | --- | --- | --- |
//! | `Parallel(n_jobs=-1)(delayed(f)(x) for x in xs)` | [`Parallel::jobs(-1)`](crate::Parallel)`.map(f, xs)` | |
//! | `with Parallel(n_jobs=2) as parallel:` | a [`Pool`](crate::Pool), reused | |
//! | `return_as="generator"`, `"generator_unordered"` | `.imap(f, xs)`, [`Pool::imap_unordered`](crate::Pool::imap_unordered) | |
//! | `pre_dispatch`, `timeout` | `.imap` is always lazy, [`Pool::builder().timeout(limit)`](crate::pool::Builder::timeout) | |
//! | `joblib.cpu_count()` | [`cpu_count()`](crate::cpu_count) | |
//! | `backend="threading"`, `"sequential"` | `.backend(Backend::Threads)`, `Backend::Serial` | one job is a worker process too, unless you ask for `Serial` |
//! | `batch_size=8`, `verbose=10` | `.batch_size(BatchSize::Fixed(8))`, `.verbose(10)` | |
//! | `max_nbytes`, `mmap_mode` | a closure that captures the data | shared by the fork: nothing is written, nothing is copied |
//!
//! | elsewhere | forklore | |
//! | --- | --- | --- |
//! | `tqdm(xs)` | [`progress(xs)`](crate::progress()), [`pool.with_progress()`](crate::Pool::with_progress) | no monitor thread |
//! | `%time f()`, `%timeit f()` | [`time`](crate::time()), [`timeit`](crate::timeit) | with the children's CPU time |
//! | `sys.setswitchinterval(s)` | [`Gil::with_switch_interval(d)`](crate::Gil::with_switch_interval) | |
//!
//! # Rules that do not apply here
//!
//! - **Define before the pool is made, at the top of a module, under `if __name__ == "__main__"`**:
//!   Python sends a function's name, and the worker looks it up in what it has imported. Forklore
//!   sends its offset in its shared object.
//! - **Arguments must pickle.** Here: `serde`; and what a closure captures need not even do that.
//! - **A worker that dies hangs `multiprocessing.Pool`**, and breaks the executors. Here it is an
//!   error of one item.
//!
//! # Side by side
//!
//! Both sides are tests: the Python side runs where there is a `python3`, and joblib's where there
//! is joblib.
//!
//! ## A map over a pool
//!
//! `multiprocessing`:
//!
//! ```python
//! from multiprocessing import Pool
//!
//! def power(x):
//!     return x ** 10
//!
//! if __name__ == "__main__":
//!     with Pool(2) as pool:
//!         assert pool.map(power, range(24))[2] == 1024
//!         assert pool.starmap(pow, [(2, 10), (10, 3)]) == [1024, 1000]
//!         assert next(pool.imap(power, range(1_000))) == 0
//!         assert pool.apply_async(power, (2,)).get(timeout=10) == 1024
//! ```
//!
//! forklore:
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use forklore::Pool;
//!
//! let power = |x: u64| x.pow(10); // anywhere, also after the pool: a lambda travels too
//! let pool = Pool::with_workers(2)?;
//! assert_eq!(pool.map(power, 0..24)[2], 1024);
//! assert_eq!(pool.starmap(|x: u64, n: u32| x.pow(n), [(2, 10), (10, 3)]), [1024, 1000]);
//! assert_eq!(pool.imap(power, 0..).next(), Some(0)); // endless inputs too
//! assert_eq!(pool.apply_async(power, 2).get()?, 1024);
//! # Ok(()) }
//! ```
//!
//! ## A process, a queue and shared memory
//!
//! `multiprocessing`:
//!
//! ```python
//! from multiprocessing import Process, Queue, Value
//!
//! def work(tasks, results, total):
//!     for task in iter(tasks.get, None):
//!         with total.get_lock():
//!             total.value += task
//!         results.put(task * task)
//!
//! if __name__ == "__main__":
//!     tasks, results, total = Queue(10), Queue(10), Value("Q", 0)
//!     worker = Process(target=work, args=(tasks, results, total))
//!     worker.start()
//!     tasks.put(7)
//!     tasks.put(None)
//!     assert results.get() == 49
//!     worker.join()
//!     assert worker.exitcode == 0 and total.value == 7
//! ```
//!
//! forklore:
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use forklore::{Process, Queue, Value};
//!
//! let (tasks, results) = (Queue::<u64>::bounded(10)?, Queue::<u64>::bounded(10)?);
//! let total = Value::new(0u64)?;
//! let worker = Process::spawn(|| {
//!     for task in tasks.iter() {
//!         total.update(|sum| sum + task);
//!         results.send(task * task).unwrap();
//!     }
//! })?;
//! tasks.send(7)?;
//! tasks.close(); // no sentinel: who receives sees the end
//! assert_eq!(results.recv()?, 49);
//! worker.join()?; // an exit, a panic or a signal is an error that says so
//! assert_eq!(total.get(), 7);
//! # Ok(()) }
//! ```
//!
//! ## A task that takes its worker down
//!
//! `concurrent.futures`:
//!
//! ```python
//! import os
//! from concurrent.futures import ProcessPoolExecutor
//! from concurrent.futures.process import BrokenProcessPool
//!
//! def work(x):
//!     if x == 1:
//!         os.abort()
//!     return x
//!
//! if __name__ == "__main__":
//!     with ProcessPoolExecutor(2) as executor:
//!         try:
//!             list(executor.map(work, range(4)))
//!         except BrokenProcessPool:
//!             pass  # all results are lost, and the executor cannot be used again
//!         else:
//!             raise AssertionError
//! ```
//!
//! forklore:
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use forklore::Pool;
//!
//! let pool = Pool::with_workers(2)?;
//! let work = |x: u32| if x == 1 { std::process::abort() } else { x };
//! let results = pool.try_map(work, 0..4);
//! assert!(results[1].as_ref().is_err_and(|error| error.signal() == Some(6)));
//! assert_eq!(results[3], Ok(3)); // the others' results are there
//! assert_eq!(pool.map(|x: u32| x + 1, 0..3), [1, 2, 3]); // and the pool works on
//! # Ok(()) }
//! ```
//!
//! ## Threads instead
//!
//! `concurrent.futures`:
//!
//! ```python
//! from concurrent.futures import ThreadPoolExecutor
//!
//! with ThreadPoolExecutor(2) as executor:
//!     assert list(executor.map(lambda x: x + 1, range(3))) == [1, 2, 3]
//! ```
//!
//! forklore:
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use forklore::{Gil, Map, ThreadPool};
//!
//! fn work(map: &impl Map) -> Vec<u32> {
//!     map.map(|x: u32| x + 1, 0..3)
//! }
//! assert_eq!(work(&ThreadPool::with_workers(2)?), [1, 2, 3]); // they run at the same time
//! assert_eq!(work(&Gil::new().pool(2)?), [1, 2, 3]); // they take turns, as Python's do
//! # Ok(()) }
//! ```
//!
//! ## One line, and a large input
//!
//! `joblib`:
//!
//! ```python
//! from joblib import Parallel, delayed
//!
//! def total(row, image):
//!     return sum(image[row * 1000:(row + 1) * 1000])
//!
//! if __name__ == "__main__":
//!     image = bytes([1]) * 64_000
//!     sums = Parallel(n_jobs=-1)(delayed(total)(row, image) for row in range(64))
//!     assert sums == [1000] * 64  # image was sent 64 times
//! ```
//!
//! forklore:
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use forklore::Parallel;
//!
//! let image = vec![1u8; 64_000];
//! let total = |row: usize| image[row * 1000..][..1000].iter().map(|x| u64::from(*x)).sum::<u64>();
//! let sums = Parallel::jobs(-1).map(total, 0..64);
//! assert_eq!(sums, [1000; 64]); // image was shared by the fork, and not sent at all
//! # Ok(()) }
//! ```
