//! The CPU time of processes.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// CPU time, in the program's own code and in the OS on its behalf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuTime {
    /// Time spent in the program's own code.
    pub user: Duration,
    /// Time spent in the OS on the program's behalf.
    pub system: Duration,
}

impl CpuTime {
    /// User and system time together.
    pub fn total(&self) -> Duration {
        self.user + self.system
    }

    pub(crate) fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    fn and(self, other: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// The OS's monotonic clock, in nanoseconds: the same in every process. A read takes about 20 ns.
pub(crate) fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}

/// The CPU time that this process has used so far.
pub(crate) fn own() -> CpuTime {
    used(UsageWho::RUSAGE_SELF)
}

/// The number of pages that this process touched for the first time, or that were copied because it
/// wrote to them.
pub(crate) fn page_faults() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.minor_page_faults() as u64)
}

/// The CPU time that all descendants have used so far, reaped or running.
///
/// `RUSAGE_CHILDREN` covers only reaped children, but a pool's workers are still running. Their
/// time is read from their own clocks.
pub(crate) fn descendants() -> CpuTime {
    let mut total = used(UsageWho::RUSAGE_CHILDREN);
    let mut families = vec![std::process::id() as i32];
    while let Some(parent) = families.pop() {
        for child in children(parent) {
            total = total.and(of_process(child).unwrap_or_default());
            families.push(child);
        }
    }
    total
}

/// The CPU time that a process has used, summed over its threads; `None` if no process has this
/// pid.
pub(crate) fn used_by(pid: i32) -> Option<Duration> {
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).ok()?;
    Some(Duration::from(nix::time::clock_gettime(clock).ok()?))
}

/// The children of a process with one thread, from that thread's list in `/proc`.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// A running process's time, including its reaped children's: the sum from its CPU clock to the
/// nanosecond, split in the ratio that `/proc/PID/stat` gives in hundredths of a second.
fn of_process(pid: i32) -> Option<CpuTime> {
    let total = used_by(pid)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain spaces: count from its end.
    let fields: Vec<u64> = stat
        .rsplit_once(") ")?
        .1
        .split(' ')
        .skip(11)
        .take(4)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let [user, system, reaped_user, reaped_system] = fields[..] else {
        return None;
    };
    let system_share = system as f64 / (user + system).max(1) as f64;
    let own_system = total.mul_f64(system_share);
    let ticks = |n: u64| Duration::from_secs_f64(n as f64 / ticks_per_second());
    Some(CpuTime {
        user: total - own_system + ticks(reaped_user),
        system: own_system + ticks(reaped_system),
    })
}

fn ticks_per_second() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .map_or(100.0, |n| n as f64)
}

fn used(who: UsageWho) -> CpuTime {
    getrusage(who).map_or_else(
        |_| CpuTime::default(),
        |usage: Usage| CpuTime {
            user: duration(usage.user_time()),
            system: duration(usage.system_time()),
        },
    )
}

fn duration(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}
