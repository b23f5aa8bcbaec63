//! The parts of a map's time, which add up to its wall time.

use std::fmt;
use std::time::Duration;

use super::{Trace, Worker};
use crate::units;

/// A step of a map's journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The caller encodes the arguments, or collects them.
    Encode,
    /// The caller forks workers, because the function captures state.
    Fork,
    /// From publishing until a worker notices the work.
    Wake,
    /// A worker finds the function in its own memory.
    FindFunction,
    /// A worker decodes arguments. Plain numbers need no decoding: reading them counts as running.
    Decode,
    /// The function itself.
    Run,
    /// A worker encodes results. Plain numbers need no encoding.
    EncodeResult,
    /// A worker claims a chunk and makes room for its results.
    Claim,
    /// A worker waits, because no chunk is left while others still run.
    Idle,
    /// From the last worker's end until the caller notices it.
    Return,
    /// The caller puts the results in order.
    Collate,
}

const PHASES: [Phase; 11] = [
    Phase::Encode,
    Phase::Fork,
    Phase::Wake,
    Phase::FindFunction,
    Phase::Decode,
    Phase::Run,
    Phase::EncodeResult,
    Phase::Claim,
    Phase::Idle,
    Phase::Return,
    Phase::Collate,
];

impl Phase {
    /// A short description of the phase.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Encode => "encode",
            Phase::Fork => "fork",
            Phase::Wake => "wake",
            Phase::FindFunction => "find function",
            Phase::Decode => "decode",
            Phase::Run => "run",
            Phase::EncodeResult => "encode result",
            Phase::Claim => "claim",
            Phase::Idle => "idle",
            Phase::Return => "return",
            Phase::Collate => "collate",
        }
    }
}

/// The parts of a map's wall time.
///
/// What several workers did in parallel counts as their mean: two workers that each ran for 10 ms
/// at the same time count as 10 ms. Workers that arrived too late to run anything do not count.
/// Prints as a table.
///
/// # Example
/// ```
/// use forklore::trace::Phase;
///
/// let traced = forklore::Serial.map_traced(|text: &str| text.len(), ["a", "bc"]);
/// let overheads = traced.overheads();
/// assert!(overheads.get(Phase::Run) <= overheads.wall());
/// assert_eq!(overheads.phases().map(|(_, time)| time).sum::<std::time::Duration>(), overheads.total());
/// println!("{overheads}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheads {
    parts: [Duration; PHASES.len()],
    wall: Duration,
}

impl Overheads {
    pub(super) fn of(trace: &Trace) -> Overheads {
        let caller = &trace.caller;
        let mut overheads = Overheads {
            parts: Default::default(),
            wall: trace.wall(),
        };
        overheads.add(Phase::Encode, caller.encoded);
        overheads.add(Phase::Fork, caller.forked.saturating_sub(caller.encoded));
        overheads.add(
            Phase::Collate,
            caller.collated.saturating_sub(caller.returned),
        );
        // Publishing counts as waking.
        let wake_from = caller.forked;
        let workers = trace.workers();
        let n_workers = workers.len() as u32;
        let last_left = workers.iter().map(Worker::left).max();
        let last_left = last_left.unwrap_or(wake_from).min(caller.returned);
        overheads.add(Phase::Return, caller.returned.saturating_sub(last_left));
        for worker in workers {
            let sum = |part: fn(&super::Span) -> Duration| -> Duration {
                worker.spans.iter().map(part).sum()
            };
            let (decoding, encoding) = (sum(|span| span.decoding), sum(|span| span.encoding));
            let wake = worker.arrived.saturating_sub(wake_from);
            let working = worker.busy();
            let present = worker.left().saturating_sub(worker.arrived);
            let claiming = present.saturating_sub(worker.finding() + working);
            let there = last_left.saturating_sub(wake_from);
            let parts = [
                (Phase::Wake, wake),
                (Phase::FindFunction, worker.finding()),
                (Phase::Decode, decoding),
                (Phase::Run, working.saturating_sub(decoding + encoding)),
                (Phase::EncodeResult, encoding),
                (Phase::Claim, claiming),
                (Phase::Idle, there.saturating_sub(wake + present)),
            ];
            for (phase, time) in parts {
                overheads.add(phase, time / n_workers);
            }
        }
        overheads
    }

    fn add(&mut self, phase: Phase, time: Duration) {
        self.parts[phase as usize] += time;
    }

    /// The time of one phase.
    pub fn get(&self, phase: Phase) -> Duration {
        self.parts[phase as usize]
    }

    /// All phases with their times, in the order of the journey.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        PHASES.into_iter().map(|phase| (phase, self.get(phase)))
    }

    /// The sum of all phases.
    pub fn total(&self) -> Duration {
        self.parts.iter().sum()
    }

    /// The wall time.
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// The time of all phases except the function itself.
    pub fn overhead(&self) -> Duration {
        self.total().saturating_sub(self.get(Phase::Run))
    }
}

impl fmt::Display for Overheads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.wall.as_secs_f64();
        let mut line = |name: &str, time: Duration| {
            let share = 100.0 * time.as_secs_f64() / wall.max(f64::MIN_POSITIVE);
            let time = units::time(time.as_secs_f64());
            write!(f, "{name:<14}{time:>10}{share:>6.1} %")?;
            if name != "wall" { writeln!(f) } else { Ok(()) }
        };
        for (phase, time) in self.phases() {
            if !time.is_zero() {
                line(phase.name(), time)?;
            }
        }
        line("wall", self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Caller, Noted, Span, Visit};
    use super::*;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn worker(pid: i32, arrived: u64, finding: u64, spans: &[(u64, u64)]) -> (Visit, Vec<Span>) {
        let span = |&(start, end): &(u64, u64)| Span {
            n_items: 1,
            start: us(start),
            end: us(end),
            decoding: us(1),
            encoding: us(2),
            ..Span::default()
        };
        let visit = Visit {
            pid,
            tid: pid as u64,
            arrived: us(arrived),
            found: us(arrived + finding),
        };
        (visit, spans.iter().map(span).collect())
    }

    fn trace() -> Trace {
        let mut noted = Noted::default();
        for (visit, spans) in [
            worker(7, 40, 4, &[(45, 80), (85, 140)]),
            worker(8, 60, 0, &[(60, 100)]),
        ] {
            noted.add(visit, spans);
        }
        Trace {
            caller: Caller {
                pid: 1,
                encoded: us(10),
                forked: us(10),
                returned: us(150),
                collated: us(170),
            },
            noted,
        }
    }

    #[test]
    fn the_parts_are_the_wall() {
        let overheads = trace().overheads();
        assert_eq!(overheads.get(Phase::Wake), us((30 + 50) / 2));
        assert_eq!(overheads.get(Phase::FindFunction), us(2));
        assert_eq!(overheads.get(Phase::Idle), us(40 / 2));
        assert_eq!(overheads.get(Phase::Return), us(10));
        assert_eq!(overheads.total(), us(170));
        assert_eq!(overheads.total(), overheads.wall());
    }

    #[test]
    fn the_table_has_a_row_for_each_part_that_took_time() {
        let table = trace().overheads().to_string();
        assert!(table.contains("find function"), "{table}");
        assert!(!table.contains("fork"), "{table}");
        assert!(table.ends_with("100.0 %"), "{table}");
    }
}
