//! A trace as charts.

use crate::figure::{Figure, Stacked, Timeline, Unit};

use super::{Overheads, Trace};

impl Trace {
    /// Which worker ran which items when, as a chart with a row for each worker and one for the
    /// caller.
    ///
    /// # Example
    /// ```standalone_crate
    /// # fn main() -> forklore::Result<()> {
    /// let pool = forklore::Pool::with_workers(2)?;
    /// let traced = pool.map_traced(|x: u64| x.pow(10), 0..24);
    /// assert!(traced.trace.timeline().svg().contains("worker"));
    /// # Ok(()) }
    /// ```
    pub fn timeline(&self) -> Figure {
        let mut chart = Timeline::new("Who ran which items when").until(self.wall());
        for (phase, start, end) in self.caller_steps() {
            chart = chart.span("caller", phase.name(), "", start, end);
        }
        for worker in self.workers() {
            for span in &worker.spans {
                let kind = if span.is_cut_short { "died" } else { "run" };
                chart = chart.span(&worker.name, kind, &span.label(), span.start, span.end);
            }
        }
        chart.figure()
    }
}

impl Overheads {
    /// The phases as one stacked bar.
    pub fn figure(&self) -> Figure {
        let parts: Vec<(&str, f64)> = self
            .phases()
            .filter(|(_, time)| !time.is_zero())
            .map(|(phase, time)| (phase.name(), time.as_secs_f64()))
            .collect();
        Stacked::new("Where the time of the map went")
            .axis("time", Unit::Seconds)
            .bar("map", &parts)
            .figure()
    }
}
