//! Chrome's trace-event format, as Perfetto reads it: complete events (`"ph":"X"`) with beginning
//! and duration in microseconds, and metadata events (`"ph":"M"`) that name processes and threads.
//! The events of one thread do not overlap: a viewer would lose one that overlapped another's end.
//!
//! The format: "Trace Event Format", Google, JSON object format.

use std::ops::Range;
use std::time::Duration;

use super::{Span, Trace};

pub(super) fn json(trace: &Trace) -> String {
    let caller = Track {
        pid: trace.caller.pid,
        tid: trace.caller.pid as u64,
    };
    let mut events = vec![
        caller.name("process_name", "caller"),
        caller.name("thread_name", "caller"),
    ];
    for (phase, start, end) in trace.caller_steps() {
        events.push(caller.event(phase.name(), "caller", start, end, "{}"));
    }
    for worker in trace.workers() {
        let track = Track {
            pid: worker.pid,
            tid: worker.tid,
        };
        // The caller's process already has its name from the caller's own row.
        if track.pid != caller.pid {
            events.push(track.name("process_name", &worker.name));
        }
        if track != caller {
            events.push(track.name("thread_name", &worker.name));
        }
        for Range { start, end } in &worker.finding {
            events.push(track.event("find function", "worker", *start, *end, "{}"));
        }
        events.extend(worker.spans.iter().map(|span| track.span(span)));
    }
    format!(
        "{{\"traceEvents\":[\n{}\n],\"displayTimeUnit\":\"ns\"}}\n",
        events.join(",\n")
    )
}

/// A row of the viewer.
#[derive(PartialEq)]
struct Track {
    pid: i32,
    tid: u64,
}

impl Track {
    /// All names are the library's own: none needs escaping.
    fn name(&self, whose: &str, name: &str) -> String {
        let Track { pid, tid } = self;
        format!(
            "{{\"name\":\"{whose}\",\"ph\":\"M\",\"pid\":{pid},\"tid\":{tid},\
             \"args\":{{\"name\":\"{name}\"}}}}"
        )
    }

    fn span(&self, span: &Span) -> String {
        let args = format!(
            "{{\"first item\":{},\"items\":{},\"decoding µs\":{},\"encoding µs\":{}}}",
            span.first_item,
            span.n_items,
            microseconds(span.decoding),
            microseconds(span.encoding)
        );
        self.event(&span.label(), "task", span.start, span.end, &args)
    }

    fn event(&self, name: &str, kind: &str, start: Duration, end: Duration, args: &str) -> String {
        let Track { pid, tid } = self;
        format!(
            "{{\"name\":\"{name}\",\"cat\":\"{kind}\",\"ph\":\"X\",\"ts\":{},\"dur\":{},\"pid\":{pid},\
             \"tid\":{tid},\"args\":{args}}}",
            microseconds(start),
            microseconds(end.saturating_sub(start))
        )
    }
}

/// To the nanosecond, as a decimal fraction.
fn microseconds(time: Duration) -> String {
    let nanos = time.as_nanos();
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}
