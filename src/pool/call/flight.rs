//! A batch in flight, named by its number in the pool that serves it.

use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::Waker;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::{Result, TaskError};
use crate::sys::process_id;

use super::batch::Terms;
use super::collate::{Collect, Collector, Landed, Partial};
use super::copied::Copied;
#[cfg(feature = "async")]
use super::futures::Polled;
#[cfg(feature = "cluster")]
use super::harvest::{self, Harvest};
use super::notes::Notes;
use super::options::Options;
use super::outcome::{Failed, landed_as};
use super::shared::{Batch, Load, Shared, State, Watch};
use super::slots::Slots;
use super::transport::Look;
use super::turns::Underway;
use super::work::Trampoline;
use crate::pool::shm::desk::Shm;
#[cfg(feature = "cluster")]
use crate::shared::heap::Offset;

/// The delay before a running map is first checked for large results, and before the next check if
/// there were some.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// How long a thread waits for space in a full queue before it checks the workers.
const QUEUE_NAP: Duration = Duration::from_millis(1);

/// The function to call.
#[derive(Clone, Copy)]
pub(in crate::pool) enum Function {
    /// A non-capturing function, by its offset in its shared object.
    Shipped(Trampoline<Shm>),
    /// The function that the engine's workers have inherited.
    Inherited,
    /// A function named by another process, by the offset at which its name is written.
    #[cfg(feature = "cluster")]
    Written(Offset),
}

/// A batch that is published and not yet collated.
pub(in crate::pool) struct Flight {
    shared: Arc<Shared>,
    /// The batch's number.
    number: u64,
    n_items: usize,
    /// What to watch first.
    watch: Watch,
    owner: u32,
}

impl Flight {
    /// Publishes a function over encoded arguments.
    pub(in crate::pool) fn launch(
        shared: &Arc<Shared>,
        function: Function,
        encoded: Load,
        options: Options,
    ) -> Result<Flight> {
        Flight::launch_for(shared, function, encoded, options, None)
    }

    /// As [`launch`](Flight::launch), for the worker on one slot only.
    #[inline(never)]
    pub(in crate::pool) fn launch_for(
        shared: &Arc<Shared>,
        function: Function,
        encoded: Load,
        options: Options,
        only_slot: Option<usize>,
    ) -> Result<Flight> {
        let n_items = encoded.n_items;
        let mut state = shared.lock_open()?;
        state.sweep();
        while !state.engine.has_room() {
            drop(state);
            std::thread::sleep(QUEUE_NAP);
            state = shared.lock_open()?;
            state.engine.look_after_workers(true);
        }
        let State { engine, .. } = &mut *state;
        let function = match function {
            Function::Shipped(trampoline) => engine.function(trampoline)?,
            Function::Inherited => 0,
            #[cfg(feature = "cluster")]
            Function::Written(name) => name,
        };
        let terms = Terms {
            options,
            only_slot,
            retries: shared.settings().retries,
        };
        let batch = Batch::publish(engine, function, encoded, terms)?;
        let watch = engine.watch(&[batch.job()]);
        state.n_batches += 1;
        let number = state.n_batches;
        state.wanted.insert(number, batch);
        Ok(Flight {
            shared: Arc::clone(shared),
            number,
            n_items,
            watch,
            owner: process_id(),
        })
    }

    /// Waits until every item has a result or an error; false if the deadline came first.
    pub(in crate::pool) fn wait(&self, deadline: Option<Instant>) -> bool {
        if self.is_lost() {
            return true;
        }
        let step = &mut |state: &mut State| self.advance(state);
        self.shared.wait(&self.watch, deadline, step)
    }

    /// What to watch until every item has a result or an error; `None` if it has.
    fn advance(&self, state: &mut State) -> Option<Watch> {
        let State { engine, wanted, .. } = state;
        let batch = wanted.get_mut(&self.number)?;
        let is_complete = batch.advance(engine);
        (!is_complete).then(|| engine.watch(&[batch.job()]))
    }

    /// Takes the results and errors of all items, in the form in which they are sent to another
    /// process; `None` if some item has neither yet.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn harvest(&self) -> Option<Harvest> {
        if !self.wait(Some(Instant::now())) {
            return None;
        }
        let mut harvest = Harvest::default();
        if let Some(batch) = self.wait_and_take(&mut harvest) {
            harvest.task_ns = batch
                .results()
                .map(|(results, _)| results.task_ns)
                .max()
                .unwrap_or(0);
            let mut notes = Notes::by_the_clock();
            for (part, items) in batch.results() {
                part.gather(items, batch.deaths(), &mut notes);
            }
            harvest.visits = harvest::visits(&notes.noted());
            batch.collect(&mut harvest);
        }
        Some(harvest)
    }

    /// Whether every item has a result or an error. If not, `waker` wakes its task when they have.
    #[cfg(feature = "async")]
    pub(in crate::pool) fn poll(&self, waker: &Waker, polled: &mut Polled) -> bool {
        self.is_lost() || self.shared.poll(self.number, waker, polled)
    }

    pub(in crate::pool) fn n_items(&self) -> usize {
        self.n_items
    }

    /// Whether the pool's own workers serve it, rather than workers forked for it.
    pub(in crate::pool) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// The workers that serve it.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The batch's progress.
    // Only the `progress` feature uses this.
    #[cfg_attr(not(feature = "progress"), allow(dead_code))]
    pub(in crate::pool) fn look(&self) -> Look {
        if self.is_lost() {
            return Look::default();
        }
        let Ok(state) = self.shared.lock() else {
            return Look::default();
        };
        let batch = state.wanted.get(&self.number);
        batch
            .map(|batch| batch.look(&state.engine))
            .unwrap_or_default()
    }

    /// Waits until one of several batches of one stream may have ended.
    pub(in crate::pool) fn wait_for_any<'f>(flights: impl Iterator<Item = &'f Flight> + Clone) {
        let Some(first) = flights.clone().next().filter(|flight| !flight.is_lost()) else {
            return;
        };
        let step = &mut |state: &mut State| {
            let State { engine, wanted, .. } = state;
            let mut jobs = Vec::new();
            for flight in flights.clone() {
                let batch = wanted.get_mut(&flight.number)?;
                if batch.advance(engine) {
                    return None;
                }
                jobs.push(batch.job());
            }
            Some(engine.watch(&jobs))
        };
        let watch = first
            .shared
            .lock()
            .ok()
            .and_then(|mut state| step(&mut state));
        if let Some(watch) = watch {
            first.shared.wait(&watch, None, step);
        }
    }

    /// Waits for the results and takes them: all, or each item's result or error.
    pub(in crate::pool) fn land<R: DeserializeOwned>(
        &self,
    ) -> std::result::Result<Vec<R>, Failed<R>> {
        let slots = Slots::new::<R>(self.n_items);
        let landed = self.collate(slots, &mut |_| (), &mut Notes::default());
        // SAFETY: the slots were made for this type.
        unsafe { landed_as(landed) }
    }

    /// Waits for the results and puts each into its item's slot. `make_way` is called before each
    /// large result is made, with whether all tasks have ended; `notes` record where the time goes.
    #[inline(never)]
    pub(super) fn collate(
        &self,
        slots: Slots,
        make_way: &mut dyn FnMut(bool),
        notes: &mut Notes,
    ) -> std::result::Result<Slots, Box<Partial>> {
        let mut results = Collector::new(slots, make_way);
        self.collect(&mut results, notes);
        results.finish()
    }

    /// Waits for the results and passes them to `results`.
    fn collect(&self, results: &mut dyn Collect, notes: &mut Notes) {
        let batch = self.wait_and_take(results);
        notes.returned();
        let Some(batch) = batch else {
            let lost = |item| TaskError::not_run(item, "its results belong to another process");
            let failures = (0..self.n_items).map(|item| (item, lost(item)));
            results.take_rest(Landed {
                failures: failures.collect(),
                n_deaths: Default::default(),
                visit: &|_| {},
            });
            return;
        };
        for (part, items) in batch.results() {
            part.gather(items, batch.deaths(), notes);
        }
        #[cfg(feature = "cluster")]
        if let Some(nodes) = &self.shared.settings().nodes {
            notes.are_of(nodes);
        }
        batch.collect(results);
    }

    /// Waits until every item has a result or an error, and removes the batch from the pool. Takes
    /// large results during the wait: making them takes as long as the workers take to send them.
    fn wait_and_take(&self, results: &mut dyn Collect) -> Option<Batch> {
        if self.is_lost() {
            return None;
        }
        let mut pause = FIRST_LOOK;
        loop {
            let mut taken = None;
            let step = &mut |state: &mut State| {
                let next = self.advance(state);
                if next.is_none() {
                    taken = state.wanted.remove(&self.number);
                }
                next
            };
            if self
                .shared
                .wait(&self.watch, Some(Instant::now() + pause), step)
            {
                return taken;
            }
            let so_far = {
                let state = self.shared.lock().ok()?;
                state.wanted.get(&self.number)?.so_far(&state.engine)
            };
            let took_any =
                so_far.is_some_and(|so_far| results.take_large(&|visitor| so_far.visit(visitor)));
            pause = if took_any { FIRST_LOOK } else { 2 * pause };
        }
    }

    /// Whether another process published this batch, so that its memory is not ours.
    fn is_lost(&self) -> bool {
        self.owner != process_id()
    }
}

impl Underway for Flight {
    fn wait(&self, deadline: Option<Instant>) -> bool {
        Flight::wait(self, deadline)
    }

    fn copy(&self) -> Copied {
        let mut results = Copied::new(self.n_items);
        self.collect(&mut results, &mut Notes::default());
        results
    }
}

impl Drop for Flight {
    /// Cancels everything not yet started; running tasks continue.
    fn drop(&mut self) {
        if self.is_lost() {
            return;
        }
        let Ok(mut state) = self.shared.lock() else {
            return;
        };
        if let Some(mut batch) = state.wanted.remove(&self.number) {
            batch.cancel(&state.engine);
            state.orphans.push(batch);
        }
        #[cfg(feature = "async")]
        {
            // A waker is user code, so it is dropped without the lock.
            let waker = state.futures.forget(self.number);
            drop(state);
            drop(waker);
        }
    }
}
