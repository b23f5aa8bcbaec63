//! The CPUs that this process may actually use.
//!
//! The machine may have more CPUs online than a batch job, a container or `taskset` allows. In a
//! pool with more workers than that, the workers only take turns.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The default number of workers of a pool: the CPUs that this process may use.
///
/// It is [`Cpus::usable`] of [`Cpus::detect`], at least 1.
///
/// # Example
/// ```
/// assert!(forklore::cpu_count() >= 1);
/// ```
pub fn cpu_count() -> usize {
    Cpus::detect().usable()
}

/// The CPUs of this machine, and each limit on how many of them this process may use.
///
/// # Example
/// ```
/// let cpus = forklore::Cpus::detect();
/// println!("{cpus}");
/// assert!(cpus.usable() <= cpus.online());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cpus {
    online: usize,
    affinity: usize,
    quota: Option<f64>,
    slots: Option<Slots>,
}

/// What a batch scheduler has allocated, and which variable says so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slots {
    variable: &'static str,
    n_slots: usize,
}

/// The variables with a job's number of cores: Son of Grid Engine's, then Slurm's.
const SLOT_VARIABLES: [&str; 2] = ["NSLOTS", "SLURM_CPUS_PER_TASK"];

impl Cpus {
    /// Reads the limits of the OS, the cgroup and the batch scheduler's environment.
    pub fn detect() -> Cpus {
        let online = online();
        Cpus {
            online,
            affinity: affinity().unwrap_or(online),
            quota: quota(Path::new("/")),
            slots: slots(job_variable),
        }
    }

    /// The machine's online CPUs; each hyper-thread counts.
    pub fn online(&self) -> usize {
        self.online
    }

    /// The CPUs that this process may be scheduled on (`taskset`, cpusets).
    pub fn affinity(&self) -> usize {
        self.affinity
    }

    /// The cgroup's CPU quota, in CPUs; `None` if it sets no limit.
    pub fn quota(&self) -> Option<f64> {
        self.quota
    }

    /// The cores that a batch scheduler has allocated on this node (`NSLOTS`,
    /// `SLURM_CPUS_PER_TASK`).
    pub fn slots(&self) -> Option<usize> {
        self.slots.as_ref().map(|slots| slots.n_slots)
    }

    /// The smallest of all the limits, at least 1. A quota is rounded up: 1.5 CPUs keep two workers
    /// busy most of the time.
    pub fn usable(&self) -> usize {
        let quota = self.quota.map_or(usize::MAX, |cpus| cpus.ceil() as usize);
        let slots = self.slots().unwrap_or(usize::MAX);
        self.online.min(self.affinity).min(quota).min(slots).max(1)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} usable of {} online (affinity: {}",
            self.usable(),
            self.online,
            self.affinity
        )?;
        match self.quota {
            Some(cpus) => write!(f, ", cgroup quota: {cpus:.2}")?,
            None => write!(f, ", cgroup quota: none")?,
        }
        match &self.slots {
            Some(slots) => write!(f, ", {}: {})", slots.variable, slots.n_slots),
            None => write!(f, ", batch scheduler: none)"),
        }
    }
}

fn online() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN)
        .ok()
        .flatten()
        .map_or(1, |n| n as usize)
}

/// The number of CPUs that the OS may schedule this process on: the one limit that takes only a
/// microsecond to read.
pub(crate) fn runnable() -> usize {
    affinity().unwrap_or_else(online)
}

/// Whether more threads want to run than the machine has CPUs, not counting this program's own
/// `n_own`.
///
/// Linux counts them for the whole machine, even inside a container, in the fourth field of
/// `/proc/loadavg` (proc(5)). If that cannot be read, the machine counts as not crowded.
pub(crate) fn is_crowded(n_own: usize) -> bool {
    let loadavg = fs::read_to_string("/proc/loadavg").ok();
    let n_running = loadavg.and_then(|text| n_running(&text));
    n_running.is_some_and(|n| n > online() && n > n_own)
}

fn n_running(loadavg: &str) -> Option<usize> {
    let (running, _) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
    running.parse().ok()
}

/// The affinity mask has room for 1,024 CPUs; a larger machine counts as unlimited.
fn affinity() -> Option<usize> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok()?;
    let n = (0..nix::sched::CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .count();
    (n > 0).then_some(n)
}

/// A variable that tells a job what it was given on this node.
///
/// Grid Engine's `NSLOTS` counts the slots of all nodes. How many are on this one is in the file
/// that `PE_HOSTFILE` names (sge_pe(5)).
pub(crate) fn job_variable(name: &str) -> Option<String> {
    let given = std::env::var(name).ok()?;
    let file = (name == "NSLOTS").then(|| std::env::var_os("PE_HOSTFILE"));
    let hosts = file
        .flatten()
        .and_then(|file| fs::read_to_string(file).ok());
    let own = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let n_slots = hosts
        .zip(own)
        .and_then(|(hosts, own)| slots_of(&hosts, own.trim()));
    Some(n_slots.map_or(given, |n_slots| n_slots.to_string()))
}

/// A host's slots in all queues, by its name with its domain or without.
fn slots_of(hosts: &str, own: &str) -> Option<usize> {
    let short = |name: &str| name.split('.').next().map(str::to_owned);
    let lines = hosts.lines().map(str::split_whitespace);
    let slots = lines.filter_map(|mut words| {
        let is_own = short(words.next()?) == short(own);
        words.next()?.parse::<usize>().ok().filter(|_| is_own)
    });
    Some(slots.sum()).filter(|&n_slots| n_slots > 0)
}

fn slots(variable: impl Fn(&str) -> Option<String>) -> Option<Slots> {
    SLOT_VARIABLES
        .iter()
        .filter_map(|&name| {
            let n_slots = variable(name)?.trim().parse().ok().filter(|&n| n > 0)?;
            Some(Slots {
                variable: name,
                n_slots,
            })
        })
        .min_by_key(|slots| slots.n_slots)
}

/// The tightest CPU quota of this process's cgroup and its ancestors, version 2 or 1.
///
/// Format: Linux's `Documentation/admin-guide/cgroup-v2.rst`, "cpu.max", and
/// `scheduler/sched-bwc.rst` for version 1.
fn quota(root: &Path) -> Option<f64> {
    group_limit(root, "cpu", &["cpu,cpuacct", "cpu"], quota_v2, quota_v1)
}

/// The tightest limit of a `controller` in this process's control group and its ancestors: `v2`
/// reads it from a group of version 2, or `v1` from one of version 1, whose hierarchy has one of
/// these names.
pub(crate) fn group_limit(
    root: &Path,
    controller: &str,
    hierarchies: &[&str],
    v2: fn(&Path) -> Option<f64>,
    v1: fn(&Path) -> Option<f64>,
) -> Option<f64> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mount = root.join("sys/fs/cgroup");
    memberships
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            if controllers.is_empty() {
                tightest(&mount, path, v2)
            } else if controllers.split(',').any(|name| name == controller) {
                hierarchies
                    .iter()
                    .filter_map(|name| tightest(&mount.join(name), path, v1))
                    .reduce(f64::min)
            } else {
                None
            }
        })
        .reduce(f64::min)
}

/// The minimum that `read` finds in a control group and its ancestors, up to the hierarchy's root
/// at `mount`: an ancestor's limit applies too.
fn tightest(mount: &Path, group: &str, read: fn(&Path) -> Option<f64>) -> Option<f64> {
    let group: PathBuf = mount.join(group.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|path| path.starts_with(mount))
        .filter_map(read)
        .reduce(f64::min)
}

fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let quota = number(&group.join("cpu.cfs_quota_us"))?;
    (quota > 0.0).then_some(quota / number(&group.join("cpu.cfs_period_us"))?)
}

/// The number in a file that contains only that.
pub(crate) fn number(file: &Path) -> Option<f64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_field_tells_who_wants_to_run() {
        assert_eq!(n_running("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(n_running("0.20 0.18 0.12"), None);
        assert_eq!(n_running(""), None);
        assert!(!is_crowded(usize::MAX), "all that run are the pool's own");
    }

    fn cpus(online: usize, affinity: usize, quota: Option<f64>, n_slots: Option<usize>) -> Cpus {
        let slots = n_slots.map(|n_slots| Slots {
            variable: "NSLOTS",
            n_slots,
        });
        Cpus {
            online,
            affinity,
            quota,
            slots,
        }
    }

    #[test]
    fn the_tightest_limit_wins() {
        assert_eq!(cpus(8, 8, None, None).usable(), 8);
        assert_eq!(cpus(8, 4, None, None).usable(), 4);
        assert_eq!(cpus(8, 8, Some(1.5), None).usable(), 2);
        assert_eq!(cpus(8, 8, Some(0.2), None).usable(), 1);
        assert_eq!(cpus(8, 8, None, Some(3)).usable(), 3);
        assert_eq!(cpus(2, 2, None, Some(16)).usable(), 2);
    }

    #[test]
    fn a_scheduler_that_talks_nonsense_is_not_believed() {
        let from = |text: &'static str| slots(move |_| Some(text.to_owned())).map(|s| s.n_slots);
        assert_eq!(from("4"), Some(4));
        assert_eq!(from(" 4\n"), Some(4));
        assert_eq!(from("0"), None);
        assert_eq!(from("four"), None);
        assert_eq!(from("-1"), None);
        assert_eq!(slots(|_| None), None);
    }

    #[test]
    fn a_quota_above_the_group_holds_too() {
        let root = std::env::temp_dir().join(format!("forklore-cpus-{}", std::process::id()));
        let inner = root.join("sys/fs/cgroup/user/job");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::write(root.join("proc/self/cgroup"), "0::/user/job\n").unwrap();
        fs::write(inner.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(quota(&root), None);
        fs::write(root.join("sys/fs/cgroup/user/cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota(&root), Some(1.5));
        fs::write(inner.join("cpu.max"), "50000 100000\n").unwrap();
        assert_eq!(quota(&root), Some(0.5));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn grid_engine_gives_a_node_its_own_slots() {
        let hosts = "node1 2 short.q@node1 UNDEFINED\nnode2.site 4 short.q@node2.site <NULL>\n\
                     node1 1 long.q@node1 UNDEFINED\nnode10 8 short.q@node10 UNDEFINED\n";
        assert_eq!(slots_of(hosts, "node1"), Some(3));
        assert_eq!(slots_of(hosts, "node1.site"), Some(3));
        assert_eq!(slots_of(hosts, "node2"), Some(4));
        for own in ["node3", "", "node"] {
            assert_eq!(slots_of(hosts, own), None, "{own}");
        }
        assert_eq!(slots_of("node1 many short.q\nnode1", "node1"), None);
    }
}
