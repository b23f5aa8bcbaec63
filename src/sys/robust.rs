//! A word that tells of its holder's death.
//!
//! The kernel keeps, for every thread, a list of the *robust* locks that it holds, and on the
//! thread's death, however it comes, marks each of them and wakes one sleeper
//! (`Documentation/locking/robust-futexes.rst`). It does so first thing, before it frees the dead
//! process's memory: a death is known within 50 µs, where a pidfd or `SIGCHLD` of a process that
//! held 1 GiB takes 90 ms.
//!
//! A worker takes a robust mutex in shared memory when it starts and never gives it back, and so
//! does the owner of a pool: each sleeps on the other's word beside its own. The kernel also marks
//! what a process holds that replaces its program (execve(2)), which no signal tells, and it does
//! not look at credentials, as a signal of a parent's death does.

use super::atomic::{AtomicU32, Ordering};
use super::futex;
use super::mutex::Kind;
use super::pthread::Robust;
use super::thread_id;
use crate::error::Result;

/// A robust mutex in shared memory, held by one thread for as long as that lives.
#[repr(C, align(64))]
pub(crate) struct Lifeline(Robust);

impl Lifeline {
    /// Makes the word as it is before any process holds it. Only a pool's owner calls this, and
    /// only while no process holds the word: before it takes it itself, or a worker is started for
    /// it.
    pub(crate) fn reset(&self) -> Result<()> {
        self.0.init(Kind::Plain)
    }

    /// Ties the word to the calling thread's life.
    pub(crate) fn hold(&self) {
        let _ = self.0.try_lock();
        // The kernel wakes a sleeper only if the word says that there may be one.
        self.word().fetch_or(futex::WAITERS, Ordering::Release);
    }

    /// Marks the word as the holder's death would, and wakes all who sleep on it. False if another
    /// thread holds it: if that is one of this process, its memory must stay, because the C
    /// library's list leads there.
    pub(crate) fn cut(&self) -> bool {
        self.0.unlock();
        let holder = self.word().fetch_or(futex::OWNER_DIED, Ordering::SeqCst) & futex::TID_MASK;
        self.pass_on();
        holder == 0 || holder == thread_id()
    }

    /// Wakes all who sleep on the word. The kernel wakes only one when the holder dies, and that
    /// one the others.
    pub(crate) fn pass_on(&self) {
        futex::wake(self.word(), u32::MAX);
    }

    /// The futex word, to sleep on beside others.
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.0.word()
    }

    /// Whether a thread that lives holds the word.
    pub(crate) fn is_held(&self) -> bool {
        self.word().load(Ordering::Acquire) & futex::TID_MASK != 0
    }

    /// Whether the main thread of this process holds the word, and lives.
    pub(crate) fn is_held_by(&self, pid: i32) -> bool {
        self.word().load(Ordering::Acquire) & futex::TID_MASK == pid as u32
    }

    /// Whether the holder has died, replaced its program, or [cut](Lifeline::cut) the word.
    pub(crate) fn is_cut(&self) -> bool {
        is_marked(self.word().load(Ordering::Acquire))
    }
}

/// Whether a lifeline's word says that its holder is gone.
pub(crate) fn is_marked(word: u32) -> bool {
    word & futex::OWNER_DIED != 0
}
