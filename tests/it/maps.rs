//! Mapping: results, order, errors, deaths, and what a pool leaves behind.

use std::collections::HashSet;

use forklore::{Map, Pool, Serial, ThreadPool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::support::{Scene, is_running, play, scene, tests, text, wait_until};

tests![
    results_come_in_order,
    results_do_not_depend_on_the_number_of_workers,
    every_kind_of_value_travels,
    the_obvious_corners,
    a_closure_inherits_what_it_captures,
    a_function_pointer_is_mapped,
    generic_functions_are_told_apart,
    the_same_workers_serve_many_maps,
    all_workers_take_part,
    a_panic_names_the_item_and_the_others_arrive,
    map_panics_after_all_have_finished,
    deaths_name_item_pid_and_signal,
    a_worker_killed_from_outside_is_replaced,
    workers_killed_while_idle_are_replaced,
    every_item_may_kill_its_worker,
    a_closure_that_dies_loses_nothing_else,
    a_result_that_cannot_be_encoded_is_an_error,
    an_argument_that_cannot_be_encoded_is_an_error,
    values_that_do_not_decode_are_errors,
    a_closed_pool_says_so,
    a_terminated_pool_leaves_nothing,
    bad_numbers_are_refused,
    a_second_thread_is_refused,
    a_pool_in_a_forked_child_has_workers_of_its_own,
    a_pool_in_a_task_works,
    arguments_may_come_from_the_pool_itself,
    an_iterator_that_panics_leaves_the_pool_usable,
    an_initializer_runs_in_every_worker,
    an_initializer_that_panics_is_an_error_and_no_loop,
    large_values_travel,
    many_more_workers_than_items,
    output_of_tasks_is_printed_once,
    workers_die_with_their_owner,
    one_trait_for_all_pools,
    tuples_are_spread,
    imap_is_lazy_and_in_order,
    imap_of_a_closure_streams,
    imap_names_the_item_and_goes_on,
    imap_unordered_gives_the_quick_ones_first,
    an_abandoned_imap_leaves_the_pool_usable,
    apply_runs_elsewhere,
    ten_thousand_results_may_be_pending,
    pending_closures_own_what_they_captured,
    pending_results_survive_deaths_and_the_pool,
    a_dropped_pending_result_is_not_worked_on,
    a_pending_result_in_a_child_is_an_error,
    more_large_arguments_in_flight_than_workers,
    workers_are_replaced_after_enough_tasks,
];

pub const SCENES: &[Scene] = &[
    ("tasks_print", tasks_print),
    ("owner_is_killed", owner_is_killed),
];

fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

fn results_come_in_order() {
    let pool = Pool::with_workers(2).unwrap();
    let expected: Vec<u64> = (0..10_000).map(power).collect();
    assert_eq!(pool.map(power, 0..10_000), expected);
    assert_eq!(pool.map_chunked(power, 0..10_000, 1), expected);
    assert_eq!(pool.map_chunked(power, 0..10_000, 3_333), expected);
}

fn results_do_not_depend_on_the_number_of_workers() {
    let words = |n: usize| "x".repeat(n % 17);
    let expected: Vec<String> = (0..500).map(words).collect();
    for n_workers in [1, 2, 3, 7] {
        let pool = Pool::with_workers(n_workers).unwrap();
        assert_eq!(pool.workers(), n_workers);
        assert_eq!(pool.pids().len(), n_workers);
        assert_eq!(pool.map(|n: usize| "x".repeat(n % 17), 0..500), expected);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f32 },
    Path(Vec<(i64, i64)>),
}

fn every_kind_of_value_travels() {
    let pool = Pool::with_workers(2).unwrap();
    let shapes = vec![
        Shape::Point,
        Shape::Circle { radius: 2.5 },
        Shape::Path(vec![(1, -2), (i64::MAX, i64::MIN)]),
    ];
    assert_eq!(pool.map(|shape: Shape| shape, shapes.clone()), shapes);
    assert_eq!(
        pool.map(|(a, b): (u8, String)| format!("{b}{a}"), [(1, "x".into())]),
        ["x1"]
    );
    assert_eq!(pool.map(|x: u128| x, [u128::MAX, 0]), [u128::MAX, 0]);
    assert_eq!(
        pool.map(|x: f64| x, [f64::MIN_POSITIVE]),
        [f64::MIN_POSITIVE]
    );
    assert_eq!(
        pool.map(|x: Option<char>| x, [None, Some('é')]),
        [None, Some('é')]
    );
    assert_eq!(pool.map(|x: u32| x.to_string(), 9..11), ["9", "10"]);
    assert_eq!(pool.map(|x: String| x.len(), ["four".to_owned()]), [4]);
    assert_eq!(
        pool.map(|x: Vec<f64>| x, [vec![1.5; 1000]]),
        [vec![1.5; 1000]]
    );
}

fn the_obvious_corners() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(power, Vec::new()), Vec::<u64>::new());
    assert_eq!(pool.map(power, [3]), [59_049]);
    assert_eq!(pool.map(|(): ()| (), [(), (), ()]), [(), (), ()]);
    assert_eq!(pool.map(|x: u8| x, [7; 1]), [7]);
    let captured = 1;
    assert_eq!(
        pool.map(|x: i32| x + captured, Vec::new()),
        Vec::<i32>::new()
    );
}

fn a_closure_inherits_what_it_captures() {
    let pool = Pool::with_workers(2).unwrap();
    let table: Vec<u64> = (0..1000).map(|x| x * x).collect();
    // The state need not be serialisable, nor outlive the call.
    let not_serializable = std::rc::Rc::new(std::cell::Cell::new(5));
    let results = pool.map(|x: usize| table[x] + not_serializable.get(), 0..1000);
    assert_eq!(
        results,
        table.iter().map(|square| square + 5).collect::<Vec<_>>()
    );
    let strings: Vec<String> = pool.map(
        |x: String| x + &table[3].to_string(),
        vec!["a".into(), "b".into()],
    );
    assert_eq!(strings, ["a9", "b9"]);
}

fn a_function_pointer_is_mapped() {
    let pool = Pool::with_workers(2).unwrap();
    let functions: [fn(u64) -> u64; 2] = [power, |x| x + 1];
    for f in functions {
        assert_eq!(pool.map(f, 0..5), (0..5).map(f).collect::<Vec<_>>());
    }
}

fn twice<T: std::ops::Add<Output = T> + Copy>(x: T) -> T {
    x + x
}

fn generic_functions_are_told_apart() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(twice::<u8>, [1, 2]), [2, 4]);
    assert_eq!(pool.map(twice::<f64>, [1.5]), [3.0]);
    assert_eq!(pool.map(twice::<i64>, [-4]), [-8]);
}

fn the_same_workers_serve_many_maps() {
    let pool = Pool::with_workers(2).unwrap();
    let pids: HashSet<i32> = pool.pids().into_iter().collect();
    for n in 0..300u64 {
        let seen = pool.map(|_: u64| std::process::id() as i32, 0..n);
        assert!(seen.iter().all(|pid| pids.contains(pid)));
    }
    assert_eq!(pool.pids().into_iter().collect::<HashSet<_>>(), pids);
}

fn all_workers_take_part() {
    let pool = Pool::with_workers(3).unwrap();
    // Each task waits for the other two: this ends only if three workers run at the same time.
    let dir = std::env::temp_dir().join(format!("forklore-meet-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let met = pool.map(
        |name: String| {
            std::fs::write(&name, "").unwrap();
            let dir = std::path::Path::new(&name).parent().unwrap().to_owned();
            while std::fs::read_dir(&dir).unwrap().count() < 3 {
                std::thread::yield_now();
            }
            std::process::id()
        },
        (0..3).map(|i| dir.join(i.to_string()).to_string_lossy().into_owned()),
    );
    assert_eq!(met.into_iter().collect::<HashSet<_>>().len(), 3);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn a_panic_names_the_item_and_the_others_arrive() {
    let pool = Pool::with_workers(2).unwrap();
    let pids = pool.pids();
    let results = pool.try_map(
        |x: u32| {
            assert!(x % 10 != 3, "no threes: {x}");
            x + 1
        },
        0..100,
    );
    for (item, result) in results.iter().enumerate() {
        if item % 10 == 3 {
            let error = result.as_ref().unwrap_err();
            assert!(error.is_panicked() && !error.is_died());
            assert_eq!(error.item(), Some(item));
            assert!(pids.contains(&error.pid().unwrap()));
            assert_eq!(error.message(), format!("no threes: {item}"));
            assert!(error.location().unwrap().contains("maps.rs"), "{error}");
            assert!(
                error.to_string().contains(&format!("item {item} ")),
                "{error}"
            );
        } else {
            assert_eq!(*result, Ok(item as u32 + 1));
        }
    }
    assert_eq!(pool.pids(), pids, "a panic costs no worker");
    let plain = pool.try_map(|_: u8| -> u8 { std::panic::panic_any(7u64) }, [0]);
    assert_eq!(
        plain[0].as_ref().unwrap_err().message(),
        "a value that is not text"
    );
}

fn map_panics_after_all_have_finished() {
    let pool = Pool::with_workers(2).unwrap();
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.map(|x: u32| if x == 2 { panic!("two") } else { x }, 0..8)
    }))
    .unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("item 2") && message.contains("two"),
        "{message}"
    );
    assert_eq!(pool.map(power, 0..2), [0, 1]);
}

fn deaths_name_item_pid_and_signal() {
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.try_map(
        |x: i32| match x {
            5 => std::process::exit(3),
            20 => std::process::abort(),
            33 => {
                kill(Pid::this(), Signal::SIGKILL).unwrap();
                0
            }
            39 => std::process::exit(0),
            x => x,
        },
        0..40,
    );
    let errors: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.item().unwrap(), error.exit_code(), error.signal()))
        .collect();
    assert_eq!(
        found,
        [
            (5, Some(3), None),
            (20, None, Some(6)),
            (33, None, Some(9)),
            (39, Some(0), None)
        ]
    );
    assert!(
        errors
            .iter()
            .all(|error| error.is_died() && error.pid().is_some())
    );
    assert!(errors[2].to_string().contains("SIGKILL"), "{}", errors[2]);
    for (item, result) in results.iter().enumerate() {
        if let Ok(value) = result {
            assert_eq!(*value, item as i32);
        }
    }
    assert_eq!(pool.pids().len(), 2);
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn a_worker_killed_from_outside_is_replaced() {
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.try_map(
        |x: u64| {
            if x == 4 {
                let order = format!("kill -9 {}", std::process::id());
                let mut shell = std::process::Command::new("/bin/sh");
                let _ = shell.args(["-c", &order]).status();
            }
            x
        },
        0..12,
    );
    let errors: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert_eq!(errors.len(), 1, "{results:?}");
    assert_eq!((errors[0].item(), errors[0].signal()), (Some(4), Some(9)));
    assert_eq!(pool.pids().len(), 2);
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn workers_killed_while_idle_are_replaced() {
    let pool = Pool::with_workers(2).unwrap();
    for round in 0..20u64 {
        let before = pool.pids();
        for &pid in &before {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        if round % 2 == 0 {
            wait_until(|| before.iter().all(|&pid| !is_running(pid)));
        }
        assert_eq!(pool.map(|x: u64| x + 1, 0..50), (1..51).collect::<Vec<_>>());
        wait_until(|| before.iter().all(|&pid| !is_running(pid)));
        let after = pool.pids();
        assert_eq!(after.len(), 2);
        assert!(after.iter().all(|pid| !before.contains(pid)));
    }
}

fn every_item_may_kill_its_worker() {
    let pool = Pool::with_workers(3).unwrap();
    let results = pool.try_map(|_: u8| -> u8 { std::process::exit(9) }, 0..40);
    assert_eq!(results.len(), 40);
    for (item, result) in results.iter().enumerate() {
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.item(), error.exit_code()), (Some(item), Some(9)));
    }
    assert_eq!(pool.map(power, [1]), [1]);
}

fn a_closure_that_dies_loses_nothing_else() {
    let pool = Pool::with_workers(2).unwrap();
    let bad = [3, 17];
    let results = pool.try_map(
        |x: usize| {
            if bad.contains(&x) {
                std::process::abort();
            }
            x.to_string()
        },
        0..30,
    );
    for (item, result) in results.iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(*value, item.to_string()),
            Err(error) => {
                assert!(bad.contains(&item));
                assert_eq!((error.item(), error.signal()), (Some(item), Some(6)));
            }
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);
}

/// A value that refuses to be encoded when it is odd, and to be decoded when it is 4.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fussy(u32);

impl Serialize for Fussy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom(format!("{} is odd", self.0)));
        }
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Fussy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            4 => Err(serde::de::Error::custom("4 is not liked")),
            n => Ok(Fussy(n)),
        }
    }
}

fn a_result_that_cannot_be_encoded_is_an_error() {
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.try_map(Fussy, [0, 1, 2, 3, 6]);
    assert_eq!(results[0], Ok(Fussy(0)));
    assert_eq!(results[2], Ok(Fussy(2)));
    assert_eq!(results[4], Ok(Fussy(6)));
    for item in [1, 3] {
        let error = results[item].as_ref().unwrap_err();
        assert!(error.is_encode() && error.item() == Some(item));
        assert!(
            error.to_string().contains(&format!("{item} is odd")),
            "{error}"
        );
    }
}

fn an_argument_that_cannot_be_encoded_is_an_error() {
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.try_map(|x: Fussy| x.0, [Fussy(2), Fussy(5), Fussy(6)]);
    assert_eq!((&results[0], &results[2]), (&Ok(2), &Ok(6)));
    let error = results[1].as_ref().unwrap_err();
    assert!(error.is_encode() && error.item() == Some(1), "{error}");
    assert!(error.to_string().contains("5 is odd"), "{error}");
}

fn values_that_do_not_decode_are_errors() {
    let pool = Pool::with_workers(2).unwrap();
    for results in [
        pool.try_map(|x: Fussy| x, [Fussy(2), Fussy(4), Fussy(6)]),
        pool.try_map(Fussy, [2, 4, 6]),
    ] {
        assert_eq!((&results[0], &results[2]), (&Ok(Fussy(2)), &Ok(Fussy(6))));
        let error = results[1].as_ref().unwrap_err();
        assert!(error.is_decode() && error.item() == Some(1), "{error}");
        assert!(error.to_string().contains("4 is not liked"), "{error}");
    }
}

fn a_closed_pool_says_so() {
    let pool = Pool::with_workers(2).unwrap();
    pool.close();
    let errors = pool.try_map(power, 0..3);
    assert_eq!(errors.len(), 3);
    assert!(
        errors
            .iter()
            .all(|result| result.as_ref().unwrap_err().is_not_run())
    );
    assert!(
        errors[2]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    let captured = 3;
    let errors = pool.try_map(|x: u64| x + captured, 0..2);
    assert!(
        errors[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    pool.join();
    assert_eq!(crate::support::children(), Vec::<i32>::new());
    assert_eq!(pool.pids(), Vec::<i32>::new());
    pool.join();
}

fn a_terminated_pool_leaves_nothing() {
    let pool = Pool::with_workers(4).unwrap();
    pool.terminate();
    assert_eq!(crate::support::children(), Vec::<i32>::new());
    assert!(
        pool.try_map(power, 0..1)[0]
            .as_ref()
            .unwrap_err()
            .is_not_run()
    );
}

fn bad_numbers_are_refused() {
    assert!(Pool::with_workers(0).unwrap_err().is_invalid_input());
    assert!(Pool::with_workers(5000).unwrap_err().is_invalid_input());
    assert!(ThreadPool::with_workers(0).unwrap_err().is_invalid_input());
    let pool = Pool::with_workers(1).unwrap();
    let zero = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.map_chunked(power, 0..3, 0)
    }));
    assert!(
        zero.unwrap_err()
            .downcast_ref::<String>()
            .unwrap()
            .contains("chunk of 0")
    );
}

fn a_second_thread_is_refused() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let error = Pool::with_workers(2).unwrap_err();
    assert!(error.is_multi_threaded());
    assert!(error.to_string().contains("2 threads"), "{error}");
    assert!(forklore::fork().unwrap_err().is_multi_threaded());
    drop(send);
    let _ = thread.join().unwrap();
    // The kernel takes a thread off its books only a moment after it was joined.
    assert!(Pool::with_workers(1).is_ok());
}

fn a_pool_in_a_forked_child_has_workers_of_its_own() {
    let pool = Pool::with_workers(2).unwrap();
    let before = pool.pids();
    let child = forklore::Process::spawn(|| {
        let results = pool.map(power, 0..3);
        (results, pool.pids())
    })
    .unwrap();
    let (results, pids) = child.join().unwrap();
    assert_eq!(results, [0, 1, 1024]);
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| !before.contains(pid)));
    wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
    assert_eq!(pool.map(power, 0..3), results);
    assert_eq!(pool.pids(), before);
}

fn a_pool_in_a_task_works() {
    let pool = Pool::with_workers(2).unwrap();
    let sums = pool.map(
        |n: u64| {
            Pool::with_workers(2)
                .unwrap()
                .map(|x: u64| x * x, 0..n)
                .iter()
                .sum::<u64>()
        },
        [3, 5],
    );
    assert_eq!(sums, [5, 30]);
    // Captured, the outer pool itself is used in the workers.
    let sums = pool.map(
        |n: u64| pool.map(|x: u64| x, 0..n).iter().sum::<u64>(),
        [3, 5],
    );
    assert_eq!(sums, [3, 10]);
}

fn arguments_may_come_from_the_pool_itself() {
    let pool = Pool::with_workers(2).unwrap();
    let lazy = (0..4u64).map(|x| pool.map(power, [x])[0]);
    assert_eq!(pool.map(|x: u64| x + 1, lazy), [1, 2, 1025, 59_050]);
}

fn an_iterator_that_panics_leaves_the_pool_usable() {
    let pool = Pool::with_workers(2).unwrap();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.map(
            power,
            (0..10u64).map(|x| if x == 7 { panic!("half way") } else { x }),
        )
    }));
    assert!(panics.is_err());
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn an_initializer_runs_in_every_worker() {
    let pool = Pool::builder()
        .workers(2)
        .initializer(|| std::env::set_current_dir("/proc").unwrap())
        .build()
        .unwrap();
    let where_am_i = |_: u32| {
        std::env::current_dir()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    assert!(pool.map(where_am_i, 0..10).iter().all(|dir| dir == "/proc"));
    let _ = pool.try_map(|_: u32| -> u32 { std::process::exit(1) }, 0..2);
    assert!(pool.map(where_am_i, 0..10).iter().all(|dir| dir == "/proc"));
}

fn an_initializer_that_panics_is_an_error_and_no_loop() {
    let pool = Pool::builder()
        .workers(2)
        .initializer(|| panic!("not today"))
        .build()
        .unwrap();
    let results = pool.try_map(power, 0..3);
    let error = results[0].as_ref().unwrap_err();
    assert!(error.is_not_run(), "{error}");
    assert!(error.to_string().contains("initializer"), "{error}");
}

fn large_values_travel() {
    let pool = Pool::with_workers(2).unwrap();
    let megabytes = pool.map(|n: usize| vec![n as u8; n << 20], [1, 9, 33]);
    assert_eq!(
        megabytes.iter().map(Vec::len).collect::<Vec<_>>(),
        [1 << 20, 9 << 20, 33 << 20]
    );
    assert_eq!(
        pool.map(
            |v: Vec<u8>| v.iter().map(|&b| u64::from(b)).sum::<u64>(),
            megabytes
        ),
        [1 << 20, 81 << 20, 1089 << 20]
    );
    let text = pool.map(|n: u32| (n, "é".repeat(n as usize)), [100_000, 0, 1]);
    assert_eq!(text[0].1.chars().count(), 100_000);
    assert_eq!(
        pool.map(|x: u64| x, 0..300_000),
        (0..300_000).collect::<Vec<_>>()
    );
}

fn many_more_workers_than_items() {
    let pool = Pool::with_workers(16).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    let captured = 1;
    assert_eq!(pool.map(|x: u64| x + captured, 0..3), [1, 2, 3]);
}

fn tasks_print() {
    print!("before ");
    let pool = Pool::with_workers(2).unwrap();
    pool.map(|x: u32| print!("[{x}]"), 0..4);
    let captured = 9;
    pool.map(|x: u32| print!("<{}>", x + captured), 0..1);
    pool.join();
    println!("after");
}

fn output_of_tasks_is_printed_once() {
    let output = text(&play("tasks_print"));
    for piece in ["before ", "[0]", "[1]", "[2]", "[3]", "<9>", "after\n"] {
        assert_eq!(output.matches(piece).count(), 1, "{output}");
    }
}

fn owner_is_killed() {
    let pool = Pool::with_workers(3).unwrap();
    let mut line: Vec<String> = pool.pids().iter().map(ToString::to_string).collect();
    line.push("ready".to_owned());
    println!("{}", line.join(" "));
    let _: Vec<u32> = pool.map(
        |_: u32| loop {
            std::thread::park();
        },
        0..3,
    );
}

fn workers_die_with_their_owner() {
    use std::io::BufRead;
    let mut owner = scene("owner_is_killed").spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(owner.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let pids: Vec<i32> = line.split(' ').filter_map(|pid| pid.parse().ok()).collect();
    assert_eq!(pids.len(), 3, "{line}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
}

fn one_trait_for_all_pools() {
    fn sums(pool: &impl Map) -> (Vec<u64>, bool) {
        let captured = 2;
        let good = pool.map(|x: u64| x + captured, 0..5);
        let bad = pool.try_map(|x: u64| if x == 1 { panic!("one") } else { x }, 0..3);
        let error = bad[1].as_ref().unwrap_err();
        (
            good,
            error.is_panicked() && error.item() == Some(1) && bad[2] == Ok(2),
        )
    }
    // The panics of the two others are printed by this process.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let expected = (vec![2, 3, 4, 5, 6], true);
    assert_eq!(sums(&Serial), expected);
    assert_eq!(sums(&Pool::with_workers(2).unwrap()), expected);
    assert_eq!(sums(&ThreadPool::with_workers(2).unwrap()), expected);
    std::panic::set_hook(hook);
    assert!(
        Pool::with_workers(1).is_ok(),
        "a dropped thread pool leaves no thread"
    );
}

fn tuples_are_spread() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.starmap(|a: u8, b: u8| a + b, [(1, 2), (3, 4)]), [3, 7]);
    let captured = 5;
    let sums = pool.starmap(|a: i32, b: i32, c: i32| a + b * c + captured, [(1, 2, 3)]);
    assert_eq!(sums, [12]);
}

fn imap_is_lazy_and_in_order() {
    let pool = Pool::with_workers(2).unwrap();
    let taken = std::cell::Cell::new(0u64);
    let endless = (0u64..).inspect(|_| taken.set(taken.get() + 1));
    let first: Vec<u64> = pool.imap(power, endless).take(10_000).collect();
    assert_eq!(first, (0..10_000).map(power).collect::<Vec<_>>());
    assert!(
        taken.get() < 100_000,
        "{} arguments were taken",
        taken.get()
    );
    let words: Vec<String> = pool.imap(|n: u32| n.to_string(), 0..3000).collect();
    assert_eq!(
        words,
        (0..3000).map(|n: u32| n.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(pool.imap(power, 0..0).count(), 0);
}

fn imap_of_a_closure_streams() {
    let pool = Pool::with_workers(2).unwrap();
    let table = std::rc::Rc::new(vec![10, 20, 30]);
    let shared = std::rc::Rc::clone(&table);
    let stream = pool.imap(move |i: usize| shared[i % 3], 0..);
    assert_eq!(stream.take(5).collect::<Vec<_>>(), [10, 20, 30, 10, 20]);
    assert_eq!(std::rc::Rc::strong_count(&table), 1);
}

fn imap_names_the_item_and_goes_on() {
    let pool = Pool::with_workers(2).unwrap();
    let mut results = pool.imap(
        |x: u32| if x == 70 { std::process::exit(2) } else { x },
        0..100,
    );
    let mut seen = Vec::new();
    loop {
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| results.next()));
        match next {
            Ok(Some(x)) => seen.push(x),
            Ok(None) => break,
            Err(payload) => {
                let message = payload.downcast_ref::<String>().unwrap();
                assert!(
                    message.contains("item 70") && message.contains("code 2"),
                    "{message}"
                );
            }
        }
    }
    assert_eq!(seen, (0..100).filter(|&x| x != 70).collect::<Vec<_>>());
}

fn imap_unordered_gives_the_quick_ones_first() {
    let pool = Pool::with_workers(2).unwrap();
    let gate = std::env::temp_dir().join(format!("forklore-gate-{}", std::process::id()));
    let path = gate.to_string_lossy().into_owned();
    // The first task ends only when the test has seen all the others.
    let args = (0..50).map(|i| if i == 0 { path.clone() } else { String::new() });
    let mut results = pool.imap_unordered(
        |path: String| {
            while !path.is_empty() && !std::path::Path::new(&path).exists() {
                std::thread::yield_now();
            }
            path.len()
        },
        args,
    );
    // As many as fit into the window go past the one that is held up.
    let quick: HashSet<usize> = (0..5).map(|_| results.next().unwrap().0).collect();
    assert!(!quick.contains(&0));
    std::fs::write(&gate, "").unwrap();
    let rest: HashSet<usize> = results.map(|(place, _)| place).collect();
    assert_eq!(&quick | &rest, (0..50).collect());
    std::fs::remove_file(&gate).unwrap();
}

fn an_abandoned_imap_leaves_the_pool_usable() {
    let pool = Pool::with_workers(2).unwrap();
    for n in 0..50 {
        let some: Vec<u64> = pool.imap(power, 0..).take(n).collect();
        assert_eq!(some.len(), n);
    }
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn apply_runs_elsewhere() {
    let pool = Pool::with_workers(2).unwrap();
    let pid = pool.apply(|(): ()| std::process::id() as i32, ());
    assert!(pool.pids().contains(&pid));
}

fn ten_thousand_results_may_be_pending() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..10_000u64).map(|x| pool.apply_async(power, x)).collect();
    for (x, result) in pending.into_iter().enumerate().rev() {
        assert_eq!(result.get().unwrap(), power(x as u64));
    }
    let all = pool.map_async(power, 0..1000);
    assert_eq!(all.get().unwrap(), (0..1000).map(power).collect::<Vec<_>>());
    assert_eq!(pool.map_async(power, 0..0).get().unwrap(), []);
}

fn pending_closures_own_what_they_captured() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..10usize)
        .map(|n| {
            let captured = "x".repeat(n);
            pool.apply_async(
                move |suffix: String| captured.clone() + &suffix,
                "y".to_owned(),
            )
        })
        .collect();
    for (n, result) in pending.into_iter().enumerate() {
        assert_eq!(result.get().unwrap(), "x".repeat(n) + "y");
    }
}

fn pending_results_survive_deaths_and_the_pool() {
    let pool = Pool::with_workers(2).unwrap();
    let deadly = pool.map_async(
        |x: u32| if x == 5 { std::process::abort() } else { x },
        0..40,
    );
    let mut fine = Vec::new();
    for n in 0..20u32 {
        fine.push(pool.map_async(|x: u32| x + 1, n..n + 10));
    }
    drop(pool);
    for (n, result) in fine.into_iter().enumerate() {
        let n = n as u32;
        assert!(result.ready());
        assert_eq!(result.get().unwrap(), (n + 1..n + 11).collect::<Vec<_>>());
    }
    let error = deadly.get().unwrap_err();
    assert_eq!((error.item(), error.signal()), (Some(5), Some(6)));
}

fn a_dropped_pending_result_is_not_worked_on() {
    let pool = Pool::with_workers(1).unwrap();
    let gate = std::env::temp_dir().join(format!("forklore-held-{}", std::process::id()));
    let path = gate.to_string_lossy().into_owned();
    let held = pool.apply_async(
        |path: String| {
            while !std::path::Path::new(&path).exists() {
                std::thread::yield_now();
            }
        },
        path,
    );
    assert!(!held.ready());
    // Behind the one that is held up nothing can begin, and what is dropped never does.
    drop(pool.map_async(|_: u32| -> u32 { std::process::abort() }, 0..100));
    let waiting = pool.apply_async(power, 2);
    assert!(!waiting.wait(std::time::Duration::from_millis(1)));
    std::fs::write(&gate, "").unwrap();
    held.get().unwrap();
    assert_eq!(waiting.get().unwrap(), 1024);
    std::fs::remove_file(&gate).unwrap();
}

fn a_pending_result_in_a_child_is_an_error() {
    let pool = Pool::with_workers(1).unwrap();
    let pending = pool.apply_async(power, 2);
    let child = forklore::Process::spawn(|| {
        let here = pool.map(power, 0..2);
        (pending.get().unwrap_err().to_string(), here)
    });
    let (error, here) = child.unwrap().join().unwrap();
    assert!(error.contains("another process"), "{error}");
    assert_eq!(here, [0, 1]);
}

fn more_large_arguments_in_flight_than_workers() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..40u8)
        .map(|n| pool.apply_async(|v: Vec<u8>| v, vec![n; 1 << 20]))
        .collect();
    for (n, result) in pending.into_iter().enumerate() {
        assert_eq!(result.get().unwrap(), vec![n as u8; 1 << 20]);
    }
}

fn workers_are_replaced_after_enough_tasks() {
    let pool = Pool::builder()
        .workers(2)
        .max_tasks_per_worker(10)
        .build()
        .unwrap();
    let pids = pool.map_chunked(|_: u32| std::process::id(), 0..200, 1);
    let mut counts = std::collections::BTreeMap::new();
    for pid in pids {
        *counts.entry(pid).or_insert(0) += 1;
    }
    assert!(counts.values().all(|&n| n <= 10), "{counts:?}");
    assert!(counts.len() >= 20, "{counts:?}");
    assert_eq!(pool.pids().len(), 2);
    assert!(
        Pool::builder()
            .max_tasks_per_worker(0)
            .build()
            .unwrap_err()
            .is_invalid_input()
    );
}
