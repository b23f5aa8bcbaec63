//! A futex: it looks at the word and goes to sleep in one step, as the kernel does under the lock
//! of the word's bucket. No sleeper is woken for nothing, and no deadline comes: a sleeper that is
//! forgotten sleeps forever.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use loom::sync::{Condvar, Mutex};

use super::atomic::{AtomicU32, Ordering, fence};
use super::{pthread, thread_id};

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers::default());
    static ref WOKEN: Condvar = Condvar::new();
}

#[derive(Default)]
struct Sleepers {
    n_ever: u64,
    killed: Option<u32>,
    /// The word that each sleeps on, and its number.
    asleep: VecDeque<(usize, u64)>,
}

/// As the kernel's.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
pub(crate) const TID_MASK: u32 = libc::FUTEX_TID_MASK;

/// No thread sleeps until then.
pub(crate) const PULSE: Duration = Duration::from_secs(86_400);
/// Looking more often than once adds orders, and nothing new.
pub(crate) const LOOKS: u32 = 1;
/// Small, so that what has one word for each that the kernel watches is small too.
pub(crate) const MAX_WORDS: usize = 4;

/// Kills a thread: it dies where it sleeps, or would.
pub(crate) fn kill(thread: u32) {
    SLEEPERS.lock().unwrap().killed = Some(thread);
    WOKEN.notify_all();
}

/// Runs something that sleeps; `None` if the thread was killed in it.
pub(crate) fn unless_killed<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

pub(crate) fn wait(word: &AtomicU32, expected: u32, _deadline: Option<Instant>) {
    sleep(&[(word, expected)]);
}

pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], _deadline: Instant) {
    sleep(words);
}

pub(crate) fn wait_either(first: (&AtomicU32, u32), second: (&AtomicU32, u32)) {
    sleep(&[first, second]);
}

fn sleep(words: &[(&AtomicU32, u32)]) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    let is_changed =
        |(word, expected): &(&AtomicU32, u32)| word.load(Ordering::SeqCst) != *expected;
    if words.iter().any(is_changed) {
        return;
    }
    sleepers.n_ever += 1;
    let own = sleepers.n_ever;
    let entries = words.iter().map(|(word, _)| (address(word), own));
    sleepers.asleep.extend(entries);
    let n_asleep = |sleepers: &Sleepers| {
        let entries = sleepers.asleep.iter();
        entries.filter(|(_, sleeper)| *sleeper == own).count()
    };
    let is_killed = |sleepers: &Sleepers| sleepers.killed == Some(thread_id());
    // Who was woken by one word is taken off the others when it runs again, as in the kernel.
    while n_asleep(&sleepers) == words.len() && !is_killed(&sleepers) {
        sleepers = WOKEN.wait(sleepers).unwrap();
    }
    sleepers.asleep.retain(|(_, sleeper)| *sleeper != own);
    if is_killed(&sleepers) {
        drop(sleepers);
        pthread::die();
        resume_unwind(Box::new("killed"));
    }
}

/// One system call: no thread comes between the change and the wake-up.
pub(crate) fn add_and_wake_all(word: &AtomicU32) {
    change_and_wake_all(word, || word.fetch_add(1, Ordering::Relaxed));
}

pub(crate) fn set_bit_and_wake_all(word: &AtomicU32) {
    change_and_wake_all(word, || word.fetch_or(1, Ordering::Relaxed));
}

fn change_and_wake_all(word: &AtomicU32, change: impl FnOnce() -> u32) {
    fence(Ordering::Release);
    let mut sleepers = SLEEPERS.lock().unwrap();
    change();
    sleepers.wake(word, u32::MAX);
}

pub(crate) fn wake(word: &AtomicU32, n: u32) {
    SLEEPERS.lock().unwrap().wake(word, n);
}

impl Sleepers {
    fn wake(&mut self, word: &AtomicU32, n: u32) {
        for _ in 0..n {
            let mut asleep = self.asleep.iter();
            let first = asleep.position(|(slept_on, _)| *slept_on == address(word));
            let Some(first) = first else { break };
            self.asleep.remove(first);
        }
        WOKEN.notify_all();
    }
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
