//! A second transport, for tests of the code above the transport: threads that exchange messages
//! and share nothing.
//!
//! ```text
//!  owner ── Job ──────────────────────────▶ worker
//!        ◀── Ask ── ── Grant: a chunk ──▶
//!        ◀── Begun, Results, Left, Gone ──
//! ```
//!
//! Encoded values are sent one by one, numbers when their run ends. So if a worker is lost in a run
//! of several numbers, the owner cannot know which task it was running: it blames none, and runs
//! all of them again.

mod tests;
mod worker;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use serde::Serialize;

use crate::error::{Cause, Result};
use crate::wire;

use super::transport::{
    CommittedRun, Death, Encoded, EncodedValues, Ending, Look, NewJob, Results, Transport, Values,
    WorkerLook,
};
use super::work::{Carrier, Step, Trampoline, Work};
use crate::pool::context::{ContextMemory, Encode};
use crate::pool::plan::Schedule;
use worker::{Line, Remote};

/// Arguments as they are sent, with each job.
#[derive(Clone)]
enum Args {
    /// In memory that is aligned for any number.
    Numbers(Vec<u128>),
    /// `None` if it could not be encoded.
    Values(Vec<Option<Vec<u8>>>),
}

impl Args {
    fn encode<A: Serialize>(args: Vec<A>) -> Encoded<Args> {
        let n_items = args.len();
        let mut failures = Vec::new();
        let encoded = if wire::plain_size::<A>().is_some() {
            let mut numbers = vec![0; size_of_val(args.as_slice()).div_ceil(size_of::<u128>())];
            for (item, number) in args.into_iter().enumerate() {
                // SAFETY: there is room for all of them, aligned for any.
                unsafe { numbers.as_mut_ptr().cast::<A>().add(item).write(number) };
            }
            Args::Numbers(numbers)
        } else {
            let mut encode = |(item, arg)| {
                let mut bytes = Vec::new();
                let outcome = wire::encode(&arg, &mut bytes);
                outcome.map_err(|error| failures.push((item, error))).ok()?;
                Some(bytes)
            };
            Args::Values(args.into_iter().enumerate().map(&mut encode).collect())
        };
        Encoded {
            args: encoded,
            n_items,
            failures,
            context: None,
            traced: false,
        }
    }
}

/// The message that the owner sends to every worker.
#[derive(Clone)]
struct Job {
    id: u64,
    function: Trampoline<Messages>,
    args: Args,
    /// The context's name and bytes, sent with each job to each worker.
    context: Option<(u64, Arc<Vec<u8>>)>,
    items: Option<Vec<u64>>,
}

/// The contexts that the owner has encoded.
#[derive(Default)]
struct Contexts {
    by_name: Mutex<HashMap<u64, Arc<Vec<u8>>>>,
    n_encoded: AtomicU64,
}

impl ContextMemory for Contexts {
    fn write(&self, encode: &mut Encode<'_>) -> Result<u64> {
        let mut bytes = Vec::new();
        encode(&mut bytes)?;
        let name = self.n_encoded.fetch_add(1, Ordering::Relaxed) + 1;
        self.by_name.lock().unwrap().insert(name, Arc::new(bytes));
        Ok(name)
    }

    fn forget(&self, name: u64) {
        self.by_name.lock().unwrap().remove(&name);
    }
}

/// A worker's report to the owner about a job.
enum Report {
    Ask,
    /// A run has begun; the flag says whether the owner will hear of each finished task.
    Begun(bool),
    Results(Run),
    Left,
    /// The line is down: no more messages will arrive.
    Gone,
}

struct Run {
    first: u64,
    n_values: u64,
    content: Content,
}

enum Content {
    Numbers { stride: usize, bytes: Vec<u8> },
    Value(Vec<u8>),
    Failure(i32, Cause),
}

/// The owner's side.
struct Messages {
    /// `None` for a worker that is lost.
    lines: Vec<Option<ToWorker>>,
    inbox: Receiver<(usize, u64, Report)>,
    jobs: RefCell<BTreeMap<u64, Book>>,
    n_published: u64,
    contexts: Arc<Contexts>,
    threads: Vec<JoinHandle<()>>,
}

/// Jobs and granted chunks. Separate channels, because the next job may arrive before a grant.
struct ToWorker {
    jobs: Sender<Job>,
    grants: Sender<Option<(u64, u64)>>,
}

/// What the owner knows of a job.
struct Book {
    schedule: Schedule,
    n_workers: u64,
    n_items: u64,
    n_claimed: u64,
    n_answered: u64,
    runs: Vec<Arc<Run>>,
    /// For each worker at work: the chunk that it was granted and has not answered, and whether it
    /// runs the first task of that chunk.
    at_it: HashMap<usize, (u64, u64, bool)>,
    left: HashSet<usize>,
    deaths: Vec<Death>,
}

impl Messages {
    fn with_workers(n: usize) -> Messages {
        let (sender, inbox) = channel();
        let start = |worker| {
            let (to_jobs, jobs) = channel();
            let (to_grants, grants) = channel();
            let line = Line {
                worker,
                owner: sender.clone(),
                jobs,
                grants,
            };
            let to_worker = ToWorker {
                jobs: to_jobs,
                grants: to_grants,
            };
            (
                Some(to_worker),
                std::thread::spawn(move || worker::work(&line)),
            )
        };
        let (lines, threads) = (0..n).map(start).unzip();
        Messages {
            lines,
            inbox,
            jobs: RefCell::default(),
            n_published: 0,
            contexts: Arc::default(),
            threads,
        }
    }

    /// Reads what workers report until a job has ended, or the deadline.
    fn wait(&mut self, job: u64, deadline: Instant) {
        while !self.has_ended(job) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(report) = self.inbox.recv_timeout(left) else {
                return;
            };
            self.read(report);
        }
    }

    fn read(&mut self, (worker, job, report): (usize, u64, Report)) {
        let mut jobs = self.jobs.borrow_mut();
        let mut book = jobs.get_mut(&job);
        match report {
            Report::Ask => {
                let chunk = book.and_then(|book| book.grant(worker));
                if let Some(line) = &self.lines[worker] {
                    // A lost worker does not receive it.
                    let _ = line.grants.send(chunk);
                }
            }
            Report::Begun(is_known) => {
                if let Some((_, _, known)) = book.and_then(|book| book.at_it.get_mut(&worker)) {
                    *known = is_known;
                }
            }
            Report::Results(run) => {
                if let Some(book) = &mut book {
                    book.n_answered += run.n_values;
                    if let Some((next, ..)) = book.at_it.get_mut(&worker) {
                        *next = run.first + run.n_values;
                    }
                    book.runs.push(Arc::new(run));
                }
            }
            Report::Left => {
                if let Some(book) = book {
                    book.at_it.remove(&worker);
                    book.left.insert(worker);
                }
            }
            Report::Gone => {
                self.lines[worker] = None;
                for book in jobs.values_mut() {
                    if let Some((next, end, is_known)) = book.at_it.remove(&worker) {
                        book.deaths.push(Death {
                            task: (next < end && is_known).then_some(next),
                            slot: worker,
                            pid: worker as i32,
                            noticed_ns: 0,
                            cause: Cause::Vanished,
                        });
                    }
                }
            }
        }
    }
}

impl Book {
    fn grant(&mut self, worker: usize) -> Option<(u64, u64)> {
        let n_left = self.n_items - self.n_claimed;
        let n = match n_left {
            0 => 0,
            _ => self
                .schedule
                .next(n_left, self.n_items, self.n_workers, 0)
                .min(n_left),
        };
        let chunk = (self.n_claimed, self.n_claimed + n);
        self.at_it.insert(worker, (chunk.0, chunk.1, false));
        self.n_claimed = chunk.1;
        (n > 0).then_some(chunk)
    }
}

impl Carrier for Messages {
    type Port<'a> = Remote<'a>;

    fn drive(work: &mut Work<'_, Messages>, stride: usize, step: &mut Step<'_, Messages>) {
        work.run_chunks(stride, step);
    }
}

impl Transport for Messages {
    type Function = Trampoline<Messages>;
    type Args = Args;
    type Results = Runs;

    fn publish(&mut self, new: &NewJob<'_, Messages>) -> Result<u64> {
        assert!(new.only_slot.is_none() && new.time_limit.is_none() && !new.traced);
        self.n_published += 1;
        let id = self.n_published;
        self.jobs.borrow_mut().insert(
            id,
            Book {
                schedule: new.schedule,
                n_workers: self.lines.len() as u64,
                n_items: new.n_items,
                n_claimed: 0,
                n_answered: 0,
                runs: Vec::new(),
                at_it: HashMap::new(),
                left: HashSet::new(),
                deaths: Vec::new(),
            },
        );
        let job = Job {
            id,
            function: new.function,
            args: new.args.clone(),
            context: new.context.map(|name| {
                let contexts = self.contexts.by_name.lock().unwrap();
                (name, Arc::clone(&contexts[&name]))
            }),
            items: new.items.map(<[u64]>::to_vec),
        };
        for line in self.lines.iter().flatten() {
            let _ = line.jobs.send(job.clone());
        }
        Ok(id)
    }

    fn has_ended(&self, job: u64) -> bool {
        let jobs = self.jobs.borrow();
        let book = &jobs[&job];
        let is_there = |worker: &usize| self.lines[*worker].is_some();
        let mut there = (0..self.lines.len()).filter(is_there);
        book.n_answered == book.n_items
            || (!book.deaths.is_empty() || !self.has_workers())
                && there.all(|worker| book.left.contains(&worker))
    }

    fn conclude(&mut self, job: u64) -> Ending<Runs> {
        let book = self.jobs.get_mut().remove(&job).unwrap();
        Ending {
            is_done: book.n_answered == book.n_items,
            deaths: book.deaths,
            results: Runs(book.runs),
        }
    }

    fn retried(&mut self, _item: usize, _death: &Death) {}

    fn cancel(&self, job: u64) {
        if let Some(book) = self.jobs.borrow_mut().get_mut(&job) {
            book.n_answered += book.n_items - book.n_claimed;
            book.n_claimed = book.n_items;
        }
    }

    fn look(&self, job: u64) -> (Look, u64) {
        let jobs = self.jobs.borrow();
        let Some(book) = jobs.get(&job) else {
            return (Look::default(), 0);
        };
        let workers = book
            .at_it
            .iter()
            .map(|(&worker, &(next, end, _))| WorkerLook {
                slot: worker,
                pid: worker as i32,
                n_tasks: 0,
                item: (next < end).then_some(next as usize),
            });
        let look = Look {
            workers: workers.collect(),
            ..Look::default()
        };
        (look, book.n_items - book.n_answered)
    }

    fn results_so_far(&self, job: u64) -> Runs {
        Runs(self.jobs.borrow()[&job].runs.clone())
    }

    fn has_workers(&self) -> bool {
        self.lines.iter().any(Option::is_some)
    }

    fn start_failure(&self) -> &str {
        "it is not started again"
    }
}

/// The results of a job.
struct Runs(Vec<Arc<Run>>);

impl Results for Runs {
    fn visit(&self, visitor: &mut dyn FnMut(CommittedRun<'_>)) {
        for run in &self.0 {
            visitor(CommittedRun {
                first: run.first,
                n_values: run.n_values,
                values: match &run.content {
                    &Content::Numbers { stride, ref bytes } => Values::Plain { stride, bytes },
                    Content::Value(bytes) => Values::Encoded(EncodedValues(bytes)),
                    Content::Failure(pid, cause) => Values::Failure(*pid, cause.clone()),
                },
            });
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.lines.clear();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
