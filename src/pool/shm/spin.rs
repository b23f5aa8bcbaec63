//! Spinning before sleeping, as long as that costs less than it saves.
//!
//! Waking a sleeper takes about 30 µs, plus the waker's system call, so a process that will soon be
//! needed again spins for a while first. It stops when its time is up, when spinning has not helped
//! lately, or when more threads want to run than there are processors, so that another thread needs
//! the time.
//!
//! While more of the pool's own processes are awake than there are processors, a spinning owner
//! yields (`sched_yield`) between looks: it might otherwise keep the very worker that it waits for
//! off its processor. A yield takes half a microsecond, and nothing has to be woken. Workers do not
//! yield: where several threads of the owner want to run, a worker that gives its processor to one
//! of them gets it back only after all of them, and a call of such a thread takes twice as long.

use std::thread;
use std::time::{Duration, Instant};

use crate::cpus;

/// How long to spin on any machine: less than sleeping and being woken costs all processes
/// together.
const GLANCE: Duration = Duration::from_micros(20);
/// How long to spin on a machine that has a processor to spare.
const SPIN: Duration = Duration::from_micros(50);
/// How long to spin the first time, while the workers start: a fork keeps the owner busy for 50 to
/// 120 µs, and a new process needs about 80 µs to its first result. Whether the machine is crowded
/// is not checked then: in a new process, the check alone takes half of this time.
const SPIN_AT_START: Duration = Duration::from_micros(150);
/// How long the last check for a crowded machine stays valid. A check takes 4 µs, and more with
/// cold caches.
const BELIEVED: Duration = Duration::from_millis(1);
/// After this many waits in which spinning did not help, the next ones sleep at once; one of every
/// `TRY_AGAIN` spins again.
const FRUITLESS: u32 = 3;
const TRY_AGAIN: u32 = 16;

/// A spinning process yields only on machines with at most this many processors. The check reads a
/// cache line of each worker, which that worker writes to; with many processors, one that spins
/// for nothing costs less than that.
const FEW_CPUS: usize = 8;

/// How spinning has worked out so far, for one process or thread that waits.
#[derive(Debug)]
pub(in crate::pool) struct Spinner {
    n_cpus: usize,
    begun: Instant,
    /// Whether it gives way to the pool's other processes.
    yields: bool,
    /// It has not waited yet.
    is_new: bool,
    /// The number of waits in a row in which spinning did not help.
    n_fruitless: u32,
    /// When the machine was last checked, and whether it was crowded.
    looked: Option<(Duration, bool)>,
}

impl Spinner {
    /// For a process that may run on `n_cpus` processors. With only one, it never spins: no other
    /// process could make progress meanwhile.
    pub(in crate::pool) fn new(n_cpus: usize) -> Spinner {
        Spinner {
            n_cpus,
            begun: Instant::now(),
            yields: false,
            is_new: true,
            n_fruitless: 0,
            looked: None,
        }
    }

    /// As [`new`](Spinner::new), for the owner: it gives way to the pool's other processes.
    pub(in crate::pool) fn yielding(n_cpus: usize) -> Spinner {
        Spinner {
            yields: true,
            ..Spinner::new(n_cpus)
        }
    }

    /// Spins for a while until `is_over`; false when it is time to sleep. `n_own` is the number of
    /// the pool's own processes that are awake, this one included; they do not count as a crowd.
    pub(in crate::pool) fn until(
        &mut self,
        n_own: impl Fn() -> usize,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let begun = self.begun;
        let is_crowded = || cpus::is_crowded(n_own());
        let clock = || begun.elapsed();
        self.until_by(&clock, is_crowded, &n_own, &thread::yield_now, is_over)
    }

    fn until_by(
        &mut self,
        clock: &impl Fn() -> Duration,
        is_crowded: impl Fn() -> bool,
        n_own: &impl Fn() -> usize,
        give_way: &impl Fn(),
        is_over: impl Fn() -> bool,
    ) -> bool {
        let n_cpus = self.n_cpus;
        let may_yield = self.yields && n_cpus <= FEW_CPUS;
        let pause = || {
            if may_yield && n_own() > n_cpus {
                give_way();
            }
        };
        self.n_fruitless = self.n_fruitless.wrapping_add(1);
        let is_discouraged =
            self.n_fruitless > FRUITLESS && !self.n_fruitless.is_multiple_of(TRY_AGAIN);
        if self.n_cpus < 2 || is_discouraged {
            return is_over();
        }
        let started = clock();
        let found = if std::mem::take(&mut self.is_new) {
            look_until(started + SPIN_AT_START, clock, &pause, &is_over)
        } else {
            look_until(started + GLANCE, clock, &pause, &is_over)
                || (!self.is_crowded(clock(), is_crowded)
                    && look_until(started + SPIN, clock, &pause, &is_over))
        };
        if found {
            self.n_fruitless = 0;
        }
        found
    }

    fn is_crowded(&mut self, now: Duration, ask: impl FnOnce() -> bool) -> bool {
        match self.looked {
            Some((at, was_there)) if now < at + BELIEVED => was_there,
            _ => self.looked.insert((now, ask())).1,
        }
    }
}

/// Spins for at most `limit` until `is_over`.
pub(super) fn look_for(limit: Duration, is_over: &impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    look_until(limit, &|| begun.elapsed(), &|| (), is_over)
}

fn look_until(
    until: Duration,
    clock: &impl Fn() -> Duration,
    pause: &impl Fn(),
    is_over: &impl Fn() -> bool,
) -> bool {
    loop {
        for _ in 0..16 {
            if is_over() {
                return true;
            }
            std::hint::spin_loop();
        }
        if clock() >= until {
            return is_over();
        }
        pause();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A clock on which a microsecond passes whenever it is read.
    struct Clock(Cell<Duration>);

    impl Clock {
        fn read(&self) -> Duration {
            self.0.set(self.0.get() + Duration::from_micros(1));
            self.0.get()
        }
    }

    /// How long a waiter spins in vain before it sleeps, and how often it checks the machine.
    fn wait_in_vain(spinner: &mut Spinner, clock: &Clock, crowded: bool) -> (Duration, u32) {
        let (started, asked) = (clock.0.get(), Cell::new(0));
        let is_crowded = || {
            asked.set(asked.get() + 1);
            crowded
        };
        assert!(!spinner.until_by(&|| clock.read(), is_crowded, &|| 2, &|| (), || false));
        (clock.0.get() - started, asked.get())
    }

    /// Waits for something that is already there.
    fn is_there(spinner: &mut Spinner, clock: &Clock, is_crowded: impl Fn() -> bool) -> bool {
        spinner.until_by(&|| clock.read(), is_crowded, &|| 2, &|| (), || true)
    }

    /// A spinner that has waited before.
    fn spinner_and_clock() -> (Spinner, Clock) {
        let (mut spinner, clock) = (Spinner::new(2), Clock(Cell::new(Duration::ZERO)));
        assert!(is_there(&mut spinner, &clock, || false));
        (spinner, clock)
    }

    #[test]
    fn no_process_spins_on_a_crowded_machine() {
        let (mut spinner, clock) = spinner_and_clock();
        let (alone, n_asked) = wait_in_vain(&mut spinner, &clock, false);
        assert!(
            alone >= SPIN && n_asked == 1,
            "{alone:?}, asked {n_asked} times"
        );

        let (mut spinner, clock) = spinner_and_clock();
        let (beside, n_asked) = wait_in_vain(&mut spinner, &clock, true);
        let a_few_looks_at_the_clock = Duration::from_micros(5);
        assert!(beside <= GLANCE + a_few_looks_at_the_clock, "{beside:?}");
        assert_eq!(n_asked, 1);
        let (_, n_asked) = wait_in_vain(&mut spinner, &clock, true);
        assert_eq!(n_asked, 0, "a check stays valid for a while");
        clock.0.set(clock.0.get() + BELIEVED);
        let (again, n_asked) = wait_in_vain(&mut spinner, &clock, false);
        assert!(
            again >= SPIN && n_asked == 1,
            "there is room again: {again:?}"
        );
    }

    #[test]
    fn a_wait_that_is_over_at_once_checks_nothing() {
        let (mut spinner, clock) = spinner_and_clock();
        let not_asked = || unreachable!("it is over at once");
        assert!(is_there(&mut spinner, &clock, not_asked));
    }

    #[test]
    fn the_first_wait_is_a_longer_one() {
        let (mut spinner, clock) = (Spinner::new(2), Clock(Cell::new(Duration::ZERO)));
        let (first, n_asked) = wait_in_vain(&mut spinner, &clock, true);
        assert!(first >= SPIN_AT_START && n_asked == 0, "{first:?}");
        let (second, _) = wait_in_vain(&mut spinner, &clock, false);
        assert!(second < SPIN_AT_START, "{second:?}");
    }

    #[test]
    fn fruitless_looking_is_given_up_and_tried_again() {
        let (mut spinner, clock) = spinner_and_clock();
        let mut spins = || wait_in_vain(&mut spinner, &clock, false).0 > GLANCE;
        let first: Vec<bool> = (0..15).map(|_| spins()).collect();
        assert_eq!(first[..4], [true, true, true, false]);
        assert_eq!(first.iter().filter(|&&spun| spun).count(), 3);
        // The sixteenth wait is a fruitful one.
        assert!(is_there(&mut spinner, &clock, || false));
        assert!(wait_in_vain(&mut spinner, &clock, false).0 > GLANCE);
    }

    /// How often a waiter yields while `n_own` of the pool's processes are awake.
    fn n_times_given_way(mut spinner: Spinner, n_own: usize) -> u32 {
        let clock = Clock(Cell::new(Duration::ZERO));
        let n_times = Cell::new(0);
        let give_way = || n_times.set(n_times.get() + 1);
        let clock = || clock.read();
        assert!(!spinner.until_by(&clock, || false, &|| n_own, &give_way, || false));
        n_times.get()
    }

    #[test]
    fn a_spinning_owner_yields_to_the_pools_other_processes_where_processors_are_few() {
        let owner = Spinner::yielding;
        assert_eq!(n_times_given_way(owner(2), 2), 0);
        assert!(n_times_given_way(owner(2), 3) > 1);
        assert!(n_times_given_way(owner(FEW_CPUS), FEW_CPUS + 1) > 1);
        assert_eq!(n_times_given_way(owner(FEW_CPUS + 1), FEW_CPUS + 2), 0);
        assert_eq!(n_times_given_way(Spinner::new(2), 3), 0, "a worker");
    }

    #[test]
    fn what_is_awaited_ends_the_looking_also_when_it_comes_while_giving_way() {
        let clock = Clock(Cell::new(Duration::ZERO));
        let mut spinner = Spinner::yielding(2);
        let is_there = Cell::new(false);
        let give_way = || is_there.set(true);
        let clock = || clock.read();
        assert!(spinner.until_by(&clock, || false, &|| 3, &give_way, || is_there.get()));
    }

    #[test]
    fn no_process_spins_on_one_processor() {
        let (_, clock) = spinner_and_clock();
        let (time, n_asked) = wait_in_vain(&mut Spinner::new(1), &clock, false);
        assert_eq!((time, n_asked), (Duration::ZERO, 0));
    }
}
