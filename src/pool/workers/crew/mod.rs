//! The workers of a pool: which worker is in which slot, and how they start and leave.
//!
//! Everything here happens inside the owner's calls. A worker leaves in one of four ways: it dies,
//! it retires after enough tasks, it is dismissed because the pool shrinks, or the pool is closed.
//! Only the first is a failure.

mod ends;
mod farewell;
#[cfg(feature = "async")]
mod reactor;
mod tallies;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::child::{self, Forks};
use crate::sys::eventfd::EventFd;
use crate::sys::futex;
#[cfg(feature = "async")]
use crate::sys::wake_set::WakeSet;

use tallies::Record;

use super::fresh;
use super::start::Starter;
use super::time_limit::TimeLimits;
use super::worker::{Duty, FAILED_TO_START};
use crate::pool::call::transport::Death;
use crate::pool::journal::{Event, Journal};
use crate::pool::settings::{Settings, StartMethod};
use crate::pool::shm::base::Base;
use crate::pool::shm::board::{AWAKE, Board, MAX_WORKERS, Slot};
use crate::pool::shm::function;
use crate::pool::shm::record;
use crate::pool::shm::sleep;
use crate::pool::stats::{Count, DeathCause};

/// After this many workers in a row died in a slot before they were ready, no other is started
/// there for this job: something in this program or on this machine kills them all.
const MAX_FAILED_STARTS: u32 = 3;

/// The workers of one engine.
pub(in crate::pool) struct Crew {
    heap: Arc<Heap>,
    settings: Arc<Settings>,
    /// The number of workers wanted.
    n_wanted: usize,
    /// The worker in each slot; `None` where none could be started. Slots beyond `n_wanted` hold
    /// dismissed workers that have not left yet.
    pids: Vec<Option<i32>>,
    /// The records of the slots that have any.
    records: Vec<Record>,
    /// How many processes of the control group Linux had killed for lack of memory at the last
    /// check.
    n_ended_for_memory: u64,
    /// Dead workers whose memory the OS is still freeing.
    dying: Vec<i32>,
    /// Workers that this process may not kill. They exit when their task is done.
    spared: Vec<i32>,
    time_limits: TimeLimits,
    starter: Starter,
    /// The eventfd that workers set for a reactor; `None` without the feature `async`, for the
    /// workers of one call, and if none could be made.
    eventfd: Option<EventFd>,
    /// The descriptors that a reactor waits for, while there is one.
    #[cfg(feature = "async")]
    wake_set: Option<WakeSet>,
    /// The offset of the initialiser's record, once written.
    initializer: Offset,
    /// The offset of the workers' conditions, once written.
    conditions: Offset,
    /// The offset of the workers' nodes, once written.
    nodes: Offset,
    /// Events that no subscriber has received yet.
    pub(in crate::pool) journal: Journal,
    /// Why the last missing worker could not be started.
    start_failure: String,
    n_cpus: usize,
}

/// A worker that left its slot.
pub(in crate::pool) struct Leaver {
    pub(in crate::pool) slot: usize,
    /// The job that it was running, if it died after it was ready.
    pub(in crate::pool) job: Option<u64>,
    pub(in crate::pool) death: Death,
    pub(in crate::pool) departure: Departure,
}

/// Why a worker left its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Departure {
    /// It was dismissed, or its pool was closed.
    Dismissed,
    /// It had run its maximum number of tasks.
    Retired,
    /// It died: the cause, and a description as the end of a sentence.
    Died(DeathCause, String),
}

/// Checks a number of workers.
pub(in crate::pool) fn check_number(n_workers: usize) -> Result<()> {
    match n_workers {
        0 => Err(Error::invalid_input(
            "a pool of 0 workers would never run anything; give at least 1, or use Pool::new() for \
             as many as this process may use processors",
        )),
        n if n > MAX_WORKERS => Err(Error::invalid_input(format!(
            "a pool has at most {MAX_WORKERS} workers, not {n}"
        ))),
        _ => Ok(()),
    }
}

fn not_its_thread() -> Error {
    Error::invalid_input(
        "the pool's initializer may have captured what is another thread's, which built the pool and has ended; \
         build the pool on the thread that uses it",
    )
}

/// The duty of the worker in slot 0; the others differ only in the slot.
fn duty<'a>(
    base: Base<'a>,
    settings: &'a Settings,
    n_workers: usize,
    n_cpus: usize,
    initializer: Option<&'a dyn Fn()>,
) -> Duty<'a> {
    Duty {
        base,
        slot_index: 0,
        n_workers,
        conditions: &settings.conditions,
        initializer,
        max_tasks: settings.max_tasks,
        local: settings.local,
        max_spinners: n_cpus.saturating_sub(1),
        nodes: 0,
    }
}

impl Crew {
    /// Slots without workers.
    pub(in crate::pool) fn new(
        heap: &Arc<Heap>,
        settings: &Arc<Settings>,
        n_wanted: usize,
        n_cpus: usize,
    ) -> Crew {
        Crew {
            heap: Arc::clone(heap),
            settings: Arc::clone(settings),
            n_wanted,
            pids: vec![None; n_wanted],
            records: Vec::new(),
            n_ended_for_memory: 0,
            dying: Vec::new(),
            spared: Vec::new(),
            time_limits: TimeLimits::of(settings),
            starter: Starter::new(settings),
            eventfd: (cfg!(feature = "async") && settings.local.is_none())
                .then(EventFd::new)
                .and_then(io::Result::ok),
            #[cfg(feature = "async")]
            wake_set: None,
            initializer: 0,
            conditions: 0,
            nodes: 0,
            journal: Journal::new(settings.local.is_some()),
            start_failure: String::new(),
            n_cpus,
        }
    }

    /// What all processes of the pool share.
    pub(in crate::pool) fn base(&self) -> Base<'_> {
        Base {
            heap: &self.heap,
            eventfd: self.eventfd.as_ref(),
        }
    }

    /// The number of workers wanted.
    pub(in crate::pool) fn n_wanted(&self) -> usize {
        self.n_wanted
    }

    /// The number of slots, including those of dismissed workers.
    pub(in crate::pool) fn n_slots(&self) -> usize {
        self.pids.len()
    }

    /// The workers that are not dismissed.
    pub(in crate::pool) fn pids(&self) -> Vec<i32> {
        self.pids
            .iter()
            .take(self.n_wanted)
            .copied()
            .flatten()
            .collect()
    }

    /// Each worker with its slot.
    pub(in crate::pool) fn slots(&self) -> impl Iterator<Item = (usize, i32, &Slot)> {
        let slots = self
            .pids
            .iter()
            .zip(&Board::of(&self.heap).slots)
            .enumerate();
        slots.filter_map(|(index, (pid, slot))| Some((index, (*pid)?, slot)))
    }

    /// Whether each slot has a worker that is ready.
    ///
    /// # Errors
    /// Why a slot stays empty.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn are_up(&self) -> Result<bool> {
        let is_up = |slot: usize| {
            let is_up = &Board::of(&self.heap).slots[slot].is_up;
            self.is_taken(slot) && is_up.load(Ordering::Acquire) != 0
        };
        if let Some(slot) = (0..self.n_wanted).find(|&slot| !self.is_taken(slot))
            && !self.is_wanted(slot)
        {
            return Err(Error::unreachable(&self.start_failure));
        }
        Ok((0..self.n_wanted).all(is_up))
    }

    /// Whether there is any worker.
    pub(in crate::pool) fn has_workers(&self) -> bool {
        self.pids.iter().any(Option::is_some)
    }

    /// Whether a slot has a worker.
    pub(in crate::pool) fn is_taken(&self, slot: usize) -> bool {
        self.pids.get(slot).is_some_and(Option::is_some)
    }

    /// Why there is no worker, as text.
    pub(in crate::pool) fn start_failure(&self) -> &str {
        &self.start_failure
    }

    /// Whether every worker has left a job for good.
    pub(in crate::pool) fn all_are_past(&self, job: u64) -> bool {
        let board = Board::of(&self.heap);
        let mut slots = self.pids.iter().zip(&board.slots);
        slots.all(|(pid, slot)| pid.is_none() || slot.job.load(Ordering::SeqCst) > job)
    }

    /// Wakes up to `n` sleeping workers.
    pub(in crate::pool) fn wake(&self, n: usize) {
        sleep::wake_some(&Board::of(&self.heap).slots[..self.pids.len()], n);
    }

    /// The slots, with their lifelines' words, to sleep on: a word changes when its worker dies.
    pub(in crate::pool) fn lifelines(&self) -> impl Iterator<Item = (usize, u32)> {
        self.slots().map(|(index, _, slot)| {
            let word = slot.lifeline.word().load(Ordering::Acquire);
            (index, word & !futex::OWNER_DIED)
        })
    }

    /// Starts a worker in each empty slot that is wanted, with job `first` as its first. It resets
    /// the count of failed starts: idle workers may have been killed one after another, which says
    /// nothing about the next.
    ///
    /// # Errors
    /// The first that occurred; all other slots are filled.
    pub(in crate::pool) fn fill_slots(&mut self, first: u64) -> Result<()> {
        for record in &mut self.records {
            record.n_failed_starts = 0;
        }
        let is_empty = |&slot: &usize| self.pids[slot].is_none();
        let empty: Vec<usize> = (0..self.n_wanted).filter(is_empty).collect();
        if empty.is_empty() {
            return Ok(());
        }
        self.start_all(&empty, first)
    }

    /// Starts a worker in an empty slot, with job `first` as its first.
    pub(in crate::pool) fn start(&mut self, slot_index: usize, first: u64) -> Result<()> {
        self.start_all(&[slot_index], first)
    }

    /// Starts a worker in each of some empty slots. Everything that can be done once for all of
    /// them happens before the first fork or after the last ([`Forks`]).
    fn start_all(&mut self, slots: &[usize], first: u64) -> Result<()> {
        let method = self.starter.method_now(self.settings.initializer.as_ref());
        let prepared = slots.iter().try_for_each(|&slot| self.prepare(slot, first));
        let prepared = prepared.and_then(|()| self.write_nodes());
        let outcome = prepared.and_then(|()| match method {
            StartMethod::Fork => self.fork_all(slots),
            _ => self.order_all(slots, method),
        });
        if let Err(error) = &outcome {
            self.start_failure = error.to_string();
        }
        for &slot in slots {
            let Some(pid) = self.pids[slot] else {
                let error = self.start_failure.clone();
                self.journal.note(Event::StartFailed { slot, error });
                continue;
            };
            #[cfg(feature = "async")]
            self.wake_set.iter_mut().for_each(|set| set.add(pid));
            self.journal
                .note(Event::WorkerStarted { slot, pid, method });
            let record = self.records.get_mut(slot);
            if record.is_some_and(|record| std::mem::take(&mut record.is_bereft)) {
                self.count(slot, Count::Respawns);
            }
        }
        outcome
    }

    /// Resets a slot for a new worker.
    fn prepare(&self, slot_index: usize, first: u64) -> Result<()> {
        let board = Board::of(&self.heap);
        let slot = &board.slots[slot_index];
        slot.lifeline.reset()?;
        board.last_panics[slot_index].clear();
        slot.run.store(0, Ordering::Relaxed);
        slot.n_tasks.store(0, Ordering::Relaxed);
        slot.n_panicked.store(0, Ordering::Relaxed);
        slot.is_up.store(0, Ordering::Relaxed);
        slot.lacks_room.store(0, Ordering::Relaxed);
        slot.lacks_memory.store(0, Ordering::Relaxed);
        slot.is_retired.store(0, Ordering::Relaxed);
        slot.is_dismissed.store(0, Ordering::Relaxed);
        slot.is_offered.store(0, Ordering::Relaxed);
        slot.state.store(AWAKE, Ordering::SeqCst);
        slot.job.store(first, Ordering::SeqCst);
        Ok(())
    }

    /// Writes the workers' nodes, once, if the workers are not on this machine.
    fn write_nodes(&mut self) -> Result<()> {
        if self.nodes == 0
            && let Some(nodes) = self.settings.encoded_nodes()?
        {
            self.nodes = record::write(&self.heap, &nodes)?;
        }
        Ok(())
    }

    /// Forks a worker for each slot, which inherits the initialiser. Tries all slots, and returns
    /// the first error.
    fn fork_all(&mut self, slots: &[usize]) -> Result<()> {
        let Crew {
            heap,
            settings,
            eventfd,
            starter,
            pids,
            ..
        } = self;
        let call_shipped;
        let run: Option<&dyn Fn()> = match &settings.initializer {
            Some(initializer) => match initializer.shipped {
                Ok(shipped) => {
                    call_shipped = move || {
                        if !shipped() {
                            child::exit_now(FAILED_TO_START);
                        }
                    };
                    Some(&call_shipped)
                }
                Err(_) => Some(initializer.run.get().ok_or_else(not_its_thread)?),
            },
            None => None,
        };
        let eventfd = eventfd.as_ref();
        let base = Base { heap, eventfd };
        let mut duty = duty(base, settings, pids.len(), self.n_cpus, run);
        duty.nodes = self.nodes;
        let forks = Forks::begin()?;
        let mut outcome = Ok(());
        for &slot in slots {
            duty.slot_index = slot;
            match starter.fork(&forks, &duty, settings.slots_beside(slot)) {
                Ok(pid) => pids[slot] = Some(pid),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Asks a server to start a worker for each slot. Errors are as for
    /// [`fork_all`](Crew::fork_all).
    fn order_all(&mut self, slots: &[usize], method: StartMethod) -> Result<()> {
        self.write_for_orders()?;
        let Crew {
            heap,
            settings,
            eventfd,
            starter,
            pids,
            ..
        } = self;
        let eventfd = eventfd.as_ref();
        let base = Base { heap, eventfd };
        let mut duty = duty(base, settings, pids.len(), self.n_cpus, None);
        duty.nodes = self.nodes;
        let spawns = method == StartMethod::Spawn;
        let mut outcome = Ok(());
        for &slot in slots {
            duty.slot_index = slot;
            let order = fresh::order(&duty, spawns, self.initializer, self.conditions);
            match starter.order(&duty, order, settings.slots_beside(slot)) {
                Ok(pid) => pids[slot] = Some(pid),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Writes, once, what workers that inherit nothing need.
    fn write_for_orders(&mut self) -> Result<()> {
        if self.initializer == 0
            && let Some(initializer) = &self.settings.initializer
        {
            let shipped = initializer
                .to_ship("end the threads that this process has started since it made the pool")?;
            self.initializer = function::write(&self.heap, shipped as *const ())?;
        }
        if self.conditions == 0 {
            self.conditions = self.settings.conditions.write(&self.heap)?;
        }
        Ok(())
    }

    /// Makes slots for `n` workers, and dismisses those in higher slots, which finish their chunk
    /// first. New slots stay empty.
    pub(in crate::pool) fn set_number(&mut self, n: usize) {
        self.n_wanted = n;
        if self.pids.len() < n {
            self.pids.resize(n, None);
        }
        let board = Board::of(&self.heap);
        for (index, slot) in board.slots[..self.pids.len()].iter().enumerate() {
            slot.is_dismissed
                .store(u32::from(index >= n), Ordering::SeqCst);
        }
        self.wake(usize::MAX);
    }

    /// Waits until dismissed workers have left; for a pool without jobs.
    pub(in crate::pool) fn await_dismissed(&mut self) {
        let n_wanted = self.n_wanted;
        for slot in n_wanted..self.pids.len() {
            let pid = self.vacate(slot);
            self.dying.extend(pid);
        }
        self.await_ends();
        self.pids.truncate(n_wanted);
    }

    /// Whether to fill an empty slot again at once. If not, the next job tries.
    pub(in crate::pool) fn is_wanted(&self, slot: usize) -> bool {
        let n_failed_starts = self
            .records
            .get(slot)
            .map_or(0, |record| record.n_failed_starts);
        slot < self.n_wanted && n_failed_starts < MAX_FAILED_STARTS
    }

    /// Registers a job's own time limit, if it has one.
    pub(in crate::pool) fn limit(&mut self, job: u64, limit: Option<Duration>) {
        self.time_limits.open(job, limit);
    }

    /// Forgets the time limit of a job that has ended.
    pub(in crate::pool) fn unlimit(&mut self, job: u64) {
        self.time_limits.close(job);
    }

    /// Notes how long the owner has slept between two samples of the workers' progress, and how
    /// long it intended to.
    pub(in crate::pool) fn slept(&mut self, slept: Duration, intended: Duration) {
        self.time_limits.forgive(slept, intended);
    }

    /// How long the owner may sleep before it must sample the workers' progress again.
    pub(in crate::pool) fn patience(&self) -> Option<Duration> {
        self.time_limits.interval()
    }
}
