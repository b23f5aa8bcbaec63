//! The nodes that a batch scheduler gave a job, as its own variables describe them.

/// A scheduler's description of a job's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobNodes {
    /// The number of nodes.
    pub(crate) n: usize,
    /// Their names, and the slots or processors that the job has on each.
    pub(crate) which: String,
    /// Whether the scheduler's number of slots is the total of all nodes, as Grid Engine's is.
    pub(crate) has_common_slots: bool,
}

impl JobNodes {
    /// Reads the environment of this process; `None` outside a job.
    pub(crate) fn detect() -> Option<JobNodes> {
        JobNodes::of_slurm(&|name| std::env::var(name).ok()).or_else(|| {
            let path = std::env::var_os("PE_HOSTFILE")?;
            JobNodes::of_grid_engine(&std::fs::read_to_string(path).ok()?)
        })
    }

    /// sbatch(1): `node[1-2]`, with `4(x2)` processors.
    fn of_slurm(variable: &dyn Fn(&str) -> Option<String>) -> Option<JobNodes> {
        let n = variable("SLURM_JOB_NUM_NODES")?.trim().parse().ok()?;
        let mut which = variable("SLURM_JOB_NODELIST")?;
        if let Some(cpus) = variable("SLURM_JOB_CPUS_PER_NODE") {
            which.push_str(&format!(" with {cpus} CPUs"));
        }
        Some(JobNodes {
            n,
            which,
            has_common_slots: false,
        })
    }

    /// `sge_pe`(5): a line for each queue that gives slots on a host,
    /// `node1 2 all.q@node1 UNDEFINED`.
    fn of_grid_engine(hostfile: &str) -> Option<JobNodes> {
        let mut hosts: Vec<(&str, usize)> = Vec::new();
        for line in hostfile.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(slots)) = (words.next(), words.next()) else {
                continue;
            };
            let slots = slots.parse().ok()?;
            match hosts.iter_mut().find(|(other, _)| *other == name) {
                Some((_, n)) => *n += slots,
                None => hosts.push((name, slots)),
            }
        }
        let named = hosts.iter().map(|(name, n)| match n {
            1 => format!("{name} with 1 slot"),
            n => format!("{name} with {n} slots"),
        });
        let which = named.collect::<Vec<_>>().join(", ");
        (!hosts.is_empty()).then_some(JobNodes {
            n: hosts.len(),
            which,
            has_common_slots: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurms_variables_say_it() {
        let of = |job: &'static [(&str, &str)]| {
            JobNodes::of_slurm(&|name| {
                let found = job.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let two = of(&[
            ("SLURM_JOB_NUM_NODES", "2"),
            ("SLURM_JOB_NODELIST", "node[1-2]"),
            ("SLURM_JOB_CPUS_PER_NODE", "4(x2)"),
        ])
        .unwrap();
        assert_eq!((two.n, two.has_common_slots), (2, false));
        assert_eq!(two.which, "node[1-2] with 4(x2) CPUs");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("SLURM_JOB_NUM_NODES", "two")]), None);
    }

    #[test]
    fn grid_engines_file_says_it() {
        let two = JobNodes::of_grid_engine(
            "node1 2 all.q@node1 UNDEFINED\nnode2 1 all.q@node2 UNDEFINED\nnode1 2 fast.q@node1 UNDEFINED\n",
        )
        .unwrap();
        assert_eq!((two.n, two.has_common_slots), (2, true));
        assert_eq!(two.which, "node1 with 4 slots, node2 with 1 slot");
        assert_eq!(JobNodes::of_grid_engine(""), None);
        assert_eq!(JobNodes::of_grid_engine("node1 many all.q@node1"), None);
    }
}
