//! A pool as its threads share it: the engine and the batches in flight.
//!
//! One lock guards both. A thread holds it to publish, inspect or take something, and never while
//! it waits, encodes or decodes, so any number of threads can map over a pool at the same time. No
//! user code runs under the lock.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::{PerProcess, ThreadBound};

use super::batch;
#[cfg(feature = "async")]
use super::futures::Futures;
use super::input::Input;
use super::outcome::NotRun;
use super::transport::Encoded;
use super::turns::Turns;
use crate::pool::context::{Source, Written};
use crate::pool::journal::Told;
use crate::pool::journal::telling::{Eventful, Telling};
use crate::pool::settings::Settings;
use crate::pool::shm::args::{Arguments, Encoder};
use crate::pool::shm::engine::{BACKSTOP, Engine};
use crate::pool::shm::watch::Looks;
pub(super) use crate::pool::shm::watch::Watch;
use crate::pool::stats::Stats;
#[cfg(feature = "cluster")]
use crate::shared::heap::Heap;

/// How long a closed pool waits for tasks whose results are not wanted.
const LEFT_WITHIN: Duration = Duration::from_millis(100);

/// The longest time that a thread spins before it sleeps, where spinning is allowed.
const LOOKS_FOR: Duration = Duration::from_millis(1);

/// How often starting workers are checked.
#[cfg(feature = "cluster")]
const START_INTERVAL: Duration = Duration::from_micros(500);

/// The part of a pool that outlives a call: all threads that use the pool share it.
pub(in crate::pool) struct Shared {
    state: PerProcess<State>,
    settings: Arc<Settings>,
    n_workers: AtomicUsize,
    /// Whether the pool takes no more tasks, in this process and in processes forked from it.
    is_closed: AtomicBool,
    looks: Looks,
    /// Calls for which workers are forked.
    turns: Turns,
    /// What the workers inherited; the owner must keep it for workers that it starts later.
    _inherited: Option<Inheritance>,
}

/// The captured state of a call and its arguments, which only its own thread may use.
pub(super) type Inheritance = ThreadBound<Box<dyn Any>>;

/// A map's arguments on their way to a pool's workers.
pub(in crate::pool) type Load = Encoded<Arguments>;

/// A batch on the transport that all pools use.
pub(super) type Batch = batch::Batch<Engine>;

/// The state that only one thread at a time may use.
pub(super) struct State {
    /// Dropped first: it ends the workers, which use the batches' memory.
    pub(super) engine: Engine,
    /// Batches whose results are wanted, by number; closing waits for them.
    pub(super) wanted: BTreeMap<u64, Batch>,
    /// The number of batches so far.
    pub(super) n_batches: u64,
    /// Batches whose results are no longer wanted and that have not ended yet.
    pub(super) orphans: Vec<Batch>,
    /// When the next thorough check of the workers is due. Any thread does it, because each may
    /// wait only for a moment, again and again.
    next_thorough_look: Instant,
    /// The futures that wait for batches.
    #[cfg(feature = "async")]
    pub(super) futures: Futures,
}

/// The held lock of a pool. Events that happen under it are reported when it is released.
pub(super) type Guard<'s> = Telling<MutexGuard<'s, State>>;

impl Eventful for State {
    fn take_events(&mut self) -> Told {
        self.engine.take_events()
    }
}

impl State {
    fn of(engine: Engine) -> State {
        State {
            engine,
            wanted: BTreeMap::new(),
            n_batches: 0,
            orphans: Vec::new(),
            next_thorough_look: Instant::now() + BACKSTOP,
            #[cfg(feature = "async")]
            futures: Futures::default(),
        }
    }

    /// Replaces dead workers, and ends those that exceed their limits.
    pub(super) fn look_after_workers(&mut self) {
        let now = Instant::now();
        let is_thorough = now >= self.next_thorough_look;
        if is_thorough {
            self.next_thorough_look = now + BACKSTOP;
        }
        self.engine.look_after_workers(is_thorough);
    }

    /// Forgets unwanted batches that have ended.
    pub(super) fn sweep(&mut self) {
        if !self.orphans.is_empty() {
            self.engine.look_after_workers(false);
            let engine = &mut self.engine;
            self.orphans.retain_mut(|batch| !batch.advance(engine));
        }
    }
}

impl Shared {
    /// Starts workers.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub(in crate::pool) fn start(
        settings: Settings,
        n_workers: usize,
        inherited: Option<Inheritance>,
    ) -> Result<Arc<Shared>> {
        let settings = Arc::new(settings);
        let mut engine = Engine::start(&settings, n_workers)?;
        drop(engine.take_events());
        Ok(Arc::new(Shared {
            looks: Looks::new(engine.n_cpus()),
            state: PerProcess::new(State::of(engine)),
            settings,
            n_workers: AtomicUsize::new(n_workers),
            is_closed: AtomicBool::new(false),
            turns: Turns::default(),
            _inherited: inherited,
        }))
    }

    pub(in crate::pool) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(in crate::pool) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(in crate::pool) fn n_workers(&self) -> usize {
        self.n_workers.load(Ordering::Relaxed)
    }

    /// The number of tasks ever finished on each slot.
    pub(in crate::pool) fn n_tasks(&self) -> Vec<u64> {
        let state = self.lock();
        state
            .map(|state| state.engine.n_tasks())
            .unwrap_or_default()
    }

    /// The statistics of the workers.
    pub(in crate::pool) fn stats(&self) -> Stats {
        let state = self.lock();
        state
            .map(|mut state| state.engine.stats())
            .unwrap_or_default()
    }

    /// The pids of the live workers.
    pub(in crate::pool) fn pids(&self) -> Vec<i32> {
        let state = self.lock();
        state
            .map(|mut state| state.engine.pids())
            .unwrap_or_default()
    }

    /// Waits until all workers are ready to run tasks.
    ///
    /// # Errors
    /// Why some worker will never be ready.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn await_workers(&self) -> Result<()> {
        while !self.lock_open()?.engine.are_up()? {
            std::thread::sleep(START_INTERVAL);
        }
        Ok(())
    }

    /// Changes the number of workers.
    pub(in crate::pool) fn resize(&self, n_workers: usize) -> Result<()> {
        let mut state = self.lock_open()?;
        state.sweep();
        state.engine.resize(n_workers)?;
        self.n_workers.store(n_workers, Ordering::Relaxed);
        Ok(())
    }

    /// Encodes arguments into the pool's memory. Their iterator may use the pool itself. An error
    /// contains the number of arguments that were taken.
    pub(in crate::pool) fn encode(&self, input: &mut dyn Input) -> Result<Load, NotRun> {
        let fail = |error| NotRun { error, n_items: 0 };
        let heap = Arc::clone(self.lock_open().map_err(fail)?.engine.heap());
        Encoder::encode(&heap, input)
    }

    /// A context in the pool's memory, used with the arguments of a call.
    pub(in crate::pool) fn written(&self, context: &dyn Source) -> Result<Arc<Written>> {
        let memory = self.lock_open()?.engine.contexts();
        context.written(&memory)
    }

    /// Locks the engine of a pool that takes tasks.
    pub(super) fn lock_open(&self) -> Result<Guard<'_>> {
        let state = self.lock()?;
        match state.engine.is_closed() {
            true => Err(Error::closed()),
            false => Ok(state),
        }
    }

    /// Checks that the pool takes tasks.
    pub(super) fn check_open(&self) -> Result<()> {
        self.lock_open().map(drop)
    }

    /// Locks the engine of this process; replaces one inherited from another process.
    #[inline(never)]
    pub(super) fn lock(&self) -> Result<Guard<'_>> {
        let locked = self.state.lock(|| {
            let engine = match self.is_closed.load(Ordering::Relaxed) {
                true => Engine::closed(&self.settings),
                false => Engine::start(&self.settings, self.n_workers()),
            };
            self.settings.closures.reset();
            engine.map(State::of)
        });
        locked.map(Telling::after)
    }

    /// Waits until `step` returns `None`, nothing more to watch; false if the deadline came first.
    /// `step` runs under the lock, which this thread does not hold while it spins on `watch` or
    /// sleeps.
    #[inline(never)]
    pub(super) fn wait(
        &self,
        watch: &Watch,
        deadline: Option<Instant>,
        step: &mut dyn FnMut(&mut State) -> Option<Watch>,
    ) -> bool {
        let began = Instant::now();
        if self.seems_done_soon(watch, deadline)
            && let Ok(mut state) = self.lock()
            && step(&mut state).is_none()
        {
            return true;
        }
        // A process may be stopped while it spins, too.
        self.sleep_after(Some((began, LOOKS_FOR)), watch, deadline, step)
    }

    /// As [`wait`](Shared::wait), without spinning before it sleeps.
    #[cfg(feature = "async")]
    pub(super) fn sleep(
        &self,
        watch: &Watch,
        deadline: Option<Instant>,
        step: &mut dyn FnMut(&mut State) -> Option<Watch>,
    ) -> bool {
        self.sleep_after(None, watch, deadline, step)
    }

    /// Sleeps after a wait that began at a known time and was meant to take no longer than a
    /// duration.
    fn sleep_after(
        &self,
        mut slept: Option<(Instant, Duration)>,
        watch: &Watch,
        deadline: Option<Instant>,
        step: &mut dyn FnMut(&mut State) -> Option<Watch>,
    ) -> bool {
        let mut watch = watch.clone();
        loop {
            let next = {
                let announced = watch.announce();
                let Ok(mut state) = self.lock() else {
                    return false;
                };
                if let Some((since, intended)) = slept.take() {
                    state.engine.slept(since.elapsed(), intended);
                }
                state.look_after_workers();
                let Some(next) = step(&mut state) else {
                    return true;
                };
                if deadline.is_some_and(|at| Instant::now() >= at) {
                    return false;
                }
                if next.is_as(&watch) {
                    let nap = state.engine.nap();
                    drop(state);
                    slept = Some((Instant::now(), nap.longest));
                    watch.sleep(&announced, &nap, deadline);
                } else {
                    next.wake_workers();
                }
                next
            };
            watch = next;
        }
    }

    /// Spins until the batch seems complete, for a limited time, and wakes the workers that it
    /// needs.
    fn seems_done_soon(&self, watch: &Watch, deadline: Option<Instant>) -> bool {
        if watch.is_done_at_once() {
            return true;
        }
        watch.wake_workers();
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return false;
        }
        self.looks.look(watch)
    }

    /// Waits until `find` finds no job to wait for; false if the deadline came first.
    fn wait_for_jobs(
        &self,
        deadline: Option<Instant>,
        find: impl Fn(&mut State) -> Option<u64>,
    ) -> bool {
        let mut step = |state: &mut State| {
            let job = find(state)?;
            Some(state.engine.watch(&[job]))
        };
        let first = self.lock().ok().and_then(|mut state| step(&mut state));
        first.is_none_or(|watch| self.wait(&watch, deadline, &mut step))
    }

    /// The pool's memory, for data that another process encoded.
    ///
    /// # Errors
    /// As for a call.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn heap(&self) -> Result<Arc<Heap>> {
        Ok(Arc::clone(self.lock()?.engine.heap()))
    }

    /// Lets the workers exit when the queue is empty.
    pub(in crate::pool) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        if let Some(mut state) = self.lock_own() {
            state.engine.close();
        }
    }

    /// Closes the pool, and waits until all wanted results are there and every worker has ended.
    /// Workers that run unwanted tasks are killed.
    pub(in crate::pool) fn join(&self) {
        self.close();
        self.turns.finish(self.n_workers());
        if !self.state.is_here() {
            return;
        }
        self.wait_for_jobs(None, |state| {
            let State { engine, wanted, .. } = state;
            let mut wanted = wanted.values_mut();
            let open = wanted.find_map(|batch| (!batch.advance(engine)).then_some(batch));
            open.map(|batch| batch.job())
        });
        // The workers may be about to finish these.
        let deadline = Some(Instant::now() + LEFT_WITHIN);
        let have_left = self.wait_for_jobs(deadline, |state| {
            let State {
                engine, orphans, ..
            } = state;
            orphans.retain_mut(|batch| !batch.advance(engine));
            orphans.first().map(Batch::job)
        });
        if let Some(mut state) = self.lock_own() {
            match have_left {
                true => state.engine.join(),
                false => state.engine.terminate(),
            }
        }
        #[cfg(feature = "async")]
        self.end_helper();
    }

    /// Kills the workers.
    pub(in crate::pool) fn terminate(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.turns.give_up("the pool was terminated");
        if let Some(mut state) = self.lock_own() {
            state.engine.terminate();
        }
        #[cfg(feature = "async")]
        self.end_helper();
    }

    /// Locks the engine that this process has. A process that was forked since and has used no pool
    /// has none, and closing does not create one.
    pub(super) fn lock_own(&self) -> Option<Guard<'_>> {
        let is_here = self.state.is_here();
        is_here.then(|| self.lock().ok()).flatten()
    }
}
