//! The trace of a map within this process: on its threads, or on the caller's thread alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys::thread_id;
use crate::trace::{Span, Traced, Visit};

use crate::pool::call::notes::Notes;

/// Spans shorter than this absorb the items that follow, so that a million quick items do not make
/// a million spans.
const SHORTEST_SPAN: Duration = Duration::from_micros(10);

/// The notes of the caller and of all threads; an untraced map has an empty diary.
#[derive(Default)]
pub(crate) struct Diary {
    caller: Notes,
    /// Each span with its thread, in the order in which they ended.
    spans: Mutex<Vec<(u64, Span)>>,
}

impl Diary {
    /// A diary that records nothing.
    pub(crate) fn off() -> Diary {
        Diary::default()
    }

    /// Starts a diary, at the start of the map.
    pub(crate) fn begin() -> Diary {
        Diary {
            caller: Notes::begin(),
            ..Diary::default()
        }
    }

    /// The time since the start, if the map is traced.
    pub(crate) fn now(&self) -> Option<Duration> {
        self.caller.now()
    }

    /// Notes that the arguments are collected.
    #[cfg(feature = "threads")]
    pub(crate) fn encoded(&mut self) {
        self.caller.encoded();
    }

    /// Notes that this thread has run items since `start`.
    pub(crate) fn ran(&self, first_item: usize, n_items: usize, start: Option<Duration>) {
        let (Some(start), Some(end)) = (start, self.now()) else {
            return;
        };
        let span = Span {
            first_item,
            n_items,
            start,
            end,
            ..Span::default()
        };
        let thread = u64::from(thread_id());
        let mut spans = lock(&self.spans);
        match spans.last_mut() {
            Some((of, last)) if *of == thread && last.takes_up(&span) => {
                last.n_items += n_items;
                last.end = span.end;
            }
            _ => spans.push((thread, span)),
        }
    }

    /// Notes that all tasks are done.
    pub(crate) fn returned(&mut self) {
        self.caller.returned();
    }

    /// Ends the trace: the results are in order.
    pub(crate) fn finish<T>(self, value: T) -> Traced<T> {
        let mut traced = self.caller.finish(value);
        let pid = traced.trace.caller.pid;
        for (thread, span) in std::mem::take(&mut *lock(&self.spans)) {
            let visit = Visit {
                pid,
                tid: thread,
                arrived: span.start,
                found: span.start,
            };
            traced.trace.noted.add(visit, [span]);
        }
        traced
    }
}

/// No task panics while it holds one of these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Span {
    /// Whether this span absorbs the next one.
    fn takes_up(&self, next: &Span) -> bool {
        self.first_item + self.n_items == next.first_item
            && self.end - self.start < SHORTEST_SPAN
            && next.end - next.start < SHORTEST_SPAN
    }
}
