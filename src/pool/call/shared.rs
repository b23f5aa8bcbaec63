//! A pool as its threads share it: the engine, and what is on its way.
//!
//! One lock guards both. It is held while something is published, looked at or taken, and by no
//! thread that waits, encodes or decodes, so that any number of threads map over a pool at the same
//! time. No code of the user's runs with it.

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

/// How long a pool that is closed waits for tasks whose results are not wanted.
const LEFT_WITHIN: Duration = Duration::from_millis(100);

/// How long a thread looks at most before it sleeps, as far as it is let.
const LOOKS_FOR: Duration = Duration::from_millis(1);

/// How often workers are looked at that are starting.
#[cfg(feature = "cluster")]
const START_INTERVAL: Duration = Duration::from_micros(500);

/// What outlives a call of the pool's work: all threads that use the pool have it.
pub(in crate::pool) struct Shared {
    state: PerProcess<State>,
    settings: Arc<Settings>,
    n_workers: AtomicUsize,
    /// Whether the pool takes no more tasks, in this process and in those that are forked from it.
    is_closed: AtomicBool,
    looks: Looks,
    /// Calls that have workers forked for them.
    turns: Turns,
    /// What the workers have inherited and the owner must keep for those that it starts later.
    _inherited: Option<Inheritance>,
}

/// What a call has captured, and its arguments: its thread's alone.
pub(super) type Inheritance = ThreadBound<Box<dyn Any>>;

/// A map's arguments on their way to a pool's workers.
pub(in crate::pool) type Load = Encoded<Arguments>;

/// What all maps of pools travel by.
pub(super) type Batch = batch::Batch<Engine>;

/// What one thread at a time has.
pub(super) struct State {
    /// Dropped first: it ends the workers, which use the batches' memory.
    pub(super) engine: Engine,
    /// Batches whose results are wanted, by number; closing waits for them.
    pub(super) wanted: BTreeMap<u64, Batch>,
    /// How many batches there have been.
    pub(super) n_batches: u64,
    /// Batches whose results are no longer wanted and that have not ended yet.
    pub(super) orphans: Vec<Batch>,
    /// When the workers are next looked at thoroughly, by any thread: each may wait for a moment
    /// only, again and again.
    next_thorough_look: Instant,
    /// Futures that wait for batches.
    #[cfg(feature = "async")]
    pub(super) futures: Futures,
}

/// The lock of a pool, held. What happens meanwhile is told when it is let go.
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

    /// Makes up for workers that have died, and ends those that are over their limits.
    pub(super) fn look_after_workers(&mut self) {
        let now = Instant::now();
        let is_thorough = now >= self.next_thorough_look;
        if is_thorough {
            self.next_thorough_look = now + BACKSTOP;
        }
        self.engine.look_after_workers(is_thorough);
    }

    /// Forgets batches that are not wanted, as far as they have ended.
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

    /// How many tasks were ever finished on each slot.
    pub(in crate::pool) fn n_tasks(&self) -> Vec<u64> {
        let state = self.lock();
        state
            .map(|state| state.engine.n_tasks())
            .unwrap_or_default()
    }

    /// What has happened to the workers.
    pub(in crate::pool) fn stats(&self) -> Stats {
        let state = self.lock();
        state
            .map(|mut state| state.engine.stats())
            .unwrap_or_default()
    }

    /// The pids of the workers that live.
    pub(in crate::pool) fn pids(&self) -> Vec<i32> {
        let state = self.lock();
        state
            .map(|mut state| state.engine.pids())
            .unwrap_or_default()
    }

    /// Waits until all workers are ready to run tasks.
    ///
    /// # Errors
    /// Why one never will be.
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
    /// says how many of them were taken.
    pub(in crate::pool) fn encode(&self, input: &mut dyn Input) -> Result<Load, NotRun> {
        let fail = |error| NotRun { error, n_items: 0 };
        let heap = Arc::clone(self.lock_open().map_err(fail)?.engine.heap());
        Encoder::encode(&heap, input)
    }

    /// A context in the pool's memory, to go with a call's arguments.
    pub(in crate::pool) fn written(&self, context: &dyn Source) -> Result<Arc<Written>> {
        let memory = self.lock_open()?.engine.contexts();
        context.written(&memory)
    }

    /// The engine of a pool that takes tasks.
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

    /// The engine of this process: one that was inherited from another process is replaced.
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

    /// Waits until `step` finds that it is over, and gives nothing more to watch; false if the
    /// deadline came first. `step` has the lock, which is not held while this thread looks at
    /// `watch`, or sleeps.
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
        // A process may be stopped while it looks, too.
        self.sleep_after(Some((began, LOOKS_FOR)), watch, deadline, step)
    }

    /// As [`wait`](Shared::wait), without looking before it sleeps.
    #[cfg(feature = "async")]
    pub(super) fn sleep(
        &self,
        watch: &Watch,
        deadline: Option<Instant>,
        step: &mut dyn FnMut(&mut State) -> Option<Watch>,
    ) -> bool {
        self.sleep_after(None, watch, deadline, step)
    }

    /// Sleeps after something else, which began at a time and was to take no longer than a
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

    /// Looks for a while whether it is over, and wakes the workers that are needed for it.
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

    /// The pool's memory, for what another process has encoded.
    ///
    /// # Errors
    /// As for a call.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) fn heap(&self) -> Result<Arc<Heap>> {
        Ok(Arc::clone(self.lock()?.engine.heap()))
    }

    /// Lets the workers end when the queue is empty.
    pub(in crate::pool) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        if let Some(mut state) = self.lock_own() {
            state.engine.close();
        }
    }

    /// Closes, and waits until what is wanted is there and every worker has ended. Those that are
    /// at something that is not wanted any more are killed.
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
        // The workers may just be about to leave these.
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

    /// The engine that this process has; one that was forked since and has used no pool has none,
    /// and will not get any for being closed.
    pub(super) fn lock_own(&self) -> Option<Guard<'_>> {
        let is_here = self.state.is_here();
        is_here.then(|| self.lock().ok()).flatten()
    }
}
