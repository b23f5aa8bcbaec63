//! A futex: it looks at the word and goes to sleep in one step, as the kernel does under the lock
//! of the word's bucket. Nobody is woken for nothing, and no deadline comes: a sleeper that is
//! forgotten sleeps for ever.

use std::collections::VecDeque;
use std::time::Instant;

use loom::sync::{Condvar, Mutex};

use super::atomic::{AtomicU32, Ordering};

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers::default());
    static ref WOKEN: Condvar = Condvar::new();
}

#[derive(Default)]
struct Sleepers {
    n_ever: u64,
    /// The word that each sleeps on, and its number.
    asleep: VecDeque<(usize, u64)>,
}

/// As the kernel's.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
pub(crate) const TID_MASK: u32 = libc::FUTEX_TID_MASK;

pub(crate) fn wait(word: &AtomicU32, expected: u32, _deadline: Option<Instant>) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    if word.load(Ordering::SeqCst) != expected {
        return;
    }
    sleepers.n_ever += 1;
    let own = (address(word), sleepers.n_ever);
    sleepers.asleep.push_back(own);
    while sleepers.asleep.contains(&own) {
        sleepers = WOKEN.wait(sleepers).unwrap();
    }
}

pub(crate) fn wake(word: &AtomicU32, n: u32) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    for _ in 0..n {
        let first = sleepers
            .asleep
            .iter()
            .position(|(slept_on, _)| *slept_on == address(word));
        let Some(first) = first else { break };
        sleepers.asleep.remove(first);
    }
    WOKEN.notify_all();
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
