//! What a learner requested, and what the session has.

use std::fmt;

use forklore::Cpus;
use forklore::memory::Memory;

use crate::nodes::JobNodes;
use crate::show::{self, GREEN, ORANGE};

const GIB: f64 = (1_u64 << 30) as f64;

/// Compares what this session has with the request: a number of cores, and an amount of memory per
/// core, in GB.
///
/// # Example
/// ```
/// let given = forklore_course::session(4, 1.0);
/// println!("{given:?}");
/// ```
pub fn session(asked_cores: usize, asked_gb_per_core: f64) -> Session {
    let number = |name: &str| -> Option<usize> { std::env::var(name).ok()?.trim().parse().ok() };
    let (cpus, memory) = (Cpus::detect(), Memory::detect());
    let gb = |bytes: u64| bytes as f64 / GIB;
    let given = Given {
        online: cpus.online(),
        affinity: cpus.affinity(),
        quota: cpus.quota(),
        sge_slots: number("NSLOTS"),
        slurm_cpus: number("SLURM_CPUS_PER_TASK"),
        slurm_tasks: number("SLURM_NTASKS"),
        usable: cpus.usable(),
        nodes: JobNodes::detect(),
        memory_gb: memory.job_limit().map(|(bytes, _)| gb(bytes)),
        machine_gb: memory.machine_bytes().map(gb),
    };
    Session {
        asked_cores,
        asked_gb: asked_gb_per_core * asked_cores as f64,
        given,
    }
}

/// What a learner requested, and what the session has. As the last expression of a cell, shows
/// both, and the reason for a difference.
#[derive(Clone, PartialEq)]
pub struct Session {
    asked_cores: usize,
    asked_gb: f64,
    given: Given,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Given {
    online: usize,
    affinity: usize,
    quota: Option<f64>,
    sge_slots: Option<usize>,
    slurm_cpus: Option<usize>,
    slurm_tasks: Option<usize>,
    usable: usize,
    /// `None` outside a job.
    nodes: Option<JobNodes>,
    /// The limit of the container or scheduler; `None` if there is none.
    memory_gb: Option<f64>,
    machine_gb: Option<f64>,
}

impl Session {
    /// The number of cores that it may use.
    pub fn cores(&self) -> usize {
        self.given.usable
    }

    /// The amount of memory that all its processes together may use, in GB; `None` if no limit is
    /// known.
    pub fn memory_gb(&self) -> Option<f64> {
        let given = &self.given;
        let limits = [given.memory_gb, given.machine_gb].into_iter().flatten();
        limits.reduce(f64::min)
    }

    /// Whether it has what was requested.
    pub fn is_as_asked(&self) -> bool {
        self.has_cores() && self.has_memory()
    }

    fn has_cores(&self) -> bool {
        self.cores() >= self.asked_cores
    }

    /// A tenth may be missing: a machine with 4 GB shows a little less.
    fn has_memory(&self) -> bool {
        self.memory_gb().is_none_or(|gb| gb >= 0.9 * self.asked_gb)
    }

    /// Each limit on the cores, in the order of lesson 00.
    fn rows(&self) -> Vec<[String; 2]> {
        let given = &self.given;
        let or_nothing = |n: Option<usize>| n.map_or("not set".to_owned(), |n| n.to_string());
        let gb =
            |gb: Option<f64>| gb.map_or("none".to_owned(), |gb| format!("{} GB", show::number(gb)));
        let mut rows = vec![
            ("processors online", given.online.to_string()),
            ("affinity", given.affinity.to_string()),
            ("quota", given.quota.map_or("none".to_owned(), show::number)),
            ("NSLOTS (Grid Engine)", or_nothing(given.sge_slots)),
            ("SLURM_CPUS_PER_TASK", or_nothing(given.slurm_cpus)),
        ];
        if given.slurm_tasks.is_some() {
            rows.push(("SLURM_NTASKS", or_nothing(given.slurm_tasks)));
        }
        if let Some(nodes) = &given.nodes {
            rows.push(("nodes of the job", format!("{}: {}", nodes.n, nodes.which)));
        }
        rows.push((
            "so you may use",
            format!(
                "{} of the {} cores that you asked for",
                given.usable, self.asked_cores
            ),
        ));
        rows.push(("memory limit of the session", gb(given.memory_gb)));
        rows.push(("memory in the machine", gb(given.machine_gb)));
        rows.into_iter()
            .map(|(who, what)| [who.to_owned(), what])
            .collect()
    }

    /// Each shortfall, its reason, and what to do.
    fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if !self.has_cores() {
            findings.push(self.missing_cores());
        }
        if !self.has_memory() {
            findings.push(format!(
                "You asked for {} GB of memory in all and may use {}. Ask for enough \
                 per core (`-l rmem=1G` is per slot, `--mem-per-cpu=1G` per CPU); on your own machine, close what you do \
                 not need.",
                show::number(self.asked_gb),
                show::number(self.memory_gb().unwrap_or_default())
            ));
        }
        if findings.is_empty() {
            findings.push(format!(
                "You have what you asked for: {} cores or more, and enough memory.",
                self.asked_cores
            ));
        }
        let slots = self.given.sge_slots.or(self.given.slurm_cpus);
        if let Some(slots) = slots.filter(|slots| *slots > self.given.usable) {
            findings.push(format!(
                "The scheduler says {slots}, but no more than {} can be used here: it counts, it does not make \
                 processors.",
                self.given.usable
            ));
        }
        findings.extend(self.further_nodes());
        findings
    }

    /// What the job has on other nodes, in addition to this session.
    fn further_nodes(&self) -> Option<String> {
        let nodes = self.given.nodes.as_ref().filter(|nodes| nodes.n > 1)?;
        let slots = match nodes.has_common_slots {
            true => " `NSLOTS` counts the slots of all of them.",
            false => "",
        };
        Some(format!(
            "The job has {} nodes: {}.{slots} A `Pool` has workers on this one alone, a `Cluster` on all of \
             them (lesson 12).",
            nodes.n, nodes.which
        ))
    }

    /// The tightest limit is the reason; of several equal ones, the one that a job script sets.
    fn missing_cores(&self) -> String {
        let (given, asked) = (&self.given, self.asked_cores);
        let n = given.usable;
        let cause = if given.sge_slots == Some(n) {
            format!(
                "The job has {n} of Grid Engine's slots (`NSLOTS`). Ask for {asked} with `-pe smp {asked}`, in a line \
                 that begins with `#$`, without a blank."
            )
        } else if given.slurm_cpus == Some(n) {
            format!(
                "The job has {n} CPUs for each task (`SLURM_CPUS_PER_TASK`). Ask for `--cpus-per-task={asked}`: more \
                 tasks are more processes, not more cores for this one."
            )
        } else if given.slurm_tasks.is_some_and(|tasks| tasks > 1) && given.slurm_cpus.is_none() {
            format!(
                "The job has {} tasks of one CPU. Ask for one task and `--cpus-per-task={asked}`.",
                given.slurm_tasks.unwrap_or_default()
            )
        } else if given.quota.is_some_and(|quota| quota.ceil() as usize <= n) {
            format!(
                "The container may use {} processors' time. That is decided where the container is started: \
                 on Binder it is fixed, with Docker it is `--cpus={asked}`.",
                show::number(given.quota.unwrap_or_default())
            )
        } else if given.affinity <= n && given.affinity < given.online {
            format!(
                "This process is bound to {n} of the machine's {} processors (its affinity): by the scheduler, by \
                 `taskset`, or by the program that started it. A job with more slots than that was put on too few: ask \
                 the cluster's support.",
                given.online
            )
        } else {
            format!(
                "The machine has no more than {} processors. On a cluster, choose another queue or node; on your own \
                 computer, everything works with fewer.",
                given.online
            )
        };
        format!("You asked for {asked} cores and may use {n}. {cause}")
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let rows: String = self
            .rows()
            .iter()
            .map(|[who, what]| {
                format!(
                    "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                    show::escape(who),
                    show::escape(what)
                )
            })
            .collect();
        let (colour, mark) = match self.is_as_asked() {
            true => (GREEN, "As asked:"),
            false => (ORANGE, "Less than asked:"),
        };
        let found = show::code(&show::escape(&self.findings().join(" ")));
        let table =
            format!("<table><caption>Asked and given</caption><tbody>{rows}</tbody></table>");
        show::show(
            format!("{table}{}", show::boxed(colour, mark, &found)),
            self,
        );
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for [who, what] in self.rows() {
            writeln!(f, "{who:<28} {what}")?;
        }
        f.write_str(&self.findings().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four_cores(given: Given) -> Session {
        Session {
            asked_cores: 4,
            asked_gb: 4.0,
            given,
        }
    }

    /// A large node without limits.
    fn node() -> Given {
        Given {
            online: 64,
            affinity: 64,
            usable: 64,
            machine_gb: Some(256.0),
            ..Given::default()
        }
    }

    #[test]
    fn a_session_as_asked_is_called_so() {
        let session = four_cores(Given {
            sge_slots: Some(4),
            usable: 4,
            memory_gb: Some(4.0),
            ..node()
        });
        assert!(session.is_as_asked());
        assert!(format!("{session:?}").contains("what you asked for"));
        assert_eq!(session.memory_gb(), Some(4.0));
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let says = |given: Given, part: &str| {
            let told = format!("{:?}", four_cores(given));
            assert!(told.contains(part), "`{part}` is not in: {told}");
        };
        let one_slot = Given {
            sge_slots: Some(1),
            usable: 1,
            ..node()
        };
        says(one_slot, "`-pe smp 4`");
        let one_cpu = Given {
            slurm_cpus: Some(1),
            usable: 1,
            ..node()
        };
        says(one_cpu, "--cpus-per-task=4`: more tasks");
        let four_tasks = Given {
            slurm_tasks: Some(4),
            affinity: 1,
            usable: 1,
            ..node()
        };
        says(four_tasks, "4 tasks of one CPU");
        let container = Given {
            quota: Some(1.5),
            usable: 2,
            ..node()
        };
        says(container, "1.50 processors' time");
        let bound = Given {
            sge_slots: Some(4),
            affinity: 2,
            usable: 2,
            ..node()
        };
        says(bound.clone(), "bound to 2 of the machine's 64");
        says(bound, "The scheduler says 4, but no more than 2");
        let laptop = Given {
            online: 2,
            affinity: 2,
            usable: 2,
            ..node()
        };
        says(laptop, "no more than 2 processors");
        let per_job = Given {
            slurm_cpus: Some(4),
            usable: 4,
            memory_gb: Some(1.0),
            ..node()
        };
        says(per_job, "4.00 GB of memory in all and may use 1.00");
    }

    #[test]
    fn a_session_on_several_nodes_says_which_and_who_uses_them() {
        let on = |n: usize, has_common_slots: bool| {
            let which = "node[1-2] with 4(x2) CPUs".to_owned();
            let nodes = JobNodes {
                n,
                which,
                has_common_slots,
            };
            let given = Given {
                nodes: Some(nodes),
                ..node()
            };
            format!("{:?}", four_cores(given))
        };
        let slurm = on(2, false);
        assert!(
            slurm.contains("nodes of the job             2: node[1-2] with 4(x2) CPUs"),
            "{slurm}"
        );
        assert!(
            slurm.contains("a `Cluster` on all of them (lesson 12)")
                && !slurm.contains("NSLOTS` counts")
        );
        assert!(on(2, true).contains("`NSLOTS` counts the slots of all of them"));
        assert!(!on(1, false).contains("Cluster"));
    }

    #[test]
    fn this_session_is_something() {
        let session = session(1, 0.0);
        assert!(session.is_as_asked() && session.cores() >= 1);
    }
}
