//! A worker's loop: wait for a job, find its function, run it, leave it, until the queue is closed.

use std::collections::HashMap;

use crate::caught;
use crate::error::{Cause, Result};
use crate::shared::heap::{Heap, Offset};
use crate::symbol::KnownFiles;
use crate::sys::atomic::Ordering;
use crate::sys::{Origin, child, fifo};

use super::conditions::Conditions;
use crate::pool::call::decoded::Decoded;
use crate::pool::call::work::{Trampoline, Work};
use crate::pool::settings::LocalCall;
use crate::pool::shm::base::Base;
use crate::pool::shm::board::{AWAKE, Board, Job, SPINNING, Slot};
use crate::pool::shm::contexts;
use crate::pool::shm::desk::{Desk, Shm};
use crate::pool::shm::function;
use crate::pool::shm::sleep;
use crate::pool::shm::spin::Spinner;

/// What a worker gets when it starts.
pub(super) struct Duty<'a> {
    pub(in crate::pool) base: Base<'a>,
    pub(in crate::pool) slot_index: usize,
    pub(in crate::pool) n_workers: usize,
    pub(in crate::pool) conditions: &'a Conditions,
    pub(in crate::pool) initializer: Option<&'a dyn Fn()>,
    /// The number of tasks after which the worker retires.
    pub(in crate::pool) max_tasks: u64,
    pub(in crate::pool) local: Option<LocalCall>,
    /// How many workers may wait without sleeping.
    pub(super) max_spinners: usize,
    /// The offset of the nodes for whose workers this one stands in; 0 if it runs tasks itself.
    pub(super) nodes: Offset,
}

/// Works until the queue is closed; the process then ends.
pub(super) fn work(duty: &Duty<'_>) -> ! {
    let board = duty.base.board();
    let slot = &board.slots[duty.slot_index];
    slot.lifeline.hold();
    child::pass_interrupts();
    let origin = Origin::here();
    if let Err(error) = duty.conditions.set(slot) {
        board.last_panics[duty.slot_index].add(&error.to_string());
        child::exit_now(FAILED_TO_PREPARE);
    }
    if let Some(initializer) = duty.initializer
        && caught::run(initializer).is_err()
    {
        child::exit_now(FAILED_TO_START);
    }
    origin.check();
    // The initialiser may have changed this process's credentials.
    child::rearm();
    slot.is_up.store(1, Ordering::Release);
    let contexts = Decoded::default();
    let mut worker = Worker {
        duty,
        board,
        slot,
        functions: HashMap::new(),
        contexts: &contexts,
        files: KnownFiles::new(),
        spinner: Spinner::new(duty.max_spinners + 1),
        has_channels: duty.local.is_none(),
    };
    let mut id = slot.job.load(Ordering::SeqCst);
    while worker.wait_for_job(id) {
        worker.serve(id);
        id += 1;
        if slot.n_tasks.load(Ordering::Relaxed) >= duty.max_tasks {
            break;
        }
    }
    if board.owner.is_cut() {
        board.owner.pass_on();
    }
    // From here on, its exit is not a death.
    slot.is_retired.store(1, Ordering::Release);
    child::exit_now(0)
}

/// The exit code of a worker that cannot set its conditions.
pub(super) const FAILED_TO_PREPARE: i32 = 112;
/// The exit code of a worker whose initialiser panicked.
pub(super) const FAILED_TO_START: i32 = 113;
/// The exit code of a relay whose node cannot be reached, or is lost.
pub(super) const NODE_LOST: i32 = 114;

struct Worker<'a> {
    duty: &'a Duty<'a>,
    board: &'a Board,
    slot: &'a Slot,
    /// For each function record: the address of the code, or why it was not found.
    functions: HashMap<Offset, Result<Trampoline<Shm>>>,
    /// Decoded contexts that are in use.
    contexts: &'a Decoded,
    /// The files in which functions were found.
    files: KnownFiles,
    spinner: Spinner,
    /// Whether this process may have inherited ends of channels, which no task needs while it
    /// sleeps.
    has_channels: bool,
}

impl Worker<'_> {
    /// Waits until there is a job at `id`; false if there will be none, or none for this worker.
    fn wait_for_job(&mut self, id: u64) -> bool {
        if self.is_dismissed() || self.board.owner.is_cut() {
            return false;
        }
        if self.board.has_job(id) {
            return true;
        }
        if self.spin(id) {
            return true;
        }
        // A task may have changed this process's credentials. Nothing waits for this worker now, so
        // the call delays no task.
        child::rearm();
        if self.has_channels {
            // It would otherwise count as a sender for as long as the pool lives. A task that uses
            // a channel counts again, until the worker next sleeps.
            self.has_channels = fifo::shut_writers();
        }
        // Otherwise a worker that is killed while it sleeps would lose what its tasks have printed.
        child::flush_c_streams_if_alone();
        let is_over = || self.board.has_job(id) || self.board.is_closed() || self.is_dismissed();
        loop {
            let has_dead = || {
                self.contexts
                    .has_dead(|id| contexts::is_alive(self.duty.base.heap, id))
            };
            sleep::until(&self.slot.state, &self.board.owner, || {
                is_over() || has_dead()
            });
            self.forget_dead_contexts();
            if is_over() || self.board.owner.is_cut() {
                break;
            }
        }
        self.board.has_job(id) && !self.is_dismissed()
    }

    /// Drops decoded contexts that their owner has freed.
    fn forget_dead_contexts(&self) {
        let is_alive = |id| contexts::is_alive(self.duty.base.heap, id);
        self.contexts.forget_dead(is_alive);
    }

    fn is_dismissed(&self) -> bool {
        self.slot.is_dismissed.load(Ordering::SeqCst) != 0
    }

    /// Spins for a job for a while, unless enough other workers do.
    fn spin(&mut self, id: u64) -> bool {
        let (board, slot, n_workers) = (self.board, self.slot, self.duty.n_workers);
        if board.n_in_state(n_workers, SPINNING) >= self.duty.max_spinners {
            return false;
        }
        slot.state.store(SPINNING, Ordering::SeqCst);
        let is_to_end = || board.is_closed() || slot.is_dismissed.load(Ordering::SeqCst) != 0;
        let is_over = || board.has_job(id) || is_to_end();
        self.spinner.until(|| board.n_awake(n_workers), is_over);
        slot.state.store(AWAKE, Ordering::SeqCst);
        board.has_job(id)
    }

    /// Runs what it can claim of a job, and leaves it.
    fn serve(&mut self, id: u64) {
        // Contexts that the owner freed before it published the job are seen as freed here.
        self.forget_dead_contexts();
        let job = self.board.job(id);
        let may_run = job.is_for(self.duty.slot_index) && !job.is_exhausted();
        let n_done = if may_run { self.run(job) } else { 0 };
        self.duty.base.leave(self.slot, id, n_done);
    }

    fn run(&mut self, job: &Job) -> u64 {
        let last_panic = &self.board.last_panics[self.duty.slot_index];
        let slot = (self.slot, last_panic);
        let desk = Desk::new(self.duty.base.heap, job, slot, self.duty.max_tasks);
        let mut work = Work::new(desk, self.contexts);
        let record = job.function.load(Ordering::Relaxed);
        match (record, self.duty.local) {
            (0, Some(local)) => {
                // SAFETY: the owner forked this process for exactly this call; `local` points to
                // inherited memory that does not change: the process ends with the job.
                unsafe { (local.run)(local.call, &mut work) }
            }
            _ => match self.function(record) {
                // SAFETY: the record names the trampoline that was made for this job's function and
                // argument type, in the very file that its maker had loaded.
                Ok(trampoline) => unsafe { trampoline(&mut work) },
                Err(cause) => work.fail_all(&cause),
            },
        }
        work.n_done()
    }

    fn function(&mut self, record: Offset) -> std::result::Result<Trampoline<Shm>, Cause> {
        let heap = self.duty.base.heap;
        self.functions
            .entry(record)
            .or_insert_with(|| find(heap, record, &mut self.files))
            .as_ref()
            .copied()
            .map_err(|error| Cause::FunctionNotFound(error.to_string()))
    }
}

fn find(heap: &Heap, record: Offset, files: &mut KnownFiles) -> Result<Trampoline<Shm>> {
    let address = function::find(heap, record, files)?;
    // SAFETY: the record was made from a `Trampoline`, and `find` has checked that the file is the
    // same and that there is code at the offset.
    Ok(unsafe { std::mem::transmute::<*const (), Trampoline<Shm>>(address) })
}
