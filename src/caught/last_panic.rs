//! What a worker's panics said, kept where it outlives the worker.
//!
//! A panic that is caught becomes its item's error. One that ends the process (`panic = "abort"`, a
//! second panic while the first unwinds, an `extern "C"` function) cannot be caught: the hook
//! writes down what it says, and the owner adds that to the death.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The panics of one worker since the last that was caught: their text, cut where there is no more
/// room.
///
/// Zero is the right first value of all fields. The worker alone writes; the owner reads when the
/// worker is dead.
#[repr(C, align(64))]
pub(crate) struct LastPanic {
    /// How many bytes there are. Worker: release; owner: acquire.
    n_bytes: AtomicU32,
    text: [AtomicU8; ROOM],
}

/// Makes the whole a kilobyte.
const ROOM: usize = 1024 - size_of::<AtomicU32>();

impl LastPanic {
    /// Adds a panic to those that are noted.
    pub(crate) fn add(&self, panic: &str) {
        let n_before = self.n_bytes.load(Ordering::Relaxed) as usize;
        let separator = if n_before == 0 { "" } else { "; then " };
        let bytes = separator.bytes().chain(panic.bytes());
        let mut n = n_before;
        for (slot, byte) in self.text.iter().skip(n_before).zip(bytes) {
            slot.store(byte, Ordering::Relaxed);
            n += 1;
        }
        self.n_bytes.store(n as u32, Ordering::Release);
    }

    /// Forgets what is noted.
    pub(crate) fn clear(&self) {
        self.n_bytes.store(0, Ordering::Release);
    }

    /// What is noted; empty if nothing is.
    pub(crate) fn read(&self) -> String {
        let n = (self.n_bytes.load(Ordering::Acquire) as usize).min(ROOM);
        let bytes = self.text[..n].iter();
        let bytes: Vec<u8> = bytes.map(|byte| byte.load(Ordering::Relaxed)).collect();
        // What does not fit may be cut within a letter.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
