//! A job's committed results in the pool's memory, for the owner.

use std::sync::Arc;

use crate::shared::heap::{Heap, Offset};
use crate::sys::process_id;

use super::board::Job;
use super::{lane, recorder};
use crate::pool::call::notes::Notes;
use crate::pool::call::transport::{CommittedRun, Death, Items, Results};

/// The results of one job: stacks of blocks that can be read without the job's entry in the queue
/// and without the engine.
pub(in crate::pool) struct JobResults {
    heap: Arc<Heap>,
    /// The process that may free the blocks; 0 if the job still owns them.
    owner: u32,
    blocks: Offset,
    records: Offset,
    list: Offset,
    /// The time of a task, as measured in the first chunk; 0 if unknown.
    #[cfg(feature = "cluster")]
    pub(in crate::pool) task_ns: u64,
}

impl JobResults {
    /// Takes the results from a job that all workers have left.
    pub(super) fn take(heap: &Arc<Heap>, job: &Job) -> JobResults {
        JobResults {
            heap: Arc::clone(heap),
            owner: process_id(),
            blocks: job.take_blocks(),
            records: job.take_records(),
            list: job.take_list(),
            #[cfg(feature = "cluster")]
            task_ns: job.task_ns(),
        }
    }

    /// The results so far of a running job. Workers may commit more to the same blocks.
    pub(super) fn so_far(heap: &Arc<Heap>, job: &Job) -> JobResults {
        JobResults {
            heap: Arc::clone(heap),
            owner: 0,
            blocks: job.blocks(),
            records: 0,
            list: 0,
            #[cfg(feature = "cluster")]
            task_ns: 0,
        }
    }

    /// The same blocks, without ownership.
    pub(super) fn again(&self) -> JobResults {
        JobResults {
            heap: Arc::clone(&self.heap),
            owner: 0,
            ..*self
        }
    }

    /// Adds the workers' notes to the map's.
    pub(in crate::pool) fn gather(&self, items: Items<'_>, deaths: &[Death], notes: &mut Notes) {
        recorder::gather(&self.heap, self.records, items, deaths, notes);
    }
}

impl Results for JobResults {
    fn visit(&self, visitor: &mut dyn FnMut(CommittedRun<'_>)) {
        lane::visit(&self.heap, self.blocks, visitor);
    }
}

impl Drop for JobResults {
    fn drop(&mut self) {
        if self.owner != process_id() {
            return;
        }
        lane::give_back(&self.heap, self.blocks);
        recorder::give_back(&self.heap, self.records);
        if self.list != 0 {
            self.heap.give_back(self.list);
        }
    }
}
