//! Memory that is shared with every process forked later.

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// A reservation of address space, shared by fork; memory is taken page by page on first touch.
///
/// It is reserved before the fork and as large as anything could ever need, so that it never has
/// to be mapped again: what one process writes at an offset, the others read at the same offset.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

/// What is asked for first. Address space costs nothing; a machine that forbids overcommitment or
/// limits address space (`ulimit -v`) gets less.
const LARGEST: usize = 1 << 40;
/// Less than this is of no use to a pool.
const SMALLEST: usize = 1 << 24;

impl Region {
    /// Reserves as much as the system allows, from 1 TiB down to 16 MiB.
    pub(crate) fn reserve() -> Result<Region> {
        Region::reserve_at_most(LARGEST)
    }

    /// Reserves `largest` bytes, or the largest part of it that the system allows.
    pub(crate) fn reserve_at_most(largest: usize) -> Result<Region> {
        let mut bytes = largest;
        loop {
            match Region::map(bytes) {
                Ok(region) => return Ok(region),
                Err(_) if bytes / 2 >= SMALLEST => bytes /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes exactly `bytes`, which is not 0.
    pub(crate) fn exactly(bytes: usize) -> Result<Region> {
        Region::map(bytes)
    }

    fn map(bytes: usize) -> Result<Region> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory
        // that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os(&format!(
                "cannot reserve {bytes} bytes of shared memory (see ulimit -v and \
                 /proc/sys/vm/overcommit_memory)"
            )));
        }
        let base =
            NonNull::new(base.cast()).ok_or_else(|| Error::last_os("mmap gave no address"))?;
        Ok(Region { base, bytes })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the pages of `offset .. offset + bytes` back; they read as zero afterwards.
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

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it longer than `self` lives.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_reads_as_zero() {
        let region = Region::reserve().unwrap();
        let byte = region.base().as_ptr();
        // SAFETY: offset 0 lies in the region, and no other process has it.
        unsafe {
            byte.write(7);
            region.give_back(0, 4096);
            assert_eq!(byte.read(), 0);
        }
    }
}
