//! Memory in pages of the ordinary size.

use std::io;

use nix::sys::prctl;
use nix::unistd::{SysconfVar, sysconf};

/// Has Linux give this process, and the children that it will fork, memory in ordinary pages only,
/// and answers with their size in bytes.
///
/// Where huge pages (2 MB) are on, a fork copies a page table 512 times as short, and the first
/// write by a child splits such a page: what a lesson says of the cost of a page could not be seen.
/// The setting stays until the process ends. Memory that has huge pages already keeps them.
///
/// # Errors
///
/// When the system refuses.
///
/// # Example
/// ```
/// let page: usize = forklore_course::use_ordinary_pages()?;
/// assert!(page >= 4096 && page.is_power_of_two());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn use_ordinary_pages() -> io::Result<usize> {
    let cannot = |what: &str| {
        let message = format!("cannot {what}");
        move |errno| io::Error::other(format!("{message}: {}", io::Error::from(errno)))
    };
    prctl::set_thp_disable(true).map_err(cannot("switch huge pages off"))?;
    let size = sysconf(SysconfVar::PAGE_SIZE).map_err(cannot("ask for the size of a page"))?;
    Ok(size.unwrap_or(4096) as usize)
}
