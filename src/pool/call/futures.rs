//! Futures: who wakes a task that waits for a batch.
//!
//! ```text
//!  there is             a future that is polled          is woken by
//!  a reactor            notes its waker, returns         `Wakes::wake`, when a descriptor is readable
//!  another thread       notes its waker, returns         the helper: a thread that sleeps for all futures
//!  one thread           sleeps for a moment, or returns  itself
//! ```
//!
//! A **reactor** belongs to the user: it waits for one descriptor (`sys::wake_set`) until a worker
//! signals that a future's job may be complete, a worker has exited, or it is time to check the
//! workers' progress. It then acts as a thread that slept for all futures and has woken up.
//!
//! The jobs of all futures share one wait group, which the owner's other threads do not use. The
//! **helper** exists while futures wait, and shortly after; it ends with the pool. A process with
//! one thread gets no helper, so that it may still fork. There, the future wakes itself at each
//! poll, so that other tasks of its thread make progress. To keep that thread from being busy, one
//! of the futures that wait for a pool sleeps while it is polled: the one that finds that no other
//! has slept since its own last poll. This works for any number of futures, even if one is dropped
//! or not polled any more.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::{Shared, State, Watch};
use super::transport::FUTURES;
use crate::caught;
use crate::error::{Error, Result};
use crate::sys::{child, process_id};

/// How long a poll may take in a process with one thread.
const NAP: Duration = Duration::from_millis(1);
/// How long the helper stays when no future waits; also the interval at which it checks all
/// batches, even those that no worker seems to have reached.
const LINGERS: Duration = Duration::from_millis(100);

/// The waiting futures of a pool, in one process.
pub(in crate::pool) struct Futures {
    /// Their wakers, by batch number.
    waiting: BTreeMap<u64, Waker>,
    helper: Option<JoinHandle<()>>,
    /// Whether the helper runs. Its thread may have decided to leave and be about to end.
    is_helped: bool,
    /// Whether the helper must leave.
    is_dismissed: bool,
    /// Whether a reactor wakes the tasks instead of a helper.
    has_reactor: bool,
    /// When all batches were last checked for the reactor.
    last_thorough: Option<Instant>,
    /// How often a future has slept during a poll.
    n_naps: u64,
    owner: u32,
}

/// What a future remembers between polls: how often others had slept by then.
#[derive(Default)]
pub(in crate::pool) struct Polled(Option<u64>);

impl Default for Futures {
    fn default() -> Futures {
        Futures {
            waiting: BTreeMap::new(),
            helper: None,
            is_helped: false,
            is_dismissed: false,
            has_reactor: false,
            last_thorough: None,
            n_naps: 0,
            owner: process_id(),
        }
    }
}

impl Drop for Futures {
    /// A forked child must not touch its copies of the parent's tasks and thread.
    fn drop(&mut self) {
        if self.owner != process_id() {
            std::mem::forget(std::mem::take(&mut self.waiting));
            std::mem::forget(self.helper.take());
        }
    }
}

impl Futures {
    /// Stores a future's waker, and returns the one that was stored before.
    fn note(&mut self, batch: u64, waker: &mut Option<Waker>) {
        *waker = waker
            .take()
            .and_then(|waker| self.waiting.insert(batch, waker));
    }

    /// Forgets a future. The caller drops its waker without the lock, because a waker is user code.
    pub(super) fn forget(&mut self, batch: u64) -> Option<Waker> {
        self.waiting.remove(&batch)
    }

    /// The wakers of all futures.
    fn all(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Whether the future of `polled` must sleep.
    fn is_to_nap(&mut self, polled: &mut Polled) -> bool {
        let is_to_nap = polled.0 == Some(self.n_naps);
        self.n_naps += u64::from(is_to_nap);
        polled.0 = Some(self.n_naps);
        is_to_nap
    }
}

impl State {
    /// Whether a batch has ended.
    fn has_ended(&mut self, number: u64) -> bool {
        let State { engine, wanted, .. } = self;
        let batch = wanted.get_mut(&number);
        batch.is_none_or(|batch| batch.advance(engine))
    }

    /// Makes a future wait for a batch, and wakes the workers that it needs; false if the batch has
    /// ended.
    fn awaits(&mut self, number: u64) -> bool {
        if self.has_ended(number) {
            return false;
        }
        let State { engine, wanted, .. } = self;
        let Some(batch) = wanted.get_mut(&number) else {
            return false;
        };
        if batch.set_waiters(FUTURES) {
            engine.await_by_future(batch.job());
        }
        engine.wake_for(batch.job());
        !self.has_ended(number)
    }

    /// The wakers of futures whose batches have ended. Without `thorough`, it skips batches that no
    /// worker has reached yet.
    fn ended(&mut self, thorough: bool) -> Vec<Waker> {
        let State {
            engine,
            wanted,
            futures,
            ..
        } = self;
        let last_begun = if thorough {
            u64::MAX
        } else {
            engine.last_begun()
        };
        let mut ended = Vec::new();
        for &number in futures.waiting.keys() {
            let Some(batch) = wanted.get_mut(&number) else {
                ended.push(number);
                continue;
            };
            if batch.job() > last_begun && !batch.was_made_up_for() {
                // Nor has any batch after it: batches are numbered in the order of their first
                // jobs.
                break;
            }
            if batch.advance(engine) {
                ended.push(number);
            }
        }
        let wakers = ended
            .iter()
            .filter_map(|number| futures.waiting.remove(number));
        wakers.collect()
    }
}

impl Shared {
    /// Whether a batch has ended. If not, `waker` wakes its task when it has.
    #[inline(never)]
    pub(super) fn poll(
        self: &Arc<Shared>,
        number: u64,
        waker: &Waker,
        polled: &mut Polled,
    ) -> bool {
        // Wakers are user code: they are cloned and dropped without the lock.
        let mut noted = Some(waker.clone());
        let naps = {
            let Ok(mut state) = self.lock() else {
                return true;
            };
            state.engine.waited_in_reactor();
            state.look_after_workers();
            if !state.awaits(number) {
                return true;
            }
            if state.futures.has_reactor {
                state.engine.wait_in_reactor();
            }
            if state.futures.has_reactor || self.has_helper(&mut state) {
                state.futures.note(number, &mut noted);
                return false;
            }
            state.futures.is_to_nap(polled)
        };
        let is_over = naps && self.nap(number);
        if !is_over {
            waker.wake_by_ref();
        }
        is_over
    }

    /// When the future of `polled` must stop sleeping while it waits for its turn.
    pub(in crate::pool) fn nap_before(&self, polled: &mut Polled) -> Instant {
        let naps = self
            .lock()
            .is_ok_and(|mut state| state.futures.is_to_nap(polled));
        Instant::now() + if naps { NAP } else { Duration::ZERO }
    }

    /// Sleeps briefly until a future's batch may have ended; true if it is this one.
    fn nap(&self, number: u64) -> bool {
        let Ok(watch) = self.lock().map(|state| state.engine.watch_futures()) else {
            return true;
        };
        let mut is_over = false;
        let mut has_slept = false;
        let step = &mut |state: &mut State| {
            is_over = state.has_ended(number);
            let is_to_sleep = !is_over && !std::mem::replace(&mut has_slept, true);
            is_to_sleep.then(|| watch.clone())
        };
        self.sleep(&watch, Some(Instant::now() + NAP), step);
        is_over
    }

    /// Whether a thread sleeps for the pool's futures. Starts one if the process has other threads.
    fn has_helper(self: &Arc<Shared>, state: &mut State) -> bool {
        // Workers forked for one call end with it, so the helper must not outlive it.
        let may_start = || self.settings().local.is_none() && child::n_threads() > 1;
        if state.futures.is_helped || !may_start() {
            return state.futures.is_helped;
        }
        let shared = Arc::clone(self);
        let watch = state.engine.watch_futures();
        let named = thread::Builder::new().name("forklore-waker".to_owned());
        // Without a helper, futures wake themselves.
        let started = named.spawn(move || shared.help(&watch)).ok();
        state.futures.is_helped = started.is_some();
        state.futures.is_dismissed = false;
        state.futures.helper = started;
        state.futures.is_helped
    }

    /// The helper's loop: wakes the tasks whose batches have ended, until no future waits or it is
    /// dismissed.
    fn help(&self, watch: &Watch) {
        let mut last_look = Instant::now();
        let mut idle_since = last_look;
        let mut leaves = false;
        while !leaves {
            let mut ended = Vec::new();
            let step = &mut |state: &mut State| {
                let now = Instant::now();
                let is_thorough = now.duration_since(last_look) >= LINGERS;
                if is_thorough {
                    last_look = now;
                }
                if !state.futures.waiting.is_empty() {
                    idle_since = now;
                }
                let is_dismissed = state.futures.is_dismissed;
                ended = match is_dismissed {
                    true => state.futures.all(),
                    false => state.ended(is_thorough),
                };
                let is_idle = now.duration_since(idle_since) >= LINGERS;
                leaves = is_dismissed || state.futures.has_reactor || is_idle;
                state.futures.is_helped = !leaves;
                (ended.is_empty() && !leaves).then(|| watch.clone())
            };
            leaves = !self.sleep(watch, None, step) || leaves;
            wake_all(ended);
        }
    }

    /// Ends the helper, and waits for its end. The pool has ended, so no future waits any more.
    pub(super) fn end_helper(&self) {
        let Some(mut state) = self.lock_own() else {
            return;
        };
        state.futures.is_dismissed = true;
        // An event loop may wait only for the reactor's descriptor, and its tasks are woken here.
        state.engine.wake_reactor();
        let left_to_reactor = match state.futures.has_reactor {
            true => state.futures.all(),
            false => Vec::new(),
        };
        let helper = state.futures.helper.take();
        drop(state);
        wake_all(left_to_reactor);
        await_end(helper);
    }

    /// From now on a reactor wakes the tasks of futures, and no helper does. Returns the descriptor
    /// that the reactor waits for.
    ///
    /// # Errors
    /// `is_invalid_input()` if there is one, `is_closed()`, or `is_os()` if this process or the
    /// system has too many files open.
    pub(in crate::pool) fn begin_reactor(&self) -> Result<OwnedFd> {
        let mut state = self.lock_open()?;
        if state.futures.has_reactor {
            return Err(Error::invalid_input(
                "this pool has a `Wakes` already, and no second one would be woken; share the first, or drop it before",
            ));
        }
        let descriptor = state.engine.open_wake_set()?;
        state.futures.has_reactor = true;
        state.futures.last_thorough = None;
        state.engine.wake_for_futures();
        let helper = state.futures.helper.take();
        drop(state);
        await_end(helper);
        Ok(descriptor)
    }

    /// Returns the futures to a helper, or to themselves, and wakes their tasks for that.
    pub(in crate::pool) fn end_reactor(&self) {
        let Some(mut state) = self.lock_own() else {
            return;
        };
        state.futures.has_reactor = false;
        state.engine.close_wake_set();
        let wakers = state.futures.all();
        drop(state);
        wake_all(wakers);
    }

    /// Called by a reactor when its descriptor is readable: checks the workers, and wakes the tasks
    /// whose batches have ended.
    pub(in crate::pool) fn wake_from_reactor(&self) {
        let Some(mut state) = self.lock_own() else {
            return;
        };
        state.engine.look_in_reactor();
        let now = Instant::now();
        let last = state.futures.last_thorough;
        let is_thorough = last.is_none_or(|at| now.duration_since(at) >= LINGERS);
        if is_thorough {
            state.futures.last_thorough = Some(now);
        }
        let ended = state.ended(is_thorough);
        if !state.futures.waiting.is_empty() {
            state.engine.wait_in_reactor();
        }
        drop(state);
        wake_all(ended);
    }
}

/// Wakes tasks, without the pool's lock.
fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        // A panic belongs to its task; the other tasks must still be woken.
        drop(caught::run(|| waker.wake()));
    }
}

/// Waits for the helper's end, unless the helper is the calling thread: a waker may do anything.
fn await_end(helper: Option<JoinHandle<()>>) {
    let others = helper.filter(|helper| helper.thread().id() != thread::current().id());
    if let Some(helper) = others {
        // It cannot have panicked: it catches panics of user code.
        let _ = helper.join();
    }
}
