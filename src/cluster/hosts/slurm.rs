//! A job's hosts, from Slurm's variables: sbatch(1), "OUTPUT ENVIRONMENT VARIABLES".

use std::ffi::OsString;

use super::brackets::{entries, names};
use super::host::{Host, MAX_HOSTS, listed_twice, problem_of_name};
use super::variable::Variable;
use crate::error::Result;

/// The job's hosts; `None` outside a Slurm job.
///
/// A host has as many workers as the job requested CPUs there: its tasks times the CPUs per task,
/// if those were requested, and otherwise all CPUs that the job has on it.
pub(super) fn hosts(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Vec<Host>>> {
    let find = |name| Variable::find(name, environment);
    let Some(list) = find("SLURM_JOB_NODELIST")? else {
        return Ok(None);
    };
    let names = host_names(&list)?;

    let n_hosts = names.len();
    let per_host = |variable: Variable| counts(&variable, n_hosts);
    let n_tasks = find("SLURM_TASKS_PER_NODE")?.map(per_host).transpose()?;
    let n_cpus = find("SLURM_JOB_CPUS_PER_NODE")?.map(per_host).transpose()?;
    let n_cpus_of_task = find("SLURM_CPUS_PER_TASK")?.map(|variable| count(&variable));
    let n_cpus_of_task = n_cpus_of_task.transpose()?;

    let workers_of = |index: usize| {
        let [n_tasks, n_cpus] = [&n_tasks, &n_cpus].map(|counts| Some(counts.as_ref()?[index]));
        match (n_tasks, n_cpus_of_task) {
            (Some(n_tasks), Some(n_each)) => {
                let asked_for = n_tasks.saturating_mul(n_each);
                Some(n_cpus.map_or(asked_for, |n_cpus| n_cpus.min(asked_for)))
            }
            (n_tasks, n_each) => n_cpus.or(n_each).or(n_tasks),
        }
    };
    let hosts = names.into_iter().enumerate().map(|(index, name)| Host {
        name,
        n_workers: workers_of(index),
    });
    let hosts: Vec<Host> = hosts.collect();
    match listed_twice(&hosts) {
        Some(name) => Err(list.error(&format!("{name} is there twice"))),
        None => Ok(Some(hosts)),
    }
}

fn host_names(list: &Variable) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in entries(&list.value) {
        let more = names(entry, MAX_HOSTS - all.len()).map_err(|problem| list.error(&problem))?;
        if let Some(problem) = more.iter().find_map(|name| problem_of_name(name)) {
            return Err(list.error(&problem));
        }
        all.extend(more);
    }
    Ok(all)
}

/// A number for each host, as in `4(x2),2`: two hosts have 4, the third has 2.
fn counts(variable: &Variable, n_hosts: usize) -> Result<Vec<usize>> {
    let mut counts = Vec::new();
    for entry in variable.value.split(',').map(str::trim) {
        let (number, n_times) = match entry.split_once("(x") {
            Some((number, times)) => (number, times.strip_suffix(')')),
            None => (entry, Some("1")),
        };
        let n_times = n_times.and_then(|times| times.parse::<usize>().ok());
        let (Some(number), Some(n_times)) = (positive(number), n_times) else {
            let problem = format!("\"{entry}\" is no number above 0, such as 4 or 4(x2)");
            return Err(variable.error(&problem));
        };
        // One more than needed is enough to detect that there are too many.
        let n_times = n_times.min(n_hosts + 1 - counts.len().min(n_hosts + 1));
        counts.extend(std::iter::repeat_n(number, n_times));
    }
    if counts.len() != n_hosts {
        let problem =
            format!("SLURM_JOB_NODELIST has {n_hosts} hosts, and it has not as many numbers");
        return Err(variable.error(&problem));
    }
    Ok(counts)
}

fn count(variable: &Variable) -> Result<usize> {
    let number = positive(variable.value.trim());
    number.ok_or_else(|| variable.error("that is no number above 0"))
}

fn positive(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&number| number > 0)
}
