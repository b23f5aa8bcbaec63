//! Pools in programs with threads: any thread maps over any pool, and none waits for another's map.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use forklore::{Event, Pending, Pool, StartMethod};

use crate::starts::METHODS;
use crate::support::{Quiet, is_running, power, tests};

tests![
    a_pool_and_its_results_go_from_thread_to_thread,
    each_thread_has_its_own_results,
    large_and_small_maps_go_on_side_by_side,
    a_thread_that_waits_holds_no_other_up,
    a_panic_in_one_caller_disturbs_no_other,
    a_pool_is_dropped_on_another_thread_than_its_own,
    what_is_pending_is_taken_on_another_thread,
    an_iterator_goes_on_on_another_thread,
    a_call_that_waits_for_its_turn_belongs_to_its_thread,
    a_death_is_an_error_of_one_threads_item,
    a_pool_that_is_terminated_ends_what_other_threads_wait_for,
    a_pool_that_is_joined_waits_for_other_threads_results,
    a_pool_is_resized_while_others_map,
    threads_have_their_own_time_limits_noticed,
];

pub const N_THREADS: u64 = 8;

fn a_pool_and_its_results_go_from_thread_to_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    let pool = Pool::with_workers(1).unwrap();
    is_shared(&pool);
    is_send(&pool.apply_async(power, 2));
    is_send(&pool.map_async(power, 0..2));
    is_send(&pool.imap(power, 0..2));
    is_send(&pool.imap_unordered(power, 0..2));
    is_shared(&pool.with_progress());
    is_shared(&Pool::builder().initializer(|| ()));
}

/// A pool of each kind, made while the process has one thread.
fn for_each_method(test: impl Fn(&Pool)) {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        test(&builder.build().unwrap());
    }
}

/// Runs `f` on each of eight threads.
pub fn on_threads(f: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        let f = &f;
        let threads: Vec<_> = (0..N_THREADS)
            .map(|thread| scope.spawn(move || f(thread)))
            .collect();
        // A scope ends before its threads have left the process, which may then not fork.
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

fn each_thread_has_its_own_results() {
    for_each_method(|pool| {
        on_threads(|thread| {
            for round in 0..40 {
                let args = thread * 1000 + round..thread * 1000 + round + 24;
                let expected: Vec<u64> = args.clone().map(power).collect();
                assert_eq!(pool.map(power, args.clone()), expected);
                let words = pool.map(|x: u64| x.to_string(), args.clone());
                assert!(words.into_iter().eq(args.map(|x| x.to_string())));
                assert_eq!(pool.apply(power, thread), power(thread));
            }
        });
    });
}

fn large_and_small_maps_go_on_side_by_side() {
    for_each_method(|pool| {
        on_threads(|thread| {
            for round in 0..4u8 {
                if thread % 2 == 0 {
                    let fill = |x: u8| vec![x; 1 << 19];
                    let results = pool.map(fill, [round, thread as u8, 7]);
                    assert_eq!(results, [fill(round), fill(thread as u8), fill(7)]);
                } else {
                    let sums = pool.map(
                        |x: Vec<u64>| x.iter().sum::<u64>(),
                        vec![vec![thread; 100]; 10],
                    );
                    assert_eq!(sums, vec![thread * 100; 10]);
                }
            }
        });
    });
}

/// One thread's task continues only after another thread has mapped, taken an early result, begun a
/// map and cancelled one.
fn a_thread_that_waits_holds_no_other_up() {
    // A task's statics are its worker's: the event is inherited.
    static EVENT: std::sync::OnceLock<(Event, Event)> = std::sync::OnceLock::new();
    let (is_running, may_end) =
        EVENT.get_or_init(|| (Event::new().unwrap(), Event::new().unwrap()));
    let pool = Pool::with_workers(2).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            pool.apply(
                |x: u64| {
                    let (is_running, may_end) = EVENT.get().unwrap();
                    is_running.set();
                    may_end.wait();
                    x + 1
                },
                1,
            )
        });
        is_running.wait();
        for _ in 0..100 {
            assert_eq!(
                pool.map(power, 0..24),
                (0..24).map(power).collect::<Vec<_>>()
            );
        }
        let pending = pool.apply_async(power, 3);
        assert!(pending.wait(Duration::from_secs(60)));
        drop(pool.map_async(power, 0..100));
        assert_eq!(pool.imap(power, 0..).nth(50), Some(power(50)));
        assert_eq!(pool.pids().len(), 2);
        assert!(!slow.is_finished());
        may_end.set();
        assert_eq!(slow.join().unwrap(), 2);
        assert_eq!(pending.get().unwrap(), power(3));
    });
}

fn a_panic_in_one_caller_disturbs_no_other() {
    let _quiet = Quiet::new();
    for_each_method(|pool| {
        on_threads(|thread| {
            for _ in 0..20 {
                if thread % 2 == 0 {
                    // In a task, in the iterator of the arguments, and in the thread itself while
                    // results are on their way.
                    let task = AssertUnwindSafe(|| pool.map(|x: u64| assert_ne!(x, 3), 0..5));
                    assert!(catch_unwind(task).is_err());
                    let args = || (0..5).inspect(|x: &u64| assert_ne!(*x, 3));
                    assert!(catch_unwind(AssertUnwindSafe(|| pool.map(power, args()))).is_err());
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let _pending = pool.map_async(power, 0..5);
                        panic!("on its way");
                    }));
                } else {
                    let expected: Vec<u64> = (0..24).map(power).collect();
                    assert_eq!(pool.map(power, 0..24), expected);
                }
            }
        });
    });
}

fn a_pool_is_dropped_on_another_thread_than_its_own() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = Arc::new(builder.build().unwrap());
        let pids = pool.pids();
        let threads: Vec<_> = (0..N_THREADS)
            .map(|thread| {
                let pool = Arc::clone(&pool);
                std::thread::spawn(move || assert_eq!(pool.apply(power, thread), power(thread)))
            })
            .collect();
        // One of the threads drops it.
        drop(pool);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(!pids.into_iter().any(is_running));
    }
}

fn what_is_pending_is_taken_on_another_thread() {
    for_each_method(|pool| {
        let (sender, receiver) = channel::<(u64, Pending<u64>)>();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| {
                for (x, pending) in receiver {
                    assert_eq!(pending.get().unwrap(), power(x));
                }
            });
            for x in 0..1000 {
                sender.send((x, pool.apply_async(power, x))).unwrap();
            }
            drop(sender);
            taker.join().unwrap();
        });
        // Dropped elsewhere, it is cancelled, and its memory given back.
        let pending = pool.map_async(power, 0..100_000);
        std::thread::spawn(move || drop(pending)).join().unwrap();
        assert_eq!(pool.map(power, 0..2), [0, 1]);
    });
}

fn an_iterator_goes_on_on_another_thread() {
    for_each_method(|pool| {
        let mut results = pool.imap(power, 0..1000);
        let before: Vec<u64> = results.by_ref().take(300).collect();
        let after = std::thread::scope(|scope| {
            let thread = scope.spawn(move || results.collect::<Vec<u64>>());
            thread.join().unwrap()
        });
        let all: Vec<u64> = before.into_iter().chain(after).collect();
        assert!(all.into_iter().eq((0..1000).map(power)));
    });
}

/// Only its own thread begins a call whose function captures something.
fn a_call_that_waits_for_its_turn_belongs_to_its_thread() {
    let pool = Pool::with_workers(1).unwrap();
    let (may_end, kept) = (Arc::new(Event::new().unwrap()), Rc::new(()));
    let begin = |x: u64| {
        let (may_end, kept) = (Arc::clone(&may_end), Rc::clone(&kept));
        let task = move |x: u64| {
            let _kept = &kept;
            may_end.wait();
            x + 1
        };
        pool.apply_async(task, x)
    };
    let (first, second, third) = (begin(1), begin(2), begin(3));
    std::thread::scope(|scope| {
        let may_end = &may_end;
        let other = scope.spawn(move || {
            // The first runs, and the second waits for its turn.
            assert!(!first.ready());
            let error = second.get().unwrap_err();
            assert!(error.to_string().contains("on another thread"), "{error}");
            may_end.set();
            assert_eq!(first.get(), Ok(2));
        });
        other.join().unwrap();
    });
    assert_eq!(third.get(), Ok(4));
    // What another thread has dropped of the first two is leaked.
    assert_eq!(Rc::strong_count(&kept), 3);
}

fn a_death_is_an_error_of_one_threads_item() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.build().unwrap();
        on_threads(|thread| {
            for round in 0..10 {
                if thread == 0 {
                    let results = pool.try_map(
                        |x: u64| {
                            if x == 3 {
                                std::process::abort();
                            }
                            x
                        },
                        0..6,
                    );
                    for (item, result) in (0..6).zip(results) {
                        match result {
                            Ok(value) => assert!(value == item && item != 3),
                            Err(error) => {
                                assert!(item == 3 && error.signal() == Some(6), "{error}");
                            }
                        }
                    }
                } else {
                    let args = round..round + 24;
                    let expected: Vec<u64> = args.clone().map(power).collect();
                    assert_eq!(pool.map(power, args), expected);
                }
            }
        });
    }
}

fn a_pool_that_is_terminated_ends_what_other_threads_wait_for() {
    for_each_method(|pool| {
        std::thread::scope(|scope| {
            fn forever(x: u64) -> u64 {
                loop {
                    std::thread::park_timeout(Duration::from_secs(x));
                }
            }
            let waiting: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || pool.try_map(forever, 100..103)))
                .collect();
            let looking = pool.map_async(forever, [100]);
            assert!(!looking.ready());
            pool.terminate();
            for thread in waiting {
                assert!(thread.join().unwrap().iter().all(Result::is_err));
            }
            assert!(looking.get().is_err());
        });
        assert!(pool.try_map(power, 0..1)[0].is_err());
    });
}

fn a_pool_that_is_joined_waits_for_other_threads_results() {
    for_each_method(|pool| {
        let pending: Vec<_> = (0..50).map(|x| (x, pool.apply_async(power, x))).collect();
        std::thread::scope(|scope| {
            let joining = [(); 2].map(|()| scope.spawn(|| pool.join()));
            let taking = scope.spawn(move || {
                for (x, pending) in pending {
                    assert_eq!(pending.get().unwrap(), power(x));
                }
            });
            joining
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            taking.join().unwrap();
        });
        assert!(pool.pids().is_empty());
    });
}

fn a_pool_is_resized_while_others_map() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.build().unwrap();
        on_threads(|thread| {
            for round in 0..10 {
                if thread == 0 {
                    pool.resize(1 + round as usize % 3).unwrap();
                } else {
                    let expected: Vec<u64> = (0..24).map(power).collect();
                    assert_eq!(pool.map(power, 0..24), expected);
                }
            }
        });
        assert_eq!(pool.pids().len(), pool.workers());
    }
}

fn threads_have_their_own_time_limits_noticed() {
    let builder = Pool::builder()
        .workers(2)
        .start_method(StartMethod::Forkserver);
    let pool = builder.timeout(Duration::from_millis(200)).build().unwrap();
    on_threads(|thread| {
        if thread < 2 {
            let results = pool.try_map(
                |x: u64| {
                    if x == 1 {
                        loop {
                            std::thread::park();
                        }
                    }
                    x
                },
                0..3,
            );
            assert_eq!((&results[0], &results[2]), (&Ok(0), &Ok(2)));
            assert!(results[1].as_ref().unwrap_err().is_timed_out());
        } else {
            let expected: Vec<u64> = (0..24).map(power).collect();
            assert_eq!(pool.map(power, 0..24), expected);
        }
    });
}
