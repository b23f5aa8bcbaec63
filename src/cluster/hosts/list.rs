//! The hosts that a user lists: `["node1:4", "node2:4"]`, `["localhost:2,localhost:2"]`.

use super::brackets::{entries, names};
use super::host::{Host, MAX_HOSTS, listed_twice, problem_of_name};
use super::variable::shown;
use crate::error::{Error, Result};

/// Each text may list several hosts, separated by commas, and may stand for several, as in
/// `node[1-4]:8`. A host without a number has as many workers as processors.
///
/// # Errors
/// `is_invalid_input()` if there is no host, if a host has 0 workers or is listed twice, or if a
/// text cannot be parsed. This machine (`localhost`) may be listed several times.
pub(crate) fn from_list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<Host>> {
    let mut hosts = Vec::new();
    for text in texts {
        add(&mut hosts, text.as_ref())?;
    }
    if hosts.is_empty() {
        return Err(Error::invalid_input(
            "the list of hosts is empty; name at least one, as in \"node1:4\", or leave the list \
             away in a job of Slurm or Grid Engine",
        ));
    }
    match listed_twice(&hosts) {
        None => Ok(hosts),
        Some(name) => Err(Error::invalid_input(format!(
            "the host \"{name}\" is listed twice; list it once, with all its workers, as in \
             \"{name}:8\" (only localhost may be there several times)"
        ))),
    }
}

fn add(hosts: &mut Vec<Host>, text: &str) -> Result<()> {
    let error = |problem: &str| {
        let text = shown(text);
        Error::invalid_input(format!("the host {text} cannot be used: {problem}"))
    };
    for entry in entries(text) {
        let (entry, n_workers) = match entry.split_once(':') {
            None => (entry, None),
            Some((name, n_workers)) => match n_workers.trim().parse() {
                Ok(0) => {
                    let problem = format!("it has 0 workers; give it at least 1: \"{name}:1\"");
                    return Err(error(&problem));
                }
                Ok(n_workers) => (name.trim_end(), Some(n_workers)),
                Err(_) => {
                    let problem = format!(
                        "what follows the colon, \"{n_workers}\", is no number of workers; write a \
                         name or an IPv4 address, a colon and a number, as in \"node1:4\""
                    );
                    return Err(error(&problem));
                }
            },
        };
        let names = names(entry, MAX_HOSTS - hosts.len()).map_err(|problem| error(&problem))?;
        if let Some(problem) = names.iter().find_map(|name| problem_of_name(name)) {
            return Err(error(&problem));
        }
        hosts.extend(names.into_iter().map(|name| Host { name, n_workers }));
    }
    Ok(())
}
