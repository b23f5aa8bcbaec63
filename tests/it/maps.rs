//! Mapping: results, order, what can be sent, and what cannot.

use std::sync::OnceLock;
use std::time::Duration;

use forklore::{Event, Map, Pool, Serial, SharedArray, ThreadPool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::support::{power, tests};

tests![
    results_come_in_order,
    every_kind_of_value_travels,
    the_obvious_corners,
    a_closure_inherits_what_it_captures,
    a_function_pointer_is_mapped,
    generic_functions_are_told_apart,
    a_result_that_cannot_be_encoded_is_an_error,
    an_argument_that_cannot_be_encoded_is_an_error,
    values_that_do_not_decode_are_errors,
    arguments_may_come_from_the_pool_itself,
    an_iterator_that_panics_leaves_the_pool_usable,
    large_values_travel,
    large_results_are_made_while_others_are_computed,
    inherited_arguments_stay_until_all_tasks_have_ended,
    one_trait_for_all_pools,
    tuples_are_spread,
];

fn results_come_in_order() {
    let pool = Pool::with_workers(2).unwrap();
    let expected: Vec<u64> = (0..10_000).map(power).collect();
    assert_eq!(pool.map(power, 0..10_000), expected);
    assert_eq!(pool.map_chunked(power, 0..10_000, 1), expected);
    assert_eq!(pool.map_chunked(power, 0..10_000, 3_333), expected);
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

/// A value that refuses to be encoded if it is odd, and to be decoded if it is 4.
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

/// Set when a [`Large`] was made.
fn was_made() -> &'static Event {
    static WAS_MADE: OnceLock<Event> = OnceLock::new();
    WAS_MADE.get_or_init(|| Event::new().unwrap())
}

/// Reports when it is decoded.
#[derive(Serialize)]
struct Large(Vec<u8>);

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::deserialize(deserializer)?;
        was_made().set();
        Ok(Large(bytes))
    }
}

fn large_results_are_made_while_others_are_computed() {
    was_made().clear();
    let pool = Pool::with_workers(2).unwrap();
    let task = |n: u8| {
        // The second result waits for the first to be the caller's.
        let timeout = Duration::from_secs(if n == 1 { 60 } else { 0 });
        let is_first_made = was_made().wait_timeout(timeout).is_ok();
        Large(vec![u8::from(is_first_made); 1 << 18])
    };
    let results = pool.map_chunked(task, 0..2, 1);
    assert_eq!((results[0].0[0], results[1].0[0]), (0, 1));
}

fn inherited_arguments_stay_until_all_tasks_have_ended() {
    was_made().clear();
    let pids = SharedArray::<i32>::zeroed(2).unwrap();
    let pool = Pool::builder().workers(2).retries(1).build().unwrap();
    // So large that its memory is gone with it.
    let args: Vec<Vec<u8>> = (0..2).map(|n| vec![n; 1 << 20]).collect();
    let task = |arg: Vec<u8>| {
        let item = usize::from(arg[arg.len() / 2]);
        let is_first_try = pids.get(item) == 0;
        pids.set(item, Pid::this().as_raw());
        if item == 0 && is_first_try {
            // The caller has a result then. Who makes up for this one is forked after that.
            was_made().wait();
            for pid in [1, 0] {
                kill(Pid::from_raw(pids.get(pid)), Signal::SIGKILL).unwrap();
            }
        }
        Large(arg)
    };
    let results = pool.map_chunked(task, args, 1);
    assert!(results[0].0.iter().all(|&byte| byte == 0));
    assert!(results[1].0.iter().all(|&byte| byte == 1));
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
