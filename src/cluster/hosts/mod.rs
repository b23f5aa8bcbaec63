//! The hosts of a cluster: those that the scheduler gave, or that the user listed.
//!
//! Everything here is a pure function of the environment, of one file that it may name, and of the
//! user's list, except [`refuse_unknown`], which calls the resolver.

mod brackets;
mod host;
mod list;
mod resolve;
mod sge;
mod slurm;
mod variable;

use std::ffi::OsString;
use std::fmt;

use crate::error::Result;

pub(crate) use host::{Host, is_local};
pub(crate) use list::from_list;
pub(crate) use resolve::refuse_unknown;

/// The scheduler that gave this job its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduler {
    Slurm,
    GridEngine,
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheduler::Slurm => "Slurm",
            Scheduler::GridEngine => "Grid Engine",
        })
    }
}

/// The hosts of this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) scheduler: Scheduler,
    pub(crate) hosts: Vec<Host>,
}

/// The hosts that a scheduler gave this job; `None` outside a job.
///
/// # Errors
/// `is_invalid_input()` if a scheduler's variable or file cannot be parsed, `is_os()` if the file
/// cannot be read. Both messages name the variable and its value.
pub(crate) fn from_scheduler(
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Allocation>> {
    let of = |scheduler| move |hosts| Allocation { scheduler, hosts };
    if let Some(hosts) = slurm::hosts(environment)? {
        return Ok(Some(of(Scheduler::Slurm)(hosts)));
    }
    Ok(sge::hosts(environment)?.map(of(Scheduler::GridEngine)))
}

#[cfg(test)]
mod tests;
