//! How much memory the cells may use, given the container's or scheduler's limit, and how a process
//! is limited.

use forklore::memory::Memory;

use crate::protocol::Limit;
use crate::sys::procs::Pid;
use crate::sys::sharing::limit_data;

/// Memory reserved for the kernel and the compiler, as long as the cells keep half.
const KERNEL_BYTES: u64 = 768 << 20;

/// What the cells may use of `memory`, if a container or scheduler limits it: all except the
/// kernel's reserve.
pub(crate) fn for_cells(memory: &Memory) -> Option<u64> {
    let (bytes, _) = memory.job_limit()?;
    Some(bytes.saturating_sub(KERNEL_BYTES).max(bytes / 2))
}

/// The default limit.
pub(super) fn detect() -> Limit {
    let memory = Memory::detect();
    let bytes = for_cells(&memory);
    let origin = match bytes {
        Some(_) => format!("{memory}; the rest is for kernel and compiler"),
        None => memory.to_string(),
    };
    Limit { bytes, origin }
}

/// Makes allocations fail that would exceed the limit in one of these processes.
pub(super) fn impose(pids: impl IntoIterator<Item = Pid>, bytes: Option<u64>) {
    for pid in pids {
        limit_data(pid, bytes);
    }
}
