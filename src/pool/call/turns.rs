//! Calls that workers are forked for take turns: no more of these workers are at work at once than
//! the pool has.
//!
//! A call whose turn has not come costs no process. Without a thread that could start it when
//! another one ends, this process does so whenever it is in the pool: when it begins a call, waits
//! for one, or closes the pool. A call that has ended is landed at once, so that what it had
//! (processes, addresses) is there for the next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::error::{Result, TaskError};
use crate::sys::process_id;

use super::flight::Flight;

/// How long one call is waited for before the others are looked at again.
const LOOK_AROUND: Duration = Duration::from_millis(2);

/// The calls of a pool that take turns.
#[derive(Default)]
pub(in crate::pool) struct Turns {
    waiting: RefCell<VecDeque<Weak<dyn Call>>>,
    running: RefCell<Vec<Weak<dyn Call>>>,
    /// The process whose calls these are; a forked child has only copies.
    owner: Cell<u32>,
}

/// A call that was not begun.
pub(in crate::pool) struct Start {
    /// How many workers are forked for it.
    pub(in crate::pool) n_workers: usize,
    pub(in crate::pool) begin: Box<dyn FnOnce() -> Result<Flight>>,
}

/// A call that takes its turn, and what came of it.
pub(in crate::pool) struct Turn<T> {
    turns: Rc<Turns>,
    phase: RefCell<Phase<T>>,
    n_workers: usize,
    land: fn(Flight) -> std::result::Result<T, TaskError>,
    owner: u32,
}

enum Phase<T> {
    Waiting(Start),
    Running(Flight),
    Ended(std::result::Result<T, TaskError>),
    /// The call is changing its phase, or its outcome was taken.
    Empty,
}

/// What [`Turns`] know of a call.
trait Call {
    fn n_workers(&self) -> usize;
    /// Begins, if that was not done yet.
    fn begin(&self);
    /// Waits for the end, and lands; false if the deadline came first.
    fn ends_by(&self, deadline: Instant) -> bool;
    /// Ends with an error, whatever it does.
    fn give_up(&self, reason: &str);
}

impl<T: 'static> Turn<T> {
    /// Begins a call, or lets it wait for its turn.
    pub(in crate::pool) fn take(
        turns: &Rc<Turns>,
        limit: usize,
        start: Start,
        land: fn(Flight) -> std::result::Result<T, TaskError>,
    ) -> Rc<Turn<T>> {
        let turn = Rc::new(Turn {
            turns: Rc::clone(turns),
            n_workers: start.n_workers,
            phase: RefCell::new(Phase::Waiting(start)),
            land,
            owner: process_id(),
        });
        let call: Rc<dyn Call> = turn.clone();
        turns.forget_inherited();
        turns.waiting.borrow_mut().push_back(Rc::downgrade(&call));
        turns.advance(limit);
        turn
    }

    /// Waits for the outcome; false if the deadline came first.
    pub(in crate::pool) fn wait(&self, limit: usize, deadline: Option<Instant>) -> bool {
        if self.owner != process_id() {
            self.give_up("its results belong to another process");
        }
        loop {
            self.turns.advance(limit);
            if matches!(*self.phase.borrow(), Phase::Ended(_) | Phase::Empty) {
                return true;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            let until = deadline.map_or(now + LOOK_AROUND, |at| at.min(now + LOOK_AROUND));
            let is_running = matches!(*self.phase.borrow(), Phase::Running(_));
            if is_running {
                self.ends_by(until);
            } else {
                self.turns.wait_for_one(until);
            }
        }
    }

    /// Waits for the outcome, and takes it.
    pub(in crate::pool) fn land(&self, limit: usize) -> std::result::Result<T, TaskError> {
        self.wait(limit, None);
        match self.phase.replace(Phase::Empty) {
            Phase::Ended(outcome) => outcome,
            _ => Err(TaskError::not_run(
                0,
                "its result was lost; please report this",
            )),
        }
    }
}

impl<T> Call for Turn<T> {
    fn n_workers(&self) -> usize {
        self.n_workers
    }

    fn begin(&self) {
        let phase = self.phase.replace(Phase::Empty);
        let phase = match phase {
            Phase::Waiting(start) => match (start.begin)() {
                Ok(flight) => Phase::Running(flight),
                Err(error) => Phase::Ended(Err(TaskError::not_run(0, error))),
            },
            phase => phase,
        };
        self.phase.replace(phase);
    }

    fn ends_by(&self, deadline: Instant) -> bool {
        match &*self.phase.borrow() {
            Phase::Running(flight) if !flight.wait(Some(deadline)) => return false,
            Phase::Waiting(_) => return false,
            _ => {}
        }
        // Landing runs code of the user, which may come here again.
        match self.phase.replace(Phase::Empty) {
            Phase::Running(flight) => {
                let outcome = (self.land)(flight);
                self.phase.replace(Phase::Ended(outcome));
            }
            phase => drop(self.phase.replace(phase)),
        }
        true
    }

    fn give_up(&self, reason: &str) {
        let phase = self.phase.replace(Phase::Empty);
        let phase = match phase {
            Phase::Ended(_) | Phase::Empty => phase,
            // Dropping a flight ends its workers.
            Phase::Waiting(_) | Phase::Running(_) => {
                Phase::Ended(Err(TaskError::not_run(0, reason)))
            }
        };
        self.phase.replace(phase);
    }
}

impl Turns {
    /// Lands what has ended, and begins what then has its turn, with at most `limit` workers, or
    /// one call.
    pub(super) fn advance(&self, limit: usize) {
        self.forget_inherited();
        if self.is_empty() {
            return;
        }
        let now = Instant::now();
        let running = mem::take(&mut *self.running.borrow_mut());
        let mut running: Vec<_> = running
            .into_iter()
            .filter(|call| call.upgrade().is_some_and(|call| !call.ends_by(now)))
            .collect();
        let n_workers = |call: &Weak<dyn Call>| call.upgrade().map_or(0, |call| call.n_workers());
        let mut n_at_work: usize = running.iter().map(n_workers).sum();
        while let Some(call) = self.next_within(limit.saturating_sub(n_at_work), n_at_work == 0) {
            call.begin();
            if !call.ends_by(now) {
                n_at_work += call.n_workers();
                running.push(Rc::downgrade(&call));
            }
        }
        self.running.borrow_mut().append(&mut running);
    }

    /// Waits until all calls have ended.
    pub(in crate::pool) fn finish(&self, limit: usize) {
        self.advance(limit);
        while !self.is_empty() {
            self.wait_for_one(Instant::now() + LOOK_AROUND);
            self.advance(limit);
        }
    }

    /// Ends all calls.
    pub(super) fn give_up(&self, reason: &str) {
        self.forget_inherited();
        let calls = mem::take(&mut *self.waiting.borrow_mut()).into_iter();
        let calls = calls.chain(mem::take(&mut *self.running.borrow_mut()));
        for call in calls.filter_map(|call| call.upgrade()) {
            call.give_up(reason);
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty() && self.running.borrow().is_empty()
    }

    /// The next call, if this many workers are enough for it, or if it is to have what it wants.
    fn next_within(&self, n_free: usize, has_priority: bool) -> Option<Rc<dyn Call>> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            // Its `Pending` was dropped.
            match waiting.front()?.upgrade() {
                Some(call) if !has_priority && call.n_workers() > n_free => return None,
                next => {
                    waiting.pop_front();
                    if next.is_some() {
                        return next;
                    }
                }
            }
        }
    }

    /// Waits for the call that has run longest.
    fn wait_for_one(&self, deadline: Instant) {
        let oldest = self.running.borrow().iter().find_map(Weak::upgrade);
        if let Some(call) = oldest {
            call.ends_by(deadline);
        }
    }

    /// Forgets calls that are another process's: this one is its forked child.
    fn forget_inherited(&self) {
        let own = process_id();
        if self.owner.replace(own) != own {
            self.waiting.borrow_mut().clear();
            self.running.borrow_mut().clear();
        }
    }
}
