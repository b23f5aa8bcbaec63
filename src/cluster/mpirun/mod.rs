//! MPI's launcher: which one is installed, and the command line that starts a node's two ranks.
//!
//! ```text
//!              this machine                                          the node
//!  owner ──▶ mpirun ──▶ forklore-node relay (rank 0) ═══ MPI ═══ forklore-node agent (rank 1)
//! ```
//!
//! Each node has a job of its own, because Open MPI ends a whole job when one of its ranks or
//! daemons ends. So losing a node ends that job and nothing else.

mod kept_variables;
mod switches;
mod version;

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use kept_variables::KeptVariables;

pub(crate) use version::Launcher;

/// The job of one node.
pub(crate) struct Job<'a> {
    /// A name that passed the checks of [`from_list`](super::hosts::from_list) or of a scheduler's
    /// list.
    pub(crate) host: &'a str,
    /// The absolute path of `forklore-node`, which is the same on the node.
    pub(crate) program: &'a Path,
    /// The arguments after `forklore-node relay`.
    pub(crate) relay: &'a [OsString],
    /// The arguments after `forklore-node agent`.
    pub(crate) agent: &'a [OsString],
    /// The variables that the agent gets in addition to those of its own machine, if they are set
    /// here.
    pub(crate) exported: &'a [&'a str],
}

/// How MPI uses the network, where its own choice does not work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// The interface or subnet for all connections: `eth0`, `10.0.0.0/16`.
    interface: Option<String>,
    /// The ports that a firewall allows, on every machine.
    ports: Option<Ports>,
    /// The program that reaches a node, instead of `ssh`.
    remote_shell: Option<PathBuf>,
}

/// Ports on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ports {
    /// Open MPI's launcher listens on every port that it may use, so each node's launcher needs
    /// ports of its own.
    launcher: RangeInclusive<u16>,
    /// A rank takes the first free port.
    ranks: RangeInclusive<u16>,
}

/// The minimum number of ports: a launcher and a rank need one each, and a port that was in use a
/// moment ago is not free yet.
const MIN_PORTS: u16 = 8;

impl Network {
    /// # Errors
    /// `is_invalid_input()` if it names no interface and no subnet.
    pub(crate) fn interface(mut self, name: &str) -> Result<Network> {
        let is_usual = |c: char| c.is_ascii_alphanumeric() || "._-/,:@".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(is_usual) {
            return Err(Error::invalid_input(format!(
                "{name:?} is no network interface; give the name of one or a subnet that all nodes \
                 have, as in \"eth0\" or \"10.0.0.0/16\""
            )));
        }
        self.interface = Some(name.to_owned());
        Ok(self)
    }

    /// One half is for launchers, the other for ranks.
    ///
    /// # Errors
    /// `is_invalid_input()` if there are too few ports, or some are reserved for the system.
    pub(crate) fn ports(mut self, ports: RangeInclusive<u16>) -> Result<Network> {
        let (first, last) = (*ports.start(), *ports.end());
        if first < 1024 || last < first || last - first < MIN_PORTS - 1 {
            return Err(Error::invalid_input(format!(
                "the ports {first} to {last} do not do; give at least {MIN_PORTS} above 1023, and 2 \
                 for each node, as in 50000..=50999"
            )));
        }
        let first_of_ranks = first + (last - first).div_ceil(2);
        self.ports = Some(Ports {
            launcher: first..=first_of_ranks - 1,
            ranks: first_of_ranks..=last,
        });
        Ok(self)
    }

    /// The settings for one node, counted from 0, of `n_nodes`: its launcher gets ports of its own.
    ///
    /// # Errors
    /// `is_invalid_input()` if there are not enough ports for all nodes.
    pub(crate) fn for_node(&self, index: usize, n_nodes: usize) -> Result<Network> {
        let mut network = self.clone();
        if let Some(ports) = &mut network.ports {
            let (first, last) = (*ports.launcher.start(), *ports.launcher.end());
            let n_each = usize::from(last - first + 1) / n_nodes.max(1);
            let Some(n_each) = u16::try_from(n_each).ok().filter(|&n| n > 0) else {
                let last = ports.ranks.end();
                return Err(Error::invalid_input(format!(
                    "the ports {first} to {last} are too few for {n_nodes} nodes; give at least \
                     {}, 2 for each node",
                    2 * n_nodes
                )));
            };
            // At most as many as there are ports.
            let first = first + n_each * index.min(n_nodes - 1) as u16;
            ports.launcher = first..=first + n_each - 1;
        }
        Ok(network)
    }

    pub(crate) fn remote_shell(mut self, program: &Path) -> Network {
        self.remote_shell = Some(program.to_owned());
        self
    }
}

/// A program's arguments, without its name, and its whole environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Launcher {
    /// The command line that starts a node's job from a process with this `environment`.
    ///
    /// The launcher's standard input goes to the agent: one byte wakes it.
    pub(crate) fn command_line(
        &self,
        job: &Job,
        network: &Network,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> CommandLine {
        let kept = KeptVariables::of(environment);
        let mut arguments = switches::of(self, job, network, &kept);
        let relay = ["relay".into()]
            .into_iter()
            .chain(job.relay.iter().cloned());
        let agent = ["agent".into()]
            .into_iter()
            .chain(job.agent.iter().cloned());

        arguments.extend(rank("localhost"));
        arguments.push(job.program.into());
        arguments.extend(relay);
        arguments.push(":".into());
        arguments.extend(rank(job.host));
        // A variable that is not set would cause a warning.
        let exported = job.exported.iter().chain(&kept_variables::FORK_SAFE);
        for name in exported.filter(|name| kept.has(name)) {
            arguments.extend(["-x".into(), OsString::from(name)]);
        }
        arguments.push(job.program.into());
        arguments.extend(agent);

        CommandLine {
            arguments,
            environment: kept.into_all(),
        }
    }
}

/// One process on a host.
fn rank(host: &str) -> [OsString; 4] {
    let host = format!("{host}:1");
    ["-n", "1", "--host", &host].map(|word| OsStr::new(word).to_owned())
}

#[cfg(test)]
mod tests;
