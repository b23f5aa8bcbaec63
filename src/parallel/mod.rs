//! A parallel map in one line, in the manner of joblib.
//!
//! ```standalone_crate
//! # fn main() {
//! use forklore::{Backend, Parallel};
//!
//! let powers = Parallel::jobs(2).map(|x: u64| x.pow(10), 0..24);
//! assert_eq!(powers[2], 1024);
//! let same = Parallel::jobs(2).backend(Backend::Threads).map(|x: u64| x.pow(10), 0..24);
//! assert_eq!(same, powers);
//! # }
//! ```
//!
//! A fork needs no `mmap_mode` as joblib does: workers share a closure's captured state without a
//! copy, however large it is.
//!
//! ```standalone_crate
//! # fn main() {
//! let image = vec![1u8; 64 << 20];
//! let sums = forklore::Parallel::jobs(2).map(|row: usize| image[row << 20] as u64, 0..64);
//! assert_eq!(sums.iter().sum::<u64>(), 64);
//! # }
//! ```

#[cfg(feature = "progress")]
mod shown;

use std::cell::OnceCell;
use std::fmt;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cpus::cpu_count;
use crate::error::{Error, Outcome, Result, TaskError};
#[cfg(feature = "cluster")]
use crate::pool::Cluster;
#[cfg(feature = "threads")]
use crate::pool::{Blocks, ThreadPool};
use crate::pool::{Map, Pool, Schedule, Serial, all_or_panic};
use crate::units::time;

/// What runs the tasks of a [`Parallel`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Worker processes ([`Pool`]): a task that crashes affects no other task.
    #[default]
    Processes,
    /// Threads ([`ThreadPool`]): nothing is sent, and a task that aborts ends the program.
    #[cfg(feature = "threads")]
    Threads,
    /// The caller alone, whatever the number of jobs ([`Serial`]): for debugging.
    Serial,
    /// Worker processes on all nodes that the scheduler allocated ([`Cluster`]); `jobs` must be -1.
    /// Functions must be non-capturing.
    #[cfg(feature = "cluster")]
    Cluster,
}

/// How many items a worker takes at a time.
///
/// # Example
/// ```
/// use forklore::{Backend, BatchSize, Parallel};
///
/// let parallel = Parallel::jobs(2).backend(Backend::Threads).batch_size(BatchSize::Fixed(8));
/// assert_eq!(parallel.map(|x: u64| x * x, 0..20)[19], 361);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchSize {
    /// Chosen automatically: first many, then fewer, so that all workers finish at the same time.
    #[default]
    Auto,
    /// Always the same number.
    Fixed(usize),
}

/// A parallel map that is configured first and then run. See the [module](self).
///
/// The first map starts its workers; they live as long as the value, so keep it for further maps.
///
/// # Fork safety
/// As for [`Pool`].
#[must_use = "it does nothing until it maps"]
pub struct Parallel {
    /// As requested: positive, or one of joblib's negative numbers.
    jobs: i64,
    backend: Backend,
    batch_size: BatchSize,
    #[cfg(feature = "progress")]
    shows_progress: bool,
    verbosity: u32,
    crew: OnceCell<Rc<Crew>>,
}

/// The pool that runs the tasks.
enum Crew {
    Processes(Pool),
    #[cfg(feature = "threads")]
    Threads(ThreadPool),
    Serial,
    #[cfg(feature = "cluster")]
    Cluster(Cluster),
}

impl Parallel {
    /// A map on `n` workers: -1 for as many as the CPUs that this process may use ([`cpu_count`]),
    /// -2 for one fewer, and so on, but at least one.
    ///
    /// With 0, or with more than possible, the map returns an error.
    pub fn jobs(n: impl TryInto<i64>) -> Parallel {
        Parallel {
            jobs: n.try_into().unwrap_or(i64::MAX),
            backend: Backend::default(),
            batch_size: BatchSize::default(),
            #[cfg(feature = "progress")]
            shows_progress: false,
            verbosity: 0,
            crew: OnceCell::new(),
        }
    }

    /// Sets what runs the tasks; the default is processes.
    pub fn backend(mut self, backend: Backend) -> Parallel {
        (self.backend, self.crew) = (backend, OnceCell::new());
        self
    }

    /// How many items a worker takes at a time.
    pub fn batch_size(mut self, size: BatchSize) -> Parallel {
        (self.batch_size, self.crew) = (size, OnceCell::new());
        self
    }

    /// Sets how much to print to standard error: from 1 on, the backend and the time; from 10 on,
    /// also progress; from 50 on, each worker's progress.
    pub fn verbose(mut self, level: u32) -> Parallel {
        self.verbosity = level;
        self
    }

    /// The number of workers, for example what -1 means here.
    ///
    /// # Errors
    /// `is_invalid_input()` for 0 jobs.
    pub fn workers(&self) -> Result<usize> {
        match (self.backend, self.jobs) {
            (_, 0) => Err(Error::invalid_input(
                "0 jobs would never run anything; give at least 1, or -1 for as many as this \
                 process may use processors",
            )),
            (Backend::Serial, _) => Ok(1),
            #[cfg(feature = "cluster")]
            (Backend::Cluster, _) => Ok(self.crew()?.n_workers()),
            (_, n @ 1..) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            (_, n) => {
                let n_spared = n.unsigned_abs() as usize - 1;
                Ok(cpu_count().saturating_sub(n_spared).max(1))
            }
        }
    }

    /// Applies `f` to every argument and returns the results in order.
    ///
    /// # Panics
    /// If a task panicked or its worker died, after all others have finished, with the first such
    /// item's error. Also if there are 0 jobs, or if the workers cannot be started.
    #[track_caller]
    pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        if let Err(error) = self.crew() {
            panic!("{error}");
        }
        all_or_panic(self.try_map(f, args))
    }

    /// Applies `f` to every argument; each item has its result or its error. If the workers cannot
    /// be started, every item has that error.
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R + Send + Sync,
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        let args = args.into_iter();
        let crew = match self.crew() {
            Ok(crew) => crew,
            Err(error) => {
                let all = args.enumerate();
                return all
                    .map(|(item, _)| Err(TaskError::not_run(item, &error)))
                    .collect();
            }
        };
        let started = Instant::now();
        let outcomes = match &**crew {
            Crew::Processes(pool) => {
                #[cfg(feature = "progress")]
                let pool = self.watched(pool);
                pool.try_map(f, args)
            }
            #[cfg(feature = "threads")]
            Crew::Threads(pool) => self.within(pool, f, args),
            Crew::Serial => self.within(&Serial, f, args),
            #[cfg(feature = "cluster")]
            Crew::Cluster(cluster) => cluster.try_map(f, args),
        };
        self.tell_end(outcomes.len(), started.elapsed());
        outcomes
    }

    /// As [`map`](Parallel::map), lazily: arguments are taken, and tasks run, only a little ahead
    /// of the results that are taken (joblib's `return_as="generator"`). The iterator keeps the
    /// workers alive by itself.
    ///
    /// # Panics
    /// When the next result is that of a task that panicked or whose worker died. Immediately, if
    /// there are 0 jobs or the workers cannot be started.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() {
    /// let squares = forklore::Parallel::jobs(2).imap(|x: u64| x * x, 0..);
    /// assert_eq!(squares.take(4).collect::<Vec<_>>(), [0, 1, 4, 9]);
    /// # }
    /// ```
    #[track_caller]
    pub fn imap<'a, F, I, A, R>(&self, f: F, args: I) -> Box<dyn Iterator<Item = R> + 'a>
    where
        F: Fn(A) -> R + Send + Sync + 'a,
        I: IntoIterator<Item = A>,
        I::IntoIter: 'a,
        A: Serialize + DeserializeOwned + Send + 'a,
        R: Serialize + DeserializeOwned + Send + 'a,
    {
        let crew = match self.crew() {
            Ok(crew) => Rc::clone(crew),
            Err(error) => panic!("{error}"),
        };
        let args = args.into_iter();
        match &*crew {
            Crew::Processes(pool) => {
                let results = pool.imap(f, args);
                Box::new(Kept {
                    results,
                    _crew: crew,
                })
            }
            #[cfg(feature = "threads")]
            Crew::Threads(pool) => {
                let n_first = pool.workers();
                let run = move |f: &F, block: Vec<A>| match &*crew {
                    Crew::Threads(pool) => pool.try_map(f, block),
                    _ => Serial.try_map(f, block),
                };
                Box::new(Blocks::new(f, args, n_first, run))
            }
            Crew::Serial => Box::new(args.map(f)),
            #[cfg(feature = "cluster")]
            Crew::Cluster(cluster) => {
                let results = cluster.imap(f, args);
                Box::new(Kept {
                    results,
                    _crew: crew,
                })
            }
        }
    }

    /// The workers, started on first use.
    fn crew(&self) -> Result<&Rc<Crew>> {
        if self.crew.get().is_none() {
            let crew = self.start()?;
            self.tell(format_args!(
                "{} on {}",
                self.backend,
                count(crew.n_workers(), "worker")
            ));
            let _ = self.crew.set(Rc::new(crew));
        }
        self.crew.get().ok_or_else(Error::closed)
    }

    fn start(&self) -> Result<Crew> {
        let n = match (self.backend, self.jobs) {
            #[cfg(feature = "cluster")]
            (Backend::Cluster, -1) => 0,
            #[cfg(feature = "cluster")]
            (Backend::Cluster, n) => {
                return Err(Error::invalid_input(format!(
                    "a cluster has the workers that its scheduler gave, and not {n}; give -1 jobs, or \
                     choose its hosts with Cluster::builder()"
                )));
            }
            _ => self.workers()?,
        };
        if self.batch_size == BatchSize::Fixed(0) {
            return Err(Error::invalid_input(
                "a batch of 0 items never ends; give at least 1, or BatchSize::Auto",
            ));
        }
        Ok(match self.backend {
            Backend::Processes => {
                let builder = Pool::builder().workers(n);
                Crew::Processes(builder.schedule(self.schedule()).build()?)
            }
            #[cfg(feature = "threads")]
            Backend::Threads => {
                let builder = ThreadPool::builder().workers(n);
                Crew::Threads(builder.schedule(self.schedule()).build()?)
            }
            Backend::Serial => Crew::Serial,
            #[cfg(feature = "cluster")]
            Backend::Cluster => {
                let builder = Cluster::builder();
                Crew::Cluster(builder.schedule(self.schedule()).build()?)
            }
        })
    }

    fn schedule(&self) -> Schedule {
        match self.batch_size {
            BatchSize::Auto => Schedule::Auto,
            BatchSize::Fixed(n) => Schedule::Fixed(n),
        }
    }

    /// Maps in this process.
    fn within<M, F, I, A, R>(&self, map: &M, f: F, args: I) -> Vec<Outcome<R>>
    where
        M: Map,
        F: Fn(A) -> R + Send + Sync,
        I: Iterator<Item = A>,
        A: Serialize + DeserializeOwned + Send,
        R: Serialize + DeserializeOwned + Send,
    {
        #[cfg(feature = "progress")]
        if self.shows_progress() {
            return self.counted(map, f, args);
        }
        map.try_map(f, args)
    }

    fn tell_end(&self, n_tasks: usize, took: Duration) {
        let took = time(took.as_secs_f64());
        self.tell(format_args!("{} in {took}", count(n_tasks, "task")));
    }

    fn tell(&self, message: fmt::Arguments<'_>) {
        if self.verbosity > 0 {
            // Standard error may be a broken pipe, which must not cost the results.
            let _ = writeln!(std::io::stderr(), "Parallel: {message}");
        }
    }
}

impl Crew {
    fn n_workers(&self) -> usize {
        match self {
            Crew::Processes(pool) => pool.workers(),
            #[cfg(feature = "threads")]
            Crew::Threads(pool) => pool.workers(),
            Crew::Serial => 1,
            #[cfg(feature = "cluster")]
            Crew::Cluster(cluster) => cluster.workers(),
        }
    }
}

/// Results together with the workers that produce them; fields are dropped in this order.
struct Kept<I> {
    results: I,
    _crew: Rc<Crew>,
}

impl<I: Iterator> Iterator for Kept<I> {
    type Item = I::Item;

    #[track_caller]
    fn next(&mut self) -> Option<I::Item> {
        self.results.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.results.size_hint()
    }
}

/// `1 worker`, `2 workers`
fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Processes => "processes",
            #[cfg(feature = "threads")]
            Backend::Threads => "threads",
            Backend::Serial => "the caller alone",
            #[cfg(feature = "cluster")]
            Backend::Cluster => "the processes of a cluster",
        })
    }
}

impl fmt::Debug for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel")
            .field("jobs", &self.jobs)
            .field("backend", &self.backend)
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_jobs_count_from_all() {
        let n_cpus = cpu_count();
        assert_eq!(Parallel::jobs(-1).workers().unwrap(), n_cpus);
        assert_eq!(Parallel::jobs(-2).workers().unwrap(), (n_cpus - 1).max(1));
        assert_eq!(Parallel::jobs(i64::MIN).workers().unwrap(), 1);
        assert_eq!(Parallel::jobs(3usize).workers().unwrap(), 3);
        assert_eq!(
            Parallel::jobs(7)
                .backend(Backend::Serial)
                .workers()
                .unwrap(),
            1
        );
        assert!(Parallel::jobs(0).workers().unwrap_err().is_invalid_input());
    }

    #[test]
    fn who_does_the_work_is_told_in_words() {
        assert_eq!(count(1, "worker") + &count(2, "task"), "1 worker2 tasks");
        assert_eq!(Backend::Serial.to_string(), "the caller alone");
    }
}
