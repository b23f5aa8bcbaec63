//! What this process may really use of the machine's memory.

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use crate::cpus::{group_limit, number};

/// How many bytes this process may use: of the machine's memory, of what its control groups give, and
/// of its own limits (`ulimit -d`, `-v`), the least. Looking takes some 50 µs.
pub(crate) fn usable_bytes() -> u64 {
    let own = [Resource::RLIMIT_DATA, Resource::RLIMIT_AS].map(|limit| {
        let (soft, _) = getrlimit(limit).unwrap_or((u64::MAX, u64::MAX));
        soft as f64
    });
    let root = Path::new("/");
    let given = [machine(root), limit(root)].into_iter().flatten();
    given.chain(own).fold(f64::MAX, f64::min) as u64
}

/// The tightest memory limit, in bytes, of this process's control group and all above it.
pub(crate) fn limit(root: &Path) -> Option<f64> {
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
pub(crate) fn machine(root: &Path) -> Option<f64> {
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
    fn what_is_usable_is_no_more_than_there_is() {
        let machine = machine(Path::new("/")).unwrap();
        assert!((1 << 20..=machine as u64).contains(&usable_bytes()));
    }
}
