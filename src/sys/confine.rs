//! Limits that a process sets for itself.

use crate::error::{Error, Result};

/// Limits the private memory of this process, in bytes: memory that it can write to and shares with
/// no other process, including what it already has. Shared memory and the stack do not count
/// (`RLIMIT_DATA`).
///
/// # Errors
/// `is_invalid_input()` if it already has more; `is_os()` if the limit cannot be set.
pub(crate) fn limit_memory(limit: u64) -> Result<()> {
    let n_used = private_bytes();
    if n_used >= limit {
        return Err(Error::invalid_input(format!(
            "a worker has {n_used} bytes when it starts, and its memory_limit is {limit}; give more"
        )));
    }
    let limits = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: the call reads one value.
    match unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limits) } {
        0 => Ok(()),
        _ => Err(Error::last_os("cannot limit a worker's memory")),
    }
}

/// The bytes that count towards [`limit_memory`] (`VmData` of proc(5)); 0 if `/proc` does not say.
fn private_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

/// Adds to this process's niceness, up to 19.
///
/// # Errors
/// `is_os()` if this process may not lower it.
pub(crate) fn add_niceness(n: i32) -> Result<()> {
    nix::errno::Errno::clear();
    // SAFETY: the call takes a number. -1 is also a valid niceness, so check `errno`.
    let is_set = unsafe { libc::nice(n) } != -1 || nix::errno::Errno::last_raw() == 0;
    match is_set {
        true => Ok(()),
        false => Err(Error::last_os(&format!(
            "a worker may not have {n} added to its niceness"
        ))),
    }
}

/// Makes this process the new parent of descendants whose own parent ends.
pub(crate) fn adopt_orphans() {
    let _ = nix::sys::prctl::set_child_subreaper(true);
}
