//! One call of the pool: its arguments, the jobs that serve it, and what became of each item.

use std::collections::HashMap;
use std::time::Instant;

use crate::error::{Cause, Result, TaskError};
use crate::shared::heap::Offset;

use super::args::Encoded;
use super::bits::Bits;
use super::board::{Board, Job, JobSpec};
use super::crew::Death;
use super::engine::Engine;
use super::lane::{self, CommittedRun};
use super::plan::Schedule;
use super::recorder;
use super::watched::Look;

/// After this many rounds in which workers died and nothing was answered, the rest is given up.
const MAX_STRIKES: u32 = 3;

/// A number of items to run a function on, published as one job, and as further ones for what
/// workers that died had claimed and not run.
pub(super) struct Batch {
    spec: JobSpec,
    n_items: usize,
    parts: Vec<Part>,
    /// What holds the arguments and the lists.
    blocks: Vec<Offset>,
    /// The items whose fate is known without a result.
    failures: Vec<(usize, TaskError)>,
    /// How many workers died of an item, for those of which one did.
    n_deaths: HashMap<usize, u32>,
    /// The workers that died, if the batch is traced.
    deaths: Vec<Death>,
    strikes: u32,
    /// Every item has a result or an error.
    is_complete: bool,
    /// Nobody wants the results any more: nothing is made up for.
    is_cancelled: bool,
}

/// Which item of a map each position of a job stands for.
#[derive(Clone, Copy)]
pub(super) enum Items<'p> {
    /// They are the same.
    Same,
    /// Those listed, in ascending order.
    Listed(&'p [u64]),
}

impl Items<'_> {
    #[inline]
    pub(super) fn at(self, position: u64) -> Option<usize> {
        match self {
            Items::Same => Some(position as usize),
            Items::Listed(items) => items.get(position as usize).map(|&item| item as usize),
        }
    }
}

/// A job that serves a batch.
struct Part {
    job: u64,
    /// The item for each position; `None`: they are the same.
    items: Option<Vec<u64>>,
}

impl Part {
    fn items(&self) -> Items<'_> {
        self.items.as_deref().map_or(Items::Same, Items::Listed)
    }
}

impl Batch {
    /// Publishes `function` over encoded arguments, for every worker or the one on a seat.
    pub(super) fn publish(
        engine: &mut Engine,
        function: Offset,
        encoded: Encoded,
        schedule: Schedule,
        only_seat: Option<usize>,
    ) -> Result<Batch> {
        let n_workers = engine.n_workers();
        let spec = JobSpec {
            function,
            n_items: encoded.n_items as u64,
            args: encoded.args,
            stride: encoded.stride,
            list: 0,
            schedule,
            n_workers: n_workers as u64,
            only_seat,
            traced: encoded.traced,
        };
        let failures = encoded
            .failures
            .into_iter()
            .map(|(item, error)| {
                let cause = Cause::Encode(format!("its argument: {error}"));
                (item, TaskError::new(Some(item), None, cause))
            })
            .collect();
        let mut batch = Batch {
            spec,
            n_items: encoded.n_items,
            parts: Vec::new(),
            blocks: encoded.blocks,
            failures,
            n_deaths: HashMap::new(),
            deaths: Vec::new(),
            strikes: 0,
            is_complete: false,
            is_cancelled: false,
        };
        match engine.publish(&spec) {
            Ok(job) => batch.parts.push(Part { job, items: None }),
            Err(error) => {
                batch.give_back(engine);
                return Err(error);
            }
        }
        Ok(batch)
    }

    pub(super) fn n_items(&self) -> usize {
        self.n_items
    }

    /// The job that serves the batch now.
    pub(super) fn job(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.job)
    }

    /// Waits until every item has a result or an error; false if the deadline came first.
    pub(super) fn wait(&mut self, engine: &mut Engine, deadline: Option<Instant>) -> bool {
        while !self.is_complete {
            let job = self.job();
            if !engine.wait(&[job], deadline) {
                return false;
            }
            let is_done = Board::of(engine.heap()).job(job).is_done();
            let deaths = engine.close_job(job);
            if self.spec.traced {
                self.deaths.extend_from_slice(&deaths);
            }
            self.is_complete = is_done || !self.make_up_for(engine, &deaths);
        }
        true
    }

    /// How far it is. What workers are writing at this moment may be counted or not.
    pub(super) fn look(&self, engine: &Engine) -> Look {
        let Some(part) = self.parts.last() else {
            return Look::default();
        };
        let (mut look, n_open) = engine.look(part.job);
        for worker in &mut look.workers {
            worker.item = worker
                .item
                .and_then(|position| part.items().at(position as u64));
        }
        // All parts but the last have only that open which the last makes up for.
        look.n_done = (self.n_items as u64).saturating_sub(n_open);
        look
    }

    /// Lets nobody begin what was not begun yet.
    pub(super) fn cancel(&mut self, engine: &Engine) {
        self.is_cancelled = true;
        if !self.is_complete {
            Board::of(engine.heap()).job(self.job()).cancel();
        }
    }

    /// Visits the results, each run with the items that its positions stand for.
    pub(super) fn visit<'a>(
        &self,
        engine: &'a Engine,
        visitor: &mut dyn FnMut(Items<'_>, CommittedRun<'a>),
    ) {
        for part in &self.parts {
            let job = Board::of(engine.heap()).job(part.job);
            let items = part.items();
            lane::visit(engine.heap(), job, &mut |run| visitor(items, run));
        }
    }

    /// Visits the jobs that have served the batch, with the items that their positions stand for.
    pub(super) fn visit_jobs(&self, engine: &Engine, visitor: &mut dyn FnMut(Items<'_>, &Job)) {
        for part in &self.parts {
            visitor(part.items(), Board::of(engine.heap()).job(part.job));
        }
    }

    /// The workers that died while they served the batch, if it is traced.
    pub(super) fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// The errors of items that have no result, as far as the owner knows them.
    pub(super) fn failures(&mut self) -> Vec<(usize, TaskError)> {
        std::mem::take(&mut self.failures)
    }

    /// How often an item was tried that has an error now.
    pub(super) fn tries(&mut self) -> HashMap<usize, u32> {
        std::mem::take(&mut self.n_deaths)
    }

    /// Gives all memory back.
    pub(super) fn give_back(self, engine: &Engine) {
        for part in &self.parts {
            let job = Board::of(engine.heap()).job(part.job);
            lane::give_back(engine.heap(), job);
            recorder::give_back(engine.heap(), job);
        }
        for block in self.blocks {
            engine.heap().give_back(block);
        }
    }

    /// Publishes what is missing after workers died; false if nothing is, or nothing can be done.
    fn make_up_for(&mut self, engine: &mut Engine, deaths: &[Death]) -> bool {
        let answered = self.answered(engine);
        let Some(part) = self.parts.last().filter(|_| !self.is_cancelled) else {
            return false;
        };
        let mut nobody_was_at_it = true;
        for death in deaths {
            let running = death
                .position
                .and_then(|position| part.items().at(position));
            if let Some(item) = running.filter(|&item| !answered.has(item)) {
                nobody_was_at_it = false;
                let n_deaths = self.n_deaths.entry(item).or_default();
                *n_deaths += 1;
                let mut error = TaskError::new(Some(item), Some(death.pid), death.cause());
                error.set_tries(*n_deaths);
                if error.is_timed_out() || *n_deaths > engine.retries() {
                    self.failures.push((item, error));
                }
            }
        }
        let answered = self.answered(engine);
        let missing: Vec<u64> = answered.holes().map(|item| item as u64).collect();
        if missing.is_empty() {
            return false;
        }
        let no_progress = nobody_was_at_it
            && part
                .items
                .as_ref()
                .is_some_and(|items| items.len() == missing.len());
        self.strikes += u32::from(no_progress);
        let last_death = deaths.last().copied();
        if self.strikes >= MAX_STRIKES || !engine.has_workers() {
            let reason = engine.start_failure();
            self.give_up(
                &missing,
                last_death.filter(|_| engine.has_workers()),
                reason,
            );
            return false;
        }
        match self.republish(engine, &missing) {
            Ok(job) => {
                self.parts.push(Part {
                    job,
                    items: Some(missing),
                });
                true
            }
            Err(error) => {
                let reason = error.to_string();
                self.fail(&missing, |item| TaskError::not_run(item, &reason));
                false
            }
        }
    }

    fn republish(&mut self, engine: &mut Engine, missing: &[u64]) -> Result<u64> {
        let list = engine.heap().take(size_of_val(missing))?;
        self.blocks.push(list);
        // SAFETY: the block was just taken with room for the list, and nobody else knows it.
        unsafe {
            std::ptr::copy_nonoverlapping(
                missing.as_ptr(),
                engine.heap().at(list).cast::<u64>(),
                missing.len(),
            );
        }
        engine.publish(&JobSpec {
            n_items: missing.len() as u64,
            list,
            ..self.spec
        })
    }

    /// Nobody can run the rest: workers die as soon as they are started, or cannot be started.
    fn give_up(&mut self, missing: &[u64], last_death: Option<Death>, reason: &str) {
        self.fail(missing, |item| match last_death {
            Some(death) => TaskError::new(Some(item), Some(death.pid), death.cause()),
            None => TaskError::not_run(item, format_args!("no worker could be started: {reason}")),
        });
    }

    fn fail(&mut self, items: &[u64], error: impl Fn(usize) -> TaskError) {
        self.failures.extend(
            items
                .iter()
                .map(|&item| (item as usize, error(item as usize))),
        );
    }

    /// The items that have a result or an error.
    fn answered(&self, engine: &Engine) -> Bits {
        let mut answered = Bits::new(self.n_items);
        self.visit(engine, &mut |items, run| {
            run.positions(&mut |position| {
                if let Some(item) = items.at(position) {
                    answered.set(item);
                }
            });
        });
        for &(item, _) in &self.failures {
            answered.set(item);
        }
        answered
    }
}
