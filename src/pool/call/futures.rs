//! Futures: who wakes a task that waits for a batch.
//!
//! ```text
//!  the process has      a future that is polled          is woken by
//!  threads              notes its waker, returns         the helper: a thread that sleeps for all futures
//!  one thread           sleeps for a moment, or returns  itself
//! ```
//!
//! The jobs of all futures have one place to sleep at, which the other threads of the owner do not
//! share. The **helper** is there while futures wait, and shortly after; it ends with the pool. In
//! a process with one thread there is none, so that it may still fork. There, the future wakes
//! itself at each poll, so that other tasks of its thread go on; and of all that wait for one pool,
//! one sleeps while it is polled, so that the thread is not busy meanwhile: the one that finds that
//! no other has slept since it was last polled. So it does not matter how many they are, nor
//! whether one is dropped or not polled any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::{Shared, State, Watch};
use super::transport::FUTURES;
use crate::caught;
use crate::sys::{child, process_id};

/// How long a poll may take in a process with one thread.
const NAP: Duration = Duration::from_millis(1);
/// How long the helper stays when no future waits; and when it looks at all batches, also those
/// that no worker seems to have come to.
const LINGERS: Duration = Duration::from_millis(100);

/// The futures of a pool that wait, in one process.
pub(in crate::pool) struct Futures {
    /// Their wakers, by their batches' numbers.
    waiting: BTreeMap<u64, Waker>,
    helper: Option<JoinHandle<()>>,
    /// Whether the helper is at work: it may have left, and be about to end.
    is_helped: bool,
    /// Whether the helper is to leave.
    is_dismissed: bool,
    /// How often a future has slept while it was polled.
    n_naps: u64,
    owner: u32,
}

/// What a future remembers from one poll to the next: how often others had slept by then.
#[derive(Default)]
pub(in crate::pool) struct Polled(Option<u64>);

impl Default for Futures {
    fn default() -> Futures {
        Futures {
            waiting: BTreeMap::new(),
            helper: None,
            is_helped: false,
            is_dismissed: false,
            n_naps: 0,
            owner: process_id(),
        }
    }
}

impl Drop for Futures {
    /// A forked child leaves alone what it has copies of: its parent's tasks and thread.
    fn drop(&mut self) {
        if self.owner != process_id() {
            std::mem::forget(std::mem::take(&mut self.waiting));
            std::mem::forget(self.helper.take());
        }
    }
}

impl Futures {
    /// Notes a future's waker, and gives back the one that was noted before.
    fn note(&mut self, batch: u64, waker: &mut Option<Waker>) {
        *waker = waker
            .take()
            .and_then(|waker| self.waiting.insert(batch, waker));
    }

    /// Forgets a future. Its waker is dropped by the caller, without the lock: it is the user's.
    pub(super) fn forget(&mut self, batch: u64) -> Option<Waker> {
        self.waiting.remove(&batch)
    }

    /// The wakers of all futures.
    fn all(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Whether the future that `polled` is about is to sleep.
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

    /// Has a future wait for a batch, and wakes the workers that it needs; false if it has ended.
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

    /// The wakers of futures whose batches have ended. Without `thorough`, it does not look at
    /// those that no worker has come to yet.
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
                // So are all behind it: batches are numbered as their first jobs are.
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
    /// Whether a batch has ended. If not, the task of `waker` is woken when it has.
    #[inline(never)]
    pub(super) fn poll(
        self: &Arc<Shared>,
        number: u64,
        waker: &Waker,
        polled: &mut Polled,
    ) -> bool {
        // Wakers are the user's: they are cloned and dropped without the lock.
        let mut noted = Some(waker.clone());
        let naps = {
            let Ok(mut state) = self.lock() else {
                return true;
            };
            state.look_after_workers();
            if !state.awaits(number) {
                return true;
            }
            if self.has_helper(&mut state) {
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

    /// Whether the future that `polled` is about is to sleep while it waits for its turn.
    pub(in crate::pool) fn nap_before(&self, polled: &mut Polled) -> Instant {
        let naps = self
            .lock()
            .is_ok_and(|mut state| state.futures.is_to_nap(polled));
        Instant::now() + if naps { NAP } else { Duration::ZERO }
    }

    /// Sleeps until a future's batch may have ended, but not for long; true if it is this one.
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

    /// Whether a thread sleeps for the pool's futures. It is started where the process has threads.
    fn has_helper(self: &Arc<Shared>, state: &mut State) -> bool {
        // Workers of one call end with it, and no later.
        let may_start = || self.settings().local.is_none() && child::n_threads() > 1;
        if state.futures.is_helped || !may_start() {
            return state.futures.is_helped;
        }
        let shared = Arc::clone(self);
        let watch = state.engine.watch_futures();
        let named = thread::Builder::new().name("forklore-waker".to_owned());
        // Without a thread, futures wake themselves.
        let started = named.spawn(move || shared.help(&watch)).ok();
        state.futures.is_helped = started.is_some();
        state.futures.is_dismissed = false;
        state.futures.helper = started;
        state.futures.is_helped
    }

    /// What the helper does: wakes the tasks whose batches have ended, until no future waits or it
    /// is dismissed.
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
                leaves = is_dismissed || now.duration_since(idle_since) >= LINGERS;
                state.futures.is_helped = !leaves;
                (ended.is_empty() && !leaves).then(|| watch.clone())
            };
            leaves = !self.sleep(watch, None, step) || leaves;
            for waker in ended {
                // A panic is its task's business, and the other tasks are to be woken.
                drop(caught::run(|| waker.wake()));
            }
        }
    }

    /// Ends the helper, and waits for its end. The pool has ended, so that no future waits in vain.
    pub(super) fn end_helper(&self) {
        let helper = self.lock_own().and_then(|mut state| {
            state.futures.is_dismissed = true;
            state.engine.wake_for_futures();
            state.futures.helper.take()
        });
        // The helper itself may be who drops the pool: a waker may do anything.
        let others = helper.filter(|helper| helper.thread().id() != thread::current().id());
        if let Some(helper) = others {
            // It cannot have panicked: it runs the user's code behind a net.
            let _ = helper.join();
        }
    }
}
