//! Takes turns between the calls for which workers are forked: together they have no more workers
//! at once than the pool has.
//!
//! A call that waits for its turn costs no process. There is no thread that could start it when
//! another call ends, so this process does so whenever it is in the pool: when it begins a call,
//! waits for one, or closes the pool. The results of a call that has ended are copied at once, so
//! that its processes and addresses are free for the next.
//!
//! Any thread serves all calls, and runs no user code for that. But only the thread that made a
//! call can begin it, with its captured state; and only a process with one thread may fork workers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::error::{self, TaskError};
use crate::sys::{PerProcess, process_id};

use super::copied::Copied;

/// How long a thread waits for one call before it checks the others again.
const LOOK_AROUND: Duration = Duration::from_millis(2);

/// The calls of a pool that take turns.
pub(in crate::pool) struct Turns {
    /// A forked child has only copies of its parent's calls, and therefore its own list.
    calls: PerProcess<Calls>,
}

#[derive(Default)]
struct Calls {
    waiting: VecDeque<Weak<Turn>>,
    running: Vec<Weak<Turn>>,
}

/// What this module needs of a running call. Dropping it ends its workers.
pub(super) trait Underway: Send + Sync {
    /// Waits until every item has a result or an error; false if the deadline came first.
    fn wait(&self, deadline: Option<Instant>) -> bool;

    /// Waits, and copies the results: the workers can then exit.
    fn copy(&self) -> Copied;
}

/// A call that has not begun.
pub(in crate::pool) struct Start {
    /// The number of workers to fork for it.
    pub(in crate::pool) n_workers: usize,
    /// Forks them and launches the call, on the thread that made it.
    pub(super) begin: Box<dyn FnOnce() -> error::Result<Arc<dyn Underway>> + Send>,
}

/// A call that takes its turn, and its results.
pub(in crate::pool) struct Turn {
    n_workers: usize,
    phase: Mutex<Phase>,
    owner: u32,
    /// The thread that made the call.
    thread: ThreadId,
}

/// The state of a call; its lock is held only for a moment.
enum Phase {
    Waiting(Start),
    /// Its thread is forking the workers.
    Beginning,
    Running(Arc<dyn Underway>),
    /// Its workers have ended, and a thread is copying the results.
    Ending,
    Ended(Result<Copied, TaskError>),
    /// The results were taken.
    Taken,
}

impl Turn {
    /// Begins a call, or queues it for its turn.
    pub(in crate::pool) fn take(turns: &Turns, limit: usize, start: Start) -> Arc<Turn> {
        let turn = Arc::new(Turn {
            n_workers: start.n_workers,
            phase: Mutex::new(Phase::Waiting(start)),
            owner: process_id(),
            thread: thread::current().id(),
        });
        turns.lock().waiting.push_back(Arc::downgrade(&turn));
        turns.advance(limit);
        turn
    }

    /// Waits for the results; false if the deadline came first.
    pub(in crate::pool) fn wait(
        &self,
        turns: &Turns,
        limit: usize,
        deadline: Option<Instant>,
    ) -> bool {
        if self.is_lost() {
            return true;
        }
        loop {
            turns.advance(limit);
            let is_running = match &*self.lock() {
                Phase::Ended(_) | Phase::Taken => return true,
                Phase::Running(_) => true,
                _ => false,
            };
            if !self.may_begin_here() {
                self.give_up(ANOTHERS);
                return true;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            let until = deadline.map_or(now + LOOK_AROUND, |at| at.min(now + LOOK_AROUND));
            if is_running {
                self.ends_by(until);
            } else {
                turns.wait_for_one(until);
            }
        }
    }

    /// Waits for the results, and takes them.
    ///
    /// # Errors
    /// If there are no results: the call could not begin, was given up, or belongs to another
    /// process.
    pub(in crate::pool) fn land(&self, turns: &Turns, limit: usize) -> Result<Copied, TaskError> {
        if self.is_lost() {
            return Err(TaskError::not_run(
                0,
                "its results belong to another process",
            ));
        }
        self.wait(turns, limit, None);
        let taken = self.leave(Phase::Taken, |phase| match phase {
            Phase::Ended(results) => Ok(results),
            phase => Err(phase),
        });
        let lost = || {
            Err(TaskError::not_run(
                0,
                "its result was lost; please report this",
            ))
        };
        taken.unwrap_or_else(lost)
    }

    /// Whether the call belongs to another process, and may be locked there.
    fn is_lost(&self) -> bool {
        self.owner != process_id()
    }

    /// Whether the calling thread can begin the call, or it has begun.
    fn may_begin_here(&self) -> bool {
        self.thread == thread::current().id() || !matches!(*self.lock(), Phase::Waiting(_))
    }

    /// Whether its workers have ended.
    fn has_ended(&self) -> bool {
        matches!(*self.lock(), Phase::Ending | Phase::Ended(_) | Phase::Taken)
    }

    /// Begins the call, unless another thread has begun it.
    fn begin(&self) {
        let start = self.leave(Phase::Beginning, |phase| match phase {
            Phase::Waiting(start) => Ok(start),
            phase => Err(phase),
        });
        let Some(start) = start else { return };
        let next = match (start.begin)() {
            Ok(running) => Phase::Running(running),
            Err(error) => Phase::Ended(Err(TaskError::not_run(0, error))),
        };
        // The call may have been given up in the meantime: then its workers end with their flight.
        self.leave(next, |phase| match phase {
            Phase::Beginning => Ok(()),
            phase => Err(phase),
        });
    }

    /// Waits for the workers' end, and copies the results; false if the deadline came first, or
    /// another thread is still copying.
    fn ends_by(&self, deadline: Instant) -> bool {
        let running = match &*self.lock() {
            Phase::Running(running) => Arc::clone(running),
            phase => return matches!(phase, Phase::Ended(_) | Phase::Taken),
        };
        if !running.wait(Some(deadline)) {
            return false;
        }
        let left = self.leave(Phase::Ending, |phase| match phase {
            Phase::Running(running) => Ok(running),
            phase => Err(phase),
        });
        if left.is_none() {
            return false;
        }
        let results = running.copy();
        // Dropping the last of these frees the workers' memory.
        drop((left, running));
        *self.lock() = Phase::Ended(Ok(results));
        true
    }

    /// Ends the call with an error, whatever its state.
    fn give_up(&self, reason: &str) {
        let ended = Phase::Ended(Err(TaskError::not_run(0, reason)));
        let given_up = self.leave(ended, |phase| match phase {
            Phase::Waiting(_) | Phase::Beginning | Phase::Running(_) => Ok(phase),
            phase => Err(phase),
        });
        // Dropping a flight ends its workers, which takes a while, so it happens without the lock.
        drop(given_up);
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the phase `next`, if `take` takes something from the current one.
    fn leave<S>(&self, next: Phase, take: impl FnOnce(Phase) -> Result<S, Phase>) -> Option<S> {
        let mut phase = self.lock();
        match take(std::mem::replace(&mut *phase, next)) {
            Ok(taken) => Some(taken),
            Err(before) => {
                // `next` may hold a flight, which takes a while to end.
                let next = std::mem::replace(&mut *phase, before);
                drop(phase);
                drop(next);
                None
            }
        }
    }
}

/// Why a call is given up when a thread other than its own waits for it.
const ANOTHERS: &str = "its function has captured something on another thread, which has not begun it; wait for it \
                        on the thread that has made the call";

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            calls: PerProcess::new(Calls::default()),
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        match self.calls.lock(|| Ok(Calls::default())) {
            Ok(calls) => calls,
            Err(_) => unreachable!("a list is always made"),
        }
    }

    /// Ends the calls that are complete, and begins those whose turn has come: with at most `limit`
    /// workers, or a single call.
    pub(super) fn advance(&self, limit: usize) {
        let running = {
            let calls = self.lock();
            if calls.is_empty() {
                return;
            }
            calls.running.clone()
        };
        let now = Instant::now();
        for call in running.iter().filter_map(Weak::upgrade) {
            call.ends_by(now);
        }
        while let Some(call) = self.next_within(limit) {
            call.begin();
            call.ends_by(now);
        }
    }

    /// Waits until all calls have ended.
    pub(in crate::pool) fn finish(&self, limit: usize) {
        self.give_up_anothers();
        self.advance(limit);
        while !self.is_empty() {
            self.wait_for_one(Instant::now() + LOOK_AROUND);
            self.advance(limit);
        }
    }

    /// Ends all calls.
    pub(super) fn give_up(&self, reason: &str) {
        let (waiting, running) = {
            let mut calls = self.lock();
            (
                std::mem::take(&mut calls.waiting),
                std::mem::take(&mut calls.running),
            )
        };
        let calls = waiting.into_iter().chain(running);
        for call in calls.filter_map(|call| call.upgrade()) {
            call.give_up(reason);
        }
    }

    /// Gives up the calls that the calling thread cannot begin.
    fn give_up_anothers(&self) {
        let calls: Vec<Weak<Turn>> = self.lock().waiting.iter().cloned().collect();
        for call in calls.iter().filter_map(Weak::upgrade) {
            if !call.may_begin_here() {
                call.give_up(ANOTHERS);
            }
        }
    }

    fn is_empty(&self) -> bool {
        let mut calls = self.lock();
        calls.forget_ended();
        calls.is_empty()
    }

    /// Takes the next call and marks it as running, if `limit` allows for its workers, or if no
    /// other call runs: then it gets all the workers that it wants.
    fn next_within(&self, limit: usize) -> Option<Arc<Turn>> {
        let mut calls = self.lock();
        calls.forget_ended();
        let running = calls.running.iter().filter_map(Weak::upgrade);
        let n_at_work: usize = running.map(|call| call.n_workers).sum();
        let n_free = limit.saturating_sub(n_at_work);
        // Calls of other threads are left to those threads.
        let mut index = 0;
        loop {
            match calls.waiting.get(index)?.upgrade() {
                Some(call) if call.has_ended() => {}
                Some(call) if !call.may_begin_here() => {
                    index += 1;
                    continue;
                }
                Some(call) if n_at_work > 0 && call.n_workers > n_free => return None,
                Some(call) => {
                    let next = calls.waiting.remove(index);
                    calls.running.extend(next);
                    return Some(call);
                }
                // Its `Pending` was dropped.
                None => {}
            }
            calls.waiting.remove(index);
        }
    }

    /// Waits for the call that has run longest, or only for a moment if another thread is ending
    /// it.
    fn wait_for_one(&self, deadline: Instant) {
        let oldest = self.lock().running.iter().find_map(Weak::upgrade);
        let has_ended = oldest.is_some_and(|call| call.ends_by(deadline));
        if !has_ended {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

impl Calls {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Removes the calls that have ended. A call that was just taken from the waiting ones counts
    /// as running, even if no thread has begun it yet.
    fn forget_ended(&mut self) {
        let is_open = |call: &Weak<Turn>| call.upgrade().is_some_and(|call| !call.has_ended());
        self.running.retain(is_open);
    }
}
