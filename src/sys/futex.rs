//! Sleeping until a word of shared memory changes.
//!
//! The words lie in memory that several processes map, so the calls are the shared (not the
//! `PRIVATE`) ones. Every sleep may end early; callers look at their condition again.

use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, Ordering};

/// `FUTEX_WAITERS` in a robust word: set, the kernel wakes a sleeper when the word's owner dies.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// `FUTEX_OWNER_DIED`: the kernel sets it in each robust word that a dying thread holds.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;

/// The kernel takes at most this many words in one [`wait_any`] (`FUTEX_WAITV_MAX`).
pub(crate) const MAX_WORDS: usize = 128;

/// Sleeps while `word` holds `expected`, until [`wake`], a signal, or `deadline`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) {
    let timeout = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word outlives the call, the timeout is null or points to a local.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            timeout,
        );
    }
}

/// Wakes up to `n` sleepers of `word`. Costs a system call also when nobody sleeps (0.35 µs):
/// callers keep a count of sleepers and leave the call out.
pub(crate) fn wake(word: &AtomicU32, n: u32) {
    let n = n.min(i32::MAX as u32);
    // SAFETY: FUTEX_WAKE only uses the address as a key.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, n);
    }
}

/// Sleeps while every word holds what is expected of it, until one is woken, a signal, or
/// `deadline`. Words beyond [`MAX_WORDS`] are not watched.
///
/// Kernels before 5.16 have no `futex_waitv`: there it sleeps on the first word alone and for at
/// most [`BLIND_NAP`], so that a caller that looks at its other words after each nap still gets on.
pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Instant) {
    let words = &words[..words.len().min(MAX_WORDS)];
    let mut waiters: [libc::futex_waitv; MAX_WORDS] =
        // SAFETY: the type is plain integers, for which zero is a value.
        unsafe { std::mem::zeroed() };
    for (waiter, (word, expected)) in waiters.iter_mut().zip(words) {
        waiter.val = u64::from(*expected);
        waiter.uaddr = word.as_ptr() as u64;
        waiter.flags = libc::FUTEX2_SIZE_U32 as u32;
    }
    let until = monotonic_deadline(deadline);
    // SAFETY: the first `words.len()` waiters are initialised and their words outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            words.len(),
            0,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    };
    if result == -1 && last_errno() == libc::ENOSYS {
        let (word, expected) = words[0];
        if words[1..]
            .iter()
            .all(|(word, expected)| word.load(Ordering::Acquire) == *expected)
        {
            wait(
                word,
                expected,
                Some(deadline.min(Instant::now() + BLIND_NAP)),
            );
        }
    }
}

/// How long a death can stay unnoticed on kernels without `futex_waitv`.
const BLIND_NAP: Duration = Duration::from_millis(2);

fn monotonic_deadline(deadline: Instant) -> libc::timespec {
    // `Instant` does not tell its clock reading, so the distance is added to the clock's own.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(Duration::ZERO, Duration::from);
    timespec(now + deadline.saturating_duration_since(Instant::now()))
}

fn timespec(duration: Duration) -> libc::timespec {
    *nix::sys::time::TimeSpec::from_duration(duration).as_ref()
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_word_is_not_waited_for() {
        let word = AtomicU32::new(1);
        wait(&word, 0, None);
        let other = AtomicU32::new(7);
        wait_any(
            &[(&other, 7), (&word, 0)],
            Instant::now() + Duration::from_secs(60),
        );
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let word = AtomicU32::new(0);
        wait(&word, 0, Some(Instant::now()));
        wait_any(&[(&word, 0)], Instant::now());
    }

    #[test]
    fn a_wake_on_any_word_ends_the_wait() {
        let (first, second) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                second.store(1, Ordering::Release);
                wake(&second, 1);
            });
            while second.load(Ordering::Acquire) == 0 {
                wait_any(
                    &[(&first, 0), (&second, 0)],
                    Instant::now() + Duration::from_secs(60),
                );
            }
        });
    }
}
