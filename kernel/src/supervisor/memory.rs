//! The memory limit: a greedy cell is rolled back before the scheduler ends the whole session.
//!
//! Two guards, because neither is enough. `RLIMIT_DATA` makes the allocation fail that would take one process past the
//! limit, at once and by name; it counts private memory that may be written, so neither the pool's reservations
//! (shared) nor stacks and code. And while a cell runs, the supervisor adds up what all processes have in use:
//! many workers below the limit may be above it together, and shared memory is no process's own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::verdict;
use super::watch::{Phase, Watch};
use crate::cell::bytes_in_words;
use crate::frame::{Limit, Status};
use crate::procs::{self, Pid};

/// How often memory is looked at while a cell runs. In between, a cell can take about 0.1 GB that it touches.
const LOOK: Duration = Duration::from_millis(50);
/// What an earlier cell has left above the limit is not this cell's fault; this much more is.
const SLACK_BYTES: u64 = 32 << 20;
/// What the kernel itself and the compiler need of what the scheduler gives, as long as the cells keep a half.
const KERNEL_BYTES: u64 = 768 << 20;

/// The limit that container or scheduler gives, less what the kernel needs.
pub(super) fn detect() -> Limit {
    let given = from_control_groups()
        .into_iter()
        .chain(from_scheduler(&|name| std::env::var(name).ok()));
    match given.min() {
        Some((bytes, origin)) => {
            let cells = bytes.saturating_sub(KERNEL_BYTES).max(bytes / 2);
            let origin = format!(
                "{origin} gives {}, and the rest is for kernel and compiler",
                bytes_in_words(bytes)
            );
            Limit {
                bytes: Some(cells),
                origin,
            }
        }
        None => Limit {
            bytes: None,
            origin: "no container and no scheduler sets a limit".to_owned(),
        },
    }
}

fn from_control_groups() -> Vec<(u64, String)> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file, path) = match (fields.next(), fields.next()) {
            (Some(""), Some(path)) => ("/sys/fs/cgroup", "memory.max", path),
            (Some("memory"), Some(path)) => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path)
            }
            _ => continue,
        };
        // A limit of a group above counts too. In a container the path may be that outside of it.
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for path in above.chain([path]) {
            let text = std::fs::read_to_string(format!("{root}{path}/{file}")).unwrap_or_default();
            // Version 1 says "no limit" with a number that no machine has.
            let bytes = text.trim().parse().ok().filter(|bytes| *bytes < 1 << 50);
            found.extend(bytes.map(|bytes| (bytes, format!("the control group ({file})"))));
        }
    }
    found
}

/// Slurm gives megabytes, Grid Engine sizes such as `4G`, each for a node or a core.
fn from_scheduler(variable: &dyn Fn(&str) -> Option<String>) -> Option<(u64, String)> {
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok();
    let megabytes = |name: &str| number(name).filter(|n| *n > 0)?.checked_mul(1 << 20);
    if let Some(bytes) = megabytes("SLURM_MEM_PER_NODE") {
        return Some((bytes, "Slurm (SLURM_MEM_PER_NODE)".to_owned()));
    }
    if let Some(bytes) = megabytes("SLURM_MEM_PER_CPU") {
        let n_cpus = number("SLURM_CPUS_ON_NODE")
            .or_else(|| number("SLURM_CPUS_PER_TASK"))
            .unwrap_or(1);
        return Some((
            bytes.checked_mul(n_cpus)?,
            format!("Slurm (SLURM_MEM_PER_CPU for {n_cpus} CPUs)"),
        ));
    }
    for name in [
        "SGE_HGR_rmem",
        "SGE_HGR_mem",
        "SGE_HGR_h_rss",
        "SGE_HGR_h_vmem",
    ] {
        if let Some(bytes) = variable(name).and_then(|text| crate::cell::bytes_of(text.trim())) {
            let n_slots = number("NSLOTS").unwrap_or(1);
            return Some((
                bytes.checked_mul(n_slots)?,
                format!("Grid Engine ({name} for {n_slots} slots)"),
            ));
        }
    }
    None
}

/// Makes allocations fail that would take one of these processes past the limit.
pub(super) fn impose(pids: impl IntoIterator<Item = Pid>, bytes: Option<u64>) {
    for pid in pids {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the structure is valid for both calls. A process that is gone needs no limit.
        unsafe {
            if libc::prlimit(pid, libc::RLIMIT_DATA, std::ptr::null(), &raw mut limit) != 0 {
                continue;
            }
            limit.rlim_cur = bytes.map_or(limit.rlim_max, |bytes| bytes.min(limit.rlim_max));
            libc::prlimit(
                pid,
                libc::RLIMIT_DATA,
                &raw const limit,
                std::ptr::null_mut(),
            );
        }
    }
}

/// What these processes have in use together, or a cheap number that is too large but still below `enough`.
fn used_bytes(pids: &HashSet<Pid>, enough: u64) -> u64 {
    let with_shared: u64 = pids.iter().map(|pid| procs::resident_bytes(*pid)).sum();
    if with_shared < enough {
        return with_shared;
    }
    // Pages that several of them have are counted once. Without that file (Linux before 4.14) they are not.
    let shares = pids
        .iter()
        .map(|pid| procs::proportional_bytes(*pid).unwrap_or_else(|| procs::resident_bytes(*pid)));
    shares.sum()
}

impl Watch {
    fn everything(&self) -> HashSet<Pid> {
        procs::descendants(std::process::id() as i32)
            .into_iter()
            .collect()
    }

    /// Puts a limit in force for all processes that there are, and those that they will start.
    pub(super) fn set_limit(&mut self, limit: Option<Limit>) {
        self.limit = limit.unwrap_or_else(detect);
        impose(self.everything(), self.limit.bytes);
    }

    pub(super) fn status(&self) -> Status {
        Status {
            user_pid: self.user.pid,
            checkpoint: self.board.checkpoint().to_string(),
            has_snapshot: self.snapshot.is_some(),
            snapshot_micros: self.board.snapshot_micros(),
            resident_bytes: procs::resident_bytes(self.user.pid),
            used_bytes: used_bytes(&self.everything(), 0),
            limit: self.limit.clone(),
        }
    }

    /// A cell begins: what is in use now is not its fault.
    pub(super) fn begin_memory(&mut self) {
        let Some(limit) = self.limit.bytes else {
            return;
        };
        let used = used_bytes(&self.everything(), limit);
        if let Phase::Running(run) = &mut self.phase {
            run.memory_allowed_bytes = limit.max(used + SLACK_BYTES);
            run.memory_seen = Instant::now();
        }
    }

    /// How long until memory has to be looked at.
    pub(super) fn memory_wait(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Running(run) if self.limit.bytes.is_some() => {
                Some(LOOK.saturating_sub(run.memory_seen.elapsed()))
            }
            _ => None,
        }
    }

    /// Looks at the memory in use, if it is time, and ends a cell that has taken too much.
    pub(super) fn look_at_memory(&mut self) {
        if self.memory_wait() != Some(Duration::ZERO) {
            return;
        }
        let all = self.everything();
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        run.memory_seen = Instant::now();
        let used = used_bytes(&all, run.memory_allowed_bytes);
        if used < run.memory_allowed_bytes {
            return;
        }
        let (used, limit) = (
            bytes_in_words(used),
            bytes_in_words(self.limit.bytes.unwrap_or(0)),
        );
        let message = format!(
            "the cell and what it started used {used} of memory; the limit is {limit} ({}); see `%limit`",
            self.limit.origin
        );
        let is_script = run.is_script;
        let failure = verdict::failure("OutOfMemory", message);
        if is_script {
            self.end_script(failure);
        } else {
            self.roll_back(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_are_understood() {
        let given = |variables: &[(&str, &str)]| {
            let found = |name: &str| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            from_scheduler(&found)
        };
        assert_eq!(given(&[]), None);
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
            // All of the node's memory.
            (
                &[("SLURM_MEM_PER_NODE", "0"), ("SLURM_MEM_PER_CPU", "8")],
                8 << 20,
                "SLURM_MEM_PER_CPU",
            ),
        ];
        for (variables, bytes, part) in cases {
            let (found, origin) = given(variables).unwrap();
            assert_eq!(found, bytes, "{variables:?}");
            assert!(origin.contains(part), "{origin}");
        }
    }

    #[test]
    fn a_page_that_two_processes_have_counts_once() {
        let own: HashSet<Pid> = HashSet::from([std::process::id() as Pid]);
        assert!(used_bytes(&own, 0) <= used_bytes(&own, u64::MAX) + (1 << 20));
        assert!(used_bytes(&own, 0) > 0);
    }
}
