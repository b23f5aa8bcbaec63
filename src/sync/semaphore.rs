//! A counting semaphore whose permits survive their holders.
//!
//! A counter would lose the permits of killed processes. So each permit is its own robust lock, and
//! a waiter sleeps on all of them at once. Only one waiter does so; the others queue for its turn
//! at another robust lock, the *gate*. A release therefore never has more than one sleeper to wake,
//! and cannot miss one.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shared::placed::{Placed, Shareable};
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::mutex::{Kind, Locked, Mutex, PULSE, deadline_in};
use crate::sys::thread::Look;

/// Lets a limited number of processes do something at the same time.
///
/// # Fork safety
/// Make it before the fork. A child that is forked while its parent has a permit does not have it;
/// the permit that it inherits does nothing. The permit of a process that dies becomes free. What
/// it stood for may be half done, so the next process that asks for it gets
/// [`is_owner_died()`](Error::is_owner_died) once, and the permit when it asks again.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> forklore::Result<()> {
/// use forklore::{Pool, Semaphore, Value};
///
/// let pool = Pool::with_workers(4)?;
/// let (licences, in_use) = (Semaphore::new(2)?, Value::new(0u32)?);
/// let seen = pool.map(
///     |_: u32| {
///         let _permit = licences.acquire().unwrap();
///         let now = in_use.update(|n| n + 1);
///         in_use.update(|n| n - 1);
///         now
///     },
///     0..20,
/// );
/// assert!(seen.into_iter().max() <= Some(2));
/// # Ok(()) }
/// ```
pub struct Semaphore {
    state: Placed<State>,
}

#[repr(C)]
struct State {
    /// Held by the one process that sleeps on the permits, or looks for a free one.
    gate: Mutex,
    /// The number of permits. Written before the first fork.
    n_permits: AtomicU32,
    permits: [Mutex; MAX_PERMITS],
}

/// `futex_waitv` watches at most this many words.
const MAX_PERMITS: usize = futex::MAX_WORDS;

// SAFETY: mutexes and an atomic, for all of which zero is a value.
unsafe impl Shareable for State {
    fn let_go(&self) -> bool {
        // Releases each of them, even after one that must stay.
        let mut may_go = self.gate.let_go();
        for permit in self.permits() {
            may_go &= permit.let_go();
        }
        may_go
    }
}

impl State {
    fn permits(&self) -> &[Mutex] {
        &self.permits[..self.n_permits.load(Ordering::Relaxed) as usize]
    }
}

impl Semaphore {
    /// A semaphore with `n` permits.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0 or more than 128; `is_os()` if there is no memory for it.
    /// Instead of a semaphore that starts at 0 and that another process raises, use an
    /// [`Event`](crate::Event) or a [`Queue`](crate::Queue).
    pub fn new(n: usize) -> Result<Semaphore> {
        if n == 0 || n > MAX_PERMITS {
            return Err(Error::invalid_input(format!(
                "a semaphore of {n} permits cannot be made: at least 1, and at most {MAX_PERMITS}, \
                 which is how many holders the kernel watches at once"
            )));
        }
        let state = Placed::<State>::zeroed()?;
        state.n_permits.store(n as u32, Ordering::Relaxed);
        state.gate.init(Kind::Plain)?;
        for permit in state.permits() {
            permit.init(Kind::Plain)?;
        }
        Ok(Semaphore { state })
    }

    /// Waits until a permit is free, and takes it.
    ///
    /// # Errors
    /// `is_owner_died()` if the holder of the permit died: it is free then; call again to go on.
    /// `is_invalid_input()` if this process itself has all permits and would wait forever.
    pub fn acquire(&self) -> Result<Permit<'_>> {
        self.acquire_until(None)
    }

    /// As [`acquire`](Semaphore::acquire), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`acquire`](Semaphore::acquire), and `is_timed_out()`.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>> {
        self.acquire_until(deadline_in(timeout))
    }

    /// Takes a permit if one is free now.
    ///
    /// # Errors
    /// `is_owner_died()`, as [`acquire`](Semaphore::acquire).
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>> {
        let found = self.look()?;
        let is_free_now = |permit: &Mutex| permit.take_from_dead(Look::Quick);
        if found.is_none() && self.state.permits().iter().any(is_free_now) {
            return self.look();
        }
        Ok(found)
    }

    /// The number of permits that are free now.
    pub fn available(&self) -> usize {
        let permits = self.state.permits().iter();
        permits.filter(|permit| permit.is_free()).count()
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> Result<Permit<'_>> {
        if let Some(permit) = self.look()? {
            return Ok(permit);
        }
        if self.state.permits().iter().all(Mutex::is_mine) {
            return Err(Error::invalid_input(
                "this process has all permits of the semaphore and would wait for itself; drop \
                 one first",
            ));
        }
        let timed_out = || Error::timed_out("waiting for a permit");
        // A process that died at the gate held nothing else.
        if self.state.gate.lock(deadline) == Locked::Busy {
            return Err(timed_out());
        }
        let outcome = loop {
            match self.look() {
                Ok(None) => {}
                Ok(Some(permit)) => break Ok(permit),
                Err(error) => break Err(error),
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                break self
                    .try_acquire()
                    .and_then(|found| found.ok_or_else(timed_out));
            }
            let pulse = now + PULSE;
            self.sleep(deadline.map_or(pulse, |at| at.min(pulse)));
        };
        self.state.gate.unlock();
        outcome
    }

    /// Takes a permit if one is free.
    fn look(&self) -> Result<Option<Permit<'_>>> {
        for permit in self.state.permits() {
            match permit.try_take() {
                Locked::Taken => {
                    return Ok(Some(Permit {
                        mutex: permit,
                        not_send: PhantomData,
                    }));
                }
                Locked::FromDead(pid) => {
                    permit.unlock();
                    let state = "what it stood for may be half done";
                    return Err(Error::owner_died("a permit", pid, state));
                }
                Locked::Busy | Locked::Own => {}
            }
        }
        Ok(None)
    }

    /// Sleeps until a permit is released or its holder dies; the caller is at the gate.
    fn sleep(&self, until: Instant) {
        let announced = self
            .state
            .permits()
            .iter()
            .map(|permit| Some((permit.word(), permit.announce_sleeper()?)))
            .collect::<Option<Vec<_>>>();
        if let Some(words) = announced {
            futex::wait_any(&words, until);
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.state.permits().len())
            .field("available", &self.available())
            .finish()
    }
}

/// The right to do what a [`Semaphore`] limits. Dropping it returns the permit.
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit<'a> {
    mutex: &'a Mutex,
    /// The C library's list of held locks is the thread's own.
    not_send: PhantomData<*const ()>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // A child forked in the meantime has a copy of this, but not the permit: the C library then
        // refuses to release it.
        self.mutex.unlock();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
