//! How much memory the cells may use: what container or scheduler gives, and how a process is held to it.

use crate::cell::{bytes_in_words, bytes_of};
use crate::protocol::Limit;
use crate::sys::control_groups;
use crate::sys::procs::Pid;
use crate::sys::sharing::limit_data;

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
    let groups = control_groups::own();
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
        if let Some(bytes) = variable(name).and_then(|text| bytes_of(text.trim())) {
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
        limit_data(pid, bytes);
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
}
