//! Ends the workers together with their pool.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::sys::atomic::Ordering;
use crate::sys::mutex::deadline_in;
use crate::sys::{child, family};

use super::super::time_limit;
use super::Crew;
use crate::pool::shm::board::{Board, Slot};

/// How often a closed pool checks workers that are still in their initialiser.
const START_INTERVAL: Duration = Duration::from_millis(1);
/// How long to wait for workers that this process may not kill and that may be running a task.
const SPARED: Duration = Duration::from_secs(1);
/// How long a worker may take to leave a closed pool before the owner checks what delays it.
const FAREWELL: Duration = Duration::from_millis(100);

impl Crew {
    /// Waits until every worker of a closed pool has ended. The caller has waited for all jobs in
    /// the queue: a worker that dies now is not replaced.
    pub(in crate::pool) fn join(&mut self) {
        self.end_starts();
        let leaving = self.vacate_all();
        self.dying.extend(leaving);
        self.end();
    }

    /// Kills workers whose initialiser exceeds the time limit: they would never leave.
    fn end_starts(&mut self) {
        let (Some(limit), Some(_)) = (self.settings.timeout, &self.settings.initializer) else {
            return;
        };
        let deadline = deadline_in(limit.max(time_limit::SHORTEST_START));
        loop {
            for leaver in self.leavers(true) {
                self.tell_of(&leaver, None);
            }
            let is_starting = |slot: &Slot| slot.is_up.load(Ordering::Acquire) == 0;
            let starting = self.slots().filter(|(_, _, slot)| is_starting(slot));
            let starting: Vec<i32> = starting.map(|(_, pid, _)| pid).collect();
            if starting.is_empty() {
                return;
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                for pid in starting {
                    child::kill(pid, Signal::SIGKILL);
                }
                return;
            }
            std::thread::sleep(START_INTERVAL);
        }
    }

    /// Waits for all workers that will end, and ends the server.
    fn end(&mut self) {
        self.await_ends();
        let deadline = Instant::now() + SPARED;
        for pid in std::mem::take(&mut self.spared) {
            self.starter.reap_before(pid, deadline);
        }
        self.starter.end();
    }

    /// Waits for workers that have nothing left to run. A stopped one would never leave, and is
    /// killed.
    pub(super) fn await_ends(&mut self) {
        let starter = &mut self.starter;
        while let Some(&first) = self.dying.first() {
            let ended = starter.reap_before(first, Instant::now() + FAREWELL);
            if ended.is_none() && child::is_stopped(first) {
                starter.kill(first, Signal::SIGKILL);
            }
            // Check all of them: the first process of a PID namespace cannot end before the others
            // are reaped.
            let mut has_ended =
                |pid| (pid == first && ended.is_some()) || starter.try_reap(pid).is_some();
            self.dying.retain(|&pid| !has_ended(pid));
        }
    }

    /// Kills the workers, whatever they do, and reaps them.
    pub(in crate::pool) fn terminate(&mut self) {
        // Those that this process may not kill exit now, or as soon as their task is done.
        Board::of(&self.heap).owner.cut();
        for pid in self.vacate_all() {
            if self.settings.kills_descendants {
                child::stop(pid);
                family::kill_descendants(pid);
            }
            if self.starter.kill(pid, Signal::SIGKILL) {
                self.dying.push(pid);
            } else {
                self.spared.push(pid);
            }
        }
        self.end();
        self.start_failure = "the pool was terminated".to_owned();
    }
}
