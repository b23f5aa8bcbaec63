//! Sleeping without missing a wake-up.
//!
//! Both sides do the same two steps in opposite order, all sequentially consistent:
//!
//! ```text
//!  sleeper: announces itself         ─▶ checks the condition ─▶ sleeps, unless the word has changed
//!  waker:   makes the condition true ─▶ looks for sleepers   ─▶ changes the word, wakes
//! ```
//!
//! So either the sleeper sees that the wait is over, or the waker sees the sleeper. `tests/loom`
//! runs this file through all possible interleavings.

#[cfg(feature = "cluster")]
use std::time::Instant;

use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::robust::{self, Lifeline};

use super::board::{ASLEEP, AWAKE, Completion, Slot};

/// Makes a worker sleep until `is_over`, which it checks whenever it is [woken](wake), or until its
/// owner is gone, whose lifeline it also sleeps on.
pub(in crate::pool) fn until(state: &AtomicU32, owner: &Lifeline, is_over: impl Fn() -> bool) {
    loop {
        state.store(ASLEEP, Ordering::SeqCst);
        let lifeline = owner.word().load(Ordering::SeqCst);
        if robust::is_marked(lifeline) || is_over() {
            state.store(AWAKE, Ordering::SeqCst);
            return;
        }
        futex::wait_either((state, ASLEEP), (owner.word(), lifeline));
    }
}

/// As [`until`], but no longer than to a deadline, and a signal ends it, too: true if the wait is
/// over, or may be.
#[cfg(feature = "cluster")]
pub(in crate::pool) fn until_or(
    state: &AtomicU32,
    owner: &Lifeline,
    deadline: Option<Instant>,
    is_over: impl Fn() -> bool,
) -> bool {
    state.store(ASLEEP, Ordering::SeqCst);
    let lifeline = owner.word().load(Ordering::SeqCst);
    let is_time = || deadline.is_some_and(|at| Instant::now() >= at);
    let mut is_over_now = robust::is_marked(lifeline) || is_over();
    if !is_over_now && !is_time() {
        let words = [(state, ASLEEP), (owner.word(), lifeline)];
        match deadline {
            Some(deadline) => futex::wait_any(&words, deadline),
            None => futex::wait_either(words[0], words[1]),
        }
        is_over_now = !is_time();
    }
    state.store(AWAKE, Ordering::SeqCst);
    is_over_now
}

/// Wakes a worker if it sleeps. The caller has made the worker's `is_over` true before.
pub(in crate::pool) fn wake(state: &AtomicU32) -> bool {
    let changed = state.compare_exchange(ASLEEP, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
    if changed.is_ok() {
        futex::wake(state, 1);
    }
    changed.is_ok()
}

/// Wakes up to `n` of the sleeping workers on some slots.
pub(in crate::pool) fn wake_some(slots: &[Slot], n: usize) {
    let mut left = n.min(slots.len());
    for slot in slots {
        if left == 0 {
            return;
        }
        left -= usize::from(wake(&slot.state));
    }
}

/// One of the owner's threads has announced that it is about to sleep. It then checks whether the
/// wait is over, and sleeps on the [`word`](Announced::word) if not.
pub(in crate::pool) struct Announced<'b> {
    completion: &'b Completion,
    seen: u32,
}

/// Announces that the calling thread is about to sleep.
pub(in crate::pool) fn announce(completion: &Completion) -> Announced<'_> {
    completion.n_sleepers.fetch_add(1, Ordering::SeqCst);
    let seen = completion.event.load(Ordering::SeqCst);
    Announced { completion, seen }
}

impl<'b> Announced<'b> {
    /// The word that changes when the wait may be over, and its value at the announcement.
    pub(in crate::pool) fn word(&self) -> (&'b AtomicU32, u32) {
        (&self.completion.event, self.seen)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.completion.n_sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Wakes the owner's threads that sleep here. The caller has made their condition true before.
pub(in crate::pool) fn tell(completion: &Completion) {
    completion.event.fetch_add(1, Ordering::SeqCst);
    if completion.n_sleepers.load(Ordering::SeqCst) != 0 {
        futex::wake(&completion.event, u32::MAX);
    }
}
