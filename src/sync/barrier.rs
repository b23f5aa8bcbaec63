//! Makes processes wait for each other.
//!
//! A waiting process holds a *ticket*, a robust lock; Linux marks the ticket of a process that
//! dies. The barrier's words change only under its mutex, each in one step, so a process that dies
//! with the mutex leaves nothing half done.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::shared::placed::{Placed, Shareable};
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::mutex::{Kind, Locked, Mutex, PULSE, deadline_in};

/// Makes processes wait for each other: all continue once the last one arrives. It is reusable.
///
/// # Fork safety
/// Make it before the fork. If a process dies while it waits, the barrier breaks: all other waiters
/// get [`is_owner_died()`](Error::is_owner_died), and the barrier can be used again. The barrier
/// does not know which processes will arrive, so it cannot distinguish one that died before it
/// arrived from one that is late: use [`wait_timeout`](Barrier::wait_timeout) where that may
/// happen.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use forklore::{Barrier, Process, SharedArray};
///
/// let (barrier, steps) = (Barrier::new(2)?, SharedArray::<u32>::zeroed(2)?);
/// let child = Process::spawn(|| {
///     steps.set(1, 10);
///     barrier.wait().unwrap();
///     steps.get(0)
/// })?;
/// steps.set(0, 20);
/// barrier.wait()?;
/// assert_eq!((steps.get(1), child.join()?), (10, 20));
/// # Ok(()) }
/// ```
pub struct Barrier {
    state: Placed<State>,
}

/// All words except `round` are read and written only under the mutex.
#[repr(C)]
struct State {
    mutex: Mutex,
    /// How many rounds have ended, one way or the other. A futex word, which waiters load with
    /// acquire; changed and woken in one system call.
    round: AtomicU32,
    /// The tag of the last broken round, and the process that died in it.
    broken: AtomicU32,
    died: AtomicU32,
    /// Written before the first fork.
    n_parties: AtomicU32,
    tickets: [Ticket; N_TICKETS],
}

#[repr(C)]
struct Ticket {
    /// Held by a process that waits.
    mutex: Mutex,
    /// The tag of the round that the holder waits in. Written by the holder after it takes the
    /// ticket.
    round: AtomicU32,
}

/// `futex_waitv` watches a limited number of words; one of them is the round's.
const MAX_PARTIES: usize = futex::MAX_WORDS - 1;
/// More processes than parties may arrive, and some may still be leaving the last round.
const N_TICKETS: usize = 2 * MAX_PARTIES;

// SAFETY: mutexes and atomics, for all of which zero is a value. No guard of these mutexes is ever
// handed out, so none is held when the memory is unmapped.
unsafe impl Shareable for State {}

/// The result of waiting at a [`Barrier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    is_last: bool,
}

impl Passed {
    /// Whether this party was the last to arrive: true for exactly one in each round.
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}

impl Barrier {
    /// A barrier for `n` parties.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0 or more than 127; `is_os()` if there is no memory for it.
    pub fn new(n: usize) -> Result<Barrier> {
        if n == 0 || n > MAX_PARTIES {
            return Err(Error::invalid_input(format!(
                "a barrier for {n} parties cannot be made: at least 1, and at most {MAX_PARTIES}, \
                 which is how many the kernel watches at once"
            )));
        }
        let state = Placed::<State>::zeroed()?;
        state.mutex.init(Kind::Plain)?;
        for ticket in &state.tickets {
            ticket.mutex.init(Kind::Plain)?;
        }
        state.n_parties.store(n as u32, Ordering::Relaxed);
        Ok(Barrier { state })
    }

    /// Waits until all parties have arrived.
    ///
    /// # Errors
    /// `is_owner_died()` if a waiting process has died.
    pub fn wait(&self) -> Result<Passed> {
        self.wait_until(None)
    }

    /// As [`wait`](Barrier::wait), but no longer than `timeout`. A process that gives up no longer
    /// counts as arrived; the others keep waiting.
    ///
    /// # Errors
    /// As [`wait`](Barrier::wait), and `is_timed_out()`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Passed> {
        self.wait_until(deadline_in(timeout))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<Passed> {
        let state = &*self.state;
        if state.mutex.lock(deadline) == Locked::Busy {
            return Err(timed_out());
        }
        if let Some(pid) = state.find_dead() {
            state.break_round(pid);
        }
        let round = state.round.load(Ordering::Relaxed);
        let Some(ticket) = state.take_ticket(round) else {
            state.mutex.unlock();
            return Err(Error::invalid_input(format!(
                "more than {N_TICKETS} processes wait at one barrier"
            )));
        };
        let outcome = if state.tickets_held().count() >= state.parties() {
            futex::add_and_wake_all(&state.round);
            Ok(Passed { is_last: true })
        } else {
            state.wait_for_others(ticket, round, deadline)
        };
        // Under the mutex, so that no process mistakes this for a death.
        ticket.mutex.unlock();
        state.mutex.unlock();
        outcome
    }
}

impl State {
    /// Waits until the round is over. The caller holds the mutex, before and after.
    fn wait_for_others(
        &self,
        own: &Ticket,
        round: u32,
        deadline: Option<Instant>,
    ) -> Result<Passed> {
        loop {
            if let Some(pid) = self.find_dead() {
                self.break_round(pid);
                return Err(broken(pid));
            }
            self.mutex.unlock();
            self.sleep(own, round, deadline);
            self.mutex.lock_anyhow();
            if self.round.load(Ordering::Acquire) != round {
                let is_broken = self.broken.load(Ordering::Relaxed) == tag(round);
                return match is_broken {
                    true => Err(broken(self.died.load(Ordering::Relaxed))),
                    false => Ok(Passed { is_last: false }),
                };
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(timed_out());
            }
        }
    }

    /// Sleeps until the round may be over: it ended, a waiter died, or a pulse passed (this process
    /// does not watch those that arrived after it).
    fn sleep(&self, own: &Ticket, round: u32, deadline: Option<Instant>) {
        let mut words = vec![(&self.round, round)];
        for ticket in self
            .tickets_held()
            .filter(|ticket| !std::ptr::eq(*ticket, own))
        {
            match ticket.mutex.announce_sleeper() {
                Some(held) => words.push((ticket.mutex.word(), held)),
                None => return,
            }
        }
        let pulse = Instant::now() + PULSE;
        futex::wait_any(&words, deadline.map_or(pulse, |at| at.min(pulse)));
    }

    fn parties(&self) -> usize {
        self.n_parties.load(Ordering::Relaxed) as usize
    }

    /// Takes a free ticket for the round.
    fn take_ticket(&self, round: u32) -> Option<&Ticket> {
        let ticket = self.tickets.iter().find(|ticket| {
            let locked = ticket.mutex.try_lock();
            matches!(locked, Locked::Taken | Locked::FromDead(_))
        })?;
        ticket.round.store(tag(round), Ordering::Relaxed);
        Some(ticket)
    }

    /// The tickets of the live waiters of this round.
    fn tickets_held(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets_of_round()
            .filter(|ticket| !ticket.mutex.is_free())
    }

    /// A process that died while it waited in this round. Its ticket stays marked: if the process
    /// that breaks the round dies halfway, the next one must find the ticket again.
    fn find_dead(&self) -> Option<u32> {
        self.tickets_of_round()
            .find_map(|ticket| ticket.mutex.dead_holder())
    }

    /// Ends the round with an error for all its waiters.
    fn break_round(&self, died: u32) {
        let round = self.round.load(Ordering::Relaxed);
        self.died.store(died, Ordering::Relaxed);
        self.broken.store(tag(round), Ordering::Relaxed);
        futex::add_and_wake_all(&self.round);
    }

    fn tickets_of_round(&self) -> impl Iterator<Item = &Ticket> {
        let tag = tag(self.round.load(Ordering::Relaxed));
        let of_round = move |ticket: &&Ticket| ticket.round.load(Ordering::Relaxed) == tag;
        self.tickets.iter().filter(of_round)
    }
}

/// The tag of a round, as tickets and the word `broken` hold it; their initial 0 stands for no
/// round.
fn tag(round: u32) -> u32 {
    round.wrapping_add(1)
}

fn timed_out() -> Error {
    Error::timed_out("waiting at a barrier")
}

fn broken(pid: u32) -> Error {
    Error::owner_died("a ticket of a barrier", pid, "the others were released")
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.state.parties())
            .finish_non_exhaustive()
    }
}
