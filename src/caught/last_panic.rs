//! The messages of a worker's panics, stored where they outlive the worker.
//!
//! A panic that is caught becomes its item's error. One that ends the process (`panic = "abort"`, a
//! second panic while the first unwinds, an `extern "C"` function) cannot be caught: the hook
//! stores its message, and the owner adds that to the worker's death.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The messages of one worker's panics since the last caught one, truncated to the available room.
///
/// Zero is the right initial value of all fields. Only the worker writes; the owner reads once the
/// worker is dead.
#[repr(C, align(64))]
pub(crate) struct LastPanic {
    /// The length in bytes. Worker: release; owner: acquire.
    n_bytes: AtomicU32,
    text: [AtomicU8; ROOM],
}

/// Makes the whole struct one kilobyte.
const ROOM: usize = 1024 - size_of::<AtomicU32>();

impl LastPanic {
    /// Adds a panic's message.
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

    /// Removes all messages.
    pub(crate) fn clear(&self) {
        self.n_bytes.store(0, Ordering::Release);
    }

    /// The messages; empty if there are none.
    pub(crate) fn read(&self) -> String {
        let n = (self.n_bytes.load(Ordering::Acquire) as usize).min(ROOM);
        let bytes = self.text[..n].iter();
        let bytes: Vec<u8> = bytes.map(|byte| byte.load(Ordering::Relaxed)).collect();
        // Truncation may split a character.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
