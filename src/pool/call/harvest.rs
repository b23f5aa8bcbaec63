//! The results of a batch in the form in which they are sent to another process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, TaskError};
use crate::trace::{self, Noted, Span};

use super::collate::{Collect, Landed, Visit};
use super::transport::{CommittedRun, EncodedValues, Items, Values};

/// The results of a batch, run by run, still encoded.
#[derive(Debug, Default)]
pub(in crate::pool) struct Harvest {
    pub(in crate::pool) runs: Vec<Run>,
    /// The values of the runs, concatenated.
    pub(in crate::pool) values: Vec<u8>,
    /// How long a task took, as far as that was measured; 0 if it was not.
    pub(in crate::pool) task_ns: u64,
    /// What the workers recorded, by this machine's clock, if the batch is traced.
    pub(in crate::pool) visits: Vec<NotedVisit>,
}

/// Consecutive items and their results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Run {
    pub(in crate::pool) first: u64,
    pub(in crate::pool) n_tasks: u64,
    pub(in crate::pool) values: Gathered,
}

/// What a run holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum Gathered {
    /// Plain numbers of this many bytes.
    Plain { stride: u64 },
    /// Encoded values of these lengths.
    Encoded { lengths: Vec<u64> },
    /// Why the only task has no result: in which process, and after how many tries.
    Failure { pid: i32, tries: u32, cause: Cause },
}

/// What one worker recorded of a batch. All times are by its node's clock, in ns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct NotedVisit {
    pub(in crate::pool) pid: i32,
    pub(in crate::pool) arrived_ns: u64,
    pub(in crate::pool) found_ns: u64,
    pub(in crate::pool) spans: Vec<NotedSpan>,
}

/// Consecutive tasks that a worker ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct NotedSpan {
    pub(in crate::pool) first: u64,
    pub(in crate::pool) n_tasks: u64,
    pub(in crate::pool) began_ns: u64,
    pub(in crate::pool) ended_ns: u64,
    pub(in crate::pool) decoding_ns: u64,
    pub(in crate::pool) encoding_ns: u64,
    /// Whether the worker died at the last task.
    pub(in crate::pool) is_cut_short: bool,
}

impl Gathered {
    /// The lengths of encoded values; empty for other runs.
    pub(in crate::pool) fn lengths(&self) -> &[u64] {
        match self {
            Gathered::Encoded { lengths } => lengths,
            Gathered::Plain { .. } | Gathered::Failure { .. } => &[],
        }
    }
}

impl Harvest {
    /// The harvest in which all of these tasks failed.
    pub(in crate::pool) fn failed(n_tasks: u64, cause: &Cause) -> Harvest {
        let mut harvest = Harvest::default();
        for task in 0..n_tasks {
            harvest.fail(task, 0, 1, cause.clone());
        }
        harvest
    }

    fn fail(&mut self, first: u64, pid: i32, tries: u32, cause: Cause) {
        self.runs.push(Run {
            first,
            n_tasks: 1,
            values: Gathered::Failure { pid, tries, cause },
        });
    }

    /// Appends a plain number to the last run, if it belongs to the next item.
    fn put_number(&mut self, item: u64, number: &[u8]) {
        self.values.extend_from_slice(number);
        let stride = number.len() as u64;
        if let Some(last) = self.runs.last_mut()
            && last.values == (Gathered::Plain { stride })
            && last.first + last.n_tasks == item
        {
            last.n_tasks += 1;
            return;
        }
        self.runs.push(Run {
            first: item,
            n_tasks: 1,
            values: Gathered::Plain { stride },
        });
    }

    /// The same for an encoded value.
    fn put_value(&mut self, item: u64, value: &[u8]) {
        self.values.extend_from_slice(value);
        let n_bytes = value.len() as u64;
        if let Some(last) = self.runs.last_mut()
            && last.first + last.n_tasks == item
            && let Gathered::Encoded { lengths } = &mut last.values
        {
            lengths.push(n_bytes);
            last.n_tasks += 1;
            return;
        }
        self.runs.push(Run {
            first: item,
            n_tasks: 1,
            values: Gathered::Encoded {
                lengths: vec![n_bytes],
            },
        });
    }

    fn take(&mut self, items: Items<'_>, run: CommittedRun<'_>) {
        let CommittedRun {
            first, n_values, ..
        } = run;
        let item = |task| items.at(task).map(|item| item as u64);
        match run.values {
            Values::Plain { stride, bytes } if matches!(items, Items::Same) => {
                self.values.extend_from_slice(bytes);
                self.runs.push(Run {
                    first,
                    n_tasks: n_values,
                    values: Gathered::Plain {
                        stride: stride as u64,
                    },
                });
            }
            Values::Plain { stride, bytes } => {
                for (task, number) in (first..).zip(bytes.chunks_exact(stride)) {
                    item(task)
                        .into_iter()
                        .for_each(|item| self.put_number(item, number));
                }
            }
            Values::Singles(singles) => {
                for (task, number) in singles {
                    item(task)
                        .into_iter()
                        .for_each(|item| self.put_number(item, number));
                }
            }
            Values::Encoded(EncodedValues(bytes)) => {
                let values = EncodedValues(bytes).take(n_values as usize);
                for (task, value) in (first..).zip(values) {
                    item(task)
                        .into_iter()
                        .for_each(|item| self.put_value(item, value));
                }
            }
            Values::Failure(pid, cause) => {
                if let Some(item) = item(first).filter(|_| n_values > 0) {
                    self.fail(item, pid, 1, cause);
                }
            }
        }
    }

    fn take_error(&mut self, item: usize, error: TaskError) {
        let pid = error.pid().unwrap_or(0);
        let (cause, tries) = error.into_cause();
        self.fail(item as u64, pid, tries, cause);
    }
}

impl Collect for Harvest {
    fn take_large(&mut self, _: &Visit<'_>) -> bool {
        false
    }

    fn take_rest(&mut self, landed: Landed<'_>) {
        (landed.visit)(&mut |items, run| self.take(items, run));
        for (item, error) in landed.failures {
            self.take_error(item, error);
        }
    }
}

/// What the workers recorded, in the form in which it is sent.
pub(super) fn visits(noted: &Noted) -> Vec<NotedVisit> {
    let ns = |time: Duration| time.as_nanos() as u64;
    let span = |span: &Span| NotedSpan {
        first: span.first_item as u64,
        n_tasks: span.n_items as u64,
        began_ns: ns(span.start),
        ended_ns: ns(span.end),
        decoding_ns: ns(span.decoding),
        encoding_ns: ns(span.encoding),
        is_cut_short: span.is_cut_short,
    };
    let visit = |(visit, spans): (trace::Visit, &[Span])| NotedVisit {
        pid: visit.pid,
        arrived_ns: ns(visit.arrived),
        found_ns: ns(visit.found),
        spans: spans.iter().map(span).collect(),
    };
    noted.visits().map(visit).collect()
}
