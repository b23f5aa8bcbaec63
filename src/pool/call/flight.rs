//! What is on its way: a batch together with the engine that serves it.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Outcome, Result, TaskError};
use crate::sys::process_id;

use super::batch::{self, Terms};
use super::collate::{Collect, Collector, Landed};
use super::notes::Notes;
use super::options::Options;
use super::spent::Spent;
use super::transport::{Encoded, Look, Transport};
use super::turns::Turns;
use super::work::Trampoline;
use crate::pool::settings::Settings;
use crate::pool::shm::args::{Arguments, Encoder};
use crate::pool::shm::desk::Shm;
use crate::pool::shm::engine::Engine;
use crate::pool::stats::Stats;

/// When a map that runs is first looked at for large results; and the next time, if there were
/// some.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// How long a pool that is closed waits for tasks whose results are not wanted.
const LEFT_WITHIN: Duration = Duration::from_millis(100);

/// A pool's engine, shared with whatever of the pool's work outlives a call.
pub(in crate::pool) struct Shared {
    engine: RefCell<Engine>,
    settings: Rc<Settings>,
    /// Batches whose results are wanted; closing waits for them.
    wanted: RefCell<Vec<Weak<Cell>>>,
    /// Batches whose results are no longer wanted and that have not ended yet.
    orphans: RefCell<Vec<Batch>>,
    /// Calls that have workers forked for them.
    turns: Rc<Turns>,
    /// What the workers have inherited and the owner must keep for those that it starts later.
    _inherited: Option<Box<dyn std::any::Any>>,
}

/// A map's arguments on their way to a pool's workers.
pub(super) type Load = Encoded<Arguments>;

/// What all maps of pools travel by.
type Batch = batch::Batch<Engine>;

/// Holds a batch until it is collated.
type Cell = RefCell<Option<Batch>>;

/// What is to be called.
#[derive(Clone, Copy)]
pub(in crate::pool) enum Function {
    /// A non-capturing function, by its offset in its shared object.
    Shipped(Trampoline<Shm>),
    /// What the engine's workers have inherited.
    Inherited,
}

impl Shared {
    /// Starts workers.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub(in crate::pool) fn start(
        settings: Settings,
        inherited: Option<Box<dyn std::any::Any>>,
    ) -> Result<Rc<Shared>> {
        let settings = Rc::new(settings);
        Ok(Rc::new(Shared {
            engine: RefCell::new(Engine::start(&settings)?),
            settings,
            wanted: RefCell::default(),
            orphans: RefCell::default(),
            turns: Rc::default(),
            _inherited: inherited,
        }))
    }

    pub(in crate::pool) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(in crate::pool) fn turns(&self) -> &Rc<Turns> {
        &self.turns
    }

    pub(in crate::pool) fn n_workers(&self) -> usize {
        self.settings.n_workers.get()
    }

    /// How many tasks were ever finished on each slot.
    pub(in crate::pool) fn n_tasks(&self) -> Vec<u64> {
        let engine = self.engine_mut();
        engine.map(|engine| engine.n_tasks()).unwrap_or_default()
    }

    /// What has happened to the workers.
    pub(in crate::pool) fn stats(&self) -> Stats {
        let engine = self.engine_mut();
        engine.map(|mut engine| engine.stats()).unwrap_or_default()
    }

    /// Changes the number of workers.
    pub(in crate::pool) fn resize(&self, n_workers: usize) -> Result<()> {
        let mut engine = self.open_engine()?;
        self.sweep(&mut engine);
        engine.resize(n_workers)
    }

    /// Encodes arguments into the pool's memory. The engine is not borrowed meanwhile, so that the
    /// arguments' iterator may use the pool itself.
    pub(in crate::pool) fn encode<A: Serialize>(
        &self,
        args: impl Iterator<Item = A>,
        spent: &mut Spent<A>,
    ) -> Result<Load> {
        let heap = Rc::clone(self.open_engine()?.heap());
        Encoder::encode(&heap, args, spent)
    }

    /// Gives the memory of encoded arguments back that nothing will be run on.
    pub(in crate::pool) fn forget(&self, encoded: Load) {
        if let Ok(engine) = self.engine_mut() {
            engine.discard_args(encoded.args);
        }
    }

    /// The engine of a pool that takes tasks.
    pub(super) fn open_engine(&self) -> Result<RefMut<'_, Engine>> {
        let engine = self.engine_mut()?;
        if engine.is_closed() {
            return Err(Error::closed());
        }
        Ok(engine)
    }

    /// The engine of this process: one that was inherited from another process is replaced.
    #[inline(never)]
    pub(in crate::pool) fn engine_mut(&self) -> Result<RefMut<'_, Engine>> {
        let mut engine = self.engine.try_borrow_mut().map_err(|_| {
            Error::invalid_input("this pool is in use by a call that has not returned yet")
        })?;
        if engine.owner() != process_id() {
            *engine = if engine.is_closed() {
                Engine::closed(&self.settings)?
            } else {
                Engine::start(&self.settings)?
            };
            self.settings.closures.reset();
            self.wanted.borrow_mut().clear();
            self.orphans.borrow_mut().clear();
        }
        Ok(engine)
    }

    /// Lets the workers end when the queue is empty.
    pub(in crate::pool) fn close(&self) {
        self.end(|_, engine| engine.close());
    }

    /// Closes, and waits until what is wanted is there and every worker has ended. Those that are
    /// at something that is not wanted any more are killed.
    pub(in crate::pool) fn join(&self) {
        self.close();
        self.turns.finish(self.n_workers());
        self.end(|shared, engine| {
            engine.close();
            for cell in shared
                .wanted
                .borrow_mut()
                .drain(..)
                .filter_map(|cell| cell.upgrade())
            {
                if let Some(batch) = cell.borrow_mut().as_mut() {
                    batch.wait(engine, None);
                }
            }
            // The workers may just be about to leave these.
            let deadline = Instant::now() + LEFT_WITHIN;
            let mut orphans = shared.orphans.borrow_mut();
            if orphans
                .iter_mut()
                .all(|batch| batch.wait(engine, Some(deadline)))
            {
                orphans.drain(..).for_each(|batch| batch.give_back(engine));
                engine.join();
            } else {
                engine.terminate();
            }
        });
    }

    /// Kills the workers.
    pub(in crate::pool) fn terminate(&self) {
        self.turns.give_up("the pool was terminated");
        self.end(|_, engine| engine.terminate());
    }

    /// Ends this process's workers in some way; a process that has none yet will not get any.
    fn end(&self, how: impl FnOnce(&Shared, &mut Engine)) {
        let Ok(mut engine) = self.engine.try_borrow_mut() else {
            return;
        };
        if engine.owner() == process_id() {
            how(self, &mut engine);
        } else if let Ok(closed) = Engine::closed(&self.settings) {
            *engine = closed;
        }
    }

    /// Gives back the memory of batches that are not wanted, as far as they have ended.
    fn sweep(&self, engine: &mut Engine) {
        let mut orphans = self.orphans.borrow_mut();
        let mut index = 0;
        while index < orphans.len() {
            if orphans[index].wait(engine, Some(Instant::now())) {
                orphans.swap_remove(index).give_back(engine);
            } else {
                index += 1;
            }
        }
    }
}

impl Drop for Shared {
    /// Kills the workers: nothing waits for them any more.
    fn drop(&mut self) {
        let engine = self.engine.get_mut();
        if engine.owner() == process_id() {
            engine.terminate();
        }
    }
}

/// A batch that was published and not collated.
pub(in crate::pool) struct Flight {
    shared: Rc<Shared>,
    batch: Rc<Cell>,
    owner: u32,
}

impl Flight {
    /// Publishes a function over encoded arguments.
    pub(in crate::pool) fn launch(
        shared: &Rc<Shared>,
        function: Function,
        encoded: Load,
        options: Options,
    ) -> Result<Flight> {
        Flight::launch_for(shared, function, encoded, options, None)
    }

    /// As [`launch`](Flight::launch), for the worker on one slot alone.
    #[inline(never)]
    pub(super) fn launch_for(
        shared: &Rc<Shared>,
        function: Function,
        encoded: Load,
        options: Options,
        only_slot: Option<usize>,
    ) -> Result<Flight> {
        let mut engine = shared.open_engine()?;
        shared.sweep(&mut engine);
        let function = match function {
            Function::Shipped(trampoline) => engine.function(trampoline)?,
            Function::Inherited => 0,
        };
        let terms = Terms {
            options,
            only_slot,
            retries: shared.settings.retries,
        };
        let batch = Batch::publish(&mut *engine, function, encoded, terms)?;
        let batch = Rc::new(RefCell::new(Some(batch)));
        let mut wanted = shared.wanted.borrow_mut();
        if wanted.len() == wanted.capacity() {
            // With as much room as is used, so that many in flight do not look at each other each
            // time.
            wanted.retain(|cell| cell.strong_count() > 0);
            let n_wanted = wanted.len();
            wanted.reserve(n_wanted + 1);
        }
        wanted.push(Rc::downgrade(&batch));
        Ok(Flight {
            shared: Rc::clone(shared),
            batch,
            owner: process_id(),
        })
    }

    /// Waits until every item has a result or an error; false if the deadline came first.
    pub(in crate::pool) fn wait(&self, deadline: Option<Instant>) -> bool {
        if self.is_lost() {
            return true;
        }
        let Ok(mut engine) = self.shared.engine_mut() else {
            return false;
        };
        match self.batch.borrow_mut().as_mut() {
            Some(batch) => batch.wait(&mut engine, deadline),
            None => true,
        }
    }

    pub(in crate::pool) fn n_items(&self) -> usize {
        self.batch.borrow().as_ref().map_or(0, Batch::n_items)
    }

    /// Whether a pool's own workers serve it, and not some that were forked for it.
    pub(in crate::pool) fn is_of(&self, shared: &Rc<Shared>) -> bool {
        Rc::ptr_eq(&self.shared, shared)
    }

    /// The workers that serve it.
    pub(super) fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }

    /// How far it is.
    // Progress alone looks.
    #[cfg_attr(not(feature = "progress"), allow(dead_code))]
    pub(in crate::pool) fn look(&self) -> Look {
        match (
            self.batch.borrow().as_ref(),
            self.shared.engine.try_borrow(),
        ) {
            (Some(batch), Ok(engine)) if !self.is_lost() => batch.look(&engine),
            _ => Look::default(),
        }
    }

    /// Waits until one of several batches of one pool may have ended.
    pub(in crate::pool) fn wait_for_any<'f>(flights: impl Iterator<Item = &'f Flight>) {
        let mut shared = None;
        let mut jobs = Vec::new();
        for flight in flights {
            shared = Some(&flight.shared);
            jobs.extend(flight.batch.borrow().as_ref().map(Batch::job));
        }
        if let Some(mut engine) = shared.and_then(|shared| shared.engine_mut().ok()) {
            engine.wait(&jobs, None);
        }
    }

    /// Waits for the results and takes them: all, or each item's result or error.
    pub(in crate::pool) fn land<R: DeserializeOwned>(
        self,
    ) -> std::result::Result<Vec<R>, Vec<Outcome<R>>> {
        self.collate(&mut |_| (), &mut Notes::default())
    }

    /// As [`land`](Flight::land); `make_way` is called before each large result is made, with
    /// whether all tasks have ended, and `notes` are taken of where the time goes.
    pub(super) fn collate<R: DeserializeOwned>(
        self,
        make_way: &mut dyn FnMut(bool),
        notes: &mut Notes,
    ) -> std::result::Result<Vec<R>, Vec<Outcome<R>>> {
        let mut results = Collector::new(self.n_items(), make_way);
        self.collect(&mut results, notes);
        results.finish()
    }

    /// Waits for the results and has them collected. What does not depend on their type is here.
    #[inline(never)]
    fn collect(self, results: &mut dyn Collect, notes: &mut Notes) {
        self.wait_and_take(results);
        notes.returned();
        let Some(batch) = self.batch.borrow_mut().take() else {
            return;
        };
        match self.shared.engine.try_borrow() {
            Ok(engine) if !self.is_lost() => {
                for job in batch.jobs() {
                    engine.gather(job, batch.deaths(), notes);
                }
                batch.collect(&*engine, results);
            }
            _ => {
                let lost = |item| TaskError::not_run(item, "its results belong to another process");
                results.take_rest(Landed {
                    failures: (0..batch.n_items())
                        .map(|item| (item, lost(item)))
                        .collect(),
                    n_deaths: HashMap::new(),
                    visit: &|_| {},
                });
            }
        }
    }

    /// Waits until every item has a result or an error, and takes large results meanwhile: to make
    /// them takes as long as it takes the workers to send them.
    fn wait_and_take(&self, results: &mut dyn Collect) {
        let mut pause = FIRST_LOOK;
        while !self.wait(Some(Instant::now() + pause)) {
            let (batch, engine) = (self.batch.borrow(), self.shared.engine.try_borrow());
            let (Some(batch), Ok(engine)) = (batch.as_ref(), engine) else {
                return;
            };
            pause = match results.take_large(&|visitor| batch.visit(&engine, visitor)) {
                true => FIRST_LOOK,
                false => 2 * pause,
            };
        }
    }

    /// Whether another process published this batch, and its memory is not ours.
    fn is_lost(&self) -> bool {
        self.owner != process_id()
    }
}

impl Drop for Flight {
    /// Cancels everything not yet started; what runs is let go.
    fn drop(&mut self) {
        let Some(mut batch) = self.batch.borrow_mut().take() else {
            return;
        };
        if let Ok(engine) = self.shared.engine.try_borrow()
            && !self.is_lost()
        {
            batch.cancel(&engine);
            self.shared.orphans.borrow_mut().push(batch);
        }
    }
}
