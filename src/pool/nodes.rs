//! The nodes of a pool whose workers are on several machines, and how they are reached.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cluster::bootstrap::ToAgent;
use crate::cluster::hosts::{self, Host};
use crate::cluster::mpirun::{Job, Launcher, Network};
use crate::error::{Error, Result};

/// The nodes, and the terms of their pools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<NodePlan>,
    /// The terms of their pools, encoded: relays only pass them on.
    pub(super) terms: Vec<u8>,
    /// What agents start, if some node is reached by a program. It is set only then, because a
    /// program is identified by its content, and must be read for that.
    pub(super) start: Option<ToAgent>,
}

/// One node: its name, its slots on the owner's board, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodePlan {
    pub(super) name: String,
    pub(super) first_slot: usize,
    pub(super) n_workers: usize,
    pub(super) reach: Reach,
}

/// How a node's station is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// On this machine: its relay launches it.
    Here,
    /// By a program that connects the station to a socket of its relay; the socket's name is in the
    /// environment variable [`RENDEZVOUS`](crate::cluster::node::RENDEZVOUS).
    By {
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    },
}

impl Nodes {
    /// The node that has a slot.
    pub(super) fn of_slot(&self, slot: usize) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.slots().contains(&slot))
    }

    /// The number of slots.
    pub(super) fn n_slots(&self) -> usize {
        self.nodes.iter().map(|node| node.n_workers).sum()
    }
}

impl NodePlan {
    pub(super) fn slots(&self) -> Range<usize> {
        self.first_slot..self.first_slot + self.n_workers
    }
}

/// A name that distinguishes several nodes on one host.
pub(super) fn numbered(name: &str, hosts: &[Host], index: usize) -> String {
    let same = |hosts: &[Host]| hosts.iter().filter(|host| host.name == name).count();
    match same(hosts) {
        1 => name.to_owned(),
        _ => format!("{name}#{}", same(&hosts[..index]) + 1),
    }
}

/// How the stations on other machines are started, once that has been determined.
#[derive(Default)]
pub(super) struct Reaching {
    found: Option<(Launcher, PathBuf)>,
}

impl Reaching {
    /// How a host's station is started.
    ///
    /// # Errors
    /// `is_invalid_input()` if the host is another machine and something that reaches it is not
    /// installed.
    pub(super) fn to(&mut self, host: &Host, network: &Network) -> Result<Reach> {
        if hosts::is_local(&host.name) {
            return Ok(Reach::Here);
        }
        let path = std::env::var_os("PATH");
        if self.found.is_none() {
            let program = node_program(path.as_deref())?;
            self.found = Some((Launcher::find(path.as_deref())?, program));
        }
        let Some((launcher, program)) = &self.found else {
            return Ok(Reach::Here);
        };
        let job = Job {
            host: &host.name,
            program,
            relay: &[],
            agent: &[],
            exported: &[],
        };
        let line = launcher.command_line(&job, network, std::env::vars_os());
        let mut arguments = vec![launcher.program().as_os_str().to_owned()];
        arguments.extend(line.arguments);
        Ok(Reach::By {
            arguments,
            environment: line.environment,
        })
    }
}

/// Names the `forklore-node` to use instead of the one in `PATH`.
const NODE_PROGRAM: &str = "FORKLORE_NODE";

/// The program that carries a cluster's messages over MPI.
fn node_program(path: Option<&OsStr>) -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(NODE_PROGRAM) {
        let program = PathBuf::from(program);
        return match program.is_absolute() && program.is_file() {
            true => Ok(program),
            false => Err(Error::invalid_input(format!(
                "{NODE_PROGRAM} is {}, which is not the absolute path of a program; give that of \
                 forklore-node",
                program.display()
            ))),
        };
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    let own = std::env::current_exe().ok();
    folders.extend(own.and_then(|program| Some(program.parent()?.to_owned())));
    folders.extend(path.iter().flat_map(std::env::split_paths));
    let mut programs = folders
        .into_iter()
        .map(|folder| folder.join("forklore-node"));
    programs.find(|program| program.is_absolute() && program.is_file()).ok_or_else(|| {
        Error::invalid_input(format!(
            "there is no forklore-node in PATH, which carries a cluster's messages over MPI; build it with \
             this machine's MPI (cargo install --path node, in forklore's repository), or say where \
             it is in {NODE_PROGRAM}"
        ))
    })
}
