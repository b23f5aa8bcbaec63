//! Jobs: the engine as a [`Transport`].

use crate::error::Result;
use crate::shared::heap::Offset;
use crate::sys::atomic::Ordering;

use super::super::args::{self, Arguments};
use super::super::board::{Board, JobSpec, SPINNING};
use super::super::lane;
use super::super::results::JobResults;
use super::{Engine, OpenJob};
use crate::pool::call::transport::{Death, Ending, Look, NewJob, Transport, WorkerLook};
use crate::pool::journal::Event;
use crate::pool::stats::Count;

impl Transport for Engine {
    /// The offset of the function's record; 0 if the workers inherited the function.
    type Function = Offset;
    type Args = Arguments;
    type Results = JobResults;

    /// Puts a job into the queue and wakes one worker if none is about to look; returns the job's
    /// index in the queue.
    fn publish(&mut self, new: &NewJob<'_, Engine>) -> Result<u64> {
        self.replace_dead(false);
        self.fill_slots()?;
        let items = new.items;
        let list = items.map_or(Ok(0), |items| args::write_list(&self.heap, items))?;
        self.make_room();
        let board = Board::of(&self.heap);
        let id = board.tail.load(Ordering::Relaxed);
        board.job(id).fill(&JobSpec {
            function: new.function,
            n_items: new.n_items,
            args: new.args.offset,
            stride: new.args.stride,
            list,
            schedule: new.schedule,
            n_workers: self.crew.n_wanted() as u64,
            only_slot: new.only_slot,
            traced: new.traced,
            completion: new.waiters,
            context: new.context.unwrap_or(0),
            time_limit: new.time_limit,
        });
        self.open.insert(
            id,
            OpenJob {
                only_slot: new.only_slot,
                first_item: new.first_item,
                ..OpenJob::default()
            },
        );
        self.crew.limit(id, new.time_limit);
        board.tail.store(id + 1, Ordering::SeqCst);
        if new.only_slot.is_some() {
            self.crew.wake(usize::MAX);
        } else if board.n_in_state(self.crew.n_slots(), SPINNING) == 0 {
            self.crew.wake(1);
        }
        Ok(id)
    }

    /// True also if there is no worker that could run it.
    fn has_ended(&self, id: u64) -> bool {
        let Some(open) = self.open.get(&id) else {
            return true;
        };
        if open.ending.is_some() || self.job(id).is_done() {
            return true;
        }
        let lacks_workers = match open {
            job if !job.deaths.is_empty() => true,
            OpenJob {
                only_slot: Some(slot),
                ..
            } => !self.crew.is_taken(*slot),
            _ => !self.has_workers(),
        };
        lacks_workers && self.crew.all_are_past(id)
    }

    fn conclude(&mut self, id: u64) -> Ending<JobResults> {
        let open = self.open.remove(&id).unwrap_or_default();
        self.crew.unlimit(id);
        open.ending
            .unwrap_or_else(|| self.ending_of(id, open.deaths))
    }

    fn retried(&mut self, item: usize, death: &Death) {
        let slot = death.slot;
        self.crew.count(slot, Count::Retries);
        self.crew.journal.note(Event::Retried { slot, item });
    }

    fn cancel(&self, id: u64) {
        if self.is_in_queue(id) {
            self.job(id).cancel();
        }
    }

    fn look(&self, id: u64) -> (Look, u64) {
        let is_in_queue = self.is_in_queue(id);
        let mut n_open = if is_in_queue {
            self.job(id).n_unclaimed()
        } else {
            0
        };
        let mut look = Look::default();
        for (index, pid, slot) in self.crew.slots() {
            let is_at_it = is_in_queue && slot.job.load(Ordering::Acquire) == id;
            let run = is_at_it.then(|| lane::run_of(&self.heap, slot)).flatten();
            let n_left = run.map_or(0, |run| run.n_left);
            n_open += n_left;
            let n_uncounted = if is_at_it {
                lane::n_uncounted(&self.heap, slot)
            } else {
                0
            };
            look.workers.push(WorkerLook {
                slot: index,
                pid,
                n_tasks: self.crew.n_tasks(index) + n_uncounted,
                item: run.and_then(|run| run.running).map(|item| item as usize),
            });
        }
        (look, n_open)
    }

    fn results_so_far(&self, id: u64) -> JobResults {
        match self.open.get(&id).and_then(|open| open.ending.as_ref()) {
            Some(ending) => ending.results.again(),
            None => JobResults::so_far(&self.heap, self.job(id)),
        }
    }

    fn has_workers(&self) -> bool {
        self.crew.has_workers()
    }

    fn start_failure(&self) -> &str {
        self.crew.start_failure()
    }
}
