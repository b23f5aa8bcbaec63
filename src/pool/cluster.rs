//! The same map on many nodes.

use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::hosts::{self, Host, Scheduler};
use crate::cluster::mpirun::Network;
use crate::cpus::cpu_count;
use crate::error::{Error, Outcome, Result};
use crate::wire;

use super::Builder;
use super::call::run::{self, Call};
use super::call::shared::Shared;
use super::map::all_or_panic;
use super::nodes::{NodePlan, Nodes, Reach, Reaching, numbered};
use super::plan::Schedule;
use super::settings::Settings;
use super::stats::Stats;
use super::view::{lazy_view_methods, view_methods};
use super::workers::nodes::{Terms, start_of_agents};

/// Workers on several nodes that run functions on arguments, as a [`Pool`](crate::Pool) does on
/// one.
///
/// A map behaves as on a pool: any non-capturing function, results in order, an error for each item
/// without a result. Each node has a pool of its own, in a fresh process of this program; the owner
/// hands out the same chunks to all of them, so a slow node just takes fewer. Data that a function
/// needs in addition to its argument is a context ([`map_with`](Cluster::map_with)), which is sent
/// to each node once.
///
/// If a task panics, aborts, is killed or runs out of memory, only its item fails, and the error
/// names the [node](crate::TaskError::node). If a node is lost, its items are run on other nodes.
///
/// # Fork safety
/// As for [`Pool`](crate::Pool). When the owner ends, however it ends, no process stays on any
/// node.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::Cluster;
///
/// // Two nodes on this machine, to try it.
/// let cluster = Cluster::builder().hosts(["localhost:2", "localhost:2"]).build()?;
/// assert_eq!(cluster.workers(), 4);
/// assert_eq!(cluster.map(|x: u64| x.pow(10), 0..24)[2], 1024);
/// # Ok(()) }
/// ```
pub struct Cluster {
    shared: Arc<Shared>,
    nodes: Vec<Node>,
    origin: Origin,
}

/// A node of a [`Cluster`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its host's name; followed by a number if the same host is listed several times.
    pub name: String,
    /// The number of its workers.
    pub workers: usize,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.workers)
    }
}

/// Configures a [`Cluster`] before building it.
#[derive(Default)]
#[must_use = "a builder makes a cluster only when `build` is called"]
pub struct ClusterBuilder {
    hosts: Option<Vec<String>>,
    workers_per_node: Option<usize>,
    pool: Builder,
    network: Network,
}

/// Where a cluster's hosts come from.
#[derive(Clone, Copy)]
enum Origin {
    Listed,
    Given(Scheduler),
    NoScheduler,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Listed => Ok(()),
            Origin::Given(scheduler) => write!(f, " from {scheduler}"),
            Origin::NoScheduler => f.write_str(", as no scheduler gave this process any"),
        }
    }
}

impl Cluster {
    /// A cluster of the nodes that the scheduler (Slurm, Grid Engine) gave this job. Outside a job,
    /// this machine is its only node.
    ///
    /// # Errors
    /// As [`ClusterBuilder::build`].
    pub fn new() -> Result<Cluster> {
        Cluster::builder().build()
    }

    /// Configures a cluster before building it.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// The nodes, in the order of the scheduler's or the user's list.
    pub fn nodes(&self) -> Vec<Node> {
        self.nodes.clone()
    }

    /// The number of workers on all nodes.
    pub fn workers(&self) -> usize {
        self.shared.n_workers()
    }

    /// Runs `f` once on each worker of each node, and returns one result for each, node by node.
    ///
    /// # Panics
    /// As [`Pool::broadcast`](crate::Pool::broadcast).
    #[track_caller]
    pub fn broadcast<F, R>(&self, f: F) -> Vec<R>
    where
        F: Fn() -> R,
        R: Serialize + DeserializeOwned,
    {
        all_or_panic(self.try_broadcast(f))
    }

    /// As [`broadcast`](Cluster::broadcast); returns each worker's result or error.
    pub fn try_broadcast<F, R>(&self, f: F) -> Vec<Outcome<R>>
    where
        F: Fn() -> R,
        R: Serialize + DeserializeOwned,
    {
        run::broadcast(&self.shared, &f)
    }

    /// As [`Pool::stats`](crate::Pool::stats), for the workers of all nodes. Events on a node are
    /// counted when the node's next results arrive. A slot's process is the one that represents the
    /// worker on this machine.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// As [`Pool::close`](crate::Pool::close).
    pub fn close(&self) {
        self.shared.close();
    }

    /// As [`Pool::join`](crate::Pool::join): afterwards, no process is left on any node.
    pub fn join(&self) {
        self.shared.join();
    }

    /// As [`Pool::terminate`](crate::Pool::terminate).
    pub fn terminate(&self) {
        self.shared.terminate();
    }

    fn call(&self) -> Call<'_> {
        Call::of(&self.shared)
    }

    fn traced_call(&self) -> Call<'_> {
        self.call().traced()
    }
}

view_methods!(Cluster, imap);
lazy_view_methods!(Cluster);

impl Drop for Cluster {
    /// As for a pool.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.terminate();
        } else {
            self.shared.join();
        }
    }
}

/// The nodes and where they come from: `2 nodes from Slurm: node1:4 node2:4`. Of a single node, it
/// says that a pool is enough.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_nodes = match self.nodes.len() {
            1 => "1 node".to_owned(),
            n => format!("{n} nodes"),
        };
        let names: Vec<String> = self.nodes.iter().map(Node::to_string).collect();
        write!(f, "{n_nodes}{}: {}", self.origin, names.join(" "))?;
        match self.nodes.len() {
            1 => f.write_str(" (for one node, `Pool` does the same with less in between)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl ClusterBuilder {
    /// The hosts, each with the number of its workers, instead of those that the scheduler gave:
    /// `["node1:4", "node2:4"]`, or `["localhost:2,localhost:2"]` for two nodes on this machine.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl AsRef<str>>) -> ClusterBuilder {
        let hosts = hosts.into_iter().map(|host| host.as_ref().to_owned());
        self.hosts = Some(hosts.collect());
        self
    }

    /// The number of workers on each node for which neither the scheduler nor the list gives one;
    /// by default, the number of processors that this process may use.
    pub fn workers_per_node(mut self, n: usize) -> ClusterBuilder {
        self.workers_per_node = Some(n);
        self
    }

    /// The network interface, or subnet, that the nodes' connections use, as in `eth0` or
    /// `10.0.0.0/16`. By default, MPI chooses; on a head node with several interfaces it may choose
    /// one that the nodes cannot reach.
    ///
    /// # Errors
    /// `is_invalid_input()` if it names no interface and no subnet.
    pub fn interface(mut self, name: &str) -> Result<ClusterBuilder> {
        self.network = self.network.interface(name)?;
        Ok(self)
    }

    /// The ports that the nodes' connections use, if a firewall blocks all others: 8 or more, and
    /// at least 2 for each node.
    ///
    /// # Errors
    /// `is_invalid_input()` if there are too few, or some are reserved for the system;
    /// [`build`](Self::build) returns it if they are too few for all nodes.
    pub fn ports(mut self, ports: RangeInclusive<u16>) -> Result<ClusterBuilder> {
        self.network = self.network.ports(ports)?;
        Ok(self)
    }

    /// The program that starts another program on a node, as `ssh` does, by its absolute path. By
    /// default, the scheduler's own way, or else `ssh`.
    pub fn remote_shell(mut self, program: impl AsRef<Path>) -> ClusterBuilder {
        self.network = self.network.remote_shell(program.as_ref());
        self
    }

    /// As [`Builder::timeout`]; enforced on each node.
    pub fn timeout(mut self, limit: Duration) -> ClusterBuilder {
        self.pool = self.pool.timeout(limit);
        self
    }

    /// As [`Builder::retries`]. Tasks that were running on a lost node are run elsewhere in any
    /// case.
    pub fn retries(mut self, n: u32) -> ClusterBuilder {
        self.pool = self.pool.retries(n);
        self
    }

    /// As [`Builder::max_tasks_per_worker`].
    pub fn max_tasks_per_worker(mut self, n: usize) -> ClusterBuilder {
        self.pool = self.pool.max_tasks_per_worker(n);
        self
    }

    /// As [`Builder::schedule`].
    pub fn schedule(mut self, schedule: Schedule) -> ClusterBuilder {
        self.pool = self.pool.schedule(schedule);
        self
    }

    /// As [`Builder::memory_limit`].
    pub fn memory_limit(mut self, bytes: u64) -> ClusterBuilder {
        self.pool = self.pool.memory_limit(bytes);
        self
    }

    /// As [`Builder::nice`].
    pub fn nice(mut self, n: i32) -> ClusterBuilder {
        self.pool = self.pool.nice(n);
        self
    }

    /// As [`Builder::environment`]; may be called several times. Workers get these variables in
    /// addition to the environment of their own node.
    pub fn environment(
        mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> ClusterBuilder {
        self.pool = self.pool.environment(name, value);
        self
    }

    /// As [`Builder::current_dir`]: a folder that exists on this machine and on all nodes.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> ClusterBuilder {
        self.pool = self.pool.current_dir(folder);
        self
    }

    /// Connects to all nodes, and starts their workers.
    ///
    /// # Errors
    /// `is_invalid_input()` if the hosts cannot form a cluster; `is_os()` if a node cannot be
    /// reached: the message names the node and the reason. No process is left in either case.
    pub fn build(self) -> Result<Cluster> {
        let (origin, hosts) = self.found_hosts()?;
        let mut plans: Vec<NodePlan> = Vec::new();
        let mut first_slot = 0;
        let mut reaching = Reaching::default();
        for host in &hosts {
            let default = self.workers_per_node.unwrap_or_else(cpu_count);
            let n_workers = host.n_workers.unwrap_or(default);
            plans.push(NodePlan {
                name: numbered(&host.name, &hosts, plans.len()),
                first_slot,
                n_workers,
                reach: reaching.to(host, &self.network.for_node(plans.len(), hosts.len())?)?,
            });
            first_slot += n_workers;
        }
        let settings = self.pool.settings()?;
        let mut terms = Vec::new();
        wire::encode(&Terms::of(&settings), &mut terms)?;
        let node = |plan: &NodePlan| Node {
            name: plan.name.clone(),
            workers: plan.n_workers,
        };
        let nodes = plans.iter().map(node).collect();
        let is_remote = |plan: &NodePlan| plan.reach != Reach::Here;
        let start = plans.iter().any(is_remote).then(start_of_agents);
        let plan = Nodes {
            nodes: plans,
            terms,
            start: start.transpose()?,
        };
        let n_workers = plan.n_slots();
        let settings = Settings {
            // The stations enforce everything that is required of the workers.
            max_tasks: u64::MAX,
            timeout: None,
            cpu_time_limit: None,
            kills_descendants: false,
            conditions: Default::default(),
            nodes: Some(Arc::new(plan)),
            ..settings
        };
        let shared = Shared::start(settings, n_workers, None)?;
        // Dropping it ends what has been started.
        let cluster = Cluster {
            shared,
            nodes,
            origin,
        };
        match cluster.shared.await_workers() {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.terminate();
                Err(error)
            }
        }
    }

    fn found_hosts(&self) -> Result<(Origin, Vec<Host>)> {
        let (origin, hosts) = match &self.hosts {
            Some(list) => (Origin::Listed, hosts::from_list(list)?),
            None => match hosts::from_scheduler(&|name| std::env::var_os(name))? {
                Some(allocation) => (Origin::Given(allocation.scheduler), allocation.hosts),
                None => {
                    let here = Host {
                        name: "localhost".to_owned(),
                        n_workers: None,
                    };
                    (Origin::NoScheduler, vec![here])
                }
            },
        };
        if self.workers_per_node == Some(0) {
            return Err(Error::invalid_input(
                "nodes with 0 workers would never run anything; give at least 1 to workers_per_node",
            ));
        }
        hosts::refuse_unknown(&hosts)?;
        Ok((origin, hosts))
    }
}
