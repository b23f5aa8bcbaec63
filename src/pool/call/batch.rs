//! One call of the pool: its arguments, the jobs that serve it, and the state of each item.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Cause, Result, TaskError};

use super::bits::Bits;
use super::collate::{Collect, Landed};
use super::options::Options;
use super::transport::{Death, Encoded, Items, Look, NewJob, Results, Transport, Visitor};
use crate::pool::context::Written;

/// After this many rounds in which workers died and no task finished, the remaining items fail.
const MAX_STRIKES: u32 = 3;

/// A number of items to run a function on. They are published as one job; tasks that dead workers
/// had claimed and not run are published as further jobs.
pub(super) struct Batch<T: Transport> {
    function: T::Function,
    args: T::Args,
    context: Option<Arc<Written>>,
    terms: Terms,
    n_items: usize,
    /// Whether workers record when each step happens.
    traced: bool,
    parts: Vec<Part<T::Results>>,
    /// The items that have an error and no result.
    failures: Vec<(usize, TaskError)>,
    /// The number of workers that died of an item, for items with at least one such death.
    n_deaths: HashMap<usize, u32>,
    /// The workers that died, if the batch is traced.
    deaths: Vec<Death>,
    strikes: u32,
    /// Whether every item has a result or an error.
    is_complete: bool,
    /// Whether the results are no longer wanted: then lost tasks are not published again.
    is_cancelled: bool,
}

/// How to run a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(in crate::pool) options: Options,
    /// The only worker that may run it.
    pub(in crate::pool) only_slot: Option<usize>,
    /// The number of retries for a task whose worker died.
    pub(in crate::pool) retries: u32,
}

/// A job that serves a batch.
struct Part<R> {
    job: u64,
    /// The item of each task; `None` if task and item numbers are equal.
    items: Option<Arc<[u64]>>,
    /// Its results, once it has ended.
    results: Option<R>,
}

impl<R> Part<R> {
    fn items(&self) -> Items<'_> {
        Items::of(self.items.as_deref())
    }

    fn results(&self) -> Option<&R> {
        self.results.as_ref()
    }
}

/// The results so far of a running batch.
pub(super) struct SoFar<R> {
    items: Option<Arc<[u64]>>,
    results: R,
}

impl<R: Results> SoFar<R> {
    /// Visits each run together with the items of its tasks.
    pub(super) fn visit(&self, visitor: &mut Visitor<'_>) {
        let items = Items::of(self.items.as_deref());
        self.results.visit(&mut |run| visitor(items, run));
    }
}

impl<T: Transport> Batch<T> {
    /// Publishes `function` over encoded arguments.
    pub(in crate::pool) fn publish(
        transport: &mut T,
        function: T::Function,
        encoded: Encoded<T::Args>,
        terms: Terms,
    ) -> Result<Batch<T>> {
        let failures = encoded
            .failures
            .into_iter()
            .map(|(item, error)| {
                let cause = Cause::Argument(error.to_string());
                (item, TaskError::new(Some(item), None, cause))
            })
            .collect();
        let mut batch = Batch {
            function,
            args: encoded.args,
            context: encoded.context,
            terms,
            n_items: encoded.n_items,
            traced: encoded.traced,
            parts: Vec::new(),
            failures,
            n_deaths: HashMap::new(),
            deaths: Vec::new(),
            strikes: 0,
            is_complete: false,
            is_cancelled: false,
        };
        batch.publish_part(transport, None)?;
        Ok(batch)
    }

    /// Publishes all items, or only the listed ones.
    fn publish_part(&mut self, transport: &mut T, items: Option<Arc<[u64]>>) -> Result<()> {
        let job = transport.publish(&NewJob {
            function: self.function,
            args: &self.args,
            context: self.context.as_ref().map(|context| context.name()),
            n_items: items.as_ref().map_or(self.n_items, |items| items.len()) as u64,
            items: items.as_deref(),
            first_item: self.terms.options.first_item,
            schedule: self.terms.options.schedule,
            only_slot: self.terms.only_slot,
            time_limit: self.terms.options.time_limit,
            traced: self.traced,
            waiters: self.terms.options.waiters,
        })?;
        self.parts.push(Part {
            job,
            items,
            results: None,
        });
        Ok(())
    }

    /// The job that currently serves the batch.
    pub(in crate::pool) fn job(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.job)
    }

    /// Sets which of the owner's threads wait for jobs published from now on; false if that changes
    /// nothing.
    #[cfg(feature = "async")]
    pub(in crate::pool) fn set_waiters(&mut self, waiters: usize) -> bool {
        std::mem::replace(&mut self.terms.options.waiters, waiters) != waiters
    }

    /// Whether some of its items were published again.
    #[cfg(feature = "async")]
    pub(in crate::pool) fn was_made_up_for(&self) -> bool {
        self.parts.len() > 1
    }

    /// Whether every item has a result or an error. Publishes again what lost workers left.
    pub(in crate::pool) fn advance(&mut self, transport: &mut T) -> bool {
        while !self.is_complete {
            let job = self.job();
            if !transport.has_ended(job) {
                return false;
            }
            let ending = transport.conclude(job);
            if self.traced {
                self.deaths.extend_from_slice(&ending.deaths);
            }
            if let Some(part) = self.parts.last_mut() {
                part.results = Some(ending.results);
            }
            self.is_complete = ending.is_done || !self.make_up_for(transport, &ending.deaths);
        }
        true
    }

    /// The batch's progress. Results that workers are writing now may or may not be counted.
    pub(in crate::pool) fn look(&self, transport: &T) -> Look {
        let Some(part) = self.parts.last() else {
            return Look::default();
        };
        let (mut look, n_open) = transport.look(part.job);
        for worker in &mut look.workers {
            worker.item = worker.item.and_then(|task| part.items().at(task as u64));
        }
        // Tasks that earlier parts left open are counted in the last part, which repeats them.
        look.n_done = (self.n_items as u64).saturating_sub(n_open);
        look
    }

    /// Cancels everything not yet started.
    pub(in crate::pool) fn cancel(&mut self, transport: &T) {
        self.is_cancelled = true;
        if !self.is_complete {
            transport.cancel(self.job());
        }
    }

    /// The results so far of the job that currently serves the batch, if it runs.
    pub(in crate::pool) fn so_far(&self, transport: &T) -> Option<SoFar<T::Results>> {
        let part = self.parts.last().filter(|part| part.results.is_none())?;
        Some(SoFar {
            items: part.items.clone(),
            results: transport.results_so_far(part.job),
        })
    }

    /// Visits the results of jobs that have ended, each run together with the items of its tasks.
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (results, items) in self.results() {
            results.visit(&mut |run| visitor(items, run));
        }
    }

    /// The results of the batch's jobs that have ended, with the items of their tasks.
    pub(in crate::pool) fn results(&self) -> impl Iterator<Item = (&T::Results, Items<'_>)> {
        let ended = |part| Option::zip(Part::results(part), Some(Part::items(part)));
        self.parts.iter().filter_map(ended)
    }

    /// The workers that died while they served the batch, if it is traced.
    pub(in crate::pool) fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// Passes the results to `results`. The batch's memory is freed even if they are not taken to
    /// the end.
    pub(in crate::pool) fn collect(mut self, results: &mut dyn Collect) {
        results.take_rest(Landed {
            failures: std::mem::take(&mut self.failures),
            n_deaths: std::mem::take(&mut self.n_deaths),
            visit: &|visitor| self.visit(visitor),
        });
    }

    /// Publishes the tasks that died with their workers again; false if there are none, or none can
    /// run.
    fn make_up_for(&mut self, transport: &mut T, deaths: &[Death]) -> bool {
        let answered = self.answered();
        let Some(part) = self.parts.last().filter(|_| !self.is_cancelled) else {
            return false;
        };
        let mut was_between_items = true;
        for death in deaths {
            let running = death.task.and_then(|task| part.items().at(task));
            if let Some(item) = running.filter(|&item| !answered.has(item)) {
                was_between_items = false;
                let n_deaths = self.n_deaths.entry(item).or_default();
                *n_deaths += 1;
                let mut error = TaskError::new(Some(item), Some(death.pid), death.cause.clone());
                error.set_tries(*n_deaths);
                if error.is_timed_out() || *n_deaths > self.terms.retries {
                    self.failures.push((item, error));
                } else {
                    transport.retried(self.terms.options.first_item + item, death);
                }
            }
        }
        let answered = self.answered();
        let missing: Vec<u64> = answered.holes().map(|item| item as u64).collect();
        if missing.is_empty() {
            return false;
        }
        let no_progress = was_between_items
            && part
                .items
                .as_ref()
                .is_some_and(|items| items.len() == missing.len());
        self.strikes += u32::from(no_progress);
        if self.strikes >= MAX_STRIKES || !transport.has_workers() {
            let last_death = deaths.last().filter(|_| transport.has_workers());
            self.give_up(&missing, last_death, transport.start_failure());
            return false;
        }
        match self.publish_part(transport, Some(missing.as_slice().into())) {
            Ok(()) => true,
            Err(error) => {
                self.fail(&missing, |item| TaskError::not_run(item, &error));
                false
            }
        }
    }

    /// Fails the remaining items: workers die as soon as they start, or cannot be started.
    fn give_up(&mut self, missing: &[u64], last_death: Option<&Death>, reason: &str) {
        self.fail(missing, |item| match last_death {
            Some(death) => TaskError::new(Some(item), Some(death.pid), death.cause.clone()),
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
    fn answered(&self) -> Bits {
        let mut answered = Bits::new(self.n_items);
        self.visit(&mut |items, run| {
            run.tasks(&mut |task| {
                if let Some(item) = items.at(task) {
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
