//! Calls whose function captures something: any number may be under way, but only as many workers
//! as the pool has are at work.

use std::time::Duration;

use forklore::{Event, Pending, Pool, StartMethod, Value};

use crate::support::{self, children};

support::tests![
    no_more_are_at_work_than_the_pool_has_workers,
    each_turn_has_an_outcome_of_its_own,
    what_is_dropped_does_not_take_its_turn,
    a_join_waits_for_all_turns,
    a_termination_ends_all_turns,
    a_forked_child_has_no_turn_of_its_parents,
    a_turn_may_have_many_items,
];

fn no_more_are_at_work_than_the_pool_has_workers() {
    for method in [
        StartMethod::Fork,
        StartMethod::Forkserver,
        StartMethod::Spawn,
    ] {
        let (now, most) = leaked(|| (Value::new(0u32).unwrap(), Value::new(0u32).unwrap()));
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.build().unwrap();
        let n_before = children().len();
        let work = move |x: u32| {
            let n_at_work = now.update(|n| n + 1);
            most.update(|n| n.max(n_at_work));
            now.update(|n| n - 1);
            x * x
        };
        let pending: Vec<Pending<u32>> = (0..300).map(|x| pool.apply_async(work, x)).collect();
        assert!(children().len() <= n_before + 2);
        // In any order.
        for (x, pending) in (0..300).zip(pending).rev() {
            assert_eq!(pending.get().unwrap(), x * x);
        }
        assert!(most.get() <= 2 && now.get() == 0, "{most:?}");
        assert_eq!(children().len(), n_before);
    }
}

/// A value that a `'static` closure may refer to, for the rest of the test run.
fn leaked<T>(make: impl FnOnce() -> T) -> &'static T {
    Box::leak(Box::new(make()))
}

fn each_turn_has_an_outcome_of_its_own() {
    let pool = Pool::with_workers(2).unwrap();
    let limit = 7;
    let pending: Vec<Pending<u32>> = (0..12)
        .map(|x| {
            let work = move |x: u32| match x {
                3 => panic!("{limit}"),
                5 => std::process::abort(),
                x => x + limit,
            };
            pool.apply_async(work, x)
        })
        .collect();
    let wait = Duration::from_secs(60);
    assert!(
        pending
            .iter()
            .rev()
            .all(|pending| pending.wait(wait) && pending.ready())
    );
    for (x, pending) in (0..12).zip(pending) {
        match (x, pending.get()) {
            (3, outcome) => assert!(outcome.unwrap_err().is_panicked()),
            (5, outcome) => assert_eq!(outcome.unwrap_err().signal(), Some(6)),
            (x, outcome) => assert_eq!(outcome.unwrap(), x + 7),
        }
    }
}

fn what_is_dropped_does_not_take_its_turn() {
    let pool = Pool::with_workers(1).unwrap();
    let (go, n_run) = leaked(|| (Event::new().unwrap(), Value::new(0u32).unwrap()));
    let work = move |x: u32| {
        go.wait();
        n_run.update(|n| n + 1);
        x
    };
    let first = pool.apply_async(work, 1);
    drop(pool.apply_async(work, 2));
    let third = pool.apply_async(work, 3);
    assert!(!third.wait(Duration::from_millis(1)) && !first.ready());
    go.set();
    assert_eq!((third.get().unwrap(), first.get().unwrap()), (3, 1));
    assert_eq!(n_run.get(), 2);
    // One that runs ends with its result's drop.
    go.clear();
    drop(pool.apply_async(work, 4));
    assert_eq!(
        pool.apply_async(move |x: u32| x + u32::from(go.is_set()), 5)
            .get(),
        Ok(5)
    );
}

fn a_join_waits_for_all_turns() {
    let n_run = leaked(|| Value::new(0u32).unwrap());
    let pool = Pool::with_workers(2).unwrap();
    let work = move |_: u32| n_run.update(|n| n + 1);
    let pending: Vec<Pending<u32>> = (0..10).map(|x| pool.apply_async(work, x)).collect();
    pool.close();
    pool.join();
    assert_eq!(n_run.get(), 10);
    assert_eq!(children(), Vec::<i32>::new());
    let mut counted: Vec<u32> = pending
        .into_iter()
        .map(|pending| pending.get().unwrap())
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=10).collect::<Vec<_>>());
    let refused = pool.apply_async(work, 1).get().unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
}

fn a_termination_ends_all_turns() {
    let pool = Pool::with_workers(1).unwrap();
    let pid = std::process::id();
    let endless = move |_: u32| -> u32 {
        loop {
            std::thread::park_timeout(Duration::from_secs(u64::from(pid)));
        }
    };
    let pending: Vec<Pending<u32>> = (0..3).map(|x| pool.apply_async(endless, x)).collect();
    pool.terminate();
    for pending in pending {
        let error = pending.get().unwrap_err();
        assert!(error.to_string().contains("terminated"), "{error}");
    }
    assert_eq!(children(), Vec::<i32>::new());
}

fn a_forked_child_has_no_turn_of_its_parents() {
    let pool = Pool::with_workers(1).unwrap();
    let go = leaked(|| Event::new().unwrap());
    let work = move |x: u32| {
        go.wait();
        x
    };
    let pending: Vec<Pending<u32>> = (0..3).map(|x| pool.apply_async(work, x)).collect();
    let child = forklore::Process::spawn(|| {
        let n_errors = pending
            .into_iter()
            .map(Pending::get)
            .filter(Result::is_err)
            .count();
        go.set();
        // Its own have their turns.
        (n_errors, pool.apply_async(work, 9).get())
    });
    let (n_errors, own) = child.unwrap().join().unwrap();
    assert_eq!((n_errors, own), (3, Ok(9)));
}

fn a_turn_may_have_many_items() {
    let pool = Pool::with_workers(3).unwrap();
    let offset = 10;
    let n_before = children().len();
    let pending: Vec<Pending<Vec<u32>>> = (0..6)
        .map(|n| pool.map_async(move |x: u32| x + offset, 0..n))
        .collect();
    assert!(children().len() <= n_before + 3);
    for (n, pending) in (0..6).zip(pending) {
        assert_eq!(pending.get().unwrap(), (10..10 + n).collect::<Vec<_>>());
    }
}
