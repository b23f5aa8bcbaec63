//! Whether other programs used the processors while something was measured.
//!
//! Rounds that disagree show that a machine is busy, but rounds that agree do not show that it is
//! quiet. If other programs keep every core busy, Linux shares time out per thread, so two threads
//! under one lock can be faster than one in every round, because together they get twice the time.
//! So a measurement also reads what the processors did in the meantime.

use std::fmt;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

use forklore::Cpus;
use forklore::timing::{Stopwatch, Times};

/// How much of a processor other programs may use: for example a browser, or a clock on the screen.
const TOLERATED: f64 = 0.3;
/// Other programs do not cause a difference by this factor. With a busy loop on every core, two
/// workers have been seen to take 5.6 times as long as one, in every round.
const PLAIN: f64 = 10.0;
/// How far other programs may separate two pieces of work that they disturb alike, as a factor.
const UNEVEN: f64 = 1.25;

/// A measurement, from its start on, of the processors that this process may use.
pub(crate) struct Watch {
    busy: Option<Duration>,
    own: Stopwatch,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        Watch {
            busy: busy(),
            own: Stopwatch::start(),
        }
    }

    /// What other programs have used since the start.
    pub(crate) fn stop(self) -> Others {
        let (Some(before), Some(now)) = (self.busy, busy()) else {
            return Others::unknown();
        };
        let busy = now.saturating_sub(before);
        let Times {
            wall,
            cpu,
            children,
            ..
        } = self.own.stop();
        let own = cpu.total() + children.total();
        let cpus = Cpus::detect();
        Others::of(busy, own, wall, cpus.affinity(), cpus.usable())
    }
}

/// How much processor time other programs used during a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Others {
    /// In processors: 1.5 means one and a half, all the time.
    n_cpus: f64,
    /// How many processors this process may run on, and how many of them are its share.
    n_allowed: usize,
    n_usable: usize,
}

impl Others {
    /// The value if Linux does not report what the processors did.
    pub(crate) fn unknown() -> Others {
        Others {
            n_cpus: 0.0,
            n_allowed: 1,
            n_usable: 1,
        }
    }

    fn of(
        busy: Duration,
        own: Duration,
        wall: Duration,
        n_allowed: usize,
        n_usable: usize,
    ) -> Others {
        let others = busy.saturating_sub(own).as_secs_f64();
        Others {
            n_cpus: others / wall.as_secs_f64().max(1e-9),
            n_allowed,
            n_usable,
        }
    }

    /// Whether they disturbed work that needs all processors that it may use: on a node with 64
    /// processors of which 4 belong to this job, others may use 60.
    pub(crate) fn disturb(&self) -> bool {
        self.disturb_on(self.n_usable)
    }

    /// Whether they disturbed work that needs `n_cores` at the same time. Work that sleeps needs
    /// none, and one to wake up on.
    pub(crate) fn disturb_on(&self, n_cores: usize) -> bool {
        let n_needed = n_cores.clamp(1, self.n_usable.max(1));
        let spare = self.n_allowed.saturating_sub(n_needed) as f64;
        // A loop on each core leaves two thirds of one to a thread of ours: spare cores are not
        // quite free.
        let is_part = n_needed < self.n_usable;
        let tolerated = if is_part { TOLERATED / 2.0 } else { TOLERATED };
        self.n_cpus > spare + tolerated
    }

    /// The factor by which the slower of two pieces of work must exceed the faster one, in nearly
    /// every round, to be slower in spite of the other programs. `None` means all available cores.
    ///
    /// The OS shares out processors per thread. So work that keeps `n` threads busy gets up to `n`
    /// times as much as work that keeps one busy, and may look faster by that factor. Work whose
    /// threads wait for each other may be delayed by each of them in turn, without a bound. Pieces
    /// of work that need one core or none are disturbed alike.
    pub(crate) fn least_ratio(&self, slower: Option<usize>, faster: Option<usize>) -> f64 {
        match (slower, faster) {
            (Some(0 | 1), Some(n_cores)) => UNEVEN * n_cores.max(1) as f64,
            _ => PLAIN,
        }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.n_allowed == 1 { "" } else { "s" };
        write!(
            f,
            "other programs used {:.1} of the {} processor{s} at the same time",
            self.n_cpus, self.n_allowed
        )
    }
}

/// The total time for which the processors that this process may use have been busy since boot.
fn busy() -> Option<Duration> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let is_allowed = |cpu: usize| cpu < CpuSet::count() && allowed.is_set(cpu).unwrap_or(false);
    let ticks_a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()? as f64;
    let ticks = busy_ticks(&std::fs::read_to_string("/proc/stat").ok()?, is_allowed)?;
    Some(Duration::from_secs_f64(ticks as f64 / ticks_a_second))
}

/// The sum of all numbers but `idle` and `iowait` in the lines `cpuN` (proc(5)), including the time
/// that the host of a virtual machine took (`steal`). The last two numbers, for guests, are already
/// in the first two.
fn busy_ticks(stat: &str, is_allowed: impl Fn(usize) -> bool) -> Option<u64> {
    let mut total = None;
    for line in stat.lines() {
        let Some((name, numbers)) = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if !name.parse().is_ok_and(&is_allowed) {
            continue;
        }
        let numbers = numbers
            .split_whitespace()
            .map_while(|number| number.parse::<u64>().ok());
        let busy: u64 = numbers
            .take(8)
            .enumerate()
            .filter(|(field, _)| ![3, 4].contains(field))
            .map(|(_, ticks)| ticks)
            .sum();
        total = Some(total.unwrap_or(0) + busy);
    }
    total
}

#[cfg(test)]
impl Others {
    /// Other programs used this many of two processors.
    pub(crate) fn on_two(n_cpus: f64) -> Others {
        Others {
            n_cpus,
            n_allowed: 2,
            n_usable: 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  1000 1 1 1 1 1 1 1 1 1
cpu0 100 10 20 5000 77 1 2 3 50 0
cpu1 200 0 40 6000 0 0 0 0 0 0
intr 12345 0 0
ctxt 99";

    #[test]
    fn busy_is_all_but_idle_and_only_where_it_may_run() {
        assert_eq!(busy_ticks(STAT, |_| true), Some(136 + 240));
        assert_eq!(busy_ticks(STAT, |cpu| cpu == 1), Some(240));
        assert_eq!(busy_ticks(STAT, |cpu| cpu == 7), None);
        assert_eq!(busy_ticks("nothing", |_| true), None);
    }

    fn others(busy_ms: u64, own_ms: u64, n_allowed: usize, n_usable: usize) -> Others {
        let ms = Duration::from_millis;
        Others::of(ms(busy_ms), ms(own_ms), ms(1_000), n_allowed, n_usable)
    }

    #[test]
    fn a_loop_on_each_core_disturbs_and_a_browser_does_not() {
        assert!(!others(1_950, 1_900, 2, 2).disturb());
        assert!(!others(1_100, 1_000, 2, 2).disturb());
        // Two busy loops, beside one thread of ours, and beside two.
        assert!(others(2_000, 600, 2, 2).disturb());
        assert!(others(2_000, 1_000, 2, 2).disturb());
        assert!(others(1_000, 500, 1, 1).disturb());
        // The clocks differ by up to milliseconds.
        assert!(!others(900, 1_000, 2, 2).disturb());
    }

    #[test]
    fn other_jobs_on_a_large_node_do_not_disturb_until_they_take_what_is_ours() {
        assert!(!others(63_000, 4_000, 64, 4).disturb());
        assert!(others(64_000, 2_000, 64, 4).disturb());
        let told = others(64_000, 2_000, 64, 4).to_string();
        assert_eq!(
            told,
            "other programs used 62.0 of the 64 processors at the same time"
        );
    }

    #[test]
    fn this_machine_tells() {
        assert!(busy().is_some_and(|busy| busy > Duration::ZERO));
        let others = Watch::start().stop();
        assert!(others.n_cpus.is_finite() && others.n_allowed >= others.n_usable);
        assert!(!Others::unknown().disturb());
    }
}
