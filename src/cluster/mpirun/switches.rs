//! Open MPI's settings for a node's job, in the names of versions 4.1 and 5.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::kept_variables::KeptVariables;
use super::version::Launcher;
use super::{Job, Network, Ports};
use crate::cluster::hosts::is_local;

/// What an administrator or a user chooses the remote shell with.
const SHELL_VARIABLES: [&str; 4] = [
    "OMPI_MCA_plm_rsh_agent",
    "PRTE_MCA_plm_ssh_agent",
    "PRTE_MCA_prte_ssh_agent",
    "PE_HOSTFILE",
];

/// What they give srun(1) more of, in versions 4.1 and 5.
const SRUN_VARIABLES: [&str; 2] = ["OMPI_MCA_plm_slurm_args", "PRTE_MCA_plm_slurm_args"];

/// What `ssh` gets, so that it neither asks for a password that no user would see nor waits for a
/// host that is off.
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
        // The names of the launcher's own settings changed when it became a project of its own.
        is_prte: launcher.major() >= 5,
    };
    // Without it, all workers of an agent would share one core.
    switches.words(["--bind-to", "none"]);
    // Both ranks may be on one machine, by one name or two.
    switches.words(["--map-by", ":OVERSUBSCRIBE"]);
    // The line names its hosts. A scheduler's own list has no slot for the relay, whose machine may
    // not even be in it (salloc(1) on a login node). The scheduler's way to a node stays in use.
    switches.launcher(["ras"; 2], "^slurm,gridengine,tm,lsf");
    // The agent, not the relay, is woken through the launcher's input.
    switches.words(["--stdin", "1"]);
    // The same everywhere: no fabric's contexts are used up by relays, and no shared memory is read
    // across processes, which containers refuse.
    switches.mpi("pml", "ob1");
    switches.mpi("btl", "tcp,self");
    // All forks come before MPI begins.
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

    /// A setting of the ranks.
    fn mpi(&mut self, name: &str, value: &str) {
        self.words(["--mca", name, value]);
    }

    /// A setting of the launcher, by its name in version 4.1 and in version 5.
    fn launcher(&mut self, [name_4, name_5]: [&str; 2], value: impl AsRef<OsStr>) {
        match self.is_prte {
            false => self.words(["--mca", name_4]),
            true => self.words(["--prtemca", name_5]),
        }
        self.words.push(value.as_ref().to_owned());
    }

    /// A node whose link is down is noticed after some 5 seconds; by default, after 8 minutes.
    fn keepalives(&mut self) {
        self.launcher(["oob_tcp_keepalive_time"; 2], "3");
        self.launcher(["oob_tcp_keepalive_intvl"; 2], "1");
        self.launcher(["oob_tcp_keepalive_probes"; 2], "3");
    }

    fn network(&mut self, job: &Job, network: &Network) {
        // MPI leaves the loopback interface out, and a laptop may have no other.
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

    /// Names the node to srun(1), which Open MPI does only where it has read Slurm's own list of
    /// nodes. Otherwise a daemon would be started on the job's first node, whatever host is asked
    /// for. What an administrator or a user has set stays.
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
                // In a job of Slurm's, srun(1) would be asked first.
                self.words(match self.is_prte {
                    false => ["--mca", "plm", "rsh"],
                    true => ["--prtemca", "plm", "ssh"],
                });
                self.launcher(["plm_rsh_agent", "plm_ssh_agent"], program);
            }
            // Another shell, or Grid Engine's `qrsh`, does not know these.
            None if SHELL_VARIABLES.iter().any(|name| kept.has(name)) => {}
            None => self.launcher(["plm_rsh_args", "plm_ssh_args"], SSH_SWITCHES),
        }
    }
}
