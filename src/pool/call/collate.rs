//! Results back in order: every item has its own slot, and completeness is asserted once.

use std::collections::HashMap;
use std::mem::MaybeUninit;

use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::{Cause, Error, Outcome, TaskError};
use crate::wire;

use super::bits::Bits;
use super::spent::LARGE_BYTES;
use super::transport::{CommittedRun, Items, Values, Visitor};

/// Makes results of what the workers of a batch commit, whatever their type.
pub(super) trait Collect {
    /// Takes the large results that `visit` finds while the batch runs, and says whether there were
    /// new ones.
    fn take_large(&mut self, visit: &Visit<'_>) -> bool;

    /// Takes all others when the batch has ended.
    fn take_rest(&mut self, landed: Landed<'_>);
}

/// Shows each run of a batch to a visitor.
pub(in crate::pool) type Visit<'b> = dyn Fn(&mut Visitor<'_>) + 'b;

/// What has come of a batch.
pub(super) struct Landed<'b> {
    /// The errors of items that have no result, as far as the owner knows them.
    pub(in crate::pool) failures: Vec<(usize, TaskError)>,
    /// How many workers died of an item, for those of which one did.
    pub(super) n_deaths: HashMap<usize, u32>,
    pub(in crate::pool) visit: &'b Visit<'b>,
}

/// The results of a batch, each in its item's slot.
pub(super) struct Collector<'m, R> {
    slots: Slots<R>,
    failures: Vec<(usize, TaskError)>,
    n_deaths: HashMap<usize, u32>,
    /// Is called before each large result is made, with whether all tasks have ended.
    make_way: &'m mut dyn FnMut(bool),
}

impl<'m, R: DeserializeOwned> Collector<'m, R> {
    pub(in crate::pool) fn new(n_items: usize, make_way: &'m mut dyn FnMut(bool)) -> Self {
        Collector {
            slots: Slots::new(n_items),
            failures: Vec::new(),
            n_deaths: HashMap::new(),
            make_way,
        }
    }

    /// All results. `Err` holds what there is when some item has none: then every item has a result
    /// or an error.
    pub(in crate::pool) fn finish(self) -> Result<Vec<R>, Vec<Outcome<R>>> {
        let results = self.slots.finish(self.failures);
        results.map_err(|results| with_tries(results, &self.n_deaths))
    }

    fn take(&mut self, items: Items<'_>, run: CommittedRun<'_>) {
        match run.values {
            Values::Plain { stride, bytes } => {
                assert_eq!(
                    Some(stride),
                    wire::plain_size::<R>(),
                    "a run of another type"
                );
                self.slots.put_plain(items, run.first, run.n_values, bytes);
            }
            Values::Singles(singles) => {
                assert_eq!(
                    Some(singles.stride()),
                    wire::plain_size::<R>(),
                    "a run of another type"
                );
                for (task, bytes) in singles {
                    if let Some(item) = items.at(task) {
                        // SAFETY: these are the bytes of one plain number of this size.
                        self.slots
                            .put(item, unsafe { bytes.as_ptr().cast::<R>().read_unaligned() });
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

    /// Puts encoded values in their slots, and says whether one was new. Where the type's own
    /// decoder panics, that is the item's error, and the next value follows.
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

    /// Puts an encoded value in its slot, unless it is there already; says whether it did.
    fn put(&mut self, item: Option<usize>, bytes: &[u8], has_ended: bool) -> bool {
        let Some(item) = item.filter(|&item| !self.slots.filled.has(item)) else {
            return false;
        };
        if bytes.len() >= LARGE_BYTES {
            // It may have been looked at before the batch had ended.
            if self.failures.iter().any(|(failed, _)| *failed == item) {
                return false;
            }
            (self.make_way)(has_ended);
        }
        match wire::decode(bytes) {
            Ok(value) => {
                self.slots.put(item, value);
                true
            }
            Err(error) => {
                self.fail(item, &error);
                false
            }
        }
    }
}

impl<R: DeserializeOwned> Collect for Collector<'_, R> {
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

/// Says in each error how often its item was tried. What ended a first try may not have ended the
/// last.
fn with_tries<R>(mut results: Vec<Outcome<R>>, n_deaths: &HashMap<usize, u32>) -> Vec<Outcome<R>> {
    for (&item, &n_deaths) in n_deaths {
        if let Err(error) = &mut results[item] {
            let ended_otherwise = !error.is_died() && !error.is_timed_out();
            error.set_tries(n_deaths + u32::from(ended_otherwise));
        }
    }
    results
}

fn task_error(item: usize, pid: Option<i32>, cause: Cause) -> TaskError {
    TaskError::new(Some(item), pid, cause)
}

/// A vector that is filled in any order.
struct Slots<R> {
    /// `filled` says which are initialised.
    slots: Vec<MaybeUninit<R>>,
    filled: Bits,
}

impl<R> Slots<R> {
    fn new(n: usize) -> Self {
        let mut slots = Vec::with_capacity(n);
        // SAFETY: the capacity is `n`, and uninitialised is a value of `MaybeUninit`.
        unsafe { slots.set_len(n) };
        Slots {
            slots,
            filled: Bits::new(n),
        }
    }

    /// Puts a value in its slot; one for a slot that is taken, or that is none, is dropped.
    #[inline]
    fn put(&mut self, item: usize, value: R) {
        if self.filled.set(item) {
            self.slots[item].write(value);
        }
    }

    /// Puts plain numbers in their slots; consecutive items are copied in one piece.
    fn put_plain(&mut self, items: Items<'_>, first: u64, n: u64, bytes: &[u8]) {
        assert_eq!(bytes.len(), n as usize * size_of::<R>());
        let values = bytes.as_ptr().cast::<R>();
        if n == 1 {
            if let Some(item) = items.at(first) {
                // SAFETY: there is one value in `bytes`.
                self.put(item, unsafe { values.read_unaligned() });
            }
            return;
        }
        let ends = (items.at(first), items.at(first + n.saturating_sub(1)));
        if let (Some(start), Some(last)) = ends
            && n > 0
            // A list of items ascends, so that its ends tell whether it has gaps.
            && last.checked_sub(start) == Some(n as usize - 1)
            && self.filled.set_range(start, n as usize)
        {
            // SAFETY: `set_range` has checked that the items exist; `bytes` holds as many plain
            // numbers, of which any bytes are a value.
            unsafe {
                let slots = self.slots.as_mut_ptr().add(start).cast::<R>();
                std::ptr::copy_nonoverlapping(values.cast::<u8>(), slots.cast(), bytes.len());
            }
            return;
        }
        for index in 0..n {
            if let Some(item) = items.at(first + index) {
                // SAFETY: `index` is below the number of values in `bytes`.
                self.put(item, unsafe { values.add(index as usize).read_unaligned() });
            }
        }
    }

    fn finish(mut self, failures: Vec<(usize, TaskError)>) -> Result<Vec<R>, Vec<Outcome<R>>> {
        let slots = std::mem::take(&mut self.slots);
        if self.filled.is_full() {
            let mut slots = std::mem::ManuallyDrop::new(slots);
            let (start, length, capacity) = (slots.as_mut_ptr(), slots.len(), slots.capacity());
            // SAFETY: all slots are initialised, and the vector they were in is not dropped.
            return Ok(unsafe { Vec::from_raw_parts(start.cast::<R>(), length, capacity) });
        }
        let mut errors: Vec<Option<TaskError>> = vec![None; slots.len()];
        for (item, error) in failures {
            errors[item].get_or_insert(error);
        }
        let results = slots
            .into_iter()
            .zip(errors)
            .enumerate()
            .map(|(item, (slot, error))| {
                if self.filled.has(item) {
                    // SAFETY: the slot is initialised, and read once.
                    Ok(unsafe { slot.assume_init() })
                } else {
                    Err(error.unwrap_or_else(|| {
                        TaskError::not_run(item, "its result was lost; please report this")
                    }))
                }
            });
        Err(results.collect())
    }
}

impl<R> Drop for Slots<R> {
    /// A value's own decoder may panic half way: what is there is dropped.
    fn drop(&mut self) {
        for (item, slot) in self.slots.iter_mut().enumerate() {
            if self.filled.has(item) {
                // SAFETY: the slot is initialised, and is not used any more.
                unsafe { slot.assume_init_drop() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_vector_comes_back_in_order() {
        let mut slots = Slots::new(3);
        for item in [2, 0, 1] {
            slots.put(item, item.to_string());
        }
        assert_eq!(slots.finish(Vec::new()).unwrap(), ["0", "1", "2"]);
    }

    #[test]
    fn a_hole_is_an_error_and_the_others_are_kept() {
        let mut slots = Slots::new(3);
        slots.put(0, "zero".to_owned());
        slots.put(2, "two".to_owned());
        slots.put(2, "again".to_owned());
        slots.put(3, "outside".to_owned());
        let error = TaskError::not_run(1, "because");
        let results = slots.finish(vec![(1, error.clone())]).unwrap_err();
        assert_eq!(
            results,
            [Ok("zero".to_owned()), Err(error), Ok("two".to_owned())]
        );
    }

    #[test]
    fn numbers_are_placed_by_their_items() {
        let mut slots = Slots::<u32>::new(4);
        let bytes: Vec<u8> = [7u32, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
        slots.put_plain(Items::Same, 1, 2, &bytes);
        slots.put_plain(Items::Listed(&[0, 3]), 0, 2, &bytes);
        assert_eq!(slots.finish(Vec::new()).unwrap(), [7, 7, 8, 8]);
    }

    #[test]
    fn an_abandoned_vector_drops_what_it_has() {
        let value = std::rc::Rc::new(());
        let mut slots = Slots::new(2);
        slots.put(1, std::rc::Rc::clone(&value));
        drop(slots);
        assert_eq!(std::rc::Rc::strong_count(&value), 1);
    }
}
