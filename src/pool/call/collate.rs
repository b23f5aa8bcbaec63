//! Puts results in order: every item has its own slot, and completeness is asserted once.

use std::collections::HashMap;

use crate::caught;
use crate::error::{Cause, Error, Outcome, TaskError};
use crate::wire;

use super::slots::Slots;
use super::spent::LARGE_BYTES;
use super::transport::{CommittedRun, Items, Values, Visitor};

/// Collects the values that the workers of a batch commit, of any type.
pub(super) trait Collect {
    /// Takes the large results that `visit` finds while the batch runs; returns whether there were
    /// new ones.
    fn take_large(&mut self, visit: &Visit<'_>) -> bool;

    /// Takes all remaining results when the batch has ended.
    fn take_rest(&mut self, landed: Landed<'_>);
}

/// Shows each run of a batch to a visitor.
pub(in crate::pool) type Visit<'b> = dyn Fn(&mut Visitor<'_>) + 'b;

/// The results and errors of a batch that has ended.
pub(super) struct Landed<'b> {
    /// The errors of items without a result, as far as the owner knows them.
    pub(in crate::pool) failures: Vec<(usize, TaskError)>,
    /// The number of workers that died of an item, for items with at least one such death.
    pub(super) n_deaths: HashMap<usize, u32>,
    pub(in crate::pool) visit: &'b Visit<'b>,
}

/// Puts the results of a batch into their items' slots.
pub(in crate::pool) struct Collector<'m> {
    slots: Slots,
    failures: Vec<(usize, TaskError)>,
    n_deaths: HashMap<usize, u32>,
    /// Called before each large result is made, with whether all tasks have ended.
    make_way: &'m mut dyn FnMut(bool),
}

/// The slots of a batch in which an item has no result: every item has a result or an error.
pub(in crate::pool) struct Partial {
    slots: Slots,
    errors: Vec<Option<TaskError>>,
}

impl Partial {
    /// Each item's result or error.
    ///
    /// # Safety
    /// The slots were made for this type.
    pub(super) unsafe fn into_outcomes<R>(mut self) -> Vec<Outcome<R>> {
        let errors = std::mem::take(&mut self.errors).into_iter();
        let outcomes = errors.enumerate().map(|(item, error)| match error {
            Some(error) => Err(error),
            // SAFETY: the caller vouches for the type; an item without an error has its value.
            None => Ok(unsafe { self.slots.take(item) }),
        });
        outcomes.collect()
    }

    /// The error of the first item that has one.
    pub(super) fn first_error(self) -> TaskError {
        let first = self.errors.into_iter().flatten().next();
        first.unwrap_or_else(|| TaskError::not_run(0, "no item has an error; please report this"))
    }
}

impl<'m> Collector<'m> {
    pub(super) fn new(slots: Slots, make_way: &'m mut dyn FnMut(bool)) -> Self {
        Collector {
            slots,
            failures: Vec::new(),
            n_deaths: HashMap::new(),
            make_way,
        }
    }

    /// The slots, each with its value; or a `Partial` if some item has no result.
    pub(super) fn finish(self) -> Result<Slots, Box<Partial>> {
        let Collector {
            slots,
            failures,
            n_deaths,
            ..
        } = self;
        if slots.is_full() {
            return Ok(slots);
        }
        let mut errors = vec![None; slots.len()];
        for (item, error) in failures {
            if !slots.has(item) {
                errors[item].get_or_insert(error);
            }
        }
        let lost = |item| TaskError::not_run(item, "its result was lost; please report this");
        for (item, error) in errors.iter_mut().enumerate() {
            if !slots.has(item) {
                error.get_or_insert_with(|| lost(item));
            }
        }
        set_tries(&mut errors, &n_deaths);
        Err(Box::new(Partial { slots, errors }))
    }

    fn take(&mut self, items: Items<'_>, run: CommittedRun<'_>) {
        match run.values {
            Values::Plain { stride, bytes } => {
                assert_eq!(Some(stride), self.slots.stride(), "a run of another type");
                // SAFETY: the values are plain numbers, and of this size.
                unsafe { self.slots.put_plain(items, run.first, run.n_values, bytes) };
            }
            Values::Singles(singles) => {
                let stride = Some(singles.stride());
                assert_eq!(stride, self.slots.stride(), "a run of another type");
                for (task, bytes) in singles {
                    if let Some(item) = items.at(task) {
                        // SAFETY: these are the bytes of one plain number of this size.
                        unsafe { self.slots.put_number(item, bytes) };
                    }
                }
            }
            Values::Encoded(values) => {
                let mut values = (run.first..).zip(values.take(run.n_values as usize));
                self.put_all(items, &mut values, true);
            }
            Values::Failure(pid, cause) => {
                if let Some(item) = items.at(run.first).filter(|_| run.n_values > 0) {
                    self.failures
                        .push((item, task_error(item, Some(pid), cause)));
                }
            }
        }
    }

    /// Puts encoded values in their slots, and returns whether one was new. If the type's own
    /// decoder panics, that becomes the item's error, and the next value follows.
    fn put_all<'v>(
        &mut self,
        items: Items<'_>,
        values: &mut impl Iterator<Item = (u64, &'v [u8])>,
        has_ended: bool,
    ) -> bool {
        let (mut put_any, mut at) = (false, None);
        while let Err(payload) = caught::call(&mut || {
            for (task, bytes) in values.by_ref() {
                at = items.at(task);
                put_any |= self.put(at, bytes, has_ended);
            }
        }) {
            if let Some(item) = at {
                self.fail(item, &wire::panicked(&payload));
            }
        }
        put_any
    }

    fn fail(&mut self, item: usize, error: &Error) {
        let cause = Cause::Decode(format!("its result: {error}"));
        self.failures.push((item, task_error(item, None, cause)));
    }

    /// Puts an encoded value in its slot, unless it is there already; returns whether it did.
    fn put(&mut self, item: Option<usize>, bytes: &[u8], has_ended: bool) -> bool {
        let Some(item) = item.filter(|&item| !self.slots.has(item)) else {
            return false;
        };
        if bytes.len() >= LARGE_BYTES {
            // An earlier look, before the batch had ended, may have failed it already.
            if self.failures.iter().any(|(failed, _)| *failed == item) {
                return false;
            }
            (self.make_way)(has_ended);
        }
        match self.slots.decode(item, bytes) {
            Ok(()) => true,
            Err(error) => {
                self.fail(item, &error);
                false
            }
        }
    }
}

impl Collect for Collector<'_> {
    fn take_large(&mut self, visit: &Visit<'_>) -> bool {
        let mut took_any = false;
        visit(&mut |items, run| {
            if let Values::Encoded(values) = run.values {
                let values = (run.first..).zip(values.take(run.n_values as usize));
                let mut large = values.filter(|(_, bytes)| bytes.len() >= LARGE_BYTES);
                took_any |= self.put_all(items, &mut large, false);
            }
        });
        took_any
    }

    fn take_rest(&mut self, landed: Landed<'_>) {
        self.failures.extend(landed.failures);
        self.n_deaths = landed.n_deaths;
        (landed.visit)(&mut |items, run| self.take(items, run));
    }
}

/// Sets in each error how often its item was tried. The error of the last try may differ from that
/// of the first.
fn set_tries(errors: &mut [Option<TaskError>], n_deaths: &HashMap<usize, u32>) {
    for (&item, &n_deaths) in n_deaths {
        if let Some(error) = &mut errors[item] {
            let ended_otherwise = !error.is_died() && !error.is_timed_out();
            error.set_tries(n_deaths + u32::from(ended_otherwise));
        }
    }
}

fn task_error(item: usize, pid: Option<i32>, cause: Cause) -> TaskError {
    TaskError::new(Some(item), pid, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_result_has_an_error() {
        let error = TaskError::not_run(1, "because");
        for (item, error) in [(1, Some(error.clone())), (2, None)] {
            let make_way = &mut |_| ();
            let mut results = Collector::new(Slots::new::<u32>(3), make_way);
            for item in (0..3).filter(|other| *other != item) {
                // SAFETY: these are the bytes of such a number.
                unsafe {
                    results
                        .slots
                        .put_number(item, &u32::try_from(item).unwrap().to_ne_bytes())
                };
            }
            results.take_rest(Landed {
                failures: error
                    .clone()
                    .map(|error| (item, error))
                    .into_iter()
                    .collect(),
                n_deaths: HashMap::new(),
                visit: &|_| (),
            });
            let Err(partial) = results.finish() else {
                panic!("item {item} has no result");
            };
            // SAFETY: the slots are for this type.
            let outcomes = unsafe { partial.into_outcomes::<u32>() };
            for (at, outcome) in outcomes.into_iter().enumerate() {
                match (outcome, &error) {
                    (Ok(value), _) => assert!(at != item && value as usize == at),
                    (Err(found), Some(error)) => assert!(at == item && found == *error),
                    (Err(found), None) => assert!(found.to_string().contains("was lost")),
                }
            }
        }
    }
}
