//! What happened when in a map that stays in this process: on its threads, or on the caller's alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::sys::clock::monotonic_ns;
use crate::sys::thread_id;
use crate::trace::{Caller, Span, Trace, Traced, Worker};

/// Spans shorter than this grow by the items that follow: a million quick items are no million spans.
const SHORTEST_SPAN: Duration = Duration::from_micros(10);

/// The notes of all threads.
pub(crate) struct Diary {
    began_ns: u64,
    caller: Caller,
    /// With the thread that ran it, in the order in which they ended.
    spans: Mutex<Vec<(u64, Span)>>,
}

impl Diary {
    /// Begins, at the beginning of the map.
    pub(crate) fn begin() -> Diary {
        let caller = Caller {
            pid: std::process::id() as i32,
            ..Caller::default()
        };
        Diary {
            began_ns: monotonic_ns(),
            caller,
            spans: Mutex::default(),
        }
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(monotonic_ns() - self.began_ns)
    }

    /// The arguments are collected.
    pub(crate) fn encoded(&mut self) {
        self.caller.encoded = self.now();
        self.caller.forked = self.caller.encoded;
    }

    /// This thread has run items, and began at `start`.
    pub(crate) fn ran(&self, first_item: usize, n_items: usize, start: Duration) {
        let span = Span {
            first_item,
            n_items,
            start,
            end: self.now(),
            ..Span::default()
        };
        let thread = u64::from(thread_id());
        // Nobody panics while holding the lock.
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        match spans.last_mut() {
            Some((of, last)) if *of == thread && last.takes_up(&span) => {
                last.n_items += n_items;
                last.end = span.end;
            }
            _ => spans.push((thread, span)),
        }
    }

    /// All is done.
    pub(crate) fn returned(&mut self) {
        self.caller.returned = self.now();
    }

    /// The results are in order.
    pub(crate) fn finish<T>(mut self, value: T) -> Traced<T> {
        self.caller.collated = self.now();
        let spans = self.spans.into_inner();
        let mut workers: Vec<Worker> = Vec::new();
        for (thread, span) in spans.unwrap_or_else(PoisonError::into_inner) {
            match workers.iter_mut().find(|worker| worker.tid == thread) {
                Some(worker) => {
                    worker.left = span.end;
                    worker.spans.push(span);
                }
                None => workers.push(Worker {
                    name: String::new(),
                    pid: self.caller.pid,
                    tid: thread,
                    arrived: span.start,
                    finding: Duration::ZERO,
                    left: span.end,
                    spans: vec![span],
                }),
            }
        }
        workers.sort_by_key(|worker| worker.tid);
        for (index, worker) in workers.iter_mut().enumerate() {
            worker.name = format!("worker {index}");
        }
        let trace = Trace {
            caller: self.caller,
            workers,
        };
        Traced { value, trace }
    }
}

impl Span {
    /// Whether the next span is to be a part of this one.
    fn takes_up(&self, next: &Span) -> bool {
        self.first_item + self.n_items == next.first_item
            && self.end - self.start < SHORTEST_SPAN
            && next.end - next.start < SHORTEST_SPAN
    }
}
