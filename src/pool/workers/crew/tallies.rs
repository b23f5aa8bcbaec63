//! Counts events of the workers, and passes them to subscribers.

use crate::sys::atomic::Ordering;

use super::{Crew, Departure, Leaver};
use crate::pool::journal::Event;
use crate::pool::shm::board::Board;
use crate::pool::shm::lane;
use crate::pool::stats::{Count, Tally};

/// A slot's record, apart from its worker.
#[derive(Clone, Copy, Default)]
pub(super) struct Record {
    /// Counts tasks only of workers that have left.
    pub(super) tally: Tally,
    /// The number of workers in a row that died before they were ready.
    pub(super) n_failed_starts: u32,
    /// Whether its last worker died or retired, so that the next one counts as a respawn.
    pub(super) is_bereft: bool,
}

impl Crew {
    /// The counts of each slot that the crew has, or had.
    pub(in crate::pool) fn tallies(&self) -> Vec<Tally> {
        let slots = 0..self.records.len().max(self.pids.len());
        let tally = |slot| {
            let mut tally = self.noted(slot);
            tally += self.counted_now(slot);
            #[cfg(feature = "cluster")]
            {
                tally += Board::of(&self.heap).elsewhere[slot].get();
            }
            tally.pid = self.pids.get(slot).copied().flatten();
            tally
        };
        slots.map(tally).collect()
    }

    /// The number of tasks finished in a slot, by all its workers so far.
    pub(in crate::pool) fn n_tasks(&self, slot: usize) -> u64 {
        self.noted(slot).n_tasks() + self.counted_now(slot).n_tasks()
    }

    /// The noted counts of a slot, without those of its current worker.
    fn noted(&self, slot: usize) -> Tally {
        let record = self.records.get(slot).copied();
        record.unwrap_or_default().tally
    }

    /// The counts of a slot's current worker.
    fn counted_now(&self, slot: usize) -> Tally {
        let mut tally = Tally::default();
        if self.is_taken(slot) {
            let slot = &Board::of(&self.heap).slots[slot];
            tally.add(Count::Tasks, slot.n_tasks.load(Ordering::Relaxed));
            tally.add(Count::Panicked, slot.n_panicked.load(Ordering::Relaxed));
        }
        tally
    }

    /// Counts an event in a slot.
    pub(in crate::pool) fn count(&mut self, slot: usize, what: Count) {
        self.record(slot).tally.add(what, 1);
    }

    pub(super) fn count_departure(&mut self, slot: usize, departure: &Departure) {
        let record = self.record(slot);
        record.is_bereft = *departure != Departure::Dismissed;
        match departure {
            Departure::Dismissed => {}
            Departure::Retired => record.tally.add(Count::Retired, 1),
            Departure::Died(cause, _) => record.tally.add(Count::Deaths(*cause), 1),
        }
    }

    /// Records the event of a worker's departure, with the item that it was running, if any.
    pub(in crate::pool) fn tell_of(&mut self, leaver: &Leaver, item: Option<usize>) {
        let (slot, pid) = (leaver.slot, leaver.death.pid);
        let event = match &leaver.departure {
            Departure::Dismissed => return,
            Departure::Retired => Event::WorkerRetired { slot, pid },
            Departure::Died(cause, reason) => Event::WorkerDied {
                slot,
                pid,
                cause: *cause,
                reason: reason.clone(),
                item,
            },
        };
        self.journal.note(event);
    }

    pub(super) fn record(&mut self, slot: usize) -> &mut Record {
        if self.records.len() <= slot {
            self.records.resize(slot + 1, Record::default());
        }
        &mut self.records[slot]
    }

    /// Removes a worker from its slot and keeps its counts.
    pub(super) fn vacate(&mut self, slot: usize) -> Option<i32> {
        let counted = self.counted_now(slot);
        let pid = self.pids[slot].take()?;
        #[cfg(feature = "async")]
        self.wake_set.iter_mut().for_each(|set| set.remove(pid));
        self.record(slot).tally += counted;
        Some(pid)
    }

    /// As [`vacate`](Crew::vacate), for a worker in the middle of a chunk, which it counts only
    /// when the chunk ends.
    pub(super) fn vacate_early(&mut self, slot: usize) -> Option<i32> {
        let n_uncounted = lane::n_uncounted(&self.heap, &Board::of(&self.heap).slots[slot]);
        let pid = self.vacate(slot)?;
        self.record(slot).tally.add(Count::Tasks, n_uncounted);
        Some(pid)
    }

    /// Removes all workers from their slots.
    pub(super) fn vacate_all(&mut self) -> Vec<i32> {
        let slots = 0..self.pids.len();
        slots.filter_map(|slot| self.vacate(slot)).collect()
    }
}
