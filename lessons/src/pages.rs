//! Memory in pages of the ordinary size.

use std::io;

use nix::sys::prctl;
use nix::unistd::{SysconfVar, sysconf};

/// Makes Linux give this process, and the children that it forks later, memory in ordinary pages
/// only, and returns their size in bytes.
///
/// With huge pages (2 MB), a fork copies a page table that is 512 times shorter, and the first
/// write by a child splits such a page: learners could not see the costs per page that a lesson
/// explains. The setting stays until the process exits. Memory that is in huge pages already stays
/// in them.
///
/// # Errors
///
/// If the OS refuses.
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
