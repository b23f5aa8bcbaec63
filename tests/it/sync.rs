//! Processes that wait for each other, even if some are killed.

use std::collections::BTreeMap;
use std::time::Duration;

use forklore::{Barrier, Condition, Event, Lock, Pool, Process, RLock, Semaphore, Value};
use nix::sys::signal::{Signal, raise};

use crate::support::{Random, tests, wait_for_sleep, wait_until};

tests![
    a_lock_excludes,
    a_lock_holds_any_value,
    a_holder_that_is_killed_is_reported_once,
    a_killed_holder_changes_nothing,
    a_waiter_that_is_killed_holds_nobody_up,
    a_panic_gives_the_change_up,
    waits_for_a_lock_have_an_end,
    a_lock_that_is_held_is_refused_to_its_holder,
    a_forked_guard_does_nothing,
    a_forgotten_guard_does_no_harm,
    a_value_that_cannot_be_encoded_leaves_the_old_one,
    a_reentrant_lock_is_entered_again,
    a_semaphore_limits,
    a_killed_permit_comes_back,
    a_semaphore_refuses_what_cannot_be,
    an_event_wakes_all,
    an_event_that_is_cleared_at_once_wakes_all_the_same,
    a_killed_waiter_does_not_disturb_an_event,
    a_condition_hands_values_over,
    a_killed_waiter_takes_no_notification_with_it,
    a_notifier_that_is_killed_delays_only,
    a_barrier_lets_all_pass_together,
    a_party_that_is_killed_breaks_the_barrier,
    a_barrier_has_time_limits,
    a_stopped_holder_stops_nobody_who_has_a_limit,
    killed_at_random,
    barriers_and_events_with_processes_killed_at_random,
];

/// Longer than anything takes here, shorter than the watchdog's limit.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

/// A child that runs `f`, reports that, and stays until it is killed.
fn holding<'a>(ready: &'a Value<bool>, f: impl FnOnce() + 'a) -> Process<()> {
    ready.set(false);
    let child = Process::spawn(|| {
        f();
        ready.set(true);
        loop {
            std::thread::park();
        }
    })
    .unwrap();
    wait_until(|| ready.get());
    child
}

fn kill(mut child: Process<()>) -> i32 {
    let pid = child.pid();
    child.kill();
    assert_eq!(child.join().unwrap_err().signal(), Some(9));
    pid
}

fn a_lock_excludes() {
    let pool = Pool::with_workers(4).unwrap();
    let lock = Lock::new((0u64, 0u64)).unwrap();
    pool.map(
        |_: u32| {
            for _ in 0..50 {
                let mut pair = lock.lock().unwrap();
                assert_eq!(pair.0, pair.1);
                pair.0 += 1;
                pair.1 += 1;
            }
        },
        0..40,
    );
    assert_eq!(*lock.lock().unwrap(), (2_000, 2_000));
    assert_eq!(lock.into_inner().unwrap(), (2_000, 2_000));
}

fn a_lock_holds_any_value() {
    let pool = Pool::with_workers(2).unwrap();
    let words = Lock::new(BTreeMap::<String, Vec<u32>>::new()).unwrap();
    pool.map(
        |n: u32| {
            let mut words = words.lock().unwrap();
            words.entry(format!("word {}", n % 10)).or_default().push(n);
        },
        0..500,
    );
    let words = words.lock().unwrap();
    assert_eq!(words.len(), 10);
    assert!(words.values().all(|numbers| numbers.len() == 50));
    // It grows and shrinks by as much as it likes.
    let large = Lock::new(vec![1u8; 1]).unwrap();
    for n_bytes in [10, 1 << 22, 0, 1 << 23, 5] {
        let child = Process::spawn(|| large.lock().unwrap().resize(n_bytes, 7));
        child.unwrap().join().unwrap();
        assert_eq!(large.lock().unwrap().len(), n_bytes);
    }
}

fn a_holder_that_is_killed_is_reported_once() {
    let (lock, ready) = (Lock::new(5u32).unwrap(), Value::new(false).unwrap());
    let holder = holding(&ready, || std::mem::forget(lock.lock().unwrap()));
    assert!(lock.try_lock().unwrap().is_none());
    let pid = kill(holder);
    let error = lock.lock().unwrap_err();
    assert!(error.is_owner_died() && !error.is_timed_out(), "{error}");
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
    assert_eq!(*lock.lock().unwrap(), 5);
    // Who does not want to know is not told, nor is anybody after.
    kill(holding(&ready, || std::mem::forget(lock.lock().unwrap())));
    *lock.recover().unwrap() += 1;
    assert_eq!(*lock.lock().unwrap(), 6);
    // It is told at once to one that waits already.
    let holder = holding(&ready, || std::mem::forget(lock.lock().unwrap()));
    let waiter = Process::spawn(|| lock.lock_timeout(LONG).unwrap_err().is_owner_died()).unwrap();
    wait_for_sleep(waiter.pid());
    kill(holder);
    assert!(waiter.join().unwrap());
}

fn a_killed_holder_changes_nothing() {
    let lock = Lock::new(vec![1, 2, 3]).unwrap();
    let child = Process::spawn(|| {
        let mut guard = lock.lock().unwrap();
        guard.clear();
        raise(Signal::SIGKILL).is_ok()
    });
    child.unwrap().join().unwrap_err();
    assert_eq!(*lock.recover().unwrap(), [1, 2, 3]);
    assert_eq!(lock.into_inner().unwrap(), [1, 2, 3]);
}

fn a_waiter_that_is_killed_holds_nobody_up() {
    let lock = Lock::new(0u32).unwrap();
    let guard = lock.lock().unwrap();
    let wait = || *lock.lock().unwrap() += 1;
    let mut waiters: Vec<_> = (0..4).map(|_| Process::spawn(wait).unwrap()).collect();
    for waiter in &waiters {
        wait_for_sleep(waiter.pid());
    }
    kill(waiters.remove(1));
    drop(guard);
    for waiter in waiters {
        waiter.join().unwrap();
    }
    assert_eq!(*lock.lock().unwrap(), 3);
}

fn a_panic_gives_the_change_up() {
    let lock = Lock::new(1u32).unwrap();
    let child = Process::spawn(|| {
        std::panic::set_hook(Box::new(|_| ()));
        let mut guard = lock.lock().unwrap();
        *guard = 2;
        panic!("half way");
    })
    .unwrap();
    let outcome: Result<(), _> = child.join();
    assert!(outcome.unwrap_err().is_panicked());
    // The guard was dropped: no holder died with the lock.
    assert_eq!(*lock.lock().unwrap(), 1);
}

fn waits_for_a_lock_have_an_end() {
    let lock = Lock::new(1u32).unwrap();
    let guard = lock.lock().unwrap();
    let child = Process::spawn(|| {
        let times = [Duration::ZERO, SHORT];
        times.map(|time| lock.lock_timeout(time).unwrap_err().is_timed_out())
    });
    assert_eq!(child.unwrap().join().unwrap(), [true, true]);
    drop(guard);
    assert_eq!(*lock.lock_timeout(Duration::MAX).unwrap(), 1);
}

fn a_lock_that_is_held_is_refused_to_its_holder() {
    let lock = Lock::new(1u32).unwrap();
    let _guard = lock.lock().unwrap();
    let error = lock.lock().unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    assert!(lock.try_lock().unwrap_err().is_invalid_input());
}

fn a_forked_guard_does_nothing() {
    let lock = Lock::new(1u32).unwrap();
    let mut guard = lock.lock().unwrap();
    *guard = 2;
    let child = Process::spawn(|| {
        // The child has a copy of the guard: that it ends is not a release.
        *guard = 9;
        // SAFETY: the copy is not used again; the process ends.
        drop(unsafe { std::ptr::read(&guard) });
        lock.try_lock().unwrap().is_none()
    });
    assert!(child.unwrap().join().unwrap());
    drop(guard);
    assert_eq!(*lock.lock().unwrap(), 2);
}

fn a_forgotten_guard_does_no_harm() {
    for _ in 0..100 {
        let lock = Lock::new(1u32).unwrap();
        std::mem::forget(lock.lock().unwrap());
        let semaphore = Semaphore::new(2).unwrap();
        std::mem::forget(semaphore.acquire().unwrap());
        let reentrant = RLock::new().unwrap();
        std::mem::forget((reentrant.lock().unwrap(), reentrant.lock().unwrap()));
        drop((lock, semaphore, reentrant));
        let after = Lock::new(2u32).unwrap();
        assert_eq!(*after.lock().unwrap(), 2);
    }
}

/// A number that refuses to be encoded if it is negative.
#[derive(Debug, serde::Deserialize)]
struct Picky(i32);

impl serde::Serialize for Picky {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.. => serializer.serialize_i32(self.0),
            _ => Err(serde::ser::Error::custom("it is negative")),
        }
    }
}

fn a_value_that_cannot_be_encoded_leaves_the_old_one() {
    assert!(Lock::new(Picky(-1)).unwrap_err().is_encode());
    let lock = Lock::new(Picky(3)).unwrap();
    let mut guard = lock.lock().unwrap();
    guard.0 = -3;
    assert!(guard.unlock().unwrap_err().is_encode());
    assert_eq!(lock.lock().unwrap().0, 3);
}

fn a_reentrant_lock_is_entered_again() {
    let (lock, ready) = (RLock::new().unwrap(), Value::new(false).unwrap());
    let outer = lock.lock().unwrap();
    let inner = lock.lock_timeout(SHORT).unwrap();
    let is_free = || Process::spawn(|| lock.try_lock().unwrap().is_some());
    drop(inner);
    assert!(!is_free().unwrap().join().unwrap());
    drop(outer);
    assert!(is_free().unwrap().join().unwrap());
    let holder = holding(&ready, || {
        std::mem::forget((lock.lock().unwrap(), lock.lock().unwrap()));
    });
    assert!(lock.lock_timeout(SHORT).unwrap_err().is_timed_out());
    kill(holder);
    assert!(lock.lock().unwrap_err().is_owner_died());
    drop(lock.lock().unwrap());
}

fn a_semaphore_limits() {
    let pool = Pool::with_workers(4).unwrap();
    let semaphore = Semaphore::new(2).unwrap();
    let (inside, most) = (Value::new(0u32).unwrap(), Value::new(0u32).unwrap());
    pool.map(
        |_: u32| {
            for _ in 0..20 {
                let _permit = semaphore.acquire().unwrap();
                let now = inside.update(|n| n + 1);
                most.update(|most| most.max(now));
                std::thread::yield_now();
                inside.update(|n| n - 1);
            }
        },
        0..40,
    );
    assert!((1..=2).contains(&most.get()));
    assert_eq!((inside.get(), semaphore.available()), (0, 2));
}

fn a_killed_permit_comes_back() {
    let (semaphore, ready) = (Semaphore::new(2).unwrap(), Value::new(false).unwrap());
    let take = || std::mem::forget(semaphore.acquire().unwrap());
    let holders = [holding(&ready, take), holding(&ready, take)];
    assert_eq!(semaphore.available(), 0);
    assert!(semaphore.try_acquire().unwrap().is_none());
    assert!(semaphore.acquire_timeout(SHORT).unwrap_err().is_timed_out());
    let take_and_count = |n_deaths: &mut u32| {
        loop {
            match semaphore.acquire_timeout(LONG) {
                Ok(permit) => return permit,
                Err(error) => *n_deaths += u32::from(error.is_owner_died()),
            }
        }
    };
    let waiters: [_; 2] = std::array::from_fn(|_| {
        let wait = || {
            let mut n_deaths = 0;
            drop(take_and_count(&mut n_deaths));
            n_deaths
        };
        Process::spawn(wait).unwrap()
    });
    for waiter in &waiters {
        wait_for_sleep(waiter.pid());
    }
    for holder in holders {
        kill(holder);
    }
    let mut n_deaths = 0;
    for waiter in waiters {
        n_deaths += waiter.join().unwrap();
    }
    // One waiter may have had both turns with the same permit; the other's death is told here.
    drop([take_and_count(&mut n_deaths), take_and_count(&mut n_deaths)]);
    assert_eq!((n_deaths, semaphore.available()), (2, 2));
}

fn a_semaphore_refuses_what_cannot_be() {
    assert!(Semaphore::new(0).unwrap_err().is_invalid_input());
    assert!(Semaphore::new(129).unwrap_err().is_invalid_input());
    let semaphore = Semaphore::new(128).unwrap();
    let permits: Vec<_> = (0..128).map(|_| semaphore.acquire().unwrap()).collect();
    // It would wait for itself.
    assert!(semaphore.acquire().unwrap_err().is_invalid_input());
    let waiter = Process::spawn(|| semaphore.acquire_timeout(LONG).is_ok()).unwrap();
    wait_for_sleep(waiter.pid());
    drop(permits);
    assert!(waiter.join().unwrap());
}

fn an_event_wakes_all() {
    let (event, n_awake) = (Event::new().unwrap(), Value::new(0u32).unwrap());
    assert!(event.wait_timeout(SHORT).unwrap_err().is_timed_out());
    let wait = || {
        event.wait();
        n_awake.update(|n| n + 1);
    };
    let waiters: Vec<_> = (0..3).map(|_| Process::spawn(wait).unwrap()).collect();
    assert_eq!(n_awake.get(), 0);
    event.set();
    for waiter in waiters {
        waiter.join().unwrap();
    }
    assert_eq!((n_awake.get(), event.is_set()), (3, true));
    event.wait_timeout(Duration::ZERO).unwrap();
    event.clear();
    event.clear();
    assert!(!event.is_set());
}

fn an_event_that_is_cleared_at_once_wakes_all_the_same() {
    let event = Event::new().unwrap();
    let waiters: [_; 2] = std::array::from_fn(|_| Process::spawn(|| event.wait()).unwrap());
    for waiter in &waiters {
        wait_for_sleep(waiter.pid());
    }
    event.set();
    event.clear();
    for waiter in waiters {
        waiter.join().unwrap();
    }
}

fn a_killed_waiter_does_not_disturb_an_event() {
    let event = Event::new().unwrap();
    let [killed, other] = std::array::from_fn(|_| Process::spawn(|| event.wait()).unwrap());
    wait_for_sleep(killed.pid());
    kill(killed);
    event.set();
    other.join().unwrap();
}

fn a_condition_hands_values_over() {
    let (basket, changed) = (
        Lock::new(Vec::<u32>::new()).unwrap(),
        Condition::new().unwrap(),
    );
    let take = || {
        let mut taken = Vec::new();
        loop {
            let guard = basket.lock().unwrap();
            let mut guard = changed
                .wait_while(guard, |basket| basket.is_empty())
                .unwrap();
            match guard.pop() {
                Some(0) | None => return taken,
                Some(number) => taken.push(number),
            }
        }
    };
    let takers: Vec<_> = (0..2).map(|_| Process::spawn(take).unwrap()).collect();
    for number in 1..=200 {
        basket.lock().unwrap().push(number);
        changed.notify_one();
    }
    let guard = basket.lock().unwrap();
    let empty = |_: &Vec<u32>| true;
    let error = changed.wait_while_timeout(guard, SHORT, empty).unwrap_err();
    assert!(error.is_timed_out());
    let mut guard = basket.lock().unwrap();
    guard.splice(0..0, [0, 0]);
    drop(guard);
    changed.notify_all();
    let mut all: Vec<u32> = takers
        .into_iter()
        .flat_map(|taker| taker.join().unwrap())
        .collect();
    all.sort();
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
}

fn a_killed_waiter_takes_no_notification_with_it() {
    let (lock, condition) = (Lock::new(()).unwrap(), Condition::new().unwrap());
    let n_inside = Value::new(0u32).unwrap();
    let wait = || {
        let guard = lock.lock().unwrap();
        n_inside.update(|n| n + 1);
        drop(condition.wait(guard).unwrap());
    };
    let [killed, other] = std::array::from_fn(|_| Process::spawn(wait).unwrap());
    // The lock's holder now knows that both have let it go, to wait.
    wait_until(|| n_inside.get() == 2);
    let guard = lock.lock().unwrap();
    condition.notify_one();
    kill(killed);
    drop(guard);
    other.join().unwrap();
    let guard = lock.recover().unwrap();
    assert!(
        condition
            .wait_timeout(guard, SHORT)
            .unwrap_err()
            .is_timed_out()
    );
}

fn a_notifier_that_is_killed_delays_only() {
    let (lock, condition) = (Lock::new(false).unwrap(), Condition::new().unwrap());
    let waiter = Process::spawn(|| {
        let guard = lock.lock().unwrap();
        *condition.wait_while(guard, |is_done| !is_done).unwrap()
    })
    .unwrap();
    wait_for_sleep(waiter.pid());
    // It changes the value and dies before it says so.
    let notifier = Process::spawn(|| {
        *lock.lock().unwrap() = true;
        raise(Signal::SIGKILL).is_ok()
    });
    notifier.unwrap().join().unwrap_err();
    assert!(waiter.join().unwrap());
}

fn a_barrier_lets_all_pass_together() {
    const N: u32 = 4;
    let (barrier, arrived) = (Barrier::new(N as usize).unwrap(), Value::new(0u32).unwrap());
    let party = || {
        let mut n_last = 0u32;
        for round in 1..=30 {
            arrived.update(|n| n + 1);
            n_last += u32::from(barrier.wait().unwrap().is_last());
            assert!(arrived.get() >= round * N);
        }
        n_last
    };
    let parties: Vec<_> = (0..N).map(|_| Process::spawn(party).unwrap()).collect();
    let n_last: u32 = parties.into_iter().map(|party| party.join().unwrap()).sum();
    assert_eq!((n_last, arrived.get()), (30, 30 * N));
    assert!(Barrier::new(1).unwrap().wait().unwrap().is_last());
    assert!(Barrier::new(0).unwrap_err().is_invalid_input());
}

fn a_party_that_is_killed_breaks_the_barrier() {
    let barrier = Barrier::new(4).unwrap();
    let wait = || {
        let _ = barrier.wait();
    };
    let killed = Process::spawn(wait).unwrap();
    wait_for_sleep(killed.pid());
    let others: [_; 2] = std::array::from_fn(|_| {
        Process::spawn(|| barrier.wait_timeout(LONG).unwrap_err().is_owner_died()).unwrap()
    });
    for other in &others {
        wait_for_sleep(other.pid());
    }
    kill(killed);
    for other in others {
        assert!(other.join().unwrap());
    }
    // It is as new.
    let parties: [_; 3] = std::array::from_fn(|_| Process::spawn(|| barrier.wait().is_ok()));
    barrier.wait().unwrap();
    for party in parties {
        party.unwrap().join().unwrap();
    }
}

fn a_barrier_has_time_limits() {
    let barrier = Barrier::new(2).unwrap();
    assert!(barrier.wait_timeout(SHORT).unwrap_err().is_timed_out());
    // Who gave up is not counted.
    assert!(barrier.wait_timeout(SHORT).unwrap_err().is_timed_out());
    let other = Process::spawn(|| barrier.wait_timeout(LONG).is_ok()).unwrap();
    barrier.wait_timeout(LONG).unwrap();
    assert!(other.join().unwrap());
}

/// Children use everything concurrently and are killed at random moments; none hangs, and whatever
/// each had finished stays.
fn killed_at_random() {
    let mut random = Random::seeded();
    let lock = Lock::new((0u64, 0u64)).unwrap();
    let semaphore = Semaphore::new(2).unwrap();
    let (turns, changed) = (Lock::new(0u64).unwrap(), Condition::new().unwrap());
    let inside = Value::new(0u64).unwrap();
    let hammer = || loop {
        let mut pair = lock.recover().unwrap();
        assert_eq!(pair.0, pair.1);
        inside.update(|n| n + 1);
        pair.0 += 1;
        pair.1 += 1;
        drop(pair);
        drop(semaphore.acquire());
        let guard = turns.recover().unwrap();
        let turn = *guard;
        match changed.wait_while_timeout(guard, Duration::from_micros(200), |now| *now == turn) {
            Ok(mut guard) => *guard += 1,
            Err(_) => *turns.recover().unwrap() += 1,
        }
        changed.notify_all();
    };
    let start = || Process::<()>::spawn(hammer).unwrap();
    let mut children: Vec<_> = (0..4).map(|_| start()).collect();
    for round in 0..150 {
        // Everybody gets on: the parent, and in it some child.
        let before = inside.get();
        *lock.recover().unwrap() = (round, round);
        match semaphore.acquire_timeout(LONG) {
            Ok(permit) => drop(permit),
            Err(error) => assert!(error.is_owner_died(), "round {round}: {error}"),
        }
        wait_until(|| inside.get() > before + random.below(5));
        let victim = random.below(children.len() as u64) as usize;
        kill(children.swap_remove(victim));
        children.push(start());
    }
    for child in children {
        kill(child);
    }
    let pair = *lock.recover().unwrap();
    assert_eq!(pair.0, pair.1);
    drop(turns.recover().unwrap());
    while semaphore.available() < 2 || semaphore.acquire().is_err() {}
}

fn a_stopped_holder_stops_nobody_who_has_a_limit() {
    let (lock, reentrant) = (Lock::new(1u32).unwrap(), RLock::new().unwrap());
    let (semaphore, changed) = (Semaphore::new(1).unwrap(), Condition::new().unwrap());
    let (barrier, ready) = (Barrier::new(2).unwrap(), Value::new(false).unwrap());
    let guard = lock.lock().unwrap();
    let holder = holding(&ready, || {
        std::mem::forget((reentrant.lock().unwrap(), semaphore.acquire().unwrap()));
    });
    signal(holder.pid(), Signal::SIGSTOP);
    let errors = [
        reentrant.lock_timeout(SHORT).err(),
        semaphore.acquire_timeout(SHORT).err(),
        barrier.wait_timeout(SHORT).err(),
        changed.wait_timeout(guard, SHORT).err(),
    ];
    for error in errors {
        let error = error.expect("nothing of this can be had");
        assert!(error.is_timed_out(), "{error}");
    }
    assert!(reentrant.try_lock().unwrap().is_none() && semaphore.try_acquire().unwrap().is_none());
    // It is killed all the same, and told of.
    kill(holder);
    assert!(reentrant.lock_timeout(LONG).unwrap_err().is_owner_died());
    assert!(semaphore.acquire_timeout(LONG).unwrap_err().is_owner_died());
    drop((reentrant.lock().unwrap(), semaphore.acquire().unwrap()));
}

fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

fn barriers_and_events_with_processes_killed_at_random() {
    let mut random = Random::seeded();
    let (reentrant, event) = (RLock::new().unwrap(), Event::new().unwrap());
    let (barrier, n_turns) = (Barrier::new(2).unwrap(), Value::new(0u64).unwrap());
    let hammer = || loop {
        if let Ok(outer) = reentrant.lock() {
            let _inner = reentrant.lock().unwrap();
            event.set();
            drop(outer);
        }
        let _ = event.wait_timeout(SHORT);
        event.clear();
        let _ = barrier.wait_timeout(SHORT);
        n_turns.update(|n| n + 1);
    };
    let start = || Process::<()>::spawn(hammer).unwrap();
    let mut children: Vec<_> = (0..4).map(|_| start()).collect();
    for round in 0..100 {
        // Everybody gets on, and what a death left is told once and then good.
        let before = n_turns.get();
        let outcomes = [
            reentrant.lock_timeout(LONG).err(),
            barrier.wait_timeout(LONG).err(),
        ];
        for error in outcomes.into_iter().flatten() {
            assert!(error.is_owner_died(), "round {round}: {error}");
        }
        wait_until(|| n_turns.get() > before + random.below(5));
        let victim = random.below(children.len() as u64) as usize;
        if random.below(4) == 0 {
            // Also one that was stopped wherever it was.
            signal(children[victim].pid(), Signal::SIGSTOP);
        }
        kill(children.swap_remove(victim));
        children.push(start());
    }
    for child in children {
        kill(child);
    }
    drop(reentrant.lock_timeout(LONG));
    drop(reentrant.lock_timeout(LONG).unwrap());
    event.set();
    event.wait();
}
