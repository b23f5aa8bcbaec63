//! A slot of the owner's board that a relay holds for a worker on its node.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use crate::error::Cause;
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::Ordering;
use crate::sys::clock::monotonic_ns;

use super::clock::Clock;
use super::message::{Args, Block, Results};
use crate::pool::call::harvest::{Gathered, NotedSpan, NotedVisit};
use crate::pool::call::transport::{ContextId, Port};
use crate::pool::nodes::NodePlan;
use crate::pool::shm::base::Base;
use crate::pool::shm::board::{Job, Slot};
use crate::pool::shm::desk::Desk;
use crate::pool::shm::recorder::{self, Elsewhere};

/// The intended duration of a block: longer than the cost of a message, and shorter than a learner
/// notices.
const WORTH: Duration = Duration::from_millis(1);
/// If tasks take less than this, another block is sent before the results of the last are back.
const QUICK: Duration = Duration::from_millis(2);

/// One slot.
pub(super) struct Seat<'a> {
    base: Base<'a>,
    /// Counted from the node's first slot.
    pub(super) index: usize,
    slot_index: usize,
    pub(super) slot: &'a Slot,
    is_taken: Cell<bool>,
    stay: Option<Stay<'a>>,
}

/// A seat's work on one job.
struct Stay<'a> {
    id: u64,
    heap: &'a Heap,
    job: &'a Job,
    desk: Desk<'a>,
    /// The number of tasks that have their results.
    n_done: u64,
    /// The number of blocks under way.
    n_open: usize,
    /// How long a task takes, in ns, as far as is known; 0 if it is unknown.
    task_ns: u64,
    /// The maximum number of tasks in the next block.
    n_most: u64,
}

/// The task durations of known functions, in ns.
#[derive(Default)]
pub(super) struct Paces(HashMap<Offset, u64>);

/// The tasks of a block, as they were claimed: consecutive ranges.
pub(super) struct Claimed {
    pub(super) seat: usize,
    /// When they were sent.
    pub(super) sent_ns: u64,
    ranges: Vec<(u64, u64)>,
}

/// A block to be sent.
pub(super) struct Parcel<'d> {
    pub(super) head: Block,
    pub(super) arguments: Vec<&'d [u8]>,
    pub(super) claimed: Claimed,
    /// The offset of the function's name.
    pub(super) function: Offset,
    /// The context and its bytes, if there is one.
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

    /// The job that the seat works on or waits for.
    pub(super) fn job(&self) -> u64 {
        self.slot.job.load(Ordering::SeqCst)
    }

    /// Whether the seat works on no job.
    pub(super) fn is_idle(&self) -> bool {
        self.stay.is_none()
    }

    /// Enters the next job, or leaves the current one; false if there was neither to do.
    pub(super) fn advance(&mut self, paces: &Paces) -> bool {
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
        desk.notes_nothing();
        let stay = Stay {
            id,
            heap: self.base.heap,
            job,
            desk,
            n_done: 0,
            n_open: 0,
            task_ns: paces.of(job),
            n_most: u64::MAX,
        };
        match job.is_for(self.slot_index) && !job.is_exhausted() {
            true => self.stay = Some(stay),
            false => self.base.leave(self.slot, id, 0),
        }
        true
    }

    /// Claims tasks to send, if more are due.
    pub(super) fn claim(&mut self, block: u64) -> Option<Parcel<'_>> {
        let index = self.index;
        let stay = self.stay.as_mut()?;
        if stay.n_open > usize::from(stay.is_quick()) {
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
                is_traced: stay.job.is_traced(),
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

    /// Commits the results of a block.
    pub(super) fn commit(
        &mut self,
        claimed: &Claimed,
        (results, values): (&Results, &[u8]),
        node: &NodePlan,
        (paces, clock): (&mut Paces, &Clock),
    ) {
        let Some(stay) = &mut self.stay else { return };
        stay.n_open -= 1;
        let n_tasks = claimed.n_tasks();
        let mut values = Values(values);
        for visit in &results.visits {
            stay.note(claimed, visit, node.first_slot, clock);
        }
        for run in &results.runs {
            let mut lengths = run.values.lengths().iter();
            for tasks in claimed.tasks(run.first, run.n_tasks) {
                stay.put(tasks, &run.values, &mut lengths, &mut values, &node.name);
            }
        }
        stay.n_done += n_tasks;
        stay.pace(n_tasks, results.task_ns, paces);
        // If the relay is lost after this, it was running none of these tasks.
        self.slot.run.store(0, Ordering::Release);
    }
}

impl<'a> Stay<'a> {
    fn is_over(&self) -> bool {
        self.n_open == 0 && self.job.is_exhausted()
    }

    fn claim_ranges(&mut self) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let (mut n_claimed, n_wanted) = (0, self.n_wanted());
        while n_claimed < n_wanted
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

    /// Returns the tasks whose argument was encoded, and fails the others.
    fn fail_unencoded(&mut self, ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        if self.stride() > 0 {
            return ranges;
        }
        let mut encoded: Vec<(u64, u64)> = Vec::new();
        for task in ranges.into_iter().flat_map(|(first, end)| first..end) {
            if let Err(error) = self.desk.argument_bytes(self.item(task)) {
                let cause = Cause::Argument(error.to_string());
                self.desk.put_failure(task, &cause);
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

    /// The size of an argument that is a plain number; 0 for other arguments.
    fn stride(&self) -> u64 {
        self.job.stride.load(Ordering::Relaxed)
    }

    fn arguments(&self, ranges: &[(u64, u64)]) -> (Args, Vec<&[u8]>) {
        let stride = self.stride();
        if stride > 0 && self.desk.items().is_none() {
            let numbers = |&(first, end): &(u64, u64)| self.desk.numbers_of(first, end - first);
            return (Args::Plain { stride }, ranges.iter().map(numbers).collect());
        }
        let tasks = ranges.iter().flat_map(|&(first, end)| first..end);
        let bytes = |task| {
            self.desk
                .argument_bytes(self.item(task))
                .unwrap_or_default()
        };
        let arguments: Vec<&[u8]> = tasks.map(bytes).collect();
        let args = match stride {
            0 => Args::Encoded {
                lengths: arguments.iter().map(|bytes| bytes.len() as u64).collect(),
            },
            stride => Args::Plain { stride },
        };
        (args, arguments)
    }

    /// Commits the results of consecutive tasks, which are part of a run.
    fn put(
        &mut self,
        (first, end): (u64, u64),
        gathered: &Gathered,
        lengths: &mut std::slice::Iter<'_, u64>,
        values: &mut Values<'_>,
        node: &str,
    ) {
        match gathered {
            Gathered::Plain { stride } => {
                let numbers = values.take((end - first) * stride);
                self.desk.put_plain(first, *stride as usize, numbers);
            }
            Gathered::Encoded { .. } => {
                let lengths = lengths.take((end - first) as usize);
                let values: Vec<&[u8]> = lengths.map(|&n_bytes| values.take(n_bytes)).collect();
                self.desk.put_encoded(first, values.into_iter());
            }
            Gathered::Failure { pid, tries, cause } => {
                let cause = Cause::OnNode {
                    node: node.to_owned(),
                    pid: *pid,
                    tries: *tries,
                    cause: Box::new(cause.clone()),
                };
                self.desk.put_failure(first, &cause);
            }
        }
    }

    /// Adds what a worker of the node recorded of a block to the trace, by this machine's clock.
    fn note(&self, claimed: &Claimed, visit: &NotedVisit, first_slot: usize, clock: &Clock) {
        let began = claimed.sent_ns;
        let here = |ns: u64| clock.here(ns, began);
        let mut spans = Vec::new();
        for span in &visit.spans {
            let ns_for = |ns: u64, n: u64| {
                (u128::from(ns) * u128::from(n) / u128::from(span.n_tasks.max(1))) as u64
            };
            let lasted_ns = span.ended_ns.saturating_sub(span.began_ns);
            // One chunk on the node may be several claims here.
            let mut n_before = 0;
            for (first, end) in claimed.tasks(span.first, span.n_tasks) {
                let n_tasks = end - first;
                spans.push(NotedSpan {
                    first,
                    n_tasks,
                    began_ns: here(span.began_ns + ns_for(lasted_ns, n_before)),
                    ended_ns: here(span.began_ns + ns_for(lasted_ns, n_before + n_tasks)),
                    decoding_ns: ns_for(span.decoding_ns, n_tasks),
                    encoding_ns: ns_for(span.encoding_ns, n_tasks),
                    is_cut_short: span.is_cut_short && n_before + n_tasks == span.n_tasks,
                });
                n_before += n_tasks;
            }
        }
        let worker = Elsewhere {
            pid: visit.pid,
            tid: first_slot as u64,
            arrived_ns: here(visit.arrived_ns),
            found_ns: here(visit.found_ns),
        };
        recorder::note_elsewhere(self.heap, self.job, &worker, &spans);
    }

    /// The minimum number of tasks in the next block: enough to be worth a message, but at most an
    /// even share of the remaining tasks.
    fn n_wanted(&self) -> u64 {
        let Some(n_worth) = (WORTH.as_nanos() as u64).checked_div(self.task_ns) else {
            return 1;
        };
        let n_fair = self.job.n_unclaimed().div_ceil(self.job.n_workers());
        n_worth.min(self.n_most).min(n_fair).max(1)
    }

    /// Whether tasks take little time, as far as is known.
    fn is_quick(&self) -> bool {
        self.task_ns < QUICK.as_nanos() as u64
    }

    /// Records how long the tasks of a block took.
    fn pace(&mut self, n_tasks: u64, task_ns: u64, paces: &mut Paces) {
        if task_ns == 0 {
            return;
        }
        self.job.tell_task_time(task_ns);
        self.task_ns = task_ns;
        // The next block may take longer.
        self.n_most = 4 * n_tasks;
        paces.note(self.job, task_ns);
    }
}

impl Paces {
    /// How long a task of this job's function took; 0 if that is unknown.
    fn of(&self, job: &Job) -> u64 {
        let function = job.function.load(Ordering::Relaxed);
        self.0.get(&function).copied().unwrap_or(0)
    }

    /// A function that was slow once does not count as quick at once: other arguments may have been
    /// the reason.
    fn note(&mut self, job: &Job, task_ns: u64) {
        let known = self
            .0
            .entry(job.function.load(Ordering::Relaxed))
            .or_default();
        *known = task_ns.max(*known / 2);
    }
}

/// The values of a block's results that were not taken yet, concatenated.
struct Values<'v>(&'v [u8]);

impl<'v> Values<'v> {
    fn take(&mut self, n_bytes: u64) -> &'v [u8] {
        let (taken, rest) = self.0.split_at(self.0.len().min(n_bytes as usize));
        self.0 = rest;
        taken
    }
}

impl Claimed {
    fn n_tasks(&self) -> u64 {
        self.ranges.iter().map(|(first, end)| end - first).sum()
    }

    /// The job's tasks for `n` of the block's tasks starting at `first`, as ranges.
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
