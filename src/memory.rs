//! The memory that this process may actually use.
//!
//! As with CPUs ([`Cpus`](crate::Cpus)), a batch job, a container or `ulimit` may allow a process
//! less than the machine has.

use std::fmt;
use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use crate::cpus::{group_limit, job_variable, number};

/// The memory of this machine, and each limit on how much of it this process may use, in bytes.
///
/// # Example
/// ```
/// let memory = forklore::memory::Memory::detect();
/// println!("{memory}");
/// assert!(memory.machine_bytes().is_none_or(|bytes| memory.usable_bytes() <= bytes));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    machine: Option<u64>,
    group: Option<u64>,
    scheduler: Option<Given>,
    own: Option<u64>,
}

/// What a batch scheduler has allocated to a job, and which variable says so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    bytes: u64,
    origin: String,
}

impl Memory {
    /// Reads `/proc/meminfo`, the control groups, the batch scheduler's environment and this
    /// process's own limits, in about 50 µs.
    pub fn detect() -> Memory {
        let root = Path::new("/");
        let own = [Resource::RLIMIT_DATA, Resource::RLIMIT_AS].map(|limit| getrlimit(limit).ok());
        let soft = own.into_iter().flatten().map(|(soft, _)| soft);
        Memory {
            machine: machine(root).map(|bytes| bytes as u64),
            group: limit(root).map(|bytes| bytes as u64),
            scheduler: scheduler(job_variable),
            own: soft.filter(|bytes| *bytes < u64::MAX).min(),
        }
    }

    /// The machine's memory; `None` if `/proc/meminfo` does not say.
    pub fn machine_bytes(&self) -> Option<u64> {
        self.machine
    }

    /// The tightest limit of this process's control group and its ancestors, for all processes in
    /// the group together; `None` if they set none.
    pub fn group_bytes(&self) -> Option<u64> {
        self.group
    }

    /// What all processes of this job may use together, and what sets the limit: the control group,
    /// or the batch scheduler's variables (`SLURM_MEM_PER_NODE`, `SLURM_MEM_PER_CPU`, `SGE_HGR_…`),
    /// whichever is lower. `None` if neither sets a limit.
    pub fn job_limit(&self) -> Option<(u64, &str)> {
        let group = self.group.map(|bytes| (bytes, "the control group"));
        let scheduler = self.scheduler.as_ref();
        let scheduler = scheduler.map(|given| (given.bytes, &*given.origin));
        group
            .into_iter()
            .chain(scheduler)
            .min_by_key(|(bytes, _)| *bytes)
    }

    /// The tighter of this process's own limits (`ulimit -d` and `-v`), which each of its children
    /// inherits; `None` if neither is set.
    pub fn process_bytes(&self) -> Option<u64> {
        self.own
    }

    /// The smallest of the machine's memory and all limits.
    pub fn usable_bytes(&self) -> u64 {
        let job = self.job_limit().map(|(bytes, _)| bytes);
        let limits = [self.machine, job, self.own].into_iter().flatten();
        limits.min().unwrap_or(u64::MAX)
    }
}

/// The limits and what sets them, in one line:
/// `Slurm (SLURM_MEM_PER_NODE) gives this job 4096 MiB`.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job_limit() {
            Some((bytes, origin)) => write!(f, "{origin} gives this job {} MiB", bytes >> 20)?,
            None => f.write_str("no container and no scheduler sets a limit")?,
        }
        match self.own {
            Some(bytes) => write!(f, ", and each process may use {} MiB (ulimit)", bytes >> 20),
            None => Ok(()),
        }
    }
}

/// The limit in Slurm's or Grid Engine's variables. Slurm uses megabytes, Grid Engine sizes such as
/// `4G`, each per node or per core.
fn scheduler(variable: impl Fn(&str) -> Option<String>) -> Option<Given> {
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok();
    // In Slurm, 0 means all of the node's memory.
    let megabytes = |name: &str| number(name).filter(|n| *n > 0)?.checked_mul(1 << 20);
    if let Some(bytes) = megabytes("SLURM_MEM_PER_NODE") {
        let origin = "Slurm (SLURM_MEM_PER_NODE)".to_owned();
        return Some(Given { bytes, origin });
    }
    if let Some(bytes) = megabytes("SLURM_MEM_PER_CPU") {
        let n_cpus = number("SLURM_CPUS_ON_NODE").or_else(|| number("SLURM_CPUS_PER_TASK"));
        let n_cpus = n_cpus.unwrap_or(1);
        return Some(Given {
            bytes: bytes.checked_mul(n_cpus)?,
            origin: format!("Slurm (SLURM_MEM_PER_CPU for {n_cpus} CPUs)"),
        });
    }
    let requests = [
        "SGE_HGR_rmem",
        "SGE_HGR_mem",
        "SGE_HGR_h_rss",
        "SGE_HGR_h_vmem",
    ];
    requests.into_iter().find_map(|name| {
        let bytes = size(variable(name)?.trim())?;
        let n_slots = number("NSLOTS").unwrap_or(1);
        Some(Given {
            bytes: bytes.checked_mul(n_slots)?,
            origin: format!("Grid Engine ({name} for {n_slots} slots)"),
        })
    })
}

/// Parses one of Grid Engine's sizes into bytes: `K` is 1024, `k` is 1000 (`sge_types(1)`,
/// "memory_specifier").
fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor = match unit {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * f64::from(factor);
    (bytes >= 1.0).then_some(bytes as u64)
}

/// The tightest memory limit, in bytes, of this process's control group and its ancestors.
fn limit(root: &Path) -> Option<f64> {
    let limit = group_limit(
        root,
        "memory",
        &["memory"],
        |group| number(&group.join("memory.max")),
        |group| number(&group.join("memory.limit_in_bytes")),
    );
    // Version 1 encodes "no limit" as a number near 2^63.
    limit.filter(|bytes| *bytes < 1e18)
}

/// How many processes of this control group Linux has killed because memory ran out; 0 if it does
/// not say. See Linux's `Documentation/admin-guide/cgroup-v2.rst`, "memory.events";
/// `cgroup-v1/memory.rst`, "memory.oom_control".
pub(crate) fn n_ended(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mount = root.join("sys/fs/cgroup");
    let counts = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let file = match controllers {
            "" => mount.join(group).join("memory.events"),
            "memory" => mount.join("memory").join(group).join("memory.oom_control"),
            _ => return None,
        };
        let text = fs::read_to_string(file).ok()?;
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok();
        text.lines().find_map(count)
    });
    counts.sum()
}

/// The machine's memory, in bytes.
fn machine(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib: f64 = text
        .split_once("MemTotal:")?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(1024.0 * kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_above_limit_memory_too() {
        let root = std::env::temp_dir().join(format!("forklore-memory-{}", std::process::id()));
        let job = root.join("sys/fs/cgroup/slurm/job");
        fs::create_dir_all(&job).unwrap();
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::write(root.join("proc/self/cgroup"), "0::/slurm/job\n").unwrap();
        fs::write(root.join("proc/meminfo"), "MemTotal:  1048576 kB\n").unwrap();
        fs::write(job.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(&root), None);
        fs::write(root.join("sys/fs/cgroup/slurm/memory.max"), "4096\n").unwrap();
        assert_eq!(limit(&root), Some(4096.0));
        assert_eq!(machine(&root), Some(f64::from(1 << 30)));
        assert_eq!(n_ended(&root), 0);
        fs::write(job.join("memory.events"), "oom 3\noom_kill 2\n").unwrap();
        assert_eq!(n_ended(&root), 2);
        fs::remove_dir_all(&root).unwrap();
    }

    fn given(variables: &[(&str, &str)]) -> Option<Given> {
        scheduler(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn schedulers_are_understood() {
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Variables<'_>, u64, &str); 5] = [
            (
                &[("SLURM_MEM_PER_NODE", "4096")],
                4 << 30,
                "SLURM_MEM_PER_NODE",
            ),
            (
                &[("SLURM_MEM_PER_CPU", "1024"), ("SLURM_CPUS_ON_NODE", "4")],
                4 << 30,
                "for 4 CPUs",
            ),
            (
                &[("SGE_HGR_rmem", "1G"), ("NSLOTS", "4")],
                4 << 30,
                "for 4 slots",
            ),
            (&[("SGE_HGR_h_vmem", "512M")], 512 << 20, "SGE_HGR_h_vmem"),
            // 0 means all of the node's memory.
            (
                &[("SLURM_MEM_PER_NODE", "0"), ("SLURM_MEM_PER_CPU", "8")],
                8 << 20,
                "SLURM_MEM_PER_CPU",
            ),
        ];
        for (variables, bytes, part) in cases {
            let given = given(variables).unwrap();
            assert_eq!(given.bytes, bytes, "{variables:?}");
            assert!(given.origin.contains(part), "{}", given.origin);
        }
        assert_eq!(given(&[]), None);
        assert_eq!(given(&[("SGE_HGR_rmem", "much")]), None);
        assert_eq!(
            (size("1k"), size("1.5K"), size("0")),
            (Some(1000), Some(1536), None)
        );
    }

    #[test]
    fn the_tightest_limit_counts_and_says_who_sets_it() {
        let mut memory = Memory {
            machine: Some(8 << 30),
            group: Some(4 << 30),
            scheduler: given(&[("SLURM_MEM_PER_NODE", "2048")]),
            own: Some(3 << 30),
        };
        assert_eq!(
            memory.job_limit(),
            Some((2 << 30, "Slurm (SLURM_MEM_PER_NODE)"))
        );
        assert_eq!(memory.usable_bytes(), 2 << 30);
        assert_eq!(
            memory.to_string(),
            "Slurm (SLURM_MEM_PER_NODE) gives this job 2048 MiB, and each process may use 3072 MiB (ulimit)"
        );
        memory.group = Some(1 << 30);
        assert_eq!(memory.job_limit(), Some((1 << 30, "the control group")));
        (memory.group, memory.scheduler) = (None, None);
        assert_eq!(memory.usable_bytes(), 3 << 30);
    }

    #[test]
    fn usable_memory_is_no_more_than_the_machine_has() {
        let machine = machine(Path::new("/")).unwrap();
        assert!((1 << 20..=machine as u64).contains(&Memory::detect().usable_bytes()));
    }
}
