//! What this process may really use of the machine's memory.
//!
//! As with processors ([`Cpus`](crate::Cpus)), a batch job, a container or `ulimit` may give a process less than the
//! machine has.

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use crate::cpus::{group_limit, number};

/// The memory of this machine, and each limit on how much of it this process may use, in bytes.
///
/// # Example
/// ```
/// let memory = forklore::memory::Memory::detect();
/// assert!(memory.machine_bytes().is_none_or(|bytes| memory.usable_bytes() <= bytes));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    machine: Option<u64>,
    group: Option<u64>,
    own: Option<u64>,
}

impl Memory {
    /// Asks `/proc/meminfo`, the control groups and this process's own limits. Takes some 50 µs.
    pub fn detect() -> Memory {
        let root = Path::new("/");
        let own = [Resource::RLIMIT_DATA, Resource::RLIMIT_AS].map(|limit| getrlimit(limit).ok());
        let soft = own.into_iter().flatten().map(|(soft, _)| soft);
        Memory {
            machine: machine(root).map(|bytes| bytes as u64),
            group: limit(root).map(|bytes| bytes as u64),
            own: soft.filter(|bytes| *bytes < u64::MAX).min(),
        }
    }

    /// The machine's memory; `None` where `/proc/meminfo` does not say.
    pub fn machine_bytes(&self) -> Option<u64> {
        self.machine
    }

    /// The tightest limit of this process's control group and all above it, for all processes in the group together;
    /// `None` where they set none.
    pub fn group_bytes(&self) -> Option<u64> {
        self.group
    }

    /// The tighter of this process's own limits (`ulimit -d` and `-v`); `None` where neither is set.
    pub fn process_bytes(&self) -> Option<u64> {
        self.own
    }

    /// The smallest of the machine's memory and all limits.
    pub fn usable_bytes(&self) -> u64 {
        let limits = [self.machine, self.group, self.own].into_iter().flatten();
        limits.min().unwrap_or(u64::MAX)
    }
}

/// The tightest memory limit, in bytes, of this process's control group and all above it.
fn limit(root: &Path) -> Option<f64> {
    let limit = group_limit(
        root,
        "memory",
        &["memory"],
        |group| number(&group.join("memory.max")),
        |group| number(&group.join("memory.limit_in_bytes")),
    );
    // Version 1 says "no limit" with a number near 2^63.
    limit.filter(|bytes| *bytes < 1e18)
}

/// How many processes of this control group the system has ended because memory ran out; 0 where it does
/// not say. The kernel's `Documentation/admin-guide/cgroup-v2.rst`, "memory.events"; `cgroup-v1/memory.rst`,
/// "memory.oom_control".
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

    #[test]
    fn usable_memory_is_no_more_than_the_machine_has() {
        let machine = machine(Path::new("/")).unwrap();
        assert!((1 << 20..=machine as u64).contains(&Memory::detect().usable_bytes()));
    }
}
