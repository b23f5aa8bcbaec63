//! A slot of the owner's board that a relay holds for a worker on its node.

use std::cell::Cell;
use std::time::Duration;

use crate::error::Cause;
use crate::shared::heap::Offset;
use crate::sys::atomic::Ordering;
use crate::sys::clock::monotonic_ns;

use super::message::{Args, Block};
use crate::pool::call::harvest::{Gathered, Run};
use crate::pool::call::transport::{ContextId, Port};
use crate::pool::shm::base::Base;
use crate::pool::shm::board::{Job, Slot};
use crate::pool::shm::desk::Desk;

/// A block is to take this long: more than what a message costs, and less than a learner notices.
const WORTH: Duration = Duration::from_millis(1);
/// Of tasks that take less than this, a further block is sent before the results of the last are
/// back.
const QUICK: Duration = Duration::from_millis(2);

/// One slot.
pub(super) struct Seat<'a> {
    base: Base<'a>,
    /// Counted from the node's first.
    pub(super) index: usize,
    slot_index: usize,
    pub(super) slot: &'a Slot,
    is_taken: Cell<bool>,
    stay: Option<Stay<'a>>,
}

/// A seat's part in a job.
struct Stay<'a> {
    id: u64,
    job: &'a Job,
    desk: Desk<'a>,
    /// How many tasks have their results.
    n_done: u64,
    /// How many blocks are on their way.
    n_open: usize,
    /// How many tasks the next block is to have at least, if there are as many.
    n_wanted: u64,
    /// Whether tasks take little time.
    is_quick: bool,
}

/// The tasks of a block, as they were claimed: ranges, one behind the other.
pub(super) struct Claimed {
    pub(super) seat: usize,
    /// When they were sent.
    sent_ns: u64,
    ranges: Vec<(u64, u64)>,
}

/// A block that is to be sent.
pub(super) struct Parcel<'d> {
    pub(super) head: Block,
    pub(super) arguments: Vec<&'d [u8]>,
    pub(super) claimed: Claimed,
    /// Where the function's name is written.
    pub(super) function: Offset,
    /// The context, if there is one, with its bytes.
    pub(super) context: Option<(ContextId, &'d [u8])>,
}

impl<'a> Seat<'a> {
    pub(super) fn new(base: Base<'a>, index: usize, slot_index: usize) -> Seat<'a> {
        Seat {
            base,
            index,
            slot_index,
            slot: &base.board().slots[slot_index],
            is_taken: Cell::new(false),
            stay: None,
        }
    }

    /// Holds the slot from now on.
    pub(super) fn take(&self) {
        self.slot.lifeline.hold();
        self.is_taken.set(true);
    }

    /// Whether it holds the slot.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.get()
    }

    /// The job that the seat is at or waits for.
    pub(super) fn job(&self) -> u64 {
        self.slot.job.load(Ordering::SeqCst)
    }

    /// Whether it is at none.
    pub(super) fn is_idle(&self) -> bool {
        self.stay.is_none()
    }

    /// Comes to its next job, or leaves the one that it is at; false if neither was to be done.
    pub(super) fn advance(&mut self) -> bool {
        let board = self.base.board();
        if let Some(stay) = self.stay.take_if(|stay| stay.is_over()) {
            self.base.leave(self.slot, stay.id, stay.n_done);
            return true;
        }
        let id = self.job();
        if self.stay.is_some() || !board.has_job(id) {
            return false;
        }
        let job = board.job(id);
        let last_panic = &board.last_panics[self.slot_index];
        let mut desk = Desk::new(self.base.heap, job, (self.slot, last_panic), u64::MAX);
        desk.stand_in_for(self.slot_index);
        let stay = Stay {
            id,
            job,
            desk,
            n_done: 0,
            n_open: 0,
            n_wanted: 1,
            is_quick: true,
        };
        match job.is_for(self.slot_index) && !job.is_exhausted() {
            true => self.stay = Some(stay),
            false => self.base.leave(self.slot, id, 0),
        }
        true
    }

    /// Claims tasks to send, if it is time for more.
    pub(super) fn claim(&mut self, block: u64) -> Option<Parcel<'_>> {
        let index = self.index;
        let stay = self.stay.as_mut()?;
        if stay.n_open > usize::from(stay.is_quick) {
            return None;
        }
        let ranges = stay.claim_ranges();
        if ranges.is_empty() {
            return None;
        }
        stay.n_open += 1;
        let ranges = stay.fail_unencoded(ranges);
        let stay = &*stay;
        let (args, arguments) = stay.arguments(&ranges);
        let context = stay
            .desk
            .context()
            .map(|arrived| (arrived.id, arrived.bytes));
        let function = stay.job.function.load(Ordering::Relaxed);
        let time_limit_ns = stay.job.time_limit_ns.load(Ordering::Relaxed);
        Some(Parcel {
            head: Block {
                block,
                function,
                context: context.map(|(id, _)| (id.name, id.generation)),
                n_tasks: ranges.iter().map(|(first, end)| end - first).sum(),
                args,
                only_worker: stay.job.is_for_one().then_some(index),
                time_limit: (time_limit_ns > 0).then(|| Duration::from_nanos(time_limit_ns)),
            },
            arguments,
            claimed: Claimed {
                seat: index,
                sent_ns: monotonic_ns(),
                ranges,
            },
            function,
            context,
        })
    }

    /// Commits what has come of a block.
    pub(super) fn commit(
        &mut self,
        claimed: &Claimed,
        (runs, values): (Vec<Run>, &[u8]),
        task_ns: u64,
        node: &str,
    ) {
        let Some(stay) = &mut self.stay else { return };
        stay.n_open -= 1;
        let n_tasks = claimed.n_tasks();
        let mut values = values;
        for run in runs {
            stay.put(claimed, run, &mut values, node);
        }
        stay.n_done += n_tasks;
        stay.pace(n_tasks, task_ns);
        // A relay that is lost from here on was running none of these.
        self.slot.run.store(0, Ordering::Release);
    }
}

impl<'a> Stay<'a> {
    fn is_over(&self) -> bool {
        self.n_open == 0 && self.job.is_exhausted()
    }

    fn claim_ranges(&mut self) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut n_claimed = 0;
        while n_claimed < self.n_wanted
            && let Some((first, end)) = self.desk.claim()
        {
            n_claimed += end - first;
            match ranges.last_mut() {
                Some((_, last)) if *last == first => *last = end,
                _ => ranges.push((first, end)),
            }
        }
        ranges
    }

    /// Those of some tasks whose argument was encoded; the others have failed.
    fn fail_unencoded(&mut self, ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        let mut encoded: Vec<(u64, u64)> = Vec::new();
        for task in ranges.into_iter().flat_map(|(first, end)| first..end) {
            if let Err(error) = self.desk.argument_bytes(self.item(task)) {
                let cause = Cause::Argument(error.to_string());
                self.desk.put_failure((task, monotonic_ns()), &cause);
                self.n_done += 1;
                continue;
            }
            match encoded.last_mut() {
                Some((_, end)) if *end == task => *end += 1,
                _ => encoded.push((task, task + 1)),
            }
        }
        encoded
    }

    fn item(&self, task: u64) -> usize {
        let items = self.desk.items();
        items.map_or(task, |items| items[task as usize]) as usize
    }

    fn arguments(&self, ranges: &[(u64, u64)]) -> (Args, Vec<&[u8]>) {
        let tasks = ranges.iter().flat_map(|&(first, end)| first..end);
        let bytes = |task| {
            self.desk
                .argument_bytes(self.item(task))
                .unwrap_or_default()
        };
        let arguments: Vec<&[u8]> = tasks.map(bytes).collect();
        let args = match self.job.stride.load(Ordering::Relaxed) {
            0 => Args::Encoded {
                lengths: arguments.iter().map(|bytes| bytes.len() as u64).collect(),
            },
            stride => Args::Plain { stride },
        };
        (args, arguments)
    }

    /// Commits a run of a block.
    fn put(&mut self, claimed: &Claimed, run: Run, values: &mut &[u8], node: &str) {
        let mut take = |n_bytes: usize| -> &[u8] {
            let (taken, rest) = values.split_at(n_bytes.min(values.len()));
            *values = rest;
            taken
        };
        match run.values {
            Gathered::Plain { stride } => {
                for (first, end) in claimed.tasks(run.first, run.n_tasks) {
                    let numbers = take(((end - first) * stride) as usize);
                    self.desk
                        .put_plain((first, claimed.sent_ns), stride as usize, numbers);
                }
            }
            Gathered::Encoded { lengths } => {
                let mut lengths = lengths.iter();
                for (first, end) in claimed.tasks(run.first, run.n_tasks) {
                    let values: Vec<&[u8]> = lengths
                        .by_ref()
                        .take((end - first) as usize)
                        .map(|&n_bytes| take(n_bytes as usize))
                        .collect();
                    self.desk
                        .put_encoded((first, claimed.sent_ns), values.into_iter());
                }
            }
            Gathered::Failure { pid, tries, cause } => {
                for (task, _) in claimed.tasks(run.first, 1) {
                    let cause = Cause::OnNode {
                        node: node.to_owned(),
                        pid,
                        tries,
                        cause: Box::new(cause.clone()),
                    };
                    self.desk.put_failure((task, claimed.sent_ns), &cause);
                }
            }
        }
    }

    /// Chooses how many tasks the next block has, by how long those of the last took.
    fn pace(&mut self, n_tasks: u64, task_ns: u64) {
        if task_ns == 0 {
            return;
        }
        self.job.tell_task_time(task_ns);
        self.is_quick = task_ns < QUICK.as_nanos() as u64;
        let n_worth = WORTH.as_nanos() as u64 / task_ns;
        // No more at once than four times as many, and than a fair share of what is left.
        let n_fair = self.job.n_unclaimed() / (2 * self.job.n_workers());
        self.n_wanted = n_worth.min(4 * n_tasks).min(n_fair).max(1);
    }
}

impl Claimed {
    fn n_tasks(&self) -> u64 {
        self.ranges.iter().map(|(first, end)| end - first).sum()
    }

    /// The job's tasks that are `n` of the block's, from `first` on, as ranges.
    fn tasks(&self, first: u64, n: u64) -> impl Iterator<Item = (u64, u64)> {
        let (mut n_skipped, mut n_left) = (first, n);
        self.ranges.iter().filter_map(move |&(first, end)| {
            let n_here = end - first;
            let skipped = n_skipped.min(n_here);
            n_skipped -= skipped;
            let taken = n_left.min(n_here - skipped);
            n_left -= taken;
            (taken > 0).then_some((first + skipped, first + skipped + taken))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_a_block_are_found_in_what_was_claimed() {
        let claimed = Claimed {
            seat: 0,
            sent_ns: 0,
            ranges: vec![(10, 13), (20, 21), (30, 40)],
        };
        let tasks = |first, n| claimed.tasks(first, n).collect::<Vec<_>>();
        assert_eq!(claimed.n_tasks(), 14);
        assert_eq!(tasks(0, 14), [(10, 13), (20, 21), (30, 40)]);
        assert_eq!(tasks(2, 3), [(12, 13), (20, 21), (30, 31)]);
        assert_eq!(tasks(4, 2), [(30, 32)]);
        assert_eq!(tasks(13, 1), [(39, 40)]);
        assert_eq!(tasks(14, 1), []);
    }
}
