//! One host, and the checks for all lists of hosts.

use std::fs;

/// A machine that runs some of a cluster's workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// As the user or the scheduler wrote it.
    pub(crate) name: String,
    /// `None` if neither the user nor the scheduler gave a number: then as many as the host has
    /// processors.
    pub(crate) n_workers: Option<usize>,
}

/// The maximum number of hosts in a list: Slurm itself allows no more (`MAX_SLURM_NODES`, 65,533).
pub(super) const MAX_HOSTS: usize = 65_536;

/// The maximum length of a DNS name (RFC 1035, 2.3.4), in bytes.
pub(super) const MAX_NAME_BYTES: usize = 253;

/// Whether a name stands for the machine on which this program runs.
pub(crate) fn is_local(name: &str) -> bool {
    let own = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    matches!(name, "localhost" | "127.0.0.1") || is_same(name, own().trim())
}

/// Whether two names belong to one host, with or without its domain.
fn is_same(one: &str, other: &str) -> bool {
    let is_short_for = |short: &str, long: &str| {
        let rest = long.strip_prefix(short);
        !short.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_short_for(one, other) || is_short_for(other, one)
}

/// What is wrong with a host's name. A valid name cannot be mistaken for an option of a launcher,
/// or for several words of its command line.
pub(super) fn problem_of_name(name: &str) -> Option<String> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let unusual = name.chars().find(|&c| !is_usual(c));
    if name.is_empty() {
        Some("a host has no name".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Some(format!(
            "a host's name has {} bytes, and {MAX_NAME_BYTES} are the most",
            name.len()
        ))
    } else if let Some(c) = unusual {
        Some(format!(
            "{name:?} has the character {c:?}, which no host's name has"
        ))
    } else if name.starts_with(['-', '.']) {
        Some(format!("{name:?} begins as no host's name does"))
    } else {
        None
    }
}

/// The first host that a list has twice.
///
/// This machine may be listed several times, so that a cluster can be tried on a laptop.
pub(super) fn listed_twice(hosts: &[Host]) -> Option<&str> {
    let mut names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    names.sort_unstable();
    let pairs = names.windows(2);
    let mut same = pairs.filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    same.find(|name| !is_local(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_several_names() {
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        for name in ["localhost", "127.0.0.1", own.trim()] {
            assert!(is_local(name), "{name}");
        }
        for name in ["", "no-such-node.invalid", "10.0.0.1"] {
            assert!(!is_local(name), "{name}");
        }
    }

    #[test]
    fn a_domain_may_be_left_away() {
        assert!(is_same("node1", "node1"));
        assert!(is_same("node1", "node1.site.org"));
        assert!(is_same("node1.site.org", "node1"));
        for (one, other) in [
            ("node1", "node10"),
            ("node1.a", "node1.b"),
            ("", "node1"),
            ("", ""),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }
}
