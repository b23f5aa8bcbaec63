//! What becomes of jobs: the engine as a [`Transport`].

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::shared::heap::Offset;
use crate::sys::atomic::Ordering;

use super::super::args::{self, Arguments};
use super::super::board::{Board, JobSpec, SPINNING};
use super::super::{lane, recorder};
use super::{BACKSTOP, Engine, OpenJob};
use crate::pool::call::transport::{
    CommittedRun, Death, Ending, Look, NewJob, Transport, WorkerLook,
};
use crate::pool::stats::Count;

/// How long the owner lets a tiny job run before it wakes more workers than one.
const HEAD_START: Duration = Duration::from_micros(5);

impl Transport for Engine {
    /// Where the function's name is written; 0 for what the workers have inherited.
    type Function = Offset;
    type Args = Arguments;

    /// Puts a job into the queue and wakes one worker if none is about to look; the number is its
    /// index in the queue.
    fn publish(&mut self, new: &NewJob<'_, Engine>) -> Result<u64> {
        self.replace_dead(false);
        self.fill_slots()?;
        let items = new.items;
        let list = items.map_or(Ok(0), |items| args::write_list(&self.heap, items))?;
        let board = Board::of(&self.heap);
        let id = board.tail.load(Ordering::Relaxed);
        self.make_room(id);
        let board = Board::of(&self.heap);
        board.job(id).fill(&JobSpec {
            function: new.function,
            n_items: new.n_items,
            args: new.args.offset,
            stride: new.args.stride,
            list,
            schedule: new.schedule,
            n_workers: self.settings.n_workers.get() as u64,
            only_slot: new.only_slot,
            traced: new.traced,
        });
        self.open.insert(
            id,
            OpenJob {
                deaths: Vec::new(),
                only_slot: new.only_slot,
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

    fn wait(&mut self, ids: &[u64], deadline: Option<Instant>) -> bool {
        if self.gets_done(ids, HEAD_START) {
            return true;
        }
        let n_items = |id: &u64| self.job(*id).n_items.load(Ordering::Relaxed) as usize;
        self.crew.wake(ids.iter().map(n_items).sum());
        let mut may_spin = true;
        let mut next_thorough_look = Instant::now() + BACKSTOP;
        loop {
            let spared = self.crew.kill_overdue();
            if !spared.is_empty() {
                // They still write into this pool's memory: it takes no more work.
                self.is_closed = true;
                self.is_terminated = true;
                Board::of(&self.heap).owner.cut();
                spared.into_iter().for_each(|leaver| self.note(leaver));
            }
            self.replace_dead(false);
            if self.has_ended(ids) {
                return true;
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return false;
            }
            if std::mem::take(&mut may_spin) && self.spin(ids) {
                return true;
            }
            let longest = self.longest_sleep();
            let asleep_since = Instant::now();
            self.sleep(ids, deadline, longest);
            self.crew.slept(asleep_since.elapsed(), longest);
            if Instant::now() >= next_thorough_look {
                self.replace_dead(true);
                next_thorough_look = Instant::now() + BACKSTOP;
            }
        }
    }

    fn conclude(&mut self, id: u64) -> Ending {
        let open = self.open.remove(&id);
        self.crew.unlimit(id);
        Ending {
            is_done: self.job(id).is_done(),
            deaths: open.map(|job| job.deaths).unwrap_or_default(),
        }
    }

    fn retried(&mut self, _item: usize, death: &Death) {
        self.crew.count(death.slot, Count::Retries);
    }

    fn cancel(&self, id: u64) {
        self.job(id).cancel();
    }

    fn look(&self, id: u64) -> (Look, u64) {
        let job = self.job(id);
        let mut n_open = job.n_unclaimed();
        let mut look = Look::default();
        for (index, pid, slot) in self.crew.slots() {
            let is_at_it = slot.job.load(Ordering::Acquire) == id;
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

    fn visit(&self, id: u64, visitor: &mut dyn FnMut(CommittedRun<'_>)) {
        lane::visit(&self.heap, self.job(id), visitor);
    }

    fn discard(&self, id: u64) {
        let job = self.job(id);
        lane::give_back(&self.heap, job);
        recorder::give_back(&self.heap, job);
        let list = job.list.swap(0, Ordering::Relaxed);
        if list != 0 {
            self.heap.give_back(list);
        }
        job.is_wanted.store(0, Ordering::Relaxed);
        if self.aside.contains_key(&id) {
            self.discarded.borrow_mut().push(id);
        }
    }

    fn discard_args(&self, args: Arguments) {
        args.blocks
            .into_iter()
            .for_each(|block| self.heap.give_back(block));
    }

    fn has_workers(&self) -> bool {
        self.crew.has_workers()
    }

    fn start_failure(&self) -> &str {
        self.crew.start_failure()
    }
}
