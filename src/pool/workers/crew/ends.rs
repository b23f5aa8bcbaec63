//! Notices a worker's end, and finds its cause.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::{Cause, TaskLimit};
use crate::memory;
use crate::sys::atomic::Ordering;
use crate::sys::child::{self, Ended};
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;
use crate::sys::robust;
use crate::sys::thread::{self, Look};

use super::super::time_limit;
use super::super::worker;
use super::{Crew, Departure, Leaver, MAX_FAILED_STARTS};
use crate::pool::call::transport::Death;
use crate::pool::shm::board::Board;
use crate::pool::shm::lane;
use crate::pool::stats::DeathCause;

const SIGKILL: i32 = Signal::SIGKILL as i32;
const SIGABRT: i32 = Signal::SIGABRT as i32;

/// How long the owner waits for a death's cause before it reports the death without one.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What is known of a worker's end.
struct End {
    ended: Ended,
    /// The limit that it exceeded, if it was killed for that.
    overran: Option<TaskLimit>,
    /// The pool's limit, if the worker was refused memory under it.
    lacked_memory: Option<u64>,
    /// How many processes of the control group Linux had killed for lack of memory, if the worker
    /// may be one of them.
    n_ended_for_memory: Option<u64>,
    /// It exited because there was no room for its results.
    lacked_room: bool,
}

impl End {
    fn cause(&self) -> Cause {
        if self.lacked_room {
            return Cause::Encode("all of the pool's shared memory is in use".to_owned());
        }
        if let (None, Some(n_ended)) = (self.overran, self.n_ended_for_memory) {
            return Cause::KilledPerhapsForMemory { n_ended };
        }
        if let (Some(limit), Ended::Signalled(SIGABRT)) = (self.lacked_memory, self.ended) {
            return Cause::OutOfMemory { limit };
        }
        match (self.overran, self.ended) {
            (Some(limit), _) => Cause::TimedOut {
                limit,
                is_ended: true,
            },
            (None, Ended::Exited(code)) => Cause::Exited { code },
            (None, Ended::Signalled(signal)) => Cause::Signalled { signal },
            (None, Ended::Unknown) => Cause::Vanished,
        }
    }
}

impl Crew {
    /// The workers that have left since the last call. With `thorough`, also those that died before
    /// they held their lifeline.
    pub(in crate::pool) fn leavers(&mut self, thorough: bool) -> Vec<Leaver> {
        let starter = &mut self.starter;
        self.dying.retain(|&pid| starter.try_reap(pid).is_none());
        let mut leavers = Vec::new();
        for slot in 0..self.pids.len() {
            let Some(pid) = self.pids[slot] else { continue };
            let is_cut = Board::of(&self.heap).slots[slot].lifeline.is_cut();
            let ended = if is_cut {
                // Read the clock first: waiting for the cause takes time.
                Some((monotonic_ns(), self.last_words(pid)))
            } else if thorough {
                let reaped = self.starter.try_reap(pid);
                let ended = reaped.filter(|_| self.is_off(slot, pid));
                ended.map(|ended| (monotonic_ns(), ended))
            } else {
                None
            };
            leavers.extend(ended.map(|ended| self.clear_slot(slot, pid, ended)));
        }
        leavers
    }

    /// Ensures that a worker that is presumed dead really is. The OS spares a dead server's worker
    /// that has changed its credentials, and it must not run beside its successor.
    fn is_off(&self, slot: usize, pid: i32) -> bool {
        let lifeline = &Board::of(&self.heap).slots[slot].lifeline;
        // The OS marks at most 2,048 words of a dead thread: a worker with more locks may leave
        // this one unmarked.
        if !lifeline.is_held_by(pid) || thread::has_ended(pid as u32, Look::Thorough) {
            return true;
        }
        // While it holds its lifeline, the pid is still its own.
        self.starter.kill(pid, Signal::SIGKILL);
        let deadline = Instant::now() + LAST_WORDS;
        while !lifeline.is_cut() && Instant::now() < deadline {
            let seen = lifeline.word().load(Ordering::Acquire);
            if !robust::is_marked(seen) {
                futex::wait(lifeline.word(), seen, Some(deadline));
            }
        }
        lifeline.is_cut()
    }

    fn clear_slot(
        &mut self,
        slot_index: usize,
        pid: i32,
        (noticed_ns, ended): (u64, Ended),
    ) -> Leaver {
        let heap = Arc::clone(&self.heap);
        let slot = &Board::of(&heap).slots[slot_index];
        let has_enough = slot.n_tasks.load(Ordering::Relaxed) >= self.settings.max_tasks;
        self.vacate_early(slot_index);
        self.starter.lose(pid);
        let is_retired = slot.is_retired.load(Ordering::Acquire) != 0;
        let was_up = slot.is_up.load(Ordering::Acquire) != 0;
        let overran = self.time_limits.forget(slot_index);
        let last_panic = Board::of(&heap).last_panics[slot_index].read();
        self.note_start(
            slot_index,
            pid,
            (!was_up).then_some((ended, overran)),
            &last_panic,
        );
        let lacks_memory = slot.lacks_memory.load(Ordering::Acquire) != 0;
        let end = End {
            ended,
            overran,
            lacked_memory: self
                .settings
                .conditions
                .memory_limit
                .filter(|_| lacks_memory),
            n_ended_for_memory: self.look_for_lack_of_memory(ended),
            lacked_room: slot.lacks_room.load(Ordering::Acquire) != 0,
        };
        let is_relay = self.settings.slots_beside(slot_index).is_some();
        let cause = match ended {
            Ended::Exited(worker::NODE_LOST) if is_relay => Cause::NodeLost(last_panic),
            _ => end.cause().after(last_panic),
        };
        let departure = match (is_retired, was_up) {
            (true, _) if has_enough => Departure::Retired,
            (true, _) => Departure::Dismissed,
            (false, true) => Departure::Died(DeathCause::of(&cause), cause.to_string()),
            (false, false) => {
                Departure::Died(DeathCause::FailedToStart, self.start_failure.clone())
            }
        };
        self.count_departure(slot_index, &departure);
        Leaver {
            slot: slot_index,
            job: (was_up && !is_retired).then(|| slot.job.load(Ordering::Acquire)),
            death: Death {
                // A relay itself runs no task.
                task: lane::running(&self.heap, slot).filter(|_| !is_relay),
                slot: slot_index,
                pid,
                noticed_ns,
                cause,
            },
            departure,
        }
    }

    /// How many processes of the control group Linux has killed for lack of memory, if that number
    /// has grown and the worker's end matches.
    fn look_for_lack_of_memory(&mut self, ended: Ended) -> Option<u64> {
        let Ended::Signalled(SIGKILL) = ended else {
            return None;
        };
        let now = memory::n_ended(Path::new("/"));
        let before = std::mem::replace(&mut self.n_ended_for_memory, now);
        (now > before).then_some(now)
    }

    /// Notes whether the worker that left a slot had ever been ready.
    fn note_start(
        &mut self,
        slot: usize,
        pid: i32,
        failed: Option<(Ended, Option<TaskLimit>)>,
        last_words: &str,
    ) {
        let has_initializer = self.settings.initializer.is_some();
        let lacks_memory = &Board::of(&self.heap).slots[slot].lacks_memory;
        let lacks_memory = lacks_memory.load(Ordering::Acquire) != 0;
        let memory_limit = self.settings.conditions.memory_limit;
        let n_failed = &mut self.record(slot).n_failed_starts;
        self.start_failure = match failed {
            None => {
                *n_failed = 0;
                return;
            }
            Some((_, Some(limit))) if has_initializer => {
                *n_failed = MAX_FAILED_STARTS;
                format!(
                    "the pool's initializer {}",
                    limit.at_least(time_limit::SHORTEST_START)
                )
            }
            Some((Ended::Exited(worker::FAILED_TO_PREPARE | worker::NODE_LOST), _)) => {
                *n_failed = MAX_FAILED_STARTS;
                last_words.to_owned()
            }
            Some((Ended::Exited(worker::FAILED_TO_START), _)) => {
                *n_failed = MAX_FAILED_STARTS;
                "the pool's initializer panicked".to_owned()
            }
            Some((Ended::Signalled(SIGABRT), _))
                if lacks_memory && let Some(limit) = memory_limit =>
            {
                *n_failed = MAX_FAILED_STARTS;
                format!(
                    "process {pid} needed more memory than its memory_limit of {limit} bytes before \
                     it was ready to run anything"
                )
            }
            Some((ended, _)) => {
                *n_failed += 1;
                format!("process {pid} {ended} before it was ready to run anything")
            }
        };
    }

    /// Kills workers that have exceeded a limit. Those that this process may not kill leave their
    /// slots as if they were dead.
    pub(in crate::pool) fn kill_overdue(&mut self) -> Vec<Leaver> {
        let spared = self.time_limits.kill_overdue(&self.heap, &self.pids);
        let leave = |(slot, limit)| self.spare(slot, limit);
        spared.into_iter().filter_map(leave).collect()
    }

    fn spare(&mut self, slot_index: usize, limit: TaskLimit) -> Option<Leaver> {
        let task = lane::running(&self.heap, &Board::of(&self.heap).slots[slot_index]);
        let pid = self.vacate_early(slot_index)?;
        self.spared.push(pid);
        let slot = &Board::of(&self.heap).slots[slot_index];
        let job = slot.job.load(Ordering::Acquire);
        let cause = Cause::TimedOut {
            limit,
            is_ended: false,
        };
        let departure = Departure::Died(DeathCause::TimedOut, cause.to_string());
        self.count_departure(slot_index, &departure);
        Some(Leaver {
            slot: slot_index,
            job: Some(job),
            death: Death {
                task,
                slot: slot_index,
                pid,
                noticed_ns: monotonic_ns(),
                cause,
            },
            departure,
        })
    }

    /// The cause of death of a worker whose lifeline is cut. Reaps it if that is possible at once;
    /// freeing a large worker's memory takes time.
    fn last_words(&mut self, pid: i32) -> Ended {
        // A worker that replaced its program (`exec`) cannot return to its work, but is still
        // alive.
        self.starter.kill(pid, Signal::SIGKILL);
        if let Some(ended) = self.starter.try_reap(pid) {
            return ended;
        }
        if let Some(ended) = child::peek_ending(pid) {
            self.dying.push(pid);
            return ended;
        }
        let deadline = Instant::now() + LAST_WORDS;
        let ended = self.starter.reap_before(pid, deadline);
        ended.unwrap_or_else(|| {
            self.dying.push(pid);
            Ended::Unknown
        })
    }
}
