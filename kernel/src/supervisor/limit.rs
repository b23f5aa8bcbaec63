//! How much memory the cells may use: what container or scheduler gives, and how a process is held
//! to it.

use forklore::memory::Memory;

use crate::protocol::Limit;
use crate::sys::procs::Pid;
use crate::sys::sharing::limit_data;

/// What the kernel itself and the compiler need of what the scheduler gives, as long as the cells
/// keep a half.
const KERNEL_BYTES: u64 = 768 << 20;

/// What the cells may use of `memory`, if container or scheduler limits it: all but what the kernel
/// needs.
pub(crate) fn for_cells(memory: &Memory) -> Option<u64> {
    let (bytes, _) = memory.job_limit()?;
    Some(bytes.saturating_sub(KERNEL_BYTES).max(bytes / 2))
}

/// The limit that holds if a learner asks for no other.
pub(super) fn detect() -> Limit {
    let memory = Memory::detect();
    let bytes = for_cells(&memory);
    let origin = match bytes {
        Some(_) => format!("{memory}; the rest is for kernel and compiler"),
        None => memory.to_string(),
    };
    Limit { bytes, origin }
}

/// Makes allocations fail that would take one of these processes past the limit.
pub(super) fn impose(pids: impl IntoIterator<Item = Pid>, bytes: Option<u64>) {
    for pid in pids {
        limit_data(pid, bytes);
    }
}
