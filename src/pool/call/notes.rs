//! What the calling process notes about a map that is traced: when each step ended.

use std::time::Duration;

use crate::sys::clock::monotonic_ns;
use crate::sys::process_id;
use crate::trace::{self, Trace, Traced};

#[cfg(feature = "cluster")]
use crate::pool::nodes::Nodes;

/// The caller's notes about a map; a map that is not traced has empty ones.
#[derive(Default)]
pub(in crate::pool) struct Notes(Option<Caller>);

struct Caller {
    began_ns: u64,
    trace: Trace,
}

impl Notes {
    /// Begins to take notes, at the beginning of the map.
    pub(in crate::pool) fn begin() -> Notes {
        let began_ns = monotonic_ns();
        let mut trace = Trace::default();
        trace.caller.pid = process_id() as i32;
        Notes(Some(Caller { began_ns, trace }))
    }

    /// Takes notes of times as the clock has them, for an owner elsewhere.
    #[cfg(feature = "cluster")]
    pub(super) fn by_the_clock() -> Notes {
        let trace = Trace::default();
        Notes(Some(Caller { began_ns: 0, trace }))
    }

    /// What workers have noted.
    #[cfg(feature = "cluster")]
    pub(super) fn noted(self) -> trace::Noted {
        self.0.map(|caller| caller.trace.noted).unwrap_or_default()
    }

    /// The workers are on several nodes: their rows have the nodes' names.
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

    /// The arguments are encoded, or collected. Without any, nothing comes between this and the
    /// results.
    pub(in crate::pool) fn encoded(&mut self) {
        self.mark(|caller| &mut caller.encoded);
        if let Some(caller) = &mut self.0 {
            let caller = &mut caller.trace.caller;
            (caller.forked, caller.returned) = (caller.encoded, caller.encoded);
        }
    }

    /// Workers were forked for this call.
    pub(in crate::pool) fn forked(&mut self) {
        self.mark(|caller| &mut caller.forked);
    }

    /// All is done.
    pub(in crate::pool) fn returned(&mut self) {
        self.mark(|caller| &mut caller.returned);
    }

    /// The time since the beginning, if it is noted.
    pub(in crate::pool) fn now(&self) -> Option<Duration> {
        let caller = self.0.as_ref()?;
        Some(Duration::from_nanos(monotonic_ns() - caller.began_ns))
    }

    fn mark(&mut self, step: impl Fn(&mut trace::Caller) -> &mut Duration) {
        if let (Some(now), Some(caller)) = (self.now(), &mut self.0) {
            *step(&mut caller.trace.caller) = now;
        }
    }

    /// When the map began, and the trace to which a carrier adds what its workers have noted;
    /// `None` if nothing is noted.
    pub(in crate::pool) fn trace_mut(&mut self) -> Option<(u64, &mut Trace)> {
        let caller = self.0.as_mut()?;
        Some((caller.began_ns, &mut caller.trace))
    }

    /// The results are in order: their trace is complete.
    pub(in crate::pool) fn finish<T>(mut self, value: T) -> Traced<T> {
        self.mark(|caller| &mut caller.collated);
        let trace = self.0.map(|caller| caller.trace).unwrap_or_default();
        Traced { value, trace }
    }
}
