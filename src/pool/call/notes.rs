//! The calling process's notes about a traced map: when each step ended.

use std::time::Duration;

use crate::sys::clock::monotonic_ns;
use crate::sys::process_id;
use crate::trace::{self, Trace, Traced};

#[cfg(feature = "cluster")]
use crate::pool::nodes::Nodes;

/// The caller's notes about a map; empty if the map is not traced.
#[derive(Default)]
pub(in crate::pool) struct Notes(Option<Caller>);

struct Caller {
    began_ns: u64,
    trace: Trace,
}

impl Notes {
    /// Starts taking notes, when the map begins.
    pub(in crate::pool) fn begin() -> Notes {
        let began_ns = monotonic_ns();
        let mut trace = Trace::default();
        trace.caller.pid = process_id() as i32;
        Notes(Some(Caller { began_ns, trace }))
    }

    /// Takes notes in times of the system's clock, for an owner in another process.
    #[cfg(feature = "cluster")]
    pub(super) fn by_the_clock() -> Notes {
        let trace = Trace::default();
        Notes(Some(Caller { began_ns: 0, trace }))
    }

    /// What the workers recorded.
    #[cfg(feature = "cluster")]
    pub(super) fn noted(self) -> trace::Noted {
        self.0.map(|caller| caller.trace.noted).unwrap_or_default()
    }

    /// Names the rows after the nodes: the workers are on several.
    #[cfg(feature = "cluster")]
    pub(super) fn are_of(&mut self, nodes: &Nodes) {
        if let Some((_, trace)) = self.trace_mut() {
            let nodes = nodes.nodes.iter();
            let names = nodes.map(|node| (node.first_slot as u64, node.name.clone()));
            trace.noted.are_on_nodes(names.collect());
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records that the arguments are encoded, or collected. Without arguments, no step comes
    /// between this and the results.
    pub(in crate::pool) fn encoded(&mut self) {
        self.mark(|caller| &mut caller.encoded);
        if let Some(caller) = &mut self.0 {
            let caller = &mut caller.trace.caller;
            (caller.forked, caller.returned) = (caller.encoded, caller.encoded);
        }
    }

    /// Records that workers were forked for this call.
    pub(in crate::pool) fn forked(&mut self) {
        self.mark(|caller| &mut caller.forked);
    }

    /// Records that all tasks have ended.
    pub(in crate::pool) fn returned(&mut self) {
        self.mark(|caller| &mut caller.returned);
    }

    /// The time since the map began, if notes are taken.
    pub(in crate::pool) fn now(&self) -> Option<Duration> {
        let caller = self.0.as_ref()?;
        Some(Duration::from_nanos(monotonic_ns() - caller.began_ns))
    }

    fn mark(&mut self, step: impl Fn(&mut trace::Caller) -> &mut Duration) {
        if let (Some(now), Some(caller)) = (self.now(), &mut self.0) {
            *step(&mut caller.trace.caller) = now;
        }
    }

    /// When the map began, and the trace to which the transport adds what its workers recorded;
    /// `None` if no notes are taken.
    pub(in crate::pool) fn trace_mut(&mut self) -> Option<(u64, &mut Trace)> {
        let caller = self.0.as_mut()?;
        Some((caller.began_ns, &mut caller.trace))
    }

    /// Completes the trace: the results are in order.
    pub(in crate::pool) fn finish<T>(mut self, value: T) -> Traced<T> {
        self.mark(|caller| &mut caller.collated);
        let trace = self.0.map(|caller| caller.trace).unwrap_or_default();
        Traced { value, trace }
    }
}
