//! Going to sleep without missing what one would sleep for.
//!
//! Both sides do the same two things in opposite order, all of them sequentially consistent:
//!
//! ```text
//!  who sleeps: says so      ─▶ looks whether it is over ─▶ sleeps, unless the word has changed
//!  who wakes:  makes it so  ─▶ looks who has said so    ─▶ changes the word, wakes
//! ```
//!
//! So either the sleeper sees that it is over or the waker sees the sleeper. `tests/loom` runs this
//! very file through all orders in which the two can happen.

use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::robust::{self, Lifeline};

use super::board::{ASLEEP, AWAKE, Completion};

/// A worker sleeps until `is_over`, which it looks at again whenever it is [woken](wake), or until
/// its owner is gone, whose lifeline it sleeps on as well.
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

/// Wakes a worker if it sleeps. The caller has made something be over before.
pub(in crate::pool) fn wake(state: &AtomicU32) -> bool {
    let changed = state.compare_exchange(ASLEEP, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
    if changed.is_ok() {
        futex::wake(state, 1);
    }
    changed.is_ok()
}

/// The owner sleeps once, by `sleep` on the event and its value, unless `is_over`.
pub(in crate::pool) fn once<'b>(
    completion: &'b Completion,
    is_over: impl FnOnce() -> bool,
    sleep: impl FnOnce(&'b AtomicU32, u32),
) {
    completion.owner_sleeps.store(1, Ordering::SeqCst);
    let event = completion.event.load(Ordering::SeqCst);
    if !is_over() {
        sleep(&completion.event, event);
    }
    completion.owner_sleeps.store(0, Ordering::SeqCst);
}

/// Wakes the owner if it sleeps. The caller has made something be over before.
pub(in crate::pool) fn tell(completion: &Completion) {
    completion.event.fetch_add(1, Ordering::SeqCst);
    if completion.owner_sleeps.load(Ordering::SeqCst) != 0 {
        futex::wake(&completion.event, 1);
    }
}
