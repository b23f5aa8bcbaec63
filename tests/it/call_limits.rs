//! Limits for one call of a pool that do not apply to the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use forklore::{Map, Pool, StartMethod, TaskError};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, power, tests, wait_until};

tests![
    a_calls_limit_ends_its_tasks_and_no_others,
    all_ways_to_call_have_the_limit,
    closures_have_the_limit,
    the_shorter_limit_holds,
    a_limit_counts_for_each_task,
    calls_with_different_limits_are_on_their_way_at_once,
    what_takes_too_long_is_not_tried_again_for_a_call,
    a_limit_of_no_time_is_refused_by_each_call,
    a_view_is_a_map,
    a_watched_call_has_a_limit,
    an_initializer_has_the_pools_limit_alone,
    a_result_that_is_dropped_leaves_no_limit,
    calls_with_a_context_have_the_limit,
    threads_have_limits_of_their_own,
    a_limit_is_kept_by_each_thread_that_waits,
];

/// Long enough for quick tasks on a busy machine, short enough to wait for.
const LIMIT: Duration = Duration::from_millis(200);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

fn hang_at_three(x: u32) -> u32 {
    if x == 3 { hang() } else { x + 1 }
}

/// Takes longer than the limit, and then returns.
fn take_long(x: u32) -> u32 {
    std::thread::sleep(2 * LIMIT);
    x
}

#[track_caller]
fn assert_over(error: &TaskError, item: usize) {
    assert!(error.is_timed_out() && !error.is_died(), "{error}");
    assert_eq!(error.item(), Some(item));
    let text = error.to_string();
    assert!(text.contains("the call's limit of 200ms"), "{text}");
}

fn a_calls_limit_ends_its_tasks_and_no_others() {
    for method in METHODS {
        let pool = pool(method, 2);
        let results = pool.timeout(LIMIT).try_map(hang_at_three, 0..20);
        for (item, result) in results.iter().enumerate() {
            match item {
                3 => assert_over(result.as_ref().unwrap_err(), 3),
                _ => assert_eq!(*result, Ok(item as u32 + 1)),
            }
        }
        // The next call has none, on workers that have been there for long.
        assert_eq!(pool.map(take_long, 0..2), [0, 1], "{method:?}");
        assert_eq!(pool.timeout(LONG).map(take_long, 0..2), [0, 1]);
        assert_eq!(pool.stats().total().n_timeouts(), 1);
        assert_eq!(pool.pids().len(), 2);
    }
}

fn message(outcome: std::thread::Result<impl Sized>) -> String {
    let payload = outcome.err().expect("a panic");
    *payload.downcast::<String>().unwrap()
}

fn all_ways_to_call_have_the_limit() {
    let pool = Pool::with_workers(2).unwrap();
    let limited = pool.timeout(LIMIT);
    assert_eq!(limited.workers(), 2);
    let _quiet = Quiet::new();
    let is_over = |call: &dyn Fn()| {
        let text = message(catch_unwind(AssertUnwindSafe(call)));
        assert!(text.contains("the call's limit of 200ms"), "{text}");
    };
    is_over(&|| drop(limited.map(hang_at_three, 2..5)));
    is_over(&|| drop(limited.map_chunked(hang_at_three, 2..5, 3)));
    is_over(&|| drop(limited.map_traced(hang_at_three, 2..5)));
    is_over(&|| drop(limited.starmap(|x: u32, y: u32| hang_at_three(x + y), [(1, 2)])));
    is_over(&|| assert_eq!(limited.apply(hang_at_three, 3), 0));
    let mut results = limited.imap(hang_at_three, 2..6);
    assert_eq!(results.next(), Some(3));
    let next = catch_unwind(AssertUnwindSafe(|| results.next()));
    assert!(message(next).contains("item 1"));
    assert_eq!(results.next(), Some(5));
    let mut items: Vec<_> = limited.imap_unordered(hang_at_three, 4..9).collect();
    items.sort_unstable();
    assert_eq!(items, [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9)]);
    is_over(&|| assert_eq!(limited.imap_unordered(hang_at_three, [3]).next(), None));
    assert_over(&limited.apply_async(hang_at_three, 3).get().unwrap_err(), 0);
    let pending = limited.map_async(hang_at_three, 0..5);
    wait_until(|| pending.ready());
    assert_over(&pending.get().unwrap_err(), 3);
    // And what is within the limit comes back.
    assert_eq!(limited.apply(hang_at_three, 4), 5);
    assert_eq!(limited.starmap(|x: u32, y: u32| x + y, [(1, 2)]), [3]);
    assert_eq!(limited.map_traced(power, 0..3).value, [0, 1, 1024]);
    assert_eq!(limited.map_async(power, 0..3).get(), Ok(vec![0, 1, 1024]));
    assert_eq!(limited.map(power, 0..0), [0; 0]);
}

fn closures_have_the_limit() {
    for method in METHODS {
        let pool = pool(method, 2);
        let three = 3;
        let hangs = move |x: u32| if x == three { hang() } else { x };
        let results = pool.timeout(LIMIT).try_map(hangs, 0..6);
        assert_over(results[3].as_ref().unwrap_err(), 3);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        let pending = pool.timeout(LIMIT).apply_async(hangs, 3);
        assert_over(&pending.get().unwrap_err(), 0);
        let mut results = pool.timeout(LIMIT).imap(hangs, [3, 4]);
        let _quiet = Quiet::new();
        let next = catch_unwind(AssertUnwindSafe(|| results.next()));
        assert!(message(next).contains("the call's limit"));
        assert_eq!(results.next(), Some(4));
        // Without a limit, its own workers have none.
        let long = move |x: u32| take_long(x + three);
        assert_eq!(pool.map(long, 0..2), [3, 4], "{method:?}");
    }
}

fn the_shorter_limit_holds() {
    let builder = Pool::builder().workers(2).timeout(LIMIT);
    let pool = builder.build().unwrap();
    let long = pool.timeout(LONG).try_map(hang_at_three, 3..5);
    let text = long[0].as_ref().unwrap_err().to_string();
    assert!(text.contains("the pool's limit of 200ms"), "{text}");
    let builder = Pool::builder().workers(2).timeout(LONG);
    let pool = builder.build().unwrap();
    let short = pool.timeout(LIMIT).try_map(hang_at_three, 3..5);
    assert_over(short[0].as_ref().unwrap_err(), 0);
    // Of CPU time, the pool's limit stays.
    let builder = Pool::builder().workers(1).cpu_time_limit(LIMIT);
    let pool = builder.build().unwrap();
    let busy = |()| loop {
        std::hint::spin_loop();
    };
    let results: Vec<Result<(), _>> = pool.timeout(LONG).try_map(busy, [()]);
    let text = results[0].as_ref().unwrap_err().to_string();
    assert!(text.contains("CPU time than the pool's limit"), "{text}");
    assert_eq!(pool.map(take_long, [7]), [7]);
}

fn a_limit_counts_for_each_task() {
    let pool = Pool::with_workers(1).unwrap();
    let nap = |x: u32| {
        std::thread::sleep(LIMIT / 10);
        x
    };
    let results = pool.timeout(LIMIT).map_chunked(nap, 0..20, 20);
    assert_eq!(results, (0..20).collect::<Vec<_>>());
}

fn calls_with_different_limits_are_on_their_way_at_once() {
    for method in METHODS {
        let pool = pool(method, 3);
        let unlimited = pool.map_async(take_long, 0..3);
        let long = pool.timeout(LONG).map_async(take_long, 0..3);
        let short = pool.timeout(LIMIT).map_async(hang_at_three, 0..6);
        let shortest = pool.timeout(LIMIT / 2).map_async(hang_at_three, [4, 3]);
        let error = shortest.get().unwrap_err();
        assert!(error.to_string().contains("limit of 100ms"), "{error}");
        assert_over(&short.get().unwrap_err(), 3);
        assert_eq!(unlimited.get(), Ok(vec![0, 1, 2]), "{method:?}");
        assert_eq!(long.get(), Ok(vec![0, 1, 2]));
        assert_eq!(pool.stats().total().n_timeouts(), 2);
    }
}

fn what_takes_too_long_is_not_tried_again_for_a_call() {
    let builder = Pool::builder().workers(2).retries(2);
    let pool = builder.build().unwrap();
    let deadly = |x: u32| match x {
        0 => hang(),
        1 => std::process::abort(),
        _ => x,
    };
    let results = pool.timeout(LIMIT).try_map(deadly, 0..4);
    let [hangs, aborts] = [0, 1].map(|item| results[item].as_ref().unwrap_err());
    assert_over(hangs, 0);
    assert_eq!((hangs.tries(), aborts.tries()), (1, 3));
    // A retry has the limit as the first try has.
    let tries = forklore::SharedArray::<u32>::zeroed(1).unwrap();
    let results = pool.timeout(LIMIT).try_map(
        |x: u32| {
            tries.set(0, tries.get(0) + 1);
            match tries.get(0) {
                1 => std::process::abort(),
                _ => hang_at_three(x),
            }
        },
        [3],
    );
    let error = results[0].as_ref().unwrap_err();
    assert!(error.is_timed_out() && error.tries() == 2, "{error}");
}

fn a_limit_of_no_time_is_refused_by_each_call() {
    let pool = Pool::with_workers(1).unwrap();
    let none = pool.timeout(Duration::ZERO);
    let captured = 1;
    let results = none.try_map(power, 0..3);
    assert_eq!(results.len(), 3);
    let of_closure = none.try_map(|x: u32| x + captured, 0..3);
    let errors = results.into_iter().filter_map(Result::err);
    let errors = errors.chain(of_closure.into_iter().filter_map(Result::err));
    let errors: Vec<TaskError> = errors
        .chain(none.apply_async(power, 1).get().err())
        .chain(none.apply_async(move |x: u32| x + captured, 1).get().err())
        .chain(none.map_async(power, 0..3).get().err())
        .collect();
    assert_eq!(errors.len(), 9);
    for error in errors {
        assert!(error.is_not_run(), "{error}");
        assert!(error.to_string().contains("a limit of 0 s"), "{error}");
    }
    let _quiet = Quiet::new();
    for call in [
        &(|| drop(none.map(power, 0..3))) as &dyn Fn(),
        &|| assert_eq!(none.imap(power, 0..3).next(), None),
        &|| assert_eq!(none.imap_unordered(power, 0..3).next(), None),
        &|| assert_eq!(none.apply(power, 3), 0),
    ] {
        let text = message(catch_unwind(AssertUnwindSafe(call)));
        assert!(text.contains("a limit of 0 s"), "{text}");
    }
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn a_view_is_a_map() {
    fn sums(map: &impl Map) -> (u64, u64, usize) {
        let all = map.map(|x: u64| x, 0..10);
        let some = map.imap(|x: u64| x, 0..).take(5);
        (all.iter().sum(), some.sum(), map.workers())
    }
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(sums(&pool.timeout(LONG)), sums(&pool));
    // As long as a second is, and no longer than can be counted.
    let most = pool.timeout(Duration::MAX);
    assert_eq!(most.map(power, 0..3), [0, 1, 1024]);
}

fn a_watched_call_has_a_limit() {
    let pool = Pool::with_workers(2).unwrap();
    let results = pool
        .timeout(LIMIT)
        .with_progress()
        .try_map(hang_at_three, 2..6);
    assert_over(results[1].as_ref().unwrap_err(), 1);
    let watched = pool.with_progress().timeout(LIMIT).label("limited");
    let results = watched.try_map(hang_at_three, 2..6);
    assert_over(results[1].as_ref().unwrap_err(), 1);
    assert_eq!(watched.apply(hang_at_three, 4), 5);
    assert_eq!(watched.map_traced(power, 0..3).value, [0, 1, 1024]);
}

fn an_initializer_has_the_pools_limit_alone() {
    for method in METHODS {
        let builder = Pool::builder().workers(1).start_method(method);
        let pool = builder.initializer(|| std::thread::sleep(2 * LIMIT));
        let pool = pool.build().unwrap();
        let results = pool.timeout(LIMIT / 4).try_map(power, 0..3);
        assert_eq!(results, [Ok(0), Ok(1), Ok(1024)], "{method:?}");
    }
}

fn a_result_that_is_dropped_leaves_no_limit() {
    let pool = Pool::with_workers(1).unwrap();
    // It runs on, under its limit, and makes way for what is waited for.
    drop(pool.timeout(LIMIT).apply_async(hang_at_three, 3));
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    assert_eq!(pool.map(take_long, [7]), [7]);
}

fn calls_with_a_context_have_the_limit() {
    let hangs = |three: &u32, x: u32| if x == *three { hang() } else { x };
    for method in METHODS {
        let pool = pool(method, 2);
        let limited = pool.timeout(LIMIT);
        let results = limited.try_map_with(&3, hangs, 0..6);
        assert_over(results[3].as_ref().unwrap_err(), 3);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        let three = forklore::Context::new(3);
        assert_eq!(limited.apply_with(&three, hangs, 4), 4, "{method:?}");
        let mut results = limited.imap_with(&three, hangs, 2..5);
        assert_eq!(results.next(), Some(2));
        let _quiet = Quiet::new();
        let next = catch_unwind(AssertUnwindSafe(|| results.next()));
        assert!(message(next).contains("the call's limit of 200ms"));
        assert_eq!(results.next(), Some(4));
    }
}

/// Threads without a limit check rarely, and threads with one often.
fn threads_have_limits_of_their_own() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let pool = pool(method, 4);
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (pool, barrier) = (&pool, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let limit = LIMIT / 2 * thread;
                    match thread {
                        0 => assert_eq!(pool.map(take_long, 0..6), [0, 1, 2, 3, 4, 5]),
                        _ => {
                            let results = pool.timeout(limit).try_map(hang_at_three, 2..6);
                            let error = results[1].as_ref().unwrap_err().to_string();
                            let words = format!("the call's limit of {limit:?}");
                            assert!(error.contains(&words), "{error}");
                        }
                    }
                });
            }
        });
        assert_eq!(pool.stats().total().n_timeouts(), 3, "{method:?}");
    }
}

fn a_limit_is_kept_by_each_thread_that_waits() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let pool = pool(method, 2);
        let pending = pool.timeout(LIMIT).apply_async(hang_at_three, 3);
        // The other waits for something else, and longer.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_until(|| {
                    assert_eq!(pool.map(take_long, [7]), [7]);
                    pool.stats().total().n_timeouts() == 1
                });
            });
        });
        assert_over(&pending.get().unwrap_err(), 0);
    }
}
