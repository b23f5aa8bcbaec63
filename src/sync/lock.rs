//! Mutual exclusion, together with the value it protects.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::{Error, Result};
use crate::shared::heap::Heap;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::mutex::{Kind, Locked, Mutex, deadline_in};
use crate::wire;

/// A value that only one process at a time may use and change.
///
/// The value can be anything that serde can encode, and may grow: a number, a `String`, a
/// `HashMap`. It lies encoded in shared memory; [`lock`](Lock::lock) decodes it into the holder's
/// own memory, and releasing the lock encodes it again if it was changed. In total this costs 0.2
/// µs for a number, 0.4 µs for 8 kB of numbers and 130 µs for a map of 1,000 words (measured), so
/// split large, contended values over several locks. In return, the lock makes two promises that a
/// value used in place could not: the value may hold pointers (a `Vec` of one process means nothing
/// to another), and **it is never half changed**. A holder that is killed, or panics, leaves the
/// value as it was when it took the lock.
///
/// For numbers, [`Value`](crate::Value) and [`SharedArray`](crate::SharedArray) are faster.
///
/// # Fork safety
/// Make it before the fork. A child that is forked while its parent holds the lock does not hold
/// it; the guard that it inherits does nothing. When a holder dies, the next process that locks
/// gets [`is_owner_died()`](Error::is_owner_died), once; [`recover`](Lock::recover) ignores the
/// death.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use std::collections::BTreeMap;
/// use forklore::{Lock, Pool};
///
/// let pool = Pool::with_workers(2)?;
/// let words = Lock::new(BTreeMap::<String, u32>::new())?;
/// pool.map(
///     |word: String| *words.lock().unwrap().entry(word).or_default() += 1,
///     ["a", "b", "a"].map(String::from),
/// );
/// assert_eq!(words.lock()?["a"], 2);
/// # Ok(()) }
/// ```
pub struct Lock<T> {
    heap: ManuallyDrop<Heap>,
    value: PhantomData<fn(T) -> T>,
}

/// The lock's words, at the start of its shared memory. Only the mutex's holder reads and writes
/// all but the mutex; the mutex orders them.
#[repr(C)]
struct State {
    mutex: Mutex,
    /// Lowest bit: which slot has the value. The others: how often the value was replaced. Stored
    /// with release after the slot, so a holder that dies before that has changed nothing.
    version: AtomicU64,
    slots: [Slot; 2],
}

/// An encoded value, or room for one.
#[repr(C)]
struct Slot {
    /// The block, 0 if there is none yet.
    block: AtomicU64,
    /// How many bytes of it are the value.
    bytes: AtomicU64,
}

/// Address space of one lock, which bounds its value to about a quarter of that; only written pages
/// take memory.
const LIMIT: usize = 1 << 32;

/// The state of the value after a death, for the message.
const UNTOUCHED: &str = "its value is as it was before that process locked it";

// SAFETY: the heap is used under the mutex only, which excludes threads as well as processes; the
// value is never shared: each holder decodes its own.
unsafe impl<T> Send for Lock<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Lock<T> {}

impl<T: Serialize + DeserializeOwned> Lock<T> {
    /// A free lock around `value`.
    ///
    /// # Errors
    /// `is_encode()` if the value cannot be encoded, `is_os()` if there is no memory for it.
    pub fn new(value: T) -> Result<Lock<T>> {
        let lock = Lock {
            heap: ManuallyDrop::new(Heap::with_limit(size_of::<State>(), LIMIT)?),
            value: PhantomData,
        };
        lock.state().mutex.init(Kind::Plain)?;
        lock.store(&value)?;
        Ok(lock)
    }

    /// Waits until no other process holds the lock, and takes it.
    ///
    /// # Errors
    /// `is_owner_died()` if the last holder died with it: the lock is free then, and the value as
    /// it was before that holder; call again to go on. `is_invalid_input()` if this process holds
    /// the lock already. `is_decode()` if the value cannot be decoded.
    ///
    /// # Panics
    /// With the panic of the value's own `Deserialize`; the lock is free then.
    #[doc(alias = "acquire")]
    pub fn lock(&self) -> Result<LockGuard<'_, T>> {
        self.guard(self.state().mutex.lock(None))
    }

    /// As [`lock`](Lock::lock), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`lock`](Lock::lock), and `is_timed_out()`.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<LockGuard<'_, T>> {
        self.guard(self.state().mutex.lock(deadline_in(timeout)))
    }

    /// Takes the lock if that is possible at once; `None` if another process holds it.
    ///
    /// # Errors
    /// As [`lock`](Lock::lock).
    pub fn try_lock(&self) -> Result<Option<LockGuard<'_, T>>> {
        match self.state().mutex.try_lock() {
            Locked::Busy => Ok(None),
            locked => self.guard(locked).map(Some),
        }
    }

    /// As [`lock`](Lock::lock), but the death of the last holder is not an error.
    ///
    /// # Errors
    /// As [`lock`](Lock::lock), without `is_owner_died()`.
    pub fn recover(&self) -> Result<LockGuard<'_, T>> {
        match self.state().mutex.lock(None) {
            Locked::FromDead(_) => self.guard(Locked::Taken),
            locked => self.guard(locked),
        }
    }

    /// Returns the value as last released.
    ///
    /// # Errors
    /// As [`recover`](Lock::recover).
    pub fn into_inner(self) -> Result<T> {
        self.recover()?.unlock_into()
    }

    /// Takes the lock for a [`Condition`](crate::Condition) after its wait.
    pub(super) fn lock_until(&self, deadline: Option<Instant>) -> Result<LockGuard<'_, T>> {
        self.guard(self.state().mutex.lock(deadline))
    }

    fn guard(&self, locked: Locked) -> Result<LockGuard<'_, T>> {
        let mutex = &self.state().mutex;
        let held = match locked {
            Locked::Taken => Held(mutex),
            Locked::FromDead(pid) => {
                mutex.unlock();
                return Err(Error::owner_died("a lock", pid, UNTOUCHED));
            }
            Locked::Busy => return Err(Error::timed_out("waiting for a lock")),
            Locked::Own => return Err(held_already()),
        };
        Ok(LockGuard {
            lock: self,
            value: Some(self.load()?),
            is_changed: false,
            held: Some(held),
            began_in_panic: std::thread::panicking(),
            not_send: PhantomData,
        })
    }

    /// Decodes the value; the caller holds the mutex.
    fn load(&self) -> Result<T> {
        let state = self.state();
        let version = state.version.load(Ordering::Acquire);
        let slot = &state.slots[(version & 1) as usize];
        let length = slot.bytes.load(Ordering::Relaxed) as usize;
        let start = self.heap.at(slot.block.load(Ordering::Relaxed));
        // SAFETY: the slot was filled with this many bytes before its version was stored, and
        // changes only under the mutex, which the caller holds.
        wire::decode(unsafe { std::slice::from_raw_parts(start, length) })
    }

    /// Encodes a value into the slot that is not in use, and makes it the one in use in one step.
    /// The caller holds the mutex, or is the only one that knows the lock.
    fn store(&self, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        wire::encode(value, &mut bytes)?;
        self.store_bytes(&bytes)
    }

    #[inline(never)]
    fn store_bytes(&self, bytes: &[u8]) -> Result<()> {
        let state = self.state();
        let version = state.version.load(Ordering::Relaxed) + 1;
        let slot = &state.slots[(version & 1) as usize];
        let mut block = slot.block.load(Ordering::Relaxed);
        if block == 0 || self.heap.capacity(block) < bytes.len() {
            let old = block;
            block = self.heap.take(bytes.len())?;
            // In this order, a holder that dies in between leaks a block; in the other, two slots
            // would share one.
            slot.block.store(block, Ordering::Relaxed);
            if old != 0 {
                self.heap.give_back(old);
            }
        }
        // SAFETY: the block has room for the bytes, and no process reads a slot that is not in use.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.heap.at(block), bytes.len());
        }
        slot.bytes.store(bytes.len() as u64, Ordering::Relaxed);
        state.version.store(version, Ordering::Release);
        Ok(())
    }
}

impl<T> Lock<T> {
    fn state(&self) -> &State {
        // SAFETY: the heap was made with room for the state, zeroed, at an address aligned to 64.
        unsafe { &*self.heap.reserved().cast::<State>() }
    }
}

/// Releases the mutex when dropped, even if the value's own `Serialize` or `Deserialize` panics.
struct Held<'a>(&'a Mutex);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A child forked in the meantime has a copy of this, but not the mutex.
        if self.0.is_mine() {
            self.0.unlock();
        }
    }
}

impl<T> Drop for Lock<T> {
    fn drop(&mut self) {
        if self.state().mutex.let_go() {
            // SAFETY: dropped here and never used again.
            unsafe { ManuallyDrop::drop(&mut self.heap) };
        }
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("is_held", &!self.state().mutex.is_free())
            .finish_non_exhaustive()
    }
}

/// The value of a [`Lock`], for as long as this process holds it. Dropping it releases the lock and
/// publishes the value if it was changed; while panicking, it discards the change.
pub struct LockGuard<'a, T: Serialize + DeserializeOwned> {
    lock: &'a Lock<T>,
    /// `None` once `unlock_into` has taken it.
    value: Option<T>,
    is_changed: bool,
    held: Option<Held<'a>>,
    began_in_panic: bool,
    /// The C library's list of held locks is the thread's own.
    not_send: PhantomData<*const ()>,
}

impl<'a, T: Serialize + DeserializeOwned> LockGuard<'a, T> {
    /// Publishes the value and releases the lock, as dropping does, but returns an error if that
    /// fails.
    ///
    /// # Errors
    /// `is_encode()` if the value cannot be encoded, `is_os()` if there is no memory for it. The
    /// lock is free then, and the value as it was when it was locked.
    #[doc(alias = "release")]
    pub fn unlock(mut self) -> Result<()> {
        self.release()
    }

    /// As [`unlock`](LockGuard::unlock), and returns the value.
    fn unlock_into(mut self) -> Result<T> {
        self.release()?;
        self.value.take().ok_or_else(held_already)
    }

    /// The lock that this guard holds.
    pub(super) fn owner(&self) -> &'a Lock<T> {
        self.lock
    }

    fn release(&mut self) -> Result<()> {
        // A child forked in the meantime has a copy of the guard, but not the lock.
        let Some(_held) = self.held.take().filter(|held| held.0.is_mine()) else {
            return Ok(());
        };
        match &self.value {
            Some(value) if self.is_changed => self.lock.store(value),
            _ => Ok(()),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("the value is taken out only when the guard is gone"),
        }
    }
}

impl<T: Serialize + DeserializeOwned> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("the value is taken out only when the guard is gone"),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Drop for LockGuard<'_, T> {
    /// # Panics
    /// If the changed value cannot be published; [`unlock`](LockGuard::unlock) gives an error
    /// instead. With the panic of the value's own `Serialize`. The lock is free then, and the value
    /// as it was when it was locked.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.is_changed &= self.began_in_panic;
            // A second panic would end the process.
            let _ = caught::run(|| self.release());
        } else if let Err(error) = self.release() {
            panic!("the value of a lock was not changed: {error}");
        }
    }
}

impl<T: Serialize + DeserializeOwned + fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.value).finish()
    }
}

fn held_already() -> Error {
    Error::invalid_input(
        "this process holds the lock already and would wait for itself; drop its guard first",
    )
}
