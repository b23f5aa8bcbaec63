//! The owner's side of a pool: starts workers, publishes jobs, waits, and makes up for deaths. Of a
//! [`Transport`], it is the one that has shared memory.
//!
//! Who owns what: the owner alone forks, reaps and replaces workers, publishes jobs, and gives
//! memory back. Everything happens inside the owner's calls; there is no helper thread.
//!
//! When a worker dies, the job that it was in can no longer be counted to its end. The owner then
//! waits until every other worker has left that job, looks which tasks have a result, turns
//! the one that was running into an error, and publishes what is missing as a new job. So nothing
//! is lost and nothing is run twice.

mod jobs;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::cpus;
use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::{futex, process_id};

use super::board::{Board, Job, N_JOBS};
use super::desk::Shm;
use super::function::Records;
use super::recorder;
use super::sleep;
use super::spin::{self, Spinner};
use crate::pool::call::notes::Notes;
use crate::pool::call::transport::{Death, Items, Transport};
use crate::pool::call::work::Trampoline;
use crate::pool::settings::Settings;
use crate::pool::stats::{Stats, Tally};
use crate::pool::workers::crew::{Crew, Leaver, check_number};
use crate::pool::workers::start;

/// A worker that dies before it holds its lifeline is noticed this late at the latest.
const BACKSTOP: Duration = Duration::from_millis(100);

/// A pool's workers and what is in flight.
pub(in crate::pool) struct Engine {
    heap: Rc<Heap>,
    owner: u32,
    settings: Rc<Settings>,
    crew: Crew,
    /// Jobs that were published and not yet collected.
    open: BTreeMap<u64, OpenJob>,
    /// Jobs that all workers have left and the owner has not collected, whose entries in the queue
    /// later ones needed.
    aside: HashMap<u64, Job>,
    /// Those of them that were collected since.
    discarded: RefCell<Vec<u64>>,
    functions: Records,
    is_closed: bool,
    /// No worker is to be started any more.
    is_terminated: bool,
    spinner: Spinner,
    n_cpus: usize,
}

/// The part of a pool's addresses that one call gets.
const CALL_PART: usize = 8;

#[derive(Default)]
struct OpenJob {
    deaths: Vec<Death>,
    /// The slot whose worker alone may run it.
    only_slot: Option<usize>,
}

impl Engine {
    /// Makes the shared memory and starts the workers.
    ///
    /// # Errors
    /// `is_multi_threaded()`, `is_invalid_input()` for 0 or more than 1,024 workers, `is_os()`; no
    /// process is left then.
    pub(in crate::pool) fn start(settings: &Rc<Settings>) -> Result<Engine> {
        check_number(settings.n_workers.get())?;
        let mut engine = Engine::idle(settings)?;
        if let Err(error) = engine.crew.fill_slots(0) {
            engine.terminate();
            return Err(error);
        }
        Ok(engine)
    }

    /// An engine that takes no tasks and has no workers: what a closed pool is in a forked child.
    pub(in crate::pool) fn closed(settings: &Rc<Settings>) -> Result<Engine> {
        let mut engine = Engine::idle(settings)?;
        engine.is_closed = true;
        Ok(engine)
    }

    fn idle(settings: &Rc<Settings>) -> Result<Engine> {
        let heap = Rc::new(match settings.local {
            None => start::heap(settings.method, Board::BYTES)?,
            // Beside the pool's own memory, once for each worker's call.
            Some(_) => Heap::of_part(Board::BYTES, CALL_PART)?,
        });
        let lifeline = &Board::of(&heap).owner;
        lifeline.reset()?;
        lifeline.hold();
        let n_cpus = cpus::runnable();
        Ok(Engine {
            owner: process_id(),
            settings: Rc::clone(settings),
            crew: Crew::new(&heap, settings, n_cpus),
            heap,
            open: BTreeMap::new(),
            aside: HashMap::new(),
            discarded: RefCell::default(),
            functions: Records::default(),
            is_closed: false,
            is_terminated: false,
            spinner: Spinner::new(n_cpus),
            n_cpus,
        })
    }

    /// The process that may use this engine; in any other, its workers are another process's.
    pub(in crate::pool) fn owner(&self) -> u32 {
        self.owner
    }

    pub(in crate::pool) fn heap(&self) -> &Rc<Heap> {
        &self.heap
    }

    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The workers' pids, after dead ones were replaced.
    pub(in crate::pool) fn pids(&mut self) -> Vec<i32> {
        self.look_around();
        self.crew.pids()
    }

    /// Replaces workers that have died, as soon as that can be known.
    fn look_around(&mut self) {
        self.replace_dead(true);
        if self.needs_workers() {
            // Slots whose workers were given up are tried once more; what is empty then is not
            // listed.
            let _ = self.crew.fill_slots(self.first_open());
        }
    }

    /// Changes the number of workers. Those that are too many finish what they run.
    ///
    /// # Errors
    /// As [`start`](Engine::start); the number is as before then.
    pub(in crate::pool) fn resize(&mut self, n_workers: usize) -> Result<()> {
        check_number(n_workers)?;
        self.replace_dead(true);
        let before = self.settings.n_workers.get();
        self.crew.set_number(n_workers);
        let outcome = self.crew.fill_slots(self.first_open());
        if outcome.is_err() {
            self.crew.set_number(before);
        }
        if self.open.is_empty() {
            self.crew.await_dismissed();
        }
        outcome
    }

    /// The shared record of a function's name, made on first use.
    pub(in crate::pool) fn function(&mut self, trampoline: Trampoline<Shm>) -> Result<Offset> {
        self.functions.of(&self.heap, trampoline as *const ())
    }

    /// How many tasks were ever finished on each slot.
    pub(in crate::pool) fn n_tasks(&self) -> Vec<u64> {
        let tallies = self.crew.tallies();
        tallies.iter().map(Tally::n_tasks).collect()
    }

    /// What has happened to the workers, after dead ones were replaced.
    pub(in crate::pool) fn stats(&mut self) -> Stats {
        self.look_around();
        Stats {
            workers: self.crew.tallies(),
            closures: self.settings.closures.get(),
        }
    }

    /// Adds to a map's notes what its workers have noted in a job, before that is given back.
    pub(in crate::pool) fn gather(
        &self,
        (job, items): (u64, Items<'_>),
        deaths: &[Death],
        notes: &mut Notes,
    ) {
        recorder::gather(&self.heap, self.job(job), items, deaths, notes);
    }

    /// Lets the workers end when they have emptied the queue.
    pub(in crate::pool) fn close(&mut self) {
        self.is_closed = true;
        Board::of(&self.heap).closed.store(1, Ordering::SeqCst);
        self.crew.wake(usize::MAX);
    }

    /// Waits until every worker has ended. What is in the queue must have been waited for: who
    /// dies now is not replaced.
    pub(in crate::pool) fn join(&mut self) {
        self.crew.join();
    }

    /// Kills the workers, whatever they do, and reaps them.
    pub(in crate::pool) fn terminate(&mut self) {
        self.is_closed = true;
        self.is_terminated = true;
        self.crew.terminate();
    }

    /// A job has ended when all of it is done, or when a worker died in it and every other has
    /// left, or when there is no worker that could run it.
    fn has_ended(&self, ids: &[u64]) -> bool {
        ids.iter().any(|&id| {
            if self.job(id).is_done() {
                return true;
            }
            let lacks_workers = match self.open.get(&id) {
                Some(job) if !job.deaths.is_empty() => true,
                Some(OpenJob {
                    only_slot: Some(slot),
                    ..
                }) => !self.crew.is_taken(*slot),
                _ => !self.has_workers(),
            };
            lacks_workers && self.crew.all_are_past(id)
        })
    }

    /// Waits until all workers have left the queue's entry for `id`, and puts aside what is wanted
    /// of it.
    fn make_room(&mut self, id: u64) {
        let Some(previous) = id.checked_sub(N_JOBS as u64) else {
            return;
        };
        let is_open =
            |engine: &Engine| engine.open.contains_key(&previous) && !engine.has_ended(&[previous]);
        while is_open(self) || !self.crew.all_are_past(previous) {
            self.crew.wake(usize::MAX);
            self.replace_dead(true);
            let deadline = Instant::now() + Duration::from_millis(1);
            self.sleep(&[previous], Some(deadline), self.longest_sleep());
        }
        for id in self.discarded.get_mut().drain(..) {
            self.aside.remove(&id);
        }
        let job = Board::of(&self.heap).job(previous);
        if job.is_wanted.load(Ordering::Relaxed) != 0 {
            // SAFETY: a job is words, which no longer change: all workers have left it.
            self.aside.insert(previous, unsafe { std::ptr::read(job) });
        }
    }

    /// A job that was published and not discarded.
    fn job(&self, id: u64) -> &Job {
        job_of(&self.aside, &self.heap, id)
    }

    /// Looks for the end of a job without sleeping, as long as that makes sense.
    fn spin(&mut self, ids: &[u64]) -> bool {
        let board = Board::of(&self.heap);
        let n_slots = self.crew.n_slots();
        let (aside, heap) = (&self.aside, &self.heap);
        let is_done = || ids.iter().any(|&id| job_of(aside, heap, id).is_done());
        self.spinner.until(|| board.n_awake(n_slots), is_done)
    }

    /// Looks for the end of a job for at most `limit`.
    fn gets_done(&self, ids: &[u64], limit: Duration) -> bool {
        let is_done = || ids.iter().any(|&id| self.job(id).is_done());
        match self.n_cpus {
            0 | 1 => is_done(),
            _ => spin::look_for(limit, &is_done),
        }
    }

    /// After how long the owner looks around in any case.
    fn longest_sleep(&self) -> Duration {
        let patience = self.crew.patience();
        patience.map_or(BACKSTOP, |patience| patience.min(BACKSTOP))
    }

    /// Sleeps until something may have happened to a job, or it is time to look.
    fn sleep(&self, ids: &[u64], deadline: Option<Instant>, longest: Duration) {
        let board = Board::of(&self.heap);
        let is_over = || self.has_ended(ids);
        sleep::once(&board.completion, is_over, |event, seen| {
            let mut words = vec![(event, seen)];
            words.extend(self.crew.lifelines(board));
            let until = Instant::now() + longest;
            futex::wait_any(&words, deadline.map_or(until, |at| at.min(until)));
        });
    }

    /// Notices workers that have left, notes in which job they died, and starts new ones in
    /// their slots. With `thorough`, also those that died before they held their lifeline.
    fn replace_dead(&mut self, thorough: bool) {
        for leaver in self.crew.leavers(thorough) {
            let slot = leaver.slot;
            self.note(leaver);
            if self.crew.is_wanted(slot) && self.needs_workers() {
                // A slot that stays empty is tried again with the next job.
                let _ = self.crew.start(slot, self.first_open());
            }
        }
    }

    /// Notes in which job a worker has left.
    fn note(&mut self, leaver: Leaver) {
        if let Some(id) = leaver.job
            && let Some(job) = self.open.get_mut(&id)
        {
            job.deaths.push(leaver.death);
            let board = Board::of(&self.heap);
            board.job(id).degraded.store(1, Ordering::SeqCst);
            // The job ends when all workers have left it, and one that slept through it never came.
            self.crew.wake(usize::MAX);
        }
    }

    fn needs_workers(&self) -> bool {
        !self.is_terminated && (!self.is_closed || !self.open.is_empty())
    }

    /// Starts workers on empty slots. Only a pool without any worker is an error.
    fn fill_slots(&mut self) -> Result<()> {
        if self.is_terminated {
            return Err(Error::closed());
        }
        let lifeline = &Board::of(&self.heap).owner;
        if lifeline.is_cut() {
            // The thread that made the pool has ended, and its workers with it; now this one has
            // the pool.
            lifeline.reset()?;
            lifeline.hold();
        }
        let outcome = self.crew.fill_slots(self.first_open());
        if self.has_workers() { Ok(()) } else { outcome }
    }

    /// The oldest job that may still have something to claim: there a new worker begins.
    fn first_open(&self) -> u64 {
        let tail = Board::of(&self.heap).tail.load(Ordering::Relaxed);
        let oldest = self.open.keys().next().copied().unwrap_or(tail);
        oldest.max(tail.saturating_sub(N_JOBS as u64))
    }
}

impl Drop for Engine {
    /// Lets go of the lifeline, which lies in memory that may be unmapped after this. The pool goes
    /// on with what was counted for a closure.
    fn drop(&mut self) {
        if self.owner == process_id() && self.settings.local.is_some() {
            for tally in self.crew.tallies() {
                self.settings.closures.add(&tally);
            }
        }
        if self.owner == process_id() && !Board::of(&self.heap).owner.cut() {
            std::mem::forget(Rc::clone(&self.heap));
        }
    }
}

fn job_of<'a>(aside: &'a HashMap<u64, Job>, heap: &'a Heap, id: u64) -> &'a Job {
    aside.get(&id).unwrap_or_else(|| Board::of(heap).job(id))
}
