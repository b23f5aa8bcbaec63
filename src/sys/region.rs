//! Memory that is shared with every process forked later, or with processes that get its file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::SysconfVar;

use super::atomic::{AtomicUsize, Ordering};
use super::descriptor::above_standard;
use crate::error::{Error, Result};

/// A reservation of address space, shared by fork; each page takes memory on first touch.
///
/// It is reserved before the fork, and large enough for any need, so that it never has to be
/// remapped: what one process writes at an offset, the others read at the same offset.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    bytes: usize,
    /// The mapped file without a name; `None` for anonymous memory.
    file: Option<OwnedFd>,
    /// The offset of a page that stays mapped; [`NO_PAGE`] if none does.
    kept_page: AtomicUsize,
}

/// Stands for no page.
const NO_PAGE: usize = usize::MAX;

/// Called by number, because glibc has a function for it only since 2.27.
fn new_file(flags: libc::c_uint) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | flags;
    // SAFETY: the name ends with a zero.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"forklore".as_ptr(), flags) };
    match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor is new and has no other owner.
        fd => above_standard(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
    }
}

/// An empty file that no other process can open.
pub(crate) fn file_without_a_name() -> Result<OwnedFd> {
    new_file(0).map_err(|error| {
        Error::os(
            "cannot make a file of shared memory (see ulimit -n; it takes Linux 3.17)",
            error,
        )
    })
}

/// Asks for a file that may be executed, where `vm.memfd_noexec` is 1 (Linux 6.3). libc does not
/// have it yet.
#[cfg(feature = "cluster")]
const MFD_EXEC: libc::c_uint = 0x10;

/// An empty file for a program or object, which no other process can open by a name.
///
/// # Errors
/// `is_os()` if the OS allows none.
#[cfg(feature = "cluster")]
pub(crate) fn code_file() -> Result<OwnedFd> {
    let file = new_file(MFD_EXEC).or_else(|error| match error.raw_os_error() {
        // An older Linux.
        Some(libc::EINVAL) => new_file(0),
        _ => Err(error),
    });
    file.map_err(|error| {
        let what = match error.raw_os_error() {
            Some(libc::EACCES) => {
                "programs may not run from memory here (vm.memfd_noexec is 2); copy this program to \
                 the node, at the same path"
            }
            _ => "cannot keep code in memory (see ulimit -n; it takes Linux 3.17)",
        };
        Error::os(what, error)
    })
}

/// A region requests this many times the machine's memory, rounded up to a power of two, within
/// [`LEAST_ASKED`] and [`MOST_ASKED`]. Blocks of one size are not reused for another, so a region
/// needs more addresses than it ever holds memory.
const TIMES_MEMORY: usize = 8;
/// A machine with little memory may get more later.
const LEAST_ASKED: usize = 1 << 36;
/// A process has 128 TiB of address space for all its regions.
const MOST_ASKED: usize = 1 << 40;
/// A pool cannot work with less.
const SMALLEST: usize = 1 << 24;

/// Enough for any need on this machine. Address space costs nothing; a machine that forbids
/// overcommitment or limits address space (`ulimit -v`) gets less.
fn ample_bytes() -> usize {
    let number = |name| nix::unistd::sysconf(name).ok().flatten().unwrap_or(0) as usize;
    let memory = number(SysconfVar::_PHYS_PAGES).saturating_mul(number(SysconfVar::PAGE_SIZE));
    let bytes = memory.saturating_mul(TIMES_MEMORY);
    bytes.clamp(LEAST_ASKED, MOST_ASKED).next_power_of_two()
}

// SAFETY: a region is an address that stays mapped; code that hands out parts of the memory is
// responsible for what threads do to it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves one `part`th of the ample size, or what the OS allows, down to 16 MiB; if addresses
    /// are limited (`ulimit -v`), at most a quarter of the rest.
    pub(crate) fn reserve(part: usize) -> Result<Region> {
        Region::reserve_at_most(ample_bytes() / part)
    }

    /// Reserves `largest` bytes, or the largest part of it that the OS allows.
    pub(crate) fn reserve_at_most(largest: usize) -> Result<Region> {
        Region::largest_of(largest, |bytes| Region::map(bytes, None))
    }

    /// Reserves as much as the OS allows, in a file without a name, so that a process that was not
    /// forked from this one can [`attach`](Region::attach) it.
    pub(crate) fn reserve_file() -> Result<Region> {
        let file = file_without_a_name()?;
        // Exceeding this limit would raise a signal (setrlimit(2)).
        let limit = getrlimit(Resource::RLIMIT_FSIZE).map_or(u64::MAX, |(soft, _)| soft);
        let largest = ample_bytes().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Region::largest_of(largest, |bytes| {
            nix::unistd::ftruncate(&file, bytes as i64)
                .map_err(|errno| Error::os("cannot size a file of shared memory", errno.into()))?;
            Region::map(bytes, Some(file.as_fd()))
        })
        .map(|region| region.of(file))
    }

    /// Maps a whole file that another process has reserved.
    pub(crate) fn attach(file: OwnedFd) -> Result<Region> {
        let stat = nix::sys::stat::fstat(&file)
            .map_err(|errno| Error::os("cannot look at the shared memory", errno.into()))?;
        let region = Region::map(stat.st_size as usize, Some(file.as_fd()))?;
        Ok(region.of(file))
    }

    /// Keeps the mapped file open.
    fn of(mut self, file: OwnedFd) -> Region {
        self.file = Some(file);
        self
    }

    /// The mapped file, if there is one.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    fn largest_of(largest: usize, map: impl Fn(usize) -> Result<Region>) -> Result<Region> {
        let mut bytes = largest.min(share_of_addresses());
        loop {
            match map(bytes) {
                Ok(region) => return Ok(region),
                Err(_) if bytes / 2 >= SMALLEST => bytes /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reserves exactly `bytes`, which is not 0.
    pub(crate) fn exactly(bytes: usize) -> Result<Region> {
        Region::map(bytes, None)
    }

    fn map(bytes: usize, file: Option<BorrowedFd<'_>>) -> Result<Region> {
        let anonymous = match file {
            None => libc::MAP_ANONYMOUS,
            Some(_) => 0,
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory
        // that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                // No access yet: a process that locks all future mappings (`mlockall` with
                // `MCL_FUTURE`) would get all of the memory here.
                libc::PROT_NONE,
                libc::MAP_SHARED | anonymous | libc::MAP_NORESERVE,
                file.map_or(-1, |file| file.as_raw_fd()),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(no_room(bytes, io::Error::last_os_error()));
        }
        let base =
            NonNull::new(base.cast()).ok_or_else(|| Error::last_os("mmap gave no address"))?;
        let region = Region {
            base,
            bytes,
            file: None,
            kept_page: AtomicUsize::new(NO_PAGE),
        };
        region.make_usable()?;
        Ok(region)
    }

    /// Makes the mapping readable and writable, such that a page takes memory only on first touch.
    fn make_usable(&self) -> Result<()> {
        let base = self.base.as_ptr().cast();
        // SAFETY: the calls change only properties of this mapping, which is still empty.
        let code = unsafe {
            libc::munlock(base, self.bytes);
            // A core dump would read, and so touch, every page of shared memory.
            libc::madvise(base, self.bytes, libc::MADV_DONTDUMP);
            libc::mprotect(base, self.bytes, libc::PROT_READ | libc::PROT_WRITE)
        };
        match code {
            0 => Ok(()),
            _ => Err(no_room(self.bytes, io::Error::last_os_error())),
        }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the page at `offset` mapped when all others are unmapped: the C library may still
    /// write to it.
    pub(crate) fn keep_page(&self, offset: usize) {
        let page = page_bytes();
        self.kept_page
            .store(offset / page * page, Ordering::Relaxed);
    }

    /// Returns the pages of `offset .. offset + bytes` to the OS; they read as zero afterwards.
    pub(crate) fn give_back(&self, offset: usize, bytes: usize) {
        assert!(
            offset
                .checked_add(bytes)
                .is_some_and(|end| end <= self.bytes)
        );
        // SAFETY: the range lies inside this mapping; shared anonymous memory stays mapped and
        // reads as zero after MADV_REMOVE.
        unsafe {
            libc::madvise(
                self.base.as_ptr().add(offset).cast(),
                bytes,
                libc::MADV_REMOVE,
            );
        }
    }
}

/// The error for a failed mapping, with its likely cause.
fn no_room(bytes: usize, error: io::Error) -> Error {
    let overcommit = std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
    let hint = if error.raw_os_error() == Some(libc::EAGAIN) {
        "this process locks its memory (mlockall), and may lock no more: see ulimit -l"
    } else if address_limit().is_some() {
        "this process's addresses are limited: see ulimit -v"
    } else if overcommit.is_ok_and(|mode| mode.trim() == "2") {
        "this machine promises no more memory than it has: see /proc/sys/vm/overcommit_memory"
    } else {
        "this process's addresses, or its number of mappings, are used up: each pool, process, channel and lock \
         that is alive has some; drop those that are done"
    };
    Error::os(
        &format!("cannot reserve {bytes} bytes of shared memory ({hint})"),
        error,
    )
}

/// The limit of this process's address space, if any.
fn address_limit() -> Option<usize> {
    match getrlimit(Resource::RLIMIT_AS) {
        Ok((soft, _)) if soft != nix::sys::resource::RLIM_INFINITY => Some(soft as usize),
        _ => None,
    }
}

/// How much of this process's address space a region may take, so that enough is left for the
/// process itself and for further regions.
fn share_of_addresses() -> usize {
    let Some(limit) = address_limit() else {
        return usize::MAX;
    };
    // The first number is the size of the used address space in pages (proc(5)).
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let left = limit.saturating_sub(pages * page_bytes());
    // A power of two, which can be halved repeatedly.
    1 << (left / 4).max(SMALLEST).ilog2()
}

impl Drop for Region {
    fn drop(&mut self) {
        let unmap = |offset: usize, bytes: usize| {
            if bytes > 0 {
                // SAFETY: the range lies in our mapping, and nothing borrows from it longer than
                // `self` lives.
                unsafe { libc::munmap(self.base.as_ptr().add(offset).cast(), bytes) };
            }
        };
        match *self.kept_page.get_mut() {
            NO_PAGE => unmap(0, self.bytes),
            page => {
                let next = (page + page_bytes()).min(self.bytes);
                unmap(0, page);
                unmap(next, self.bytes - next);
            }
        }
    }
}

fn page_bytes() -> usize {
    let page = nix::unistd::sysconf(SysconfVar::PAGE_SIZE);
    page.ok().flatten().unwrap_or(4096) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_attached_at_another_address() {
        let region = Region::reserve_file().unwrap();
        let again = Region::attach(region.file().unwrap().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(again.bytes(), region.bytes());
        assert_ne!(again.base(), region.base());
        // SAFETY: offset 0 lies in both, and no other process has it.
        unsafe {
            region.base().as_ptr().write(7);
            assert_eq!(again.base().as_ptr().read(), 7);
            again.give_back(0, 4096);
            assert_eq!(region.base().as_ptr().read(), 0);
        }
    }

    #[test]
    fn what_is_given_back_reads_as_zero() {
        let region = Region::reserve(1).unwrap();
        let byte = region.base().as_ptr();
        // SAFETY: offset 0 lies in the region, and no other process has it.
        unsafe {
            byte.write(7);
            region.give_back(0, 4096);
            assert_eq!(byte.read(), 0);
        }
    }
}
