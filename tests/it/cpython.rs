//! Checks CPython's promises about its pools (`multiprocessing.Pool`, `ProcessPoolExecutor`) for
//! this one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use forklore::{Event, Pool, StartMethod};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, children, is_running, power, tests, wait_until};

tests![
    every_way_to_call_gives_the_same,
    nothing_to_do_is_done,
    an_iterator_that_panics_loses_nothing_before_it,
    an_iterator_may_lie_about_its_length,
    a_panic_names_its_place_in_every_way_to_call,
    all_items_run_though_the_first_failed,
    bad_numbers_are_refused_by_every_start_method,
    an_initializer_is_told_from_a_pointer_to_one,
    terminate_ends_what_runs,
    a_pool_that_goes_out_of_scope_ends_its_workers,
    workers_live_for_so_many_tasks,
    more_calls_than_workers_wait_for_their_turn,
    arguments_and_results_are_dropped_once,
];

/// The message of a panic that reached the caller.
fn message_of<T>(f: impl FnOnce() -> T) -> String {
    let _quiet = Quiet::new();
    let payload = catch_unwind(AssertUnwindSafe(f)).map(drop).unwrap_err();
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn every_way_to_call_gives_the_same() {
    for method in METHODS {
        let pool = pool(method, 2);
        let n = 60u64;
        let expected: Vec<u64> = (0..n).map(power).collect();
        assert_eq!(pool.map(power, 0..n), expected);
        for chunk in [1, 7, 60, 1000] {
            assert_eq!(pool.map_chunked(power, 0..n, chunk), expected);
        }
        let pairs = (0..n).map(|x| (x, 10u32));
        assert_eq!(
            pool.starmap(|x: u64, n: u32| x.wrapping_pow(n), pairs),
            expected
        );
        assert_eq!(pool.map_async(power, 0..n).get(), Ok(expected.clone()));
        assert_eq!(pool.imap(power, 0..n).collect::<Vec<_>>(), expected);
        let mut places = vec![0; expected.len()];
        for (place, result) in pool.imap_unordered(power, 0..n) {
            places[place] = result;
        }
        assert_eq!(places, expected);
        assert_eq!(pool.apply(power, 2), 1024);
        assert_eq!(pool.apply_async(power, 2).get(), Ok(1024));
    }
}

fn nothing_to_do_is_done() {
    for method in METHODS {
        let pool = pool(method, 1);
        assert!(pool.map(power, []).is_empty());
        assert!(pool.try_map(power, []).is_empty());
        assert!(pool.map_chunked(power, [], 3).is_empty());
        let no_pairs: [(u8, u8); 0] = [];
        assert!(pool.starmap(|a: u8, b: u8| a + b, no_pairs).is_empty());
        let pending = pool.map_async(power, []);
        assert!(pending.ready());
        assert_eq!(pending.get(), Ok(Vec::new()));
        assert_eq!(pool.imap(power, []).next(), None);
        assert_eq!(pool.imap_unordered(power, []).next(), None);
        let captured = 1;
        assert!(pool.map(|x: u64| x + captured, []).is_empty());
    }
}

/// The numbers below `n`; panics in place of `bad`.
fn numbers_but(bad: u64, n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(move |x| if x == bad { panic!("no item {x}") } else { x })
}

fn an_iterator_that_panics_loses_nothing_before_it() {
    for method in METHODS {
        let pool = pool(method, 2);
        let captured = 0;
        for bad in [0, 3, 150] {
            let expected = format!("no item {bad}");
            let args = || numbers_but(bad, 200);
            let told = [
                message_of(|| pool.map(power, args())),
                message_of(|| pool.try_map(|x: u64| x + captured, args())),
                message_of(|| pool.map_async(power, args())),
                message_of(|| pool.imap(power, args()).count()),
                message_of(|| pool.imap(|x: u64| x.to_string(), args()).count()),
            ];
            assert!(told.iter().all(|message| *message == expected), "{told:?}");
            // The results of what came before it come first, and the rest after it.
            let mut stream = pool.imap(power, args());
            let before: Vec<u64> = stream.by_ref().take(bad as usize).collect();
            assert_eq!(before, (0..bad).map(power).collect::<Vec<_>>());
            assert_eq!(message_of(|| stream.next()), expected);
            let after: Vec<u64> = stream.collect();
            assert_eq!(after, (bad + 1..200).map(power).collect::<Vec<_>>());
            let mut stream = pool.imap_unordered(|x: u64| x.to_string(), args());
            let mut before: Vec<usize> = stream
                .by_ref()
                .take(bad as usize)
                .map(|(place, _)| place)
                .collect();
            before.sort_unstable();
            assert_eq!(before, (0..bad as usize).collect::<Vec<_>>());
            assert_eq!(message_of(|| stream.next()), expected);
        }
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
}

/// An iterator that announces more or fewer items than it has.
struct Liar<I>(I, (usize, Option<usize>));

impl<I: Iterator> Iterator for Liar<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

fn an_iterator_may_lie_about_its_length() {
    let pool = Pool::with_workers(2).unwrap();
    let captured = 1;
    for hint in [(0, Some(0)), (9, Some(9)), (5000, None)] {
        let args = || Liar(0..50u64, hint);
        let expected: Vec<u64> = (0..50).map(power).collect();
        assert_eq!(pool.map(power, args()), expected);
        assert_eq!(pool.map_async(power, args()).get(), Ok(expected.clone()));
        assert!(pool.imap(power, args()).eq(expected.iter().copied()));
        let words = pool.map(
            |text: String| text.len(),
            Liar(["a"; 9].map(str::to_owned).into_iter(), hint),
        );
        assert_eq!(words, [1; 9]);
        let more: Vec<u64> = (1..51).collect();
        assert_eq!(pool.map(|x: u64| x + captured, args()), more);
    }
}

fn refuse(x: u32) -> u32 {
    if x == 2 { panic!("{x} is refused") } else { x }
}

fn a_panic_names_its_place_in_every_way_to_call() {
    for method in METHODS {
        let pool = pool(method, 2);
        let captured = 0;
        let told = [
            message_of(|| pool.map(refuse, 0..4)),
            message_of(|| pool.map(|x: u32| refuse(x + captured), 0..4)),
            message_of(|| pool.starmap(|x: u32, y: u32| refuse(x + y), [(0, 0), (0, 1), (1, 1)])),
            message_of(|| pool.imap(refuse, 0..4).count()),
            message_of(|| pool.imap_unordered(refuse, 0..4).count()),
            pool.map_async(refuse, 0..4).get().unwrap_err().to_string(),
        ];
        for message in told {
            for words in ["item 2", "2 is refused", "cpython.rs:"] {
                assert!(message.contains(words), "{message}");
            }
        }
        let error = pool.apply_async(refuse, 2).get().unwrap_err();
        assert!(
            error.is_panicked() && error.message() == "2 is refused",
            "{error}"
        );
        assert!(error.location().unwrap().contains("cpython.rs:"));
        assert!(message_of(|| pool.apply(refuse, 2)).contains("2 is refused"));
    }
}

fn all_items_run_though_the_first_failed() {
    for method in METHODS {
        let pool = pool(method, 2);
        let path = std::env::temp_dir().join(format!("forklore-failfast-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let args = (0..20u32).map(|x| (x, path.to_string_lossy().into_owned()));
        let message = message_of(|| {
            pool.starmap(
                |x: u32, path: String| {
                    assert!(x != 0, "the first");
                    std::fs::write(format!("{path}/{x}"), "").unwrap();
                },
                args,
            )
        });
        assert!(message.contains("the first"), "{message}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 19);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

fn bad_numbers_are_refused_by_every_start_method() {
    for method in METHODS {
        let builder = || Pool::builder().start_method(method);
        for n_workers in [0, 1025, usize::MAX] {
            let error = builder().workers(n_workers).build().unwrap_err();
            assert!(error.is_invalid_input(), "{error}");
        }
        let bad = [
            builder().workers(1).max_tasks_per_worker(0),
            builder().workers(1).timeout(Duration::ZERO),
        ];
        for builder in bad {
            assert!(builder.build().unwrap_err().is_invalid_input());
        }
        assert_eq!(children(), Vec::<i32>::new());
    }
}

fn an_initializer_is_told_from_a_pointer_to_one() {
    fn start() {}
    let captured = 7;
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let builder = || Pool::builder().workers(1).start_method(method);
        let error = builder().initializer(start as fn()).build().unwrap_err();
        let text = error.to_string();
        assert!(error.is_invalid_input(), "{text}");
        assert!(
            text.contains("initializer") && text.contains("pointer to a function (fn())"),
            "{text}"
        );
        let error = builder().initializer(move || assert_eq!(captured, 7));
        let text = error.build().unwrap_err().to_string();
        assert!(text.contains("has captured something"), "{text}");
    }
    let builder = Pool::builder().workers(1).initializer(start as fn());
    assert_eq!(builder.build().unwrap().map(power, [1]), [1]);
}

fn hang(_: u32) -> u32 {
    loop {
        std::thread::park();
    }
}

fn terminate_ends_what_runs() {
    for method in METHODS {
        let pool = pool(method, 2);
        let captured = 0;
        let all = pool.map_async(hang, 0..30);
        let one = pool.apply_async(|x: u32| power(x.into()), 1);
        let closure = pool.apply_async(move |x: u32| hang(x + captured), 1);
        assert!(!all.wait(Duration::from_millis(1)) && !one.ready());
        pool.terminate();
        assert!(all.ready() && one.ready() && closure.ready());
        for error in [
            all.get().unwrap_err(),
            one.get().unwrap_err(),
            closure.get().unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(
                error.is_not_run() || error.is_died() || error.is_interrupted(),
                "{text}"
            );
        }
        assert_eq!(children(), Vec::<i32>::new());
        pool.terminate();
        pool.join();
        let error = pool.apply_async(power, 1).get().unwrap_err();
        assert!(
            error.is_not_run() && error.to_string().contains("closed"),
            "{error}"
        );
        assert!(message_of(|| pool.map(power, [1])).contains("closed"));
        assert!(message_of(|| pool.imap(power, [1]).count()).contains("closed"));
    }
}

fn a_pool_that_goes_out_of_scope_ends_its_workers() {
    for method in METHODS {
        // At the end of a block, with results that are taken later, and while a panic unwinds.
        let (pids, pending) = {
            let pool = pool(method, 2);
            (pool.pids(), pool.map_async(power, 0..100))
        };
        assert_eq!(pending.get().unwrap().len(), 100);
        assert!(pids.iter().all(|&pid| !is_running(pid)), "{method:?}");
        let seen = Cell::new(0);
        let message = message_of(|| {
            let pool = pool(method, 2);
            seen.set(pool.pids()[0]);
            let _hangs = pool.apply_async(hang, 0);
            pool.map(refuse, 2..3)
        });
        assert!(message.contains("2 is refused"), "{message}");
        wait_until(|| !is_running(seen.get()));
        assert_eq!(children(), Vec::<i32>::new());
    }
}

fn workers_live_for_so_many_tasks() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.max_tasks_per_worker(5).build().unwrap();
        let pids = pool.map_chunked(|_: u32| std::process::id(), 0..20, 1);
        let mut counts = BTreeMap::new();
        for pid in pids {
            *counts.entry(pid).or_insert(0) += 1;
        }
        assert!(counts.values().all(|&n| n <= 5), "{counts:?}");
        // Closed while workers come to their end: what was begun is done.
        let pending: Vec<_> = (0..12).map(|x| pool.apply_async(power, x)).collect();
        pool.close();
        pool.join();
        assert_eq!(children(), Vec::<i32>::new());
        for (x, result) in (0..).zip(pending) {
            assert_eq!(result.get(), Ok(power(x)));
        }
    }
}

fn more_calls_than_workers_wait_for_their_turn() {
    let pool = Pool::with_workers(2).unwrap();
    let gate = Rc::new(Event::new().unwrap());
    let pending: Vec<_> = (0..15 * 2)
        .map(|x: u64| {
            let gate = Rc::clone(&gate);
            pool.apply_async(
                move |x: u64| {
                    gate.wait();
                    x + 1
                },
                x,
            )
        })
        .collect();
    assert!(pending.iter().all(|result| !result.ready()));
    assert!(children().len() <= 4, "no more than two for the calls");
    gate.set();
    for (x, result) in (0..).zip(pending) {
        assert_eq!(result.get(), Ok(x + 1));
    }
    assert_eq!(Rc::strong_count(&gate), 1);
}

fn arguments_and_results_are_dropped_once() {
    use serde::{Deserialize, Serialize};
    thread_local!(static ALIVE: Cell<i64> = const { Cell::new(0) });

    #[derive(Serialize)]
    struct Counted(u64);
    impl Counted {
        fn new(x: u64) -> Counted {
            ALIVE.set(ALIVE.get() + 1);
            Counted(x)
        }
    }
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            u64::deserialize(deserializer).map(Counted::new)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.set(ALIVE.get() - 1);
        }
    }
    for method in METHODS {
        let pool = pool(method, 2);
        let args = || (0..40).map(Counted::new);
        let same = |x: Counted| x;
        let captured = Rc::new(0);
        let kept = Rc::clone(&captured);
        assert_eq!(pool.map(same, args()).len(), 40);
        assert_eq!(pool.try_map(same, args()).len(), 40);
        assert_eq!(
            pool.map(|x: Counted| Counted::new(x.0 + *captured), args())
                .len(),
            40
        );
        assert_eq!(pool.map_async(same, args()).get().unwrap().len(), 40);
        let closure = move |x: Counted| Counted::new(x.0 + *kept);
        assert_eq!(pool.map_async(closure, args()).get().unwrap().len(), 40);
        drop(pool.map_async(same, args()));
        // A result that was taken is held by nothing else.
        let mut results = pool.imap(same, args());
        let last = results.by_ref().last();
        assert_eq!((last.map(|last| last.0), ALIVE.get()), (Some(39), 0));
        drop(results);
        drop(pool.imap(same, args()).next());
        let message = message_of(|| pool.map(|x: Counted| assert!(x.0 != 3, "three"), args()));
        assert!(message.contains("three"), "{message}");
        assert_eq!(ALIVE.get(), 0, "{method:?}");
        assert_eq!(Rc::strong_count(&captured), 1);
        // Neither do workers hold any.
        assert_eq!(pool.broadcast(|| ALIVE.get()), [0, 0], "{method:?}");
    }
}
