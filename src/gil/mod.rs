//! A global interpreter lock that can be switched on and off.
//!
//! Rust has none. This one shows what such a lock does: threads that need it take turns, as
//! CPython's threads do, and release it around "native" calls. With [`Gil::disabled`] the same
//! program runs as on the free-threaded build of CPython (PEP 703).
//!
//! The protocol is CPython's (`Python/ceval_gil.c`, "new GIL", since 3.2): a thread that waits for
//! longer than the switch interval asks the holder to drop the lock; the holder checks for such a
//! request at its next checkpoint, drops the lock, and waits until another thread has taken it, so
//! that it cannot take it back at once.
//!
//! ```
//! use forklore::Gil;
//!
//! let report = Gil::new().threads(2, |token, thread| {
//!     let mut sum = 0u64;
//!     for i in 0..1000 {
//!         sum += i;
//!         token.checkpoint(); // between two "bytecodes"
//!     }
//!     token.allow_threads(|| std::thread::yield_now()); // a "native" call
//!     sum + thread as u64
//! });
//! assert_eq!(report.values(), [499_500, 499_501]);
//! println!("{report}");
//! ```

#[cfg(feature = "figure")]
mod picture;
mod pool;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::caught::{self, Payload};
use crate::error::Result;

pub use pool::GilPool;
pub use report::{GilReport, ThreadReport};

/// CPython's default (`sys.getswitchinterval()`).
const SWITCH_INTERVAL: Duration = Duration::from_millis(5);

/// A global interpreter lock, or the decision to have none.
///
/// See the [module](self) for an example.
#[derive(Debug)]
pub struct Gil {
    switch_interval: Duration,
    is_enabled: bool,
}

impl Default for Gil {
    fn default() -> Self {
        Gil::new()
    }
}

impl Gil {
    /// A lock with CPython's switch interval of 5 ms.
    pub fn new() -> Gil {
        Gil::with_switch_interval(SWITCH_INTERVAL)
    }

    /// A lock whose holder must drop it once another thread has waited for `interval`.
    pub fn with_switch_interval(interval: Duration) -> Gil {
        Gil {
            switch_interval: interval,
            is_enabled: true,
        }
    }

    /// No lock: all threads run at the same time.
    pub fn disabled() -> Gil {
        Gil {
            switch_interval: SWITCH_INTERVAL,
            is_enabled: false,
        }
    }

    /// Whether there is a lock.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// A pool of `n` threads that take turns, with the interface of every other pool.
    ///
    /// # Errors
    /// `is_invalid_input()` if `n` is 0.
    pub fn pool(self, n: usize) -> Result<GilPool> {
        GilPool::new(self, n)
    }

    /// Runs `body` on `n` threads at once, each with a token and its number from 0, and reports
    /// which thread held the lock when. `n = 0` gives an empty report.
    ///
    /// # Panics
    /// With a thread's panic, after all others have ended.
    pub fn threads<R, F>(&self, n: usize, body: F) -> GilReport<R>
    where
        R: Send,
        F: Fn(&mut Token<'_>, usize) -> R + Sync,
    {
        let lock = Lock::new(self);
        let started = Instant::now();
        let outcomes: Vec<thread::Result<(R, ThreadReport)>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..n)
                .map(|number| {
                    let (lock, body) = (&lock, &body);
                    scope.spawn(move || {
                        let mut token = Token::new(lock, number, started);
                        token.take();
                        let value = body(&mut token, number);
                        token.drop_lock();
                        (value, std::mem::take(&mut token.report))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut report = GilReport::new(self.is_enabled, started.elapsed());
        let mut first_panic = None;
        for outcome in outcomes {
            match outcome {
                Ok((value, thread)) => report.push(value, thread),
                // Drops the payloads of other panics before the first one resumes.
                Err(payload) => {
                    let payload = Payload::from(payload);
                    first_panic.get_or_insert(payload);
                }
            }
        }
        if let Some(payload) = first_panic {
            caught::drop_quietly(report);
            payload.resume();
        }
        report
    }
}

/// The lock's state, behind a mutex that is held for a few instructions only.
#[derive(Debug, Default)]
struct State {
    holder: Option<usize>,
    /// The last holder, for the forced switch.
    last_holder: Option<usize>,
    n_waiters: usize,
    /// The number of times that the lock changed hands.
    n_switches: u64,
}

#[derive(Debug)]
struct Lock {
    switch_interval: Duration,
    is_enabled: bool,
    state: Mutex<State>,
    /// A thread has waited for longer than the switch interval. Written under the mutex; a
    /// checkpoint reads it without the mutex, relaxed, because it may notice a moment later.
    drop_requested: AtomicBool,
    /// The lock was dropped.
    dropped: Condvar,
    /// A different thread took the lock.
    switched: Condvar,
}

impl Lock {
    fn new(gil: &Gil) -> Lock {
        Lock {
            switch_interval: gil.switch_interval,
            is_enabled: gil.is_enabled,
            state: Mutex::default(),
            drop_requested: AtomicBool::new(false),
            dropped: Condvar::new(),
            switched: Condvar::new(),
        }
    }

    /// Cannot be poisoned: the few instructions under the mutex do not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, number: usize) {
        let mut state = self.state();
        state.n_waiters += 1;
        while state.holder.is_some() {
            let n_switches = state.n_switches;
            let (woken, timeout) = self
                .dropped
                .wait_timeout(state, self.switch_interval)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            // Only a thread that saw the same holder for the whole interval may ask.
            if timeout.timed_out() && state.holder.is_some() && state.n_switches == n_switches {
                self.drop_requested.store(true, Ordering::Relaxed);
            }
        }
        state.n_waiters -= 1;
        state.holder = Some(number);
        self.drop_requested.store(false, Ordering::Relaxed);
        if state.last_holder != Some(number) {
            state.last_holder = Some(number);
            state.n_switches += 1;
        }
        self.switched.notify_all();
    }

    /// Drops the lock; if a thread asked for it, waits until another thread has it.
    fn drop_lock(&self, number: usize) {
        let mut state = self.state();
        state.holder = None;
        self.dropped.notify_one();
        if !self.drop_requested.load(Ordering::Relaxed) {
            return;
        }
        while state.last_holder == Some(number) && state.n_waiters > 0 {
            state = self
                .switched
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread's side of the lock: what it must hold to run "interpreted" code.
///
/// # Example
/// ```
/// use forklore::Gil;
///
/// let report = Gil::new().threads(2, |token, number| {
///     let sum = (0..100).map(|x| { token.checkpoint(); x }).sum::<usize>(); // as Python's bytecodes do
///     token.allow_threads(|| sum + number) // as NumPy's inner loops do
/// });
/// assert_eq!(report.values(), [4950, 4951]);
/// ```
#[derive(Debug)]
pub struct Token<'gil> {
    lock: &'gil Lock,
    number: usize,
    /// The start of the whole run; all times in the report count from it.
    started: Instant,
    /// When this thread took the lock; `None` while it does not hold it.
    held_since: Option<Duration>,
    report: ThreadReport,
}

impl<'gil> Token<'gil> {
    fn new(lock: &'gil Lock, number: usize, started: Instant) -> Self {
        Token {
            lock,
            number,
            started,
            held_since: None,
            report: ThreadReport::default(),
        }
    }

    /// Between two "bytecodes": releases the lock if another thread has waited long enough for it.
    pub fn checkpoint(&mut self) {
        if self.lock.drop_requested.load(Ordering::Relaxed) {
            self.drop_lock();
            self.take();
        }
    }

    /// Releases the lock, runs `native` as a C extension would (input and output, sleep, numpy),
    /// and takes the lock again.
    pub fn allow_threads<R>(&mut self, native: impl FnOnce() -> R) -> R {
        self.drop_lock();
        let start = self.started.elapsed();
        let result = native();
        let end = self.started.elapsed();
        self.report.native.push(start..end);
        self.take();
        result
    }

    fn take(&mut self) {
        let start = self.started.elapsed();
        if self.lock.is_enabled {
            self.lock.take(self.number);
        }
        let end = self.started.elapsed();
        self.report.waits.push(start..end);
        self.held_since = Some(end);
    }

    fn drop_lock(&mut self) {
        let Some(since) = self.held_since.take() else {
            return;
        };
        self.report.held.push(since..self.started.elapsed());
        if self.lock.is_enabled {
            self.lock.drop_lock(self.number);
        }
    }
}

impl Drop for Token<'_> {
    /// A thread that panics does not lock the others out.
    fn drop(&mut self) {
        self.drop_lock();
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    /// Spins for a while in small steps, each ended by a checkpoint.
    fn interpret(token: &mut Token<'_>, milliseconds: u64) {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < until {
            token.checkpoint();
        }
    }

    #[test]
    fn only_one_thread_holds_the_lock() {
        let inside = AtomicUsize::new(0);
        let gil = Gil::with_switch_interval(Duration::from_micros(100));
        let report = gil.threads(4, |token, _| {
            for _ in 0..200 {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                thread::yield_now();
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                token.checkpoint();
                token.allow_threads(thread::yield_now);
            }
        });
        let mut spans: Vec<Range<Duration>> = report
            .threads()
            .iter()
            .flat_map(|t| t.held.clone())
            .collect();
        spans.sort_by_key(|span| span.start);
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    #[test]
    fn a_busy_holder_is_made_to_switch() {
        let both = Barrier::new(2);
        let gil = Gil::with_switch_interval(Duration::from_millis(1));
        let report = gil.threads(2, |token, _| {
            // Both threads run before either starts, so that there is one to switch to.
            token.allow_threads(|| both.wait());
            interpret(token, 60);
        });
        assert!(report.switches() >= 4, "{report}");
        assert!(
            report
                .threads()
                .iter()
                .all(|thread| !thread.waited().is_zero()),
            "{report}"
        );
    }

    #[test]
    fn native_calls_run_at_the_same_time() {
        let meet = Barrier::new(3);
        // Would wait forever if the lock were held around it.
        let report = Gil::new().threads(3, |token, number| {
            token.allow_threads(|| meet.wait());
            number
        });
        assert_eq!(report.values(), [0, 1, 2]);
    }

    #[test]
    fn without_a_lock_all_run_at_once() {
        let meet = Barrier::new(3);
        let report = Gil::disabled().threads(3, |token, _| {
            meet.wait();
            token.checkpoint();
        });
        assert_eq!(report.threads().len(), 3);
        assert!(!Gil::disabled().is_enabled());
    }

    #[test]
    fn a_panic_lets_the_others_go_on() {
        let finished = AtomicUsize::new(0);
        let outcome = std::panic::catch_unwind(|| {
            Gil::new().threads(3, |token, number| {
                assert!(number != 1, "one");
                interpret(token, 5);
                finished.fetch_add(1, Ordering::SeqCst);
            })
        });
        assert!(outcome.is_err());
        assert_eq!(finished.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn no_thread_and_one_thread() {
        assert!(
            Gil::new()
                .threads(0, |_, number| number)
                .values()
                .is_empty()
        );
        let report = Gil::new().threads(1, |token, number| {
            interpret(token, 20);
            number
        });
        assert_eq!((report.values(), report.switches()), (&[0][..], 0));
    }
}
