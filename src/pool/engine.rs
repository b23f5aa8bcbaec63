//! The owner's side of a pool: starts workers, publishes jobs, waits, and makes up for deaths.
//!
//! Who owns what: the owner alone forks, reaps and replaces workers, publishes jobs, and gives
//! memory back. Everything happens inside the owner's calls; there is no helper thread.
//!
//! When a worker dies, the job that it was in can no longer be counted to its end. The owner then
//! waits until every other worker has left that job, looks which positions have an answer, turns
//! the one that was running into an error, and publishes what is missing as a new job. So nothing
//! is lost and nothing is run twice.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cpus;
use crate::error::{Cause, Error, Result};
use crate::shared::heap::{Heap, Offset};
use crate::symbol::Symbol;
use crate::sys::atomic::Ordering;
use crate::sys::child::{self, Ended, Side};
use crate::sys::futex;

use super::board::{ASLEEP, AWAKE, Board, JobSpec, MAX_WORKERS, N_JOBS, SPINNING};
use super::lane;
use super::task::Trampoline;
use super::worker::{self, Duty, LocalCall};

/// What every worker of a pool is started with.
pub(super) struct Settings {
    pub(super) n_workers: usize,
    pub(super) initializer: Option<Rc<dyn Fn()>>,
    /// After how many tasks a worker is replaced by a fresh one.
    pub(super) max_tasks: u64,
    /// What workers that are forked for one call inherit; `None` for those that live on.
    pub(super) local: Option<LocalCall>,
}

/// How long the owner lets a tiny job run before it wakes more workers than one.
const HEAD_START: Duration = Duration::from_micros(5);
/// How long the owner looks for the end of a job before it sleeps.
const SPIN: Duration = Duration::from_micros(50);
/// As for workers: spinning that did not help is given up, and tried again now and then.
const FRUITLESS_SPINS: u32 = 3;
const TRY_AGAIN: u32 = 16;
/// A worker that dies before it holds its lifeline is noticed this late at the latest.
const BACKSTOP: Duration = Duration::from_millis(100);
/// How long a death's cause is waited for before the death is reported without it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A pool's workers and what is in flight.
pub(super) struct Engine {
    heap: Rc<Heap>,
    owner: u32,
    settings: Rc<Settings>,
    /// The worker on each seat; `None` where none could be started.
    pids: Vec<Option<i32>>,
    /// Workers that are dead but whose memory the kernel is still freeing.
    dying: Vec<i32>,
    /// Jobs that were published and not yet collected.
    open: BTreeMap<u64, OpenJob>,
    functions: HashMap<usize, Offset>,
    is_closed: bool,
    /// No worker is to be started any more.
    is_terminated: bool,
    /// Why the last worker that is missing could not be started.
    start_failure: String,
    fruitless_spins: u32,
    n_cpus: usize,
}

#[derive(Default)]
struct OpenJob {
    deaths: Vec<Death>,
}

/// A worker that died in a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    /// The position that it was running, if it was running one.
    pub(super) position: Option<u64>,
    pub(super) pid: i32,
    pub(super) ended: Ended,
}

impl Death {
    pub(super) fn cause(self) -> Cause {
        match self.ended {
            Ended::Exited(code) => Cause::Exited { code },
            Ended::Signalled(signal) => Cause::Signalled { signal },
            Ended::Unknown => Cause::Vanished,
        }
    }
}

impl Engine {
    /// Makes the shared memory and starts the workers.
    ///
    /// # Errors
    /// `is_multi_threaded()`, `is_invalid_input()` for 0 or more than 1,024 workers, `is_os()`; no
    /// process is left then.
    pub(super) fn start(settings: &Rc<Settings>) -> Result<Engine> {
        let n_workers = settings.n_workers;
        if n_workers == 0 {
            return Err(Error::invalid_input(
                "a pool of 0 workers would never run anything; give at least 1, or use Pool::new() \
                 for as many as this process may use processors",
            ));
        }
        if n_workers > MAX_WORKERS {
            return Err(Error::invalid_input(format!(
                "a pool has at most {MAX_WORKERS} workers, not {n_workers}"
            )));
        }
        let mut engine = Engine::idle(settings)?;
        for seat in 0..n_workers {
            if let Err(error) = engine.start_worker(seat) {
                engine.terminate();
                return Err(error);
            }
        }
        Ok(engine)
    }

    /// An engine that takes no tasks and has no workers: what a closed pool is in a forked child.
    pub(super) fn closed(settings: &Rc<Settings>) -> Result<Engine> {
        let mut engine = Engine::idle(settings)?;
        engine.is_closed = true;
        Ok(engine)
    }

    fn idle(settings: &Rc<Settings>) -> Result<Engine> {
        Ok(Engine {
            heap: Rc::new(Heap::new(Board::BYTES)?),
            owner: std::process::id(),
            settings: Rc::clone(settings),
            pids: vec![None; settings.n_workers],
            dying: Vec::new(),
            open: BTreeMap::new(),
            functions: HashMap::new(),
            is_closed: false,
            is_terminated: false,
            start_failure: String::new(),
            fruitless_spins: 0,
            n_cpus: cpus::runnable(),
        })
    }

    /// The process that may use this engine; in any other, its workers are somebody else's.
    pub(super) fn owner(&self) -> u32 {
        self.owner
    }

    pub(super) fn heap(&self) -> &Rc<Heap> {
        &self.heap
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The workers' pids, after dead ones were replaced.
    pub(super) fn pids(&mut self) -> Vec<i32> {
        self.replace_dead(true);
        self.pids.iter().copied().flatten().collect()
    }

    /// The shared record of a function's name, made on first use.
    pub(super) fn function(&mut self, trampoline: Trampoline) -> Result<Offset> {
        let address = trampoline as *const ();
        if let Some(&record) = self.functions.get(&(address as usize)) {
            return Ok(record);
        }
        let symbol = Symbol::of(address)?.to_bytes();
        let record = self.heap.take(size_of::<u64>() + symbol.len())?;
        // SAFETY: the block was just taken with room for the length and the symbol.
        unsafe {
            let place = self.heap.at(record);
            place.cast::<u64>().write(symbol.len() as u64);
            std::ptr::copy_nonoverlapping(
                symbol.as_ptr(),
                place.add(size_of::<u64>()),
                symbol.len(),
            );
        }
        self.functions.insert(address as usize, record);
        Ok(record)
    }

    /// Puts a job into the queue and wakes one worker if none is about to look; the id is its
    /// place in the queue.
    pub(super) fn publish(&mut self, spec: &JobSpec) -> Result<u64> {
        self.replace_dead(false);
        self.fill_seats()?;
        let board = Board::of(&self.heap);
        let id = board.tail.load(Ordering::Relaxed);
        self.wait_for_room(id);
        let board = Board::of(&self.heap);
        board.job(id).fill(spec);
        self.open.insert(id, OpenJob::default());
        board.tail.store(id + 1, Ordering::SeqCst);
        if board.n_in_state(self.pids.len(), SPINNING) == 0 {
            self.wake(1);
        }
        Ok(id)
    }

    /// Waits until one of the jobs has ended, or the deadline; false if none has ended.
    pub(super) fn wait(&mut self, ids: &[u64], deadline: Option<Instant>) -> bool {
        if self.spin(ids, HEAD_START) {
            return true;
        }
        let board = Board::of(&self.heap);
        let n_items = |id: &u64| board.job(*id).n_items.load(Ordering::Relaxed) as usize;
        self.wake(ids.iter().map(n_items).sum());
        let mut may_spin = self.may_spin();
        loop {
            self.replace_dead(false);
            if self.has_ended(ids) {
                return true;
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return false;
            }
            if std::mem::take(&mut may_spin) && self.spin(ids, SPIN) {
                self.fruitless_spins = 0;
                return true;
            }
            if !self.sleep(ids, deadline) {
                self.replace_dead(true);
            }
        }
    }

    /// Takes a job that has ended off the books and says which workers died in it.
    pub(super) fn close_job(&mut self, id: u64) -> Vec<Death> {
        self.open
            .remove(&id)
            .map(|job| job.deaths)
            .unwrap_or_default()
    }

    /// Whether some worker is there to run something.
    pub(super) fn has_workers(&self) -> bool {
        self.pids.iter().any(Option::is_some)
    }

    /// Why there is no worker, in words.
    pub(super) fn start_failure(&self) -> &str {
        &self.start_failure
    }

    /// Lets the workers end when they have emptied the queue.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        Board::of(&self.heap).closed.store(1, Ordering::SeqCst);
        self.wake(usize::MAX);
    }

    /// Waits until every worker has ended. What is in the queue must have been waited for: who
    /// dies now is not replaced.
    pub(super) fn join(&mut self) {
        let pids = self.pids.iter_mut().filter_map(Option::take);
        for pid in pids.chain(self.dying.drain(..)) {
            child::reap(pid);
        }
    }

    /// Kills the workers, whatever they do, and reaps them.
    pub(super) fn terminate(&mut self) {
        self.is_closed = true;
        self.is_terminated = true;
        self.start_failure = "the pool was terminated".to_owned();
        let pids: Vec<i32> = self.pids.iter_mut().filter_map(Option::take).collect();
        for &pid in &pids {
            child::kill(pid, Signal::SIGKILL);
        }
        for pid in pids.into_iter().chain(self.dying.drain(..)) {
            child::reap(pid);
        }
    }

    /// A job has ended when all of it is done, or when a worker died in it and every other has left.
    fn has_ended(&self, ids: &[u64]) -> bool {
        let board = Board::of(&self.heap);
        ids.iter().any(|&id| {
            if board.job(id).is_done() {
                return true;
            }
            let is_degraded = self.open.get(&id).is_some_and(|job| !job.deaths.is_empty());
            (is_degraded || !self.has_workers()) && self.everyone_is_past(id)
        })
    }

    fn everyone_is_past(&self, id: u64) -> bool {
        let board = Board::of(&self.heap);
        let mut seats = self.pids.iter().zip(&board.seats);
        seats.all(|(pid, seat)| pid.is_none() || seat.position.load(Ordering::SeqCst) > id)
    }

    /// Waits until the queue's slot for `id` is free again.
    fn wait_for_room(&mut self, id: u64) {
        let Some(previous) = id.checked_sub(N_JOBS as u64) else {
            return;
        };
        while !self.everyone_is_past(previous) {
            self.wake(usize::MAX);
            self.replace_dead(true);
            let deadline = Instant::now() + Duration::from_millis(1);
            self.sleep(&[previous], Some(deadline));
        }
    }

    /// Looks for the end of a job without sleeping.
    fn spin(&self, ids: &[u64], limit: Duration) -> bool {
        let board = Board::of(&self.heap);
        let is_done = || ids.iter().any(|&id| board.job(id).is_done());
        if self.n_cpus < 2 {
            return is_done();
        }
        let until = Instant::now() + limit;
        loop {
            for _ in 0..16 {
                if is_done() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    fn may_spin(&mut self) -> bool {
        self.fruitless_spins += 1;
        self.fruitless_spins <= FRUITLESS_SPINS || self.fruitless_spins.is_multiple_of(TRY_AGAIN)
    }

    /// Sleeps until something may have happened to a job; false if nothing did for a while.
    fn sleep(&self, ids: &[u64], deadline: Option<Instant>) -> bool {
        let board = Board::of(&self.heap);
        let completion = &board.completion;
        completion.owner_sleeps.store(1, Ordering::SeqCst);
        let event = completion.event.load(Ordering::SeqCst);
        let mut words = vec![(&completion.event, event)];
        for (seat, pid) in board.seats.iter().zip(&self.pids) {
            if pid.is_some() {
                let word = seat.lifeline.word();
                words.push((word, word.load(Ordering::Acquire) & !futex::OWNER_DIED));
            }
        }
        let backstop = Instant::now() + BACKSTOP;
        if !self.has_ended(ids) {
            futex::wait_any(&words, deadline.map_or(backstop, |at| at.min(backstop)));
        }
        completion.owner_sleeps.store(0, Ordering::SeqCst);
        Instant::now() < backstop
    }

    /// Wakes up to `n` workers that sleep.
    fn wake(&self, n: usize) {
        let board = Board::of(&self.heap);
        let mut left = n.min(self.pids.len());
        for seat in &board.seats[..self.pids.len()] {
            if left == 0 {
                return;
            }
            let woken =
                seat.state
                    .compare_exchange(ASLEEP, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
            if woken.is_ok() {
                futex::wake(&seat.state, 1);
                left -= 1;
            }
        }
    }

    /// Notices dead workers, notes in which job they died, and starts new ones in their places.
    /// With `thorough`, also those that died before they held their lifeline.
    fn replace_dead(&mut self, thorough: bool) {
        self.dying.retain(|&pid| child::try_reap(pid).is_none());
        for seat in 0..self.pids.len() {
            let Some(pid) = self.pids[seat] else { continue };
            let is_cut = Board::of(&self.heap).seats[seat].lifeline.is_cut();
            let ended = if is_cut {
                Some(self.last_words(pid))
            } else if thorough {
                child::try_reap(pid)
            } else {
                None
            };
            if let Some(ended) = ended {
                self.bury(seat, pid, ended);
            }
        }
    }

    /// How a worker whose lifeline is cut came to its end. Reaps it if that is possible at once;
    /// a large worker's memory takes its time.
    fn last_words(&mut self, pid: i32) -> Ended {
        // A worker that replaced its program has no way back, but lives.
        child::kill(pid, Signal::SIGKILL);
        if let Some(ended) = child::try_reap(pid) {
            return ended;
        }
        if let Some(ended) = child::peek_ending(pid) {
            self.dying.push(pid);
            return ended;
        }
        child::reap_before(pid, Instant::now() + LAST_WORDS).unwrap_or_else(|| {
            self.dying.push(pid);
            Ended::Unknown
        })
    }

    fn bury(&mut self, seat_index: usize, pid: i32, ended: Ended) {
        let board = Board::of(&self.heap);
        let seat = &board.seats[seat_index];
        let position = seat.position.load(Ordering::Acquire);
        let is_retired = seat.is_retired.load(Ordering::Acquire) != 0;
        if !is_retired && let Some(job) = self.open.get_mut(&position) {
            job.deaths.push(Death {
                position: lane::running(&self.heap, seat),
                pid,
                ended,
            });
            board.job(position).degraded.store(1, Ordering::SeqCst);
            // The job ends when everybody has left it, and who slept through it never came.
            self.wake(usize::MAX);
        }
        self.pids[seat_index] = None;
        // A place that stays empty is tried again with the next job.
        if ended == Ended::Exited(worker::FAILED_TO_START) {
            self.start_failure = "the pool's initializer panicked".to_owned();
        } else if self.needs_workers()
            && let Err(error) = self.start_worker(seat_index)
        {
            self.start_failure = error.to_string();
        }
    }

    fn needs_workers(&self) -> bool {
        !self.is_terminated && (!self.is_closed || !self.open.is_empty())
    }

    /// Starts workers on empty seats. Only a pool without any worker is an error.
    fn fill_seats(&mut self) -> Result<()> {
        if self.is_terminated {
            return Err(Error::closed());
        }
        let mut outcome = Ok(());
        for seat in 0..self.pids.len() {
            if self.pids[seat].is_none() {
                outcome = outcome.and(self.start_worker(seat));
            }
        }
        if self.has_workers() { Ok(()) } else { outcome }
    }

    fn start_worker(&mut self, seat_index: usize) -> Result<()> {
        let board = Board::of(&self.heap);
        let seat = &board.seats[seat_index];
        seat.lifeline.reset()?;
        seat.run.store(0, Ordering::Relaxed);
        seat.n_tasks.store(0, Ordering::Relaxed);
        seat.is_retired.store(0, Ordering::Relaxed);
        seat.state.store(AWAKE, Ordering::SeqCst);
        // It begins at the oldest job that may still have something to claim.
        let first_open = self.open.keys().next().copied();
        let tail = board.tail.load(Ordering::Relaxed);
        seat.position
            .store(first_open.unwrap_or(tail), Ordering::SeqCst);
        let duty = Duty {
            heap: &self.heap,
            seat_index,
            n_workers: self.pids.len(),
            initializer: self.settings.initializer.as_deref(),
            max_tasks: self.settings.max_tasks,
            local: self.settings.local,
            max_spinners: self.n_cpus.saturating_sub(1),
        };
        match child::fork()? {
            Side::Child => worker::work(&duty),
            Side::Parent(pid) => {
                self.pids[seat_index] = Some(pid);
                Ok(())
            }
        }
    }
}
