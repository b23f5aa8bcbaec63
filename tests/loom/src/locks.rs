//! The protocols of `sync`: no waiter sleeps forever, one holder at a time, and a death is reported
//! once.

use std::sync::atomic::AtomicBool;

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use crate::error::{Error, Result};
use crate::explore;
use crate::shared::placed::zeroed;
use crate::sync::lock::Lock;
use crate::sync::{Barrier, Condition, Event, RLock, Semaphore};
use crate::sys::mutex::{Kind, Locked, Mutex};
use crate::sys::{futex, pthread, spawn};

pub(crate) const MODELS: &[(&str, fn())] = &[
    ("a lock has one holder", a_lock_has_one_holder),
    (
        "a holder's death is told once",
        a_holders_death_is_told_once,
    ),
    (
        "a lock that is taken again is given back as often",
        a_reentrant_lock,
    ),
    ("a permit has one holder", a_permit_has_one_holder),
    (
        "a dead holder's permit comes back",
        a_dead_holders_permit_comes_back,
    ),
    ("an event wakes all who wait", an_event_wakes_all),
    (
        "a condition's waiter misses no change",
        a_condition_misses_no_change,
    ),
    (
        "a barrier lets all through, again and again",
        a_barrier_lets_all_through,
    ),
    ("a barrier breaks when one dies at it", a_barrier_breaks),
];

/// What only one thread at a time may touch: loom checks that.
struct Guarded<L> {
    lock: L,
    count: UnsafeCell<u32>,
}

// SAFETY: the locks are the library's own; loom checks the cell.
unsafe impl<L> Sync for Guarded<L> {}
// SAFETY: as above.
unsafe impl<L> Send for Guarded<L> {}

impl<L> Guarded<L> {
    fn new(lock: L) -> Arc<Guarded<L>> {
        let count = UnsafeCell::new(0);
        Arc::new(Guarded { lock, count })
    }

    fn touch(&self) {
        // SAFETY: loom checks that no other thread uses it.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    fn count(&self) -> u32 {
        // SAFETY: as above.
        self.count.with(|count| unsafe { *count })
    }
}

/// This thread and two more do the same; each has its number.
fn in_three<L: 'static>(guarded: &Arc<Guarded<L>>, work: fn(u32, &Guarded<L>)) {
    let others = [2, 3].map(|id| {
        let guarded = Arc::clone(guarded);
        spawn(id, move || work(id, &guarded))
    });
    work(1, guarded);
    for other in others {
        other.join().unwrap();
    }
}

fn mutex(kind: Kind) -> Box<Mutex> {
    let mutex = zeroed::<Mutex>();
    mutex.init(kind).unwrap();
    mutex
}

fn a_lock_has_one_holder() {
    explore(2, || {
        let guarded = Guarded::new(mutex(Kind::Plain));
        in_three(&guarded, |_, guarded| {
            assert_eq!(guarded.lock.lock(None), Locked::Taken);
            guarded.touch();
            guarded.lock.unlock();
        });
        assert!(guarded.lock.is_free() && guarded.count() == 3);
    });
}

fn a_holders_death_is_told_once() {
    explore(2, || {
        let guarded = Guarded::new((mutex(Kind::Plain), UnsafeCell::new(0)));
        in_three(&guarded, |id, guarded| {
            let (mutex, n_told) = &guarded.lock;
            let locked = mutex.lock(None);
            guarded.touch();
            match locked {
                // SAFETY: this thread holds the mutex.
                Locked::FromDead(2) => n_told.with_mut(|n| unsafe { *n += 1 }),
                other => assert_eq!(other, Locked::Taken),
            }
            if id == 2 {
                pthread::die()
            } else {
                mutex.unlock()
            }
        });
        // Who comes last may be the one that dies.
        let (mutex, n_told) = &guarded.lock;
        let is_told = mutex.try_lock() == Locked::FromDead(2);
        // SAFETY: all threads have ended.
        let n_told = n_told.with(|n| unsafe { *n }) + u32::from(is_told);
        assert_eq!((n_told, guarded.count()), (1, 3));
        mutex.unlock();
    });
}

fn a_reentrant_lock() {
    explore(3, || {
        let guarded = Guarded::new(RLock::new().unwrap());
        let other = Arc::clone(&guarded);
        let other = spawn(2, move || {
            let _guard = other.lock.lock().unwrap();
            other.touch();
        });
        let outer = guarded.lock.lock().unwrap();
        let inner = guarded.lock.lock().unwrap();
        guarded.touch();
        drop(outer);
        guarded.touch();
        drop(inner);
        other.join().unwrap();
        assert_eq!(guarded.count(), 3);
    });
}

fn a_permit_has_one_holder() {
    explore(2, || {
        let guarded = Guarded::new(Semaphore::new(1).unwrap());
        in_three(&guarded, |_, guarded| {
            let _permit = guarded.lock.acquire().unwrap();
            guarded.touch();
        });
        assert_eq!((guarded.lock.available(), guarded.count()), (1, 3));
    });
}

fn a_dead_holders_permit_comes_back() {
    explore(3, || {
        let guarded = Guarded::new(Semaphore::new(1).unwrap());
        let other = Arc::clone(&guarded);
        let other = spawn(2, move || {
            let permit = other.lock.acquire();
            other.touch();
            std::mem::forget(permit);
            pthread::die();
        });
        let mine = guarded.lock.acquire();
        if let Err(error) = &mine {
            assert_eq!(*error, Error::OwnerDied(2));
        } else {
            guarded.touch();
        }
        let is_told = mine.is_err();
        drop(mine);
        other.join().unwrap();
        // The next holder is told, if none was before.
        let next = guarded.lock.try_acquire();
        assert_eq!(next.is_err(), !is_told);
        drop(next);
        assert!(matches!(guarded.lock.try_acquire(), Ok(Some(_))));
    });
}

fn an_event_wakes_all() {
    explore(3, || {
        let guarded = Guarded::new(Event::new().unwrap());
        in_three(&guarded, |id, guarded| {
            if id == 1 {
                guarded.touch();
                guarded.lock.set();
            } else {
                guarded.lock.wait();
                assert_eq!(guarded.count(), 1);
            }
        });
    });
}

fn a_condition_misses_no_change() {
    explore(2, || {
        let shared = Arc::new((Lock::new(0), Condition::new().unwrap()));
        let consumers = [2, 3].map(|id| {
            let shared = Arc::clone(&shared);
            spawn(id, move || -> Result<()> {
                let (basket, changed) = &*shared;
                let mut guard = changed.wait_while(basket.lock()?, |n| *n == 0)?;
                guard.change(|n| *n -= 1);
                Ok(())
            })
        });
        let (basket, changed) = &*shared;
        basket.lock().unwrap().change(|n| *n += 2);
        changed.notify_one();
        for consumer in consumers {
            consumer.join().unwrap().unwrap();
        }
        assert_eq!(*basket.lock().unwrap(), 0);
    });
}

fn a_barrier_lets_all_through() {
    explore(3, || {
        let guarded = Guarded::new(Barrier::new(2).unwrap());
        let other = Arc::clone(&guarded);
        let other = spawn(2, move || {
            other.touch();
            let first = other.lock.wait().unwrap();
            let second = other.lock.wait().unwrap();
            other.touch();
            [first, second].map(|passed| passed.is_last())
        });
        let first = guarded.lock.wait().unwrap();
        assert_eq!(guarded.count(), 1);
        let second = guarded.lock.wait().unwrap();
        let theirs = other.join().unwrap();
        // One was the last in each round.
        assert_eq!(theirs, [!first.is_last(), !second.is_last()]);
    });
}

/// One of three dies while it waits; who waited then is told, or was told when another came, and
/// all others meet in the next round. No waiter looks again by itself here, so another has to come
/// after the death.
fn a_barrier_breaks() {
    fn wait_again(barrier: &Barrier) -> u32 {
        let mut n_told = 0;
        while let Err(error) = barrier.wait() {
            assert_eq!(error, Error::OwnerDied(2));
            n_told += 1;
        }
        n_told
    }
    // Whether any waiter was told, in any order: perhaps none waited yet.
    let is_told = std::sync::Arc::new(AtomicBool::new(false));
    let was_told = std::sync::Arc::clone(&is_told);
    // Four threads: with more switches, minutes.
    explore(0, move || {
        let barrier = Arc::new(Barrier::new(3).unwrap());
        let [dying, waiting, late] = [(); 3].map(|()| Arc::clone(&barrier));
        let dying = spawn(2, move || futex::unless_killed(|| dying.wait()));
        let waiting = spawn(3, move || wait_again(&waiting));
        loom::thread::yield_now();
        futex::kill(2);
        assert!(dying.join().unwrap().is_none());
        let late = spawn(4, move || wait_again(&late));
        assert_eq!(wait_again(&barrier) + late.join().unwrap(), 0);
        let n_told = waiting.join().unwrap();
        assert!(n_told <= 1);
        is_told.fetch_or(n_told == 1, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(was_told.load(std::sync::atomic::Ordering::Relaxed));
}
