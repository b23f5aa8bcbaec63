//! A word that reveals its holder's death.
//!
//! Linux knows, for every thread, the list of *robust* locks that it holds. When the thread dies,
//! whatever the cause, Linux marks each of them and wakes one sleeper
//! (`Documentation/locking/robust-futexes.rst`). It does so before it frees the dead process's
//! memory: a death is known within 50 µs, while a pidfd or `SIGCHLD` of a process that held 1 GiB
//! takes 90 ms.
//!
//! A worker takes a robust mutex in shared memory when it starts and never releases it, and so does
//! the owner of a pool: each sleeps on the other's word in addition to its own. Linux also marks
//! the locks of a process that replaces its program (execve(2)), which no signal reports, and it
//! does not check credentials, as it does for the signal of a parent's death.

use super::atomic::{AtomicU32, Ordering};
use super::futex;
use super::mutex::Kind;
use super::pthread::Robust;
use super::thread_id;
use crate::error::Result;

/// A robust mutex in shared memory, which one thread holds for as long as it lives.
#[repr(C, align(64))]
pub(crate) struct Lifeline(Robust);

impl Lifeline {
    /// Resets the word to the state before any process holds it. Only a pool's owner calls this,
    /// and only while no process holds the word: before it takes the word itself, or starts a
    /// worker for it.
    pub(crate) fn reset(&self) -> Result<()> {
        self.0.init(Kind::Plain)
    }

    /// Ties the word to the calling thread's life.
    pub(crate) fn hold(&self) {
        let _ = self.0.try_lock();
        // Linux wakes a sleeper only if the word says that there may be one.
        self.word().fetch_or(futex::WAITERS, Ordering::Release);
    }

    /// Marks the word as the holder's death would, and wakes all its sleepers. False if another
    /// thread holds it: if that is a thread of this process, the memory must stay mapped, because
    /// the C library's list points to it.
    pub(crate) fn cut(&self) -> bool {
        self.0.unlock();
        let holder = self.word().fetch_or(futex::OWNER_DIED, Ordering::SeqCst) & futex::TID_MASK;
        self.pass_on();
        holder == 0 || holder == thread_id()
    }

    /// Wakes all sleepers of the word. When the holder dies, Linux wakes only one, which calls this
    /// for the others.
    pub(crate) fn pass_on(&self) {
        futex::wake(self.word(), u32::MAX);
    }

    /// The futex word, to sleep on together with others.
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.0.word()
    }

    /// Whether a live thread holds the word.
    pub(crate) fn is_held(&self) -> bool {
        self.word().load(Ordering::Acquire) & futex::TID_MASK != 0
    }

    /// Whether the main thread of the process with this pid holds the word and is alive.
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
