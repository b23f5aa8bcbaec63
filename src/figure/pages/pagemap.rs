//! Reads the state of pages from `/proc`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use nix::unistd::{SysconfVar, sysconf};

use super::PageState;

/// Bits of an entry: the page is in memory; only this process maps it.
const PRESENT: u64 = 1 << 63;
const EXCLUSIVE: u64 = 1 << 56;
const ENTRY_BYTES: usize = 8;

/// The page numbers of a piece of memory.
pub(super) fn pages_of(address: usize, n_bytes: usize) -> Range<usize> {
    let page = page_bytes();
    address / page..(address + n_bytes).div_ceil(page).max(address / page)
}

fn page_bytes() -> usize {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.map_or(4096, |bytes| bytes as usize)
}

/// This process's pages.
///
/// # Errors
/// Why Linux does not report them.
pub(super) fn own(pages: &Range<usize>) -> Result<Vec<PageState>, String> {
    let cannot = |error| {
        format!(
            "this system does not say which pages are shared: cannot read /proc/self/pagemap: {error}"
        )
    };
    // A page that has just been written belongs to this process alone, so Linux must report that.
    let written = black_box([0_u8]);
    let here = pages_of(written.as_ptr().addr(), 1);
    if read("self", &here).map_err(cannot)? != [PageState::Own] {
        return Err(
            "this Linux does not say which pages are shared: /proc/self/pagemap has no such bit \
             before Linux 4.2, and in some sandboxes"
                .to_owned(),
        );
    }
    read("self", pages).map_err(cannot)
}

/// Another process's pages.
///
/// # Errors
/// If it is gone, or this process may not read them.
pub(super) fn of_process(pid: u32, pages: &Range<usize>) -> io::Result<Vec<PageState>> {
    read(&pid.to_string(), pages)
}

fn read(process: &str, pages: &Range<usize>) -> io::Result<Vec<PageState>> {
    let file = File::open(format!("/proc/{process}/pagemap"))?;
    let mut bytes = vec![0; pages.len() * ENTRY_BYTES];
    file.read_exact_at(&mut bytes, (pages.start * ENTRY_BYTES) as u64)?;
    let (entries, _) = bytes.as_chunks();
    Ok(entries
        .iter()
        .map(|entry| state(u64::from_ne_bytes(*entry)))
        .collect())
}

fn state(entry: u64) -> PageState {
    match (entry & PRESENT != 0, entry & EXCLUSIVE != 0) {
        (false, _) => PageState::Absent,
        (true, true) => PageState::Own,
        (true, false) => PageState::Shared,
    }
}

/// The number of bytes of the mappings that hold this memory that lie in huge pages, at most the
/// size of the memory; 0 if Linux does not report it.
pub(super) fn huge_bytes(address: usize, n_bytes: usize) -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    huge_bytes_in(&smaps, address..address + n_bytes).min(n_bytes)
}

fn huge_bytes_in(smaps: &str, memory: Range<usize>) -> usize {
    let (mut is_ours, mut kilobytes) = (false, 0);
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            is_ours = mapping.start < memory.end && memory.start < mapping.end;
        } else if is_ours && let Some(amount) = line.strip_prefix("AnonHugePages:") {
            let number = amount.trim().trim_end_matches(" kB");
            kilobytes += number.parse::<usize>().unwrap_or(0);
        }
    }
    kilobytes << 10
}

/// Parses a mapping's first line, `7f1000-7f3000 rw-p …`.
fn mapping(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    Some(hex(start)?..hex(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_lies_in_whole_pages() {
        let page = page_bytes();
        assert_eq!(pages_of(page, page), 1..2);
        assert_eq!(pages_of(page + 16, page), 1..3);
        assert_eq!(pages_of(3 * page - 1, 1), 2..3);
        assert_eq!(pages_of(3 * page, 0), 3..3);
        assert!(pages_of(3 * page + 1, 0).len() <= 1);
    }

    #[test]
    fn an_entry_says_three_things() {
        assert_eq!(state(0), PageState::Absent);
        assert_eq!(state(EXCLUSIVE), PageState::Absent);
        assert_eq!(state(PRESENT), PageState::Shared);
        assert_eq!(state(PRESENT | EXCLUSIVE | 1), PageState::Own);
    }

    #[test]
    fn huge_pages_are_counted_in_the_mappings_that_hold_the_memory() {
        let smaps = "1000-3000 rw-p 00000000 00:00 0 \nAnonHugePages:      2048 kB\n\
                     3000-5000 rw-p 00000000 00:00 0 [heap]\nRss: 8 kB\nAnonHugePages: 4096 kB\n\
                     5000-6000 r--p 00000000 00:00 0 /lib/a-b\nAnonHugePages: 0 kB\n";
        assert_eq!(huge_bytes_in(smaps, 0x1000..0x2000), 2 << 20);
        assert_eq!(huge_bytes_in(smaps, 0x2fff..0x3001), 6 << 20);
        assert_eq!(huge_bytes_in(smaps, 0x5000..0x5001), 0);
        assert_eq!(huge_bytes_in("", 0x5000..0x5001), 0);
    }
}
