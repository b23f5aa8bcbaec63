//! The results of a batch, copied to private memory of this process, so that its workers and their
//! shared memory can be freed.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{Cause, TaskError};

use super::collate::{Collect, Collector, Landed, Partial, Visit};
use super::outcome::{Failed, landed_as};
use super::slots::Slots;
use super::transport::{CommittedRun, EncodedValues, Items, Single, SingleValues, Values};

/// The results of a batch, still encoded: decoding may run user code, so the caller that takes them
/// decodes them.
#[derive(Default)]
pub(in crate::pool) struct Copied {
    n_items: usize,
    failures: Vec<(usize, TaskError)>,
    n_deaths: HashMap<usize, u32>,
    runs: Vec<Run>,
}

struct Run {
    /// The items of its job's tasks; `None` if task and item numbers are equal.
    items: Option<Arc<[u64]>>,
    first: u64,
    n_values: u64,
    values: OwnedValues,
}

enum OwnedValues {
    Plain { stride: usize, bytes: Vec<u8> },
    Singles(Single, Vec<u8>),
    Encoded(Vec<u8>),
    Failure(i32, Cause),
}

impl Copied {
    /// Allocates space for a batch of `n_items`.
    pub(super) fn new(n_items: usize) -> Copied {
        Copied {
            n_items,
            ..Copied::default()
        }
    }

    /// All results, or each item's result or error.
    pub(in crate::pool) fn results<R: DeserializeOwned>(mut self) -> Result<Vec<R>, Failed<R>> {
        let landed = self.collate(Slots::new::<R>(self.n_items));
        // SAFETY: the slots were made for this type.
        unsafe { landed_as(landed) }
    }

    #[inline(never)]
    fn collate(&mut self, slots: Slots) -> Result<Slots, Box<Partial>> {
        let make_way = &mut |_| ();
        let mut results = Collector::new(slots, make_way);
        results.take_rest(Landed {
            failures: std::mem::take(&mut self.failures),
            n_deaths: std::mem::take(&mut self.n_deaths),
            visit: &|visitor| {
                for run in &self.runs {
                    let items = Items::of(run.items.as_deref());
                    visitor(items, run.as_committed());
                }
            },
        });
        results.finish()
    }
}

impl Collect for Copied {
    fn take_large(&mut self, _: &Visit<'_>) -> bool {
        false
    }

    fn take_rest(&mut self, landed: Landed<'_>) {
        self.failures.extend(landed.failures);
        self.n_deaths = landed.n_deaths;
        (landed.visit)(&mut |items, run| {
            let items = self.list(items);
            self.runs.push(Run::copy(items, run));
        });
    }
}

impl Copied {
    /// A list of items, shared by the runs of one job.
    fn list(&self, items: Items<'_>) -> Option<Arc<[u64]>> {
        let Items::Listed(items) = items else {
            return None;
        };
        let last = self.runs.last().and_then(|run| run.items.as_ref());
        let same = last.filter(|last| ***last == *items);
        Some(same.map_or_else(|| items.into(), Arc::clone))
    }
}

impl Run {
    fn copy(items: Option<Arc<[u64]>>, run: CommittedRun<'_>) -> Run {
        Run {
            items,
            first: run.first,
            n_values: run.n_values,
            values: match run.values {
                Values::Plain { stride, bytes } => OwnedValues::Plain {
                    stride,
                    bytes: bytes.to_vec(),
                },
                Values::Singles(singles) => {
                    OwnedValues::Singles(singles.single, singles.bytes.to_vec())
                }
                Values::Encoded(values) => OwnedValues::Encoded(values.0.to_vec()),
                Values::Failure(pid, cause) => OwnedValues::Failure(pid, cause),
            },
        }
    }

    fn as_committed(&self) -> CommittedRun<'_> {
        CommittedRun {
            first: self.first,
            n_values: self.n_values,
            values: match &self.values {
                &OwnedValues::Plain { stride, ref bytes } => Values::Plain { stride, bytes },
                &OwnedValues::Singles(single, ref bytes) => {
                    Values::Singles(SingleValues { single, bytes })
                }
                OwnedValues::Encoded(bytes) => Values::Encoded(EncodedValues(bytes)),
                OwnedValues::Failure(pid, cause) => Values::Failure(*pid, cause.clone()),
            },
        }
    }
}
