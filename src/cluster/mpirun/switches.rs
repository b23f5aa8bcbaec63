//! Open MPI's settings for a node's job, under their names in versions 4.1 and 5.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::kept_variables::KeptVariables;
use super::version::Launcher;
use super::{Job, Network, Ports};
use crate::cluster::hosts::is_local;

/// Variables with which an administrator or a user chooses the remote shell.
const SHELL_VARIABLES: [&str; 4] = [
    "OMPI_MCA_plm_rsh_agent",
    "PRTE_MCA_plm_ssh_agent",
    "PRTE_MCA_prte_ssh_agent",
    "PE_HOSTFILE",
];

/// Variables with additional arguments for srun(1), in versions 4.1 and 5.
const SRUN_VARIABLES: [&str; 2] = ["OMPI_MCA_plm_slurm_args", "PRTE_MCA_plm_slurm_args"];

/// Arguments for `ssh`, so that it does not ask for a password that no user would see, or wait for
/// a host that is off.
const SSH_SWITCHES: &str = "-o BatchMode=yes -o ConnectTimeout=10";

/// All switches before the ranks.
pub(super) fn of(
    launcher: &Launcher,
    job: &Job,
    network: &Network,
    kept: &KeptVariables,
) -> Vec<OsString> {
    let mut switches = Switches {
        words: Vec::new(),
        // The launcher's own settings were renamed when it became a separate project.
        is_prte: launcher.major() >= 5,
    };
    // Without this, all workers of an agent would share one core.
    switches.words(["--bind-to", "none"]);
    // Both ranks may be on one machine, under one name or two.
    switches.words(["--map-by", ":OVERSUBSCRIBE"]);
    // The command line names its hosts. A scheduler's own list has no slot for the relay, whose
    // machine may not even be in it (salloc(1) on a login node). The scheduler's way to reach a
    // node stays in use.
    switches.launcher(["ras"; 2], "^slurm,gridengine,tm,lsf");
    // The launcher's input wakes the agent, not the relay.
    switches.words(["--stdin", "1"]);
    // The same on all networks: relays use up no contexts of a fabric, and no process reads
    // another's memory, which containers forbid.
    switches.mpi("pml", "ob1");
    switches.mpi("btl", "tcp,self");
    // All forks happen before MPI starts.
    switches.mpi("mpi_warn_on_fork", "0");
    switches.keepalives();
    switches.network(job, network);
    switches.slurm(job, kept);
    switches.remote_shell(network.remote_shell.as_deref(), kept);
    switches.words
}

struct Switches {
    words: Vec<OsString>,
    is_prte: bool,
}

impl Switches {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.words.extend(words.map(OsString::from));
    }

    /// Adds a setting of the ranks.
    fn mpi(&mut self, name: &str, value: &str) {
        self.words(["--mca", name, value]);
    }

    /// Adds a setting of the launcher, under its names in versions 4.1 and 5.
    fn launcher(&mut self, [name_4, name_5]: [&str; 2], value: impl AsRef<OsStr>) {
        match self.is_prte {
            false => self.words(["--mca", name_4]),
            true => self.words(["--prtemca", name_5]),
        }
        self.words.push(value.as_ref().to_owned());
    }

    /// Detects a node whose link is down after about 5 seconds instead of the default 8 minutes.
    fn keepalives(&mut self) {
        self.launcher(["oob_tcp_keepalive_time"; 2], "3");
        self.launcher(["oob_tcp_keepalive_intvl"; 2], "1");
        self.launcher(["oob_tcp_keepalive_probes"; 2], "3");
    }

    fn network(&mut self, job: &Job, network: &Network) {
        // MPI excludes the loopback interface, and a laptop may have no other.
        let loopback = is_local(job.host).then_some("127.0.0.0/8");
        if let Some(interface) = loopback.or(network.interface.as_deref()) {
            self.launcher(["oob_tcp_if_include", "prte_if_include"], interface);
            self.mpi("btl_tcp_if_include", interface);
        }
        if let Some(ports) = &network.ports {
            let Ports { launcher, ranks } = ports;
            let of_launcher = format!("{}-{}", launcher.start(), launcher.end());
            let (first, n_ports) = (ranks.start(), ranks.end() - ranks.start() + 1);
            for ip in ["4", "6"] {
                let dynamic = format!("oob_tcp_dynamic_ipv{ip}_ports");
                self.launcher([&dynamic; 2], &of_launcher);
                self.mpi(&format!("btl_tcp_port_min_v{ip}"), &first.to_string());
                self.mpi(&format!("btl_tcp_port_range_v{ip}"), &n_ports.to_string());
            }
        }
    }

    /// Names the node to srun(1), which Open MPI does only if it has read Slurm's own list of
    /// nodes. Otherwise srun would start a daemon on the job's first node, whichever host is
    /// requested. Settings of an administrator or a user stay.
    fn slurm(&mut self, job: &Job, kept: &KeptVariables) {
        if !kept.has("SLURM_JOB_ID") || is_local(job.host) {
            return;
        }
        let mut arguments = OsString::from(format!("--nodes=1 --nodelist={}", job.host));
        let set = SRUN_VARIABLES.iter().find_map(|name| kept.get(name));
        if let Some(set) = set {
            arguments.push(" ");
            arguments.push(set);
        }
        self.launcher(["plm_slurm_args"; 2], arguments);
    }

    fn remote_shell(&mut self, program: Option<&Path>, kept: &KeptVariables) {
        match program {
            Some(program) => {
                // In a Slurm job, Open MPI would try srun(1) first.
                self.words(match self.is_prte {
                    false => ["--mca", "plm", "rsh"],
                    true => ["--prtemca", "plm", "ssh"],
                });
                self.launcher(["plm_rsh_agent", "plm_ssh_agent"], program);
            }
            // Another shell, or Grid Engine's `qrsh`, does not know these options.
            None if SHELL_VARIABLES.iter().any(|name| kept.has(name)) => {}
            None => self.launcher(["plm_rsh_args", "plm_ssh_args"], SSH_SWITCHES),
        }
    }
}
