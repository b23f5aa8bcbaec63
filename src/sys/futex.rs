//! Sleeps until a word of shared memory changes.
//!
//! The words lie in memory that several processes map, so the calls are the shared (not the
//! `PRIVATE`) ones. Every sleep may end early; callers check their condition again.

use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, Ordering, fence};

/// `FUTEX_WAITERS` in a robust word: if it is set, Linux wakes a sleeper when the word's owner
/// dies.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// `FUTEX_OWNER_DIED`: Linux sets it in each robust word that a dying thread holds.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;

/// `FUTEX_TID_MASK`: the thread that holds a robust word, or 0.
pub(crate) const TID_MASK: u32 = libc::FUTEX_TID_MASK;

/// The longest sleep between two checks of the condition, where a death can lose a wake-up.
pub(crate) const PULSE: Duration = Duration::from_millis(100);

/// How often to check a held lock before sleeping; most are held for less than a microsecond.
pub(crate) const LOOKS: u32 = 100;

/// The maximum number of words in one [`wait_any`] (`FUTEX_WAITV_MAX`).
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

/// Wakes up to `n` sleepers of `word`. Even without sleepers this costs a system call (0.35 µs), so
/// callers count sleepers and skip the call.
pub(crate) fn wake(word: &AtomicU32, n: u32) {
    let n = n.min(i32::MAX as u32);
    // SAFETY: FUTEX_WAKE only uses the address as a key.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, n);
    }
}

/// Adds 1 to `word` and wakes all its sleepers, in one system call.
///
/// A process that changed the word and then called [`wake`] could be killed in between, and the
/// sleepers would never wake; no process can be killed inside a system call (`FUTEX_WAKE_OP`).
pub(crate) fn add_and_wake_all(word: &AtomicU32) {
    op_and_wake_all(word, libc::FUTEX_OP_ADD);
}

/// Sets the lowest bit of `word` and wakes all its sleepers, in one system call.
pub(crate) fn set_bit_and_wake_all(word: &AtomicU32) {
    op_and_wake_all(word, libc::FUTEX_OP_OR);
}

fn op_and_wake_all(word: &AtomicU32, op: i32) {
    // futex(2): operation, comparison, operand 1 of the operation, operand of the comparison. The
    // comparison decides whether to wake a further sleeper of the same word.
    let encoded = (op << 28) | (libc::FUTEX_OP_CMP_EQ << 24) | (1 << 12);
    // The system call's change publishes earlier writes.
    fence(Ordering::Release);
    // SAFETY: the word outlives the call, which changes it atomically.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE_OP,
            i32::MAX,
            1usize,
            word.as_ptr(),
            encoded,
        );
    }
}

/// Sleeps while every word holds its expected value, until one is woken, a signal, or `deadline`.
/// Words beyond [`MAX_WORDS`] are not watched.
///
/// Before Linux 5.16 there is no `futex_waitv`: this then sleeps on the first word only, for at
/// most [`BLIND_NAP`], so that a caller that checks its other words after each nap still makes
/// progress.
pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Instant) {
    let words = &words[..words.len().min(MAX_WORDS)];
    let mut waiters = [no_waiter(); MAX_WORDS];
    for (waiter, &word) in waiters.iter_mut().zip(words) {
        *waiter = waiter_on(word);
    }
    let until = monotonic_deadline(deadline);
    if !wait_for_any(&waiters[..words.len()], Some(&until)) {
        nap(words, deadline.min(Instant::now() + BLIND_NAP));
    }
}

/// Sleeps while both words hold their expected values, until one is woken, or a signal.
///
/// Without `futex_waitv`, it sleeps on the first word only, for at most [`IDLE_NAP`].
pub(crate) fn wait_either(first: (&AtomicU32, u32), second: (&AtomicU32, u32)) {
    if !wait_for_any(&[waiter_on(first), waiter_on(second)], None) {
        nap(&[first, second], Instant::now() + IDLE_NAP);
    }
}

fn waiter_on((word, expected): (&AtomicU32, u32)) -> libc::futex_waitv {
    let mut waiter = no_waiter();
    waiter.val = u64::from(expected);
    waiter.uaddr = word.as_ptr() as u64;
    waiter.flags = libc::FUTEX2_SIZE_U32 as u32;
    waiter
}

fn no_waiter() -> libc::futex_waitv {
    // SAFETY: the type is plain integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// False if this process has no such call, because Linux is older or a container's filter refuses
/// it.
fn wait_for_any(waiters: &[libc::futex_waitv], until: Option<&libc::timespec>) -> bool {
    // SAFETY: the waiters refer to words that outlive the call; the time is null or outlives it
    // too.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            until.map_or(std::ptr::null(), std::ptr::from_ref),
            libc::CLOCK_MONOTONIC,
        )
    };
    result != -1 || !matches!(last_errno(), libc::ENOSYS | libc::EPERM)
}

/// Sleeps on the first word until `deadline`, unless one of the others has changed.
fn nap(words: &[(&AtomicU32, u32)], deadline: Instant) {
    let [(word, expected), others @ ..] = words else {
        return;
    };
    let is_unchanged =
        |(word, expected): &(&AtomicU32, u32)| word.load(Ordering::Acquire) == *expected;
    if others.iter().all(is_unchanged) {
        wait(word, *expected, Some(deadline));
    }
}

/// How long a worker's death can go unnoticed without `futex_waitv`.
const BLIND_NAP: Duration = Duration::from_millis(2);
/// How long an idle worker can outlive its owner without `futex_waitv`.
const IDLE_NAP: Duration = Duration::from_secs(1);

fn monotonic_deadline(deadline: Instant) -> libc::timespec {
    // `Instant` does not expose its clock reading, so add the distance to the clock's current
    // reading.
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
    fn a_change_and_its_wake_are_one() {
        let (counter, flag) = (AtomicU32::new(7), AtomicU32::new(4));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while counter.load(Ordering::Acquire) == 7 {
                        wait(&counter, 7, None);
                    }
                });
            }
            add_and_wake_all(&counter);
        });
        set_bit_and_wake_all(&flag);
        set_bit_and_wake_all(&flag);
        let words = (counter.into_inner(), flag.into_inner());
        assert_eq!(words, (8, 5));
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
