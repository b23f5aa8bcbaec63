//! The environment for a launcher: that of this process, without what another launcher left in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables that a launcher sets for its ranks. `mpirun` takes a process that has them for a rank,
/// and refuses to start ("does not support recursive calls").
const OF_RANKS: [&str; 5] = ["OMPI_", "ORTE_", "PRTE_", "PMIX_", "PMI_"];

/// Settings of an administrator or a user, in the same namespaces. A launcher adds some of its own,
/// so none are kept if this process runs under one.
const SETTINGS: [&str; 3] = ["OMPI_MCA_", "PRTE_MCA_", "PMIX_MCA_"];

/// Only a user sets these: without them, MPI refuses to run as root.
const ROOT: [&str; 2] = ["_ALLOW_RUN_AS_ROOT", "_ALLOW_RUN_AS_ROOT_CONFIRM"];

/// When a process forks whose memory a network adapter reads, Linux before 5.12 must not copy those
/// pages to the child (`ibv_fork_init(3)`).
pub(super) const FORK_SAFE: [&str; 2] = ["RDMAV_FORK_SAFE", "IBV_FORK_SAFE"];

pub(super) struct KeptVariables(BTreeMap<OsString, OsString>);

impl KeptVariables {
    pub(super) fn of(environment: impl IntoIterator<Item = (OsString, OsString)>) -> KeptVariables {
        let mut all: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        let is_rank = all.contains_key(OsStr::new("OMPI_COMM_WORLD_SIZE"));
        all.retain(|name, _| is_kept(&name.to_string_lossy(), is_rank));
        for name in FORK_SAFE {
            all.entry(name.into()).or_insert("1".into());
        }
        // Open MPI starts its daemons through srun(1), as a step; without this, a step waits until
        // all cores of the job are free. Slurm before 20.11 does not need it, and ignores it.
        if all.contains_key(OsStr::new("SLURM_JOB_ID")) {
            all.entry("SLURM_OVERLAP".into()).or_insert("1".into());
            // `sbatch --export=NONE` is meant to filter the job's environment, not that of its
            // steps: a daemon needs the job's PATH and LD_LIBRARY_PATH.
            all.remove(OsStr::new("SLURM_EXPORT_ENV"));
        }
        KeptVariables(all)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(OsStr::new(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub(super) fn into_all(self) -> Vec<(OsString, OsString)> {
        self.0.into_iter().collect()
    }
}

fn is_kept(name: &str, is_rank: bool) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let is_permission = ROOT.iter().any(|end| name.ends_with(end));
    !begins(&OF_RANKS) || is_permission || (!is_rank && begins(&SETTINGS))
}
