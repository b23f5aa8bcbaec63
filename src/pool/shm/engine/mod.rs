//! The owner's side of a pool: starts workers, publishes jobs, and makes up for deaths. It is the
//! [`Transport`] over shared memory.
//!
//! Only the owner forks, reaps and replaces workers, publishes jobs, and frees memory. Everything
//! happens inside the owner's calls; there is no helper thread. One of the owner's threads at a
//! time holds the engine, and none sleeps with it: a thread spins and sleeps on a [`Watch`].
//!
//! When a worker dies, the count of its job can no longer reach its end. The owner then waits until
//! every other worker has left that job, checks which tasks have a result, turns the one that was
//! running into an error, and publishes the missing ones as a new job. So no task is lost and none
//! runs twice.

#[cfg(feature = "async")]
mod futures;
mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cpus;
use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::process_id;

use super::args;
use super::board::{Board, Job, N_JOBS};
use super::contexts::Contexts;
use super::desk::Shm;
use super::function::Records;
use super::results::JobResults;
use super::watch::{Nap, Watch};
use crate::pool::call::transport::{Death, Ending, FUTURES, Transport};
use crate::pool::call::work::Trampoline;
use crate::pool::context::ContextMemory;
use crate::pool::journal::telling::Eventful;
use crate::pool::journal::{Event, Told};
use crate::pool::settings::{Settings, StartMethod};
use crate::pool::stats::{Stats, Tally};
use crate::pool::workers::crew::{Crew, Leaver, check_number};
use crate::pool::workers::start;

/// A worker that dies before it holds its lifeline is noticed this late at the latest.
pub(in crate::pool) const BACKSTOP: Duration = Duration::from_millis(100);
/// How long a full queue is slept for before it is looked at again.
const QUEUE_NAP: Duration = Duration::from_millis(1);

/// A pool's workers and what is in flight.
pub(in crate::pool) struct Engine {
    heap: Arc<Heap>,
    owner: u32,
    settings: Arc<Settings>,
    crew: Crew,
    /// Jobs that were published and not yet concluded.
    open: BTreeMap<u64, OpenJob>,
    functions: Records,
    contexts: Arc<Contexts>,
    is_closed: bool,
    /// No worker is to be started any more.
    is_terminated: bool,
    n_cpus: usize,
}

/// The part of a pool's addresses that one call gets.
const CALL_PART: usize = 8;

#[derive(Default)]
struct OpenJob {
    deaths: Vec<Death>,
    /// The slot whose worker alone may run it.
    only_slot: Option<usize>,
    /// What came of it, if a later job needed its entry in the queue.
    ending: Option<Ending<JobResults>>,
    /// What is added to an item to have the one that the user knows.
    first_item: usize,
}

impl Engine {
    /// Makes the shared memory and starts the workers.
    ///
    /// # Errors
    /// `is_multi_threaded()`, `is_invalid_input()` for 0 or more than 1,024 workers, `is_os()`; no
    /// process is left then.
    pub(in crate::pool) fn start(settings: &Arc<Settings>, n_workers: usize) -> Result<Engine> {
        check_number(n_workers)?;
        let mut engine = Engine::idle(settings, n_workers)?;
        // Dropping the engine ends the workers that it has.
        engine.crew.fill_slots(0)?;
        engine.crew.journal.note(Event::PoolStarted {
            n_workers,
            method: settings.method,
        });
        Ok(engine)
    }

    /// An engine that takes no tasks and has no workers, for a closed pool in a forked child.
    pub(in crate::pool) fn closed(settings: &Arc<Settings>) -> Result<Engine> {
        let mut engine = Engine::idle(settings, 0)?;
        engine.is_closed = true;
        Ok(engine)
    }

    fn idle(settings: &Arc<Settings>, n_workers: usize) -> Result<Engine> {
        let heap = Arc::new(match settings.local {
            None => start::heap(settings.method, Board::BYTES)?,
            // In addition to the pool's own memory, one for each closure's call.
            Some(_) => Heap::of_part(Board::BYTES, CALL_PART)?,
        });
        let lifeline = &Board::of(&heap).owner;
        lifeline.reset()?;
        // Otherwise the pool's server holds it, because this process's threads may end before the
        // pool.
        if settings.method == StartMethod::Fork {
            lifeline.hold();
        }
        let n_cpus = cpus::runnable();
        Ok(Engine {
            owner: process_id(),
            settings: Arc::clone(settings),
            crew: Crew::new(&heap, settings, n_workers, n_cpus),
            contexts: Arc::new(Contexts::new(&heap, n_workers)),
            heap,
            open: BTreeMap::new(),
            functions: Records::default(),
            is_closed: false,
            is_terminated: false,
            n_cpus,
        })
    }

    pub(in crate::pool) fn n_cpus(&self) -> usize {
        self.n_cpus
    }

    pub(in crate::pool) fn heap(&self) -> &Arc<Heap> {
        &self.heap
    }

    /// Where workers find contexts.
    pub(in crate::pool) fn contexts(&self) -> Arc<dyn ContextMemory> {
        Arc::clone(&self.contexts) as Arc<dyn ContextMemory>
    }

    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The workers' pids, after dead ones were replaced.
    pub(in crate::pool) fn pids(&mut self) -> Vec<i32> {
        self.look_around();
        self.crew.pids()
    }

    /// Replaces workers that have died, as soon as this process can know.
    fn look_around(&mut self) {
        self.replace_dead(true);
        if self.needs_workers() {
            // Tries slots without a worker once more; those that stay empty are not listed.
            let _ = self.crew.fill_slots(self.first_open());
        }
    }

    /// Whether all workers are ready to run tasks.
    ///
    /// # Errors
    /// Why a worker never will be.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn are_up(&mut self) -> Result<bool> {
        self.replace_dead(true);
        self.crew.are_up()
    }

    /// Changes the number of workers. Surplus workers finish their current chunk.
    ///
    /// # Errors
    /// As [`start`](Engine::start); the number is then unchanged.
    pub(in crate::pool) fn resize(&mut self, n_workers: usize) -> Result<()> {
        check_number(n_workers)?;
        self.replace_dead(true);
        let before = self.crew.n_wanted();
        self.crew.set_number(n_workers);
        let outcome = self.crew.fill_slots(self.first_open());
        if outcome.is_err() {
            self.crew.set_number(before);
        }
        if self.open.is_empty() {
            self.crew.await_dismissed();
        }
        self.contexts.set_slots(self.crew.n_slots());
        outcome
    }

    /// The shared record of a function's name, made on first use.
    pub(in crate::pool) fn function(&mut self, trampoline: Trampoline<Shm>) -> Result<Offset> {
        self.functions.of(&self.heap, trampoline as *const ())
    }

    /// The number of tasks finished on each slot.
    pub(in crate::pool) fn n_tasks(&self) -> Vec<u64> {
        let tallies = self.crew.tallies();
        tallies.iter().map(Tally::n_tasks).collect()
    }

    /// The workers' counts, after dead workers were replaced.
    pub(in crate::pool) fn stats(&mut self) -> Stats {
        self.look_around();
        Stats {
            workers: self.crew.tallies(),
            closures: self.settings.closures.get(),
        }
    }

    /// Lets the workers exit when they have emptied the queue.
    pub(in crate::pool) fn close(&mut self) {
        if !self.is_closed {
            self.crew.journal.note(Event::PoolClosed);
        }
        self.is_closed = true;
        Board::of(&self.heap).closed.store(1, Ordering::SeqCst);
        self.crew.wake(usize::MAX);
    }

    /// Waits until every worker has ended. The caller has waited for all jobs in the queue: a
    /// worker that dies now is not replaced.
    pub(in crate::pool) fn join(&mut self) {
        self.crew.join();
    }

    /// Kills the workers, whatever they do, and reaps them.
    pub(in crate::pool) fn terminate(&mut self) {
        if self.has_workers() {
            self.crew.journal.note(Event::PoolTerminated);
        }
        self.is_closed = true;
        self.is_terminated = true;
        self.crew.terminate();
        // Jobs end when no worker is left to run them.
        let base = self.crew.base();
        (0..=FUTURES).for_each(|completion| base.tell(completion));
    }

    /// Kills workers over their limits, and replaces those that have ended. With `thorough`, also
    /// those that died before they held their lifeline.
    pub(in crate::pool) fn look_after_workers(&mut self, thorough: bool) {
        let spared = self.crew.kill_overdue();
        if !spared.is_empty() {
            // They still write into this pool's memory, so it takes no more work.
            self.is_closed = true;
            self.is_terminated = true;
            Board::of(&self.heap).owner.cut();
            spared.into_iter().for_each(|leaver| self.note(leaver));
        }
        self.replace_dead(thorough);
    }

    /// What to spin and sleep on until one of the jobs has ended; all of them share one completion.
    pub(in crate::pool) fn watch(&self, jobs: &[u64]) -> Watch {
        let n_items = |&id: &u64| self.job(id).n_items.load(Ordering::Relaxed) as usize;
        let job = jobs.first().copied().unwrap_or(0);
        Watch {
            heap: Arc::clone(&self.heap),
            job,
            others: jobs.iter().skip(1).copied().collect(),
            n_items: jobs.iter().map(n_items).sum(),
            n_slots: self.crew.n_slots(),
            n_cpus: self.n_cpus,
            completion: self.job(job).completion(),
        }
    }

    /// What else a thread sleeps on, and for how long.
    pub(in crate::pool) fn nap(&self) -> Nap {
        Nap {
            lifelines: self.crew.lifelines().collect(),
            longest: self.longest_nap(),
        }
    }

    /// The maximum time that a thread sleeps before it looks at the workers.
    fn longest_nap(&self) -> Duration {
        let patience = self.crew.patience();
        patience.map_or(BACKSTOP, |patience| patience.min(BACKSTOP))
    }

    /// Notes how long a thread has slept since it last looked after the workers, and how long it
    /// intended to.
    pub(in crate::pool) fn slept(&mut self, slept: Duration, intended: Duration) {
        self.crew.slept(slept, intended);
    }

    /// Whether the queue has an entry for one more job: all workers have left the job that had it
    /// before. The results of that job are kept.
    pub(in crate::pool) fn has_room(&mut self) -> bool {
        let tail = Board::of(&self.heap).tail.load(Ordering::Relaxed);
        let Some(previous) = tail.checked_sub(N_JOBS as u64) else {
            return true;
        };
        if !self.has_ended(previous) || !self.crew.all_are_past(previous) {
            return false;
        }
        if let Some(open) = self.open.get_mut(&previous)
            && open.ending.is_none()
        {
            let deaths = std::mem::take(&mut open.deaths);
            let ending = self.ending_of(previous, deaths);
            self.open.entry(previous).or_default().ending = Some(ending);
        }
        true
    }

    /// Waits for such an entry.
    fn make_room(&mut self) {
        while !self.has_room() {
            self.crew.wake(usize::MAX);
            self.look_after_workers(true);
            std::thread::sleep(QUEUE_NAP);
        }
    }

    fn ending_of(&self, id: u64, deaths: Vec<Death>) -> Ending<JobResults> {
        let job = self.job(id);
        Ending {
            is_done: job.is_done(),
            deaths,
            results: JobResults::take(&self.heap, job),
        }
    }

    /// Whether the entry in the queue still belongs to this job.
    fn is_in_queue(&self, id: u64) -> bool {
        self.open.get(&id).is_some_and(|open| open.ending.is_none())
    }

    /// A job that is in the queue.
    fn job(&self, id: u64) -> &Job {
        Board::of(&self.heap).job(id)
    }

    /// Notices workers that have ended, notes in which job they died, and starts new ones in their
    /// slots. With `thorough`, also those that died before they held their lifeline.
    fn replace_dead(&mut self, thorough: bool) {
        for leaver in self.crew.leavers(thorough) {
            let slot = leaver.slot;
            self.note(leaver);
            if self.crew.is_wanted(slot) && self.needs_workers() {
                // A slot that stays empty is retried with the next job.
                let _ = self.crew.start(slot, self.first_open());
            }
        }
    }

    /// Notes in which job a worker ended.
    fn note(&mut self, leaver: Leaver) {
        let task = leaver.death.task;
        let item = leaver.job.and_then(|job| self.item(job, task?));
        self.crew.tell_of(&leaver, item);
        if let Some(id) = leaver.job
            && let Some(job) = self.open.get_mut(&id)
        {
            job.deaths.push(leaver.death);
            let board = Board::of(&self.heap);
            let job = board.job(id);
            job.degraded.store(1, Ordering::SeqCst);
            // The job ends when all workers have left it, including those that slept through it, so
            // wake all.
            self.crew.wake(usize::MAX);
            // Another thread may wait for it, and all workers may have left it by now.
            self.crew.base().tell(job.completion());
        }
    }

    /// The item that a task of an open job stands for, as the user counts them.
    fn item(&self, id: u64, task: u64) -> Option<usize> {
        let open = self.open.get(&id).filter(|open| open.ending.is_none())?;
        let item = args::item(&self.heap, self.job(id), task);
        Some(open.first_item + item as usize)
    }

    fn needs_workers(&self) -> bool {
        !self.is_terminated && (!self.is_closed || !self.open.is_empty())
    }

    /// Starts workers on empty slots. Only a pool without any worker is an error.
    fn fill_slots(&mut self) -> Result<()> {
        if self.is_terminated {
            return Err(Error::closed());
        }
        let outcome = self.crew.fill_slots(self.first_open());
        if self.has_workers() { Ok(()) } else { outcome }
    }

    /// The oldest job that may still have something to claim; a new worker starts there.
    fn first_open(&self) -> u64 {
        let tail = Board::of(&self.heap).tail.load(Ordering::Relaxed);
        let oldest = self.open.keys().next().copied().unwrap_or(tail);
        oldest.max(tail.saturating_sub(N_JOBS as u64))
    }
}

impl Eventful for Engine {
    fn take_events(&mut self) -> Told {
        self.crew.journal.take()
    }
}

impl Drop for Engine {
    /// Kills the workers, which nothing waits for any more, and releases the lifeline, because its
    /// memory may be unmapped afterwards. The counts of a closure's workers are added to the
    /// pool's.
    fn drop(&mut self) {
        if self.owner != process_id() {
            return;
        }
        self.terminate();
        if self.settings.local.is_some() {
            for tally in self.crew.tallies() {
                self.settings.closures.add(&tally);
            }
        }
        drop(self.take_events());
        // If a server started the workers, its thread holds the lifeline, not one of ours.
        let lifeline = &Board::of(&self.heap).owner;
        if self.settings.method == StartMethod::Fork && !lifeline.cut() {
            // The lifeline is in the C library's list of locks of the thread that made the pool.
            self.heap.keep_page_of(std::ptr::from_ref(lifeline).cast());
        }
    }
}
