//! Copies of data that is too large for the CPU's caches.

/// Copies of this size or more bypass the caches.
///
/// A plain store first reads the cache line that it changes, which is useless if the whole line is
/// overwritten: a third of all the traffic. And data larger than a cache is evicted before it is
/// read.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LARGE_BYTES: usize = 1 << 22;

/// As [`std::ptr::copy_nonoverlapping`].
///
/// # Safety
/// `from` can be read and `to` written, for `n` bytes, and they do not overlap.
#[inline]
pub(crate) unsafe fn copy_nonoverlapping(from: *const u8, to: *mut u8, n: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if n >= LARGE_BYTES {
        // SAFETY: as the caller promises.
        return unsafe { around_caches(from, to, n) };
    }
    // SAFETY: as the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(from, to, n) }
}

/// # Safety
/// As [`copy_nonoverlapping`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(never)]
unsafe fn around_caches(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    const LINE_BYTES: usize = 64;
    const LANE_BYTES: usize = size_of::<__m128i>();
    let head = to.align_offset(LINE_BYTES).min(n);
    let rest = (n - head) % LINE_BYTES;
    // SAFETY: all offsets are below `n`. The streamed addresses are aligned, and every CPU of this
    // architecture has these instructions.
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, head);
        for line in (head..n - rest).step_by(LINE_BYTES) {
            let lane = |lane: usize| from.add(line + lane * LANE_BYTES).cast::<__m128i>();
            let values = [0, 1, 2, 3].map(|number| _mm_loadu_si128(lane(number)));
            for (number, value) in values.into_iter().enumerate() {
                _mm_stream_si128(to.add(line + number * LANE_BYTES).cast(), value);
            }
        }
        std::ptr::copy_nonoverlapping(from.add(n - rest), to.add(n - rest), rest);
        // A release does not order such stores: this fence makes them visible to any thread that
        // synchronises later.
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_wherever_they_begin_and_end() {
        for n in [0, 1, 100, (1 << 22) - 1, 1 << 22, (1 << 22) + 77] {
            let source: Vec<u8> = (0..n + 3).map(|i| (i * 7 + i / 251) as u8).collect();
            for begin in [0, 1, 3] {
                let mut copy = vec![0xAA; n + 80];
                let at = 5 + begin;
                // SAFETY: both have room for `n` bytes from there on.
                unsafe {
                    copy_nonoverlapping(source[begin..].as_ptr(), copy[at..].as_mut_ptr(), n)
                };
                assert_eq!(copy[at..at + n], source[begin..begin + n]);
                let around = copy[..at].iter().chain(&copy[at + n..]);
                assert!(around.copied().all(|byte| byte == 0xAA));
            }
        }
    }
}
