//! This program's allocator: mimalloc in a kernel, the C library's in all other processes.
//!
//! rust-analyzer allocates and frees many small pieces of memory: with mimalloc, a cell with a
//! variable takes up to a quarter less time than with the C library's allocator, and a session
//! about 70 MB more. But the processes that run cells are this program, too. They are forked and
//! have a memory limit, which does not suit mimalloc, because it reserves a gigabyte at once. The
//! command line says what a process is, and it is available before the first allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering};

use mimalloc::MiMalloc;

/// The first arguments that start a kernel: ours, or the stock one, which uses mimalloc upstream
/// too.
const KERNELS: [&[u8]; 2] = [b"kernel", b"evcxr"];

/// The allocator that suits the process.
pub struct Allocator;

const UNKNOWN: u8 = 0;
const C_LIBRARY: u8 = 1;
const MIMALLOC: u8 = 2;

/// This process's choice. The first allocation determines it, always with the same result, and a
/// forked process keeps its parent's: so all memory is freed by the allocator that it came from.
static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

// SAFETY: both allocators follow the rules, and a process uses only one of them.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `GlobalAlloc`, which are those of either allocator.
        unsafe {
            match is_mimalloc() {
                true => MiMalloc.alloc(layout),
                false => System.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the memory is from the same allocator.
        unsafe {
            match is_mimalloc() {
                true => MiMalloc.dealloc(pointer, layout),
                false => System.dealloc(pointer, layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe {
            match is_mimalloc() {
                true => MiMalloc.alloc_zeroed(layout),
                false => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`.
        unsafe {
            match is_mimalloc() {
                true => MiMalloc.realloc(pointer, layout, n_bytes),
                false => System.realloc(pointer, layout, n_bytes),
            }
        }
    }
}

#[inline]
fn is_mimalloc() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        UNKNOWN => choose(),
        choice => choice == MIMALLOC,
    }
}

#[cold]
fn choose() -> bool {
    let mut line = [0; 4096];
    let n_bytes = read_command_line(&mut line);
    let is_kernel = is_kernel(&line[..n_bytes]);
    let choice = if is_kernel { MIMALLOC } else { C_LIBRARY };
    CHOICE.store(choice, Ordering::Relaxed);
    is_kernel
}

/// Whether a command line, each word ended by a zero byte, starts a kernel.
fn is_kernel(line: &[u8]) -> bool {
    let word = line.split(|byte| *byte == 0).nth(1);
    word.is_some_and(|word| KERNELS.contains(&word))
}

/// Reads the start of this process's command line. It must not allocate, as the standard library
/// might.
fn read_command_line(line: &mut [u8]) -> usize {
    // SAFETY: the path is a C string, and the read fits into the slice.
    let n_bytes = unsafe {
        let file = libc::open(
            c"/proc/self/cmdline".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        );
        let n_bytes = libc::read(file, line.as_mut_ptr().cast(), line.len());
        libc::close(file);
        n_bytes
    };
    // Without /proc: the C library's allocator.
    usize::try_from(n_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernels_have_mimalloc() {
        for (line, expected) in [
            (
                &b"/bin/forklore\0kernel\0--connection-file\0f.json\0"[..],
                true,
            ),
            (b"forklore\0evcxr\0--connection-file\0f.json\0", true),
            (b"forklore\0", false),
            (b"forklore\0lab\0kernel\0", false),
            (b"kernel\0", false),
            (b"", false),
        ] {
            assert_eq!(is_kernel(line), expected, "{line:?}");
        }
    }

    #[test]
    fn memory_comes_and_goes_whatever_its_size() {
        let is_aligned = |pointer: *mut u8| pointer.addr().is_multiple_of(64);
        for n_bytes in [1, 24, 5000, 3_000_000] {
            let layout = Layout::from_size_align(n_bytes, 64).unwrap();
            // SAFETY: the layout is not empty, and each piece is freed with its own layout.
            unsafe {
                let zeroed = Allocator.alloc_zeroed(layout);
                assert!(is_aligned(zeroed) && *zeroed.add(n_bytes - 1) == 0);
                *zeroed = 7;
                let larger = Allocator.realloc(zeroed, layout, 2 * n_bytes);
                assert!(is_aligned(larger) && *larger == 7);
                let layout = Layout::from_size_align(2 * n_bytes, 64).unwrap();
                Allocator.dealloc(larger, layout);
            }
        }
    }
}
