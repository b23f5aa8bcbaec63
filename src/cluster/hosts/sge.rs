//! A job's hosts, from the file that `PE_HOSTFILE` names: Grid Engine's sge_pe(5).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use super::host::{Host, MAX_HOSTS, problem_of_name};
use super::variable::{Variable, shown};
use crate::error::{Error, Result};

/// The job's hosts, with their slots as workers; `None` outside a parallel job of Grid Engine.
///
/// Grid Engine does not confine a job to the cores of its slots, so the number of the host's
/// processors is no guide.
pub(super) fn hosts(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Vec<Host>>> {
    let Some(variable) = Variable::find("PE_HOSTFILE", environment)? else {
        return Ok(None);
    };
    let text = fs::read(&variable.value).map_err(|source| {
        let what = format!(
            "{}, a file that cannot be read (it is there only while the job runs; list the hosts \
             yourself with Cluster::builder().hosts(…))",
            variable.as_it_is()
        );
        Error::os(&what, source)
    })?;
    let hosts = read(&String::from_utf8_lossy(&text));
    hosts.map(Some).map_err(|problem| variable.error(&problem))
}

/// A host has a line for each queue that gives it slots: `node1 2 all.q@node1 UNDEFINED`.
fn read(text: &str) -> Result<Vec<Host>, String> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut index_of: BTreeMap<&str, usize> = BTreeMap::new();
    let lines = text.lines().enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let problem = |what: String| format!("line {} of that file {what}", index + 1);
        let mut words = line.split_whitespace();
        let (name, n_slots) = (words.next().unwrap_or(""), words.next());
        if let Some(wrong) = problem_of_name(name) {
            return Err(problem(format!("does not begin with a host: {wrong}")));
        }
        let n_slots = n_slots.and_then(|text| text.parse::<usize>().ok());
        let Some(n_slots) = n_slots.filter(|&n| n > 0) else {
            let shown = shown(line);
            return Err(problem(format!("has no number of slots above 0: {shown}")));
        };
        let n_hosts = hosts.len();
        let index = *index_of.entry(name).or_insert(n_hosts);
        match hosts.get_mut(index) {
            Some(host) => host.n_workers = host.n_workers.map(|n| n.saturating_add(n_slots)),
            None if n_hosts == MAX_HOSTS => {
                return Err(format!("that file names more than {MAX_HOSTS} hosts"));
            }
            None => hosts.push(Host {
                name: name.to_owned(),
                n_workers: Some(n_slots),
            }),
        }
    }
    match hosts.is_empty() {
        true => Err("that file names no host".to_owned()),
        false => Ok(hosts),
    }
}
