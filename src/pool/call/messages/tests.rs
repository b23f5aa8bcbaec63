//! Maps over messages: tests of the code above the transport.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Outcome;
use crate::sys::atomic::{AtomicU32, Ordering};

use super::super::batch::{Batch, Terms};
use super::super::callable::Unary;
use super::super::collate::{Collect, Collector};
use super::super::options::Options;
use super::super::slots::Slots;
use super::super::transport::Encoded;
use super::super::work::{Trampoline, run_shipped, run_with_context};
use super::worker::IS_LOST;
use super::{Args, Messages};
use crate::pool::context::{AsContext, Context, ContextMemory};
use crate::pool::plan::Schedule;

/// As a pool's `try_map`.
fn map<F, A, R>(messages: &mut Messages, _f: F, args: Vec<A>, terms: Terms) -> Vec<Outcome<R>>
where
    F: Fn(A) -> R,
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    assert_eq!(size_of::<F>(), 0);
    let function = run_shipped::<Unary<F>, A, Messages>;
    run(messages, function, Args::encode(args), terms)
}

/// As a pool's `try_map_with`.
fn map_with<X, F, A, R>(
    messages: &mut Messages,
    context: &X,
    _f: F,
    args: Vec<A>,
    terms: Terms,
) -> Vec<Outcome<R>>
where
    X: AsContext,
    F: Fn(&X::Value, A) -> R,
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    assert_eq!(size_of::<F>(), 0);
    let memory: Arc<dyn ContextMemory> = messages.contexts.clone();
    let mut encoded = Args::encode(args);
    encoded.context = Some(context.written(&memory).unwrap());
    let function = run_with_context::<F, X::Value, A, R, Messages>;
    run(messages, function, encoded, terms)
}

fn run<R: DeserializeOwned>(
    messages: &mut Messages,
    function: Trampoline<Messages>,
    encoded: Encoded<Args>,
    terms: Terms,
) -> Vec<Outcome<R>> {
    let n_items = encoded.n_items as u64;
    let mut batch = Batch::publish(messages, function, encoded, terms).unwrap();
    let mut make_way = |_| ();
    let mut results = Collector::new(Slots::new::<R>(n_items as usize), &mut make_way);
    while !batch.advance(messages) {
        messages.wait(batch.job(), Instant::now() + Duration::from_millis(1));
        if let Some(so_far) = batch.so_far(messages) {
            results.take_large(&|visitor| so_far.visit(visitor));
        }
    }
    assert!(batch.look(messages).n_done <= n_items);
    batch.collect(&mut results);
    assert!(messages.jobs.borrow().is_empty());
    match results.finish() {
        // SAFETY: the slots are for this type, and full.
        Ok(slots) => unsafe { slots.into_vec::<R>() }
            .into_iter()
            .map(Ok)
            .collect(),
        // SAFETY: the slots are for this type.
        Err(partial) => unsafe { partial.into_outcomes() },
    }
}

fn terms(schedule: Schedule, retries: u32) -> Terms {
    Terms {
        options: Options {
            schedule,
            time_limit: None,
            waiters: 0,
            first_item: 0,
        },
        only_slot: None,
        retries,
    }
}

#[test]
fn results_come_back_in_order_whatever_they_are() {
    let mut messages = Messages::with_workers(3);
    for schedule in [Schedule::Dynamic, Schedule::Guided, Schedule::Fixed(7)] {
        let terms = terms(schedule, 0);
        let numbers = map(
            &mut messages,
            |x: u32| u64::from(x) * 3,
            (0..100).collect(),
            terms,
        );
        assert!(numbers.into_iter().eq((0..100).map(|x| Ok(x * 3))));
        let texts = map(
            &mut messages,
            |x: u16| x.to_string(),
            (0..100).collect(),
            terms,
        );
        let expected: Vec<String> = (0..100).map(|x| x.to_string()).collect();
        assert!(texts.into_iter().eq(expected.iter().cloned().map(Ok)));
        let lengths = map(
            &mut messages,
            |text: String| text.len() as u8,
            expected,
            terms,
        );
        assert!(
            lengths
                .into_iter()
                .eq((0..100).map(|x| Ok(1 + u8::from(x > 9))))
        );
    }
}

#[test]
fn large_results_are_taken_while_others_are_made() {
    let mut messages = Messages::with_workers(2);
    let large = |x: u8| vec![x; 1 << 18];
    let args = (0..8).collect();
    let results = map(&mut messages, large, args, terms(Schedule::Dynamic, 0));
    assert!(results.into_iter().eq((0..8).map(|x| Ok(large(x)))));
}

#[test]
fn a_panic_is_the_answer_to_its_item_alone() {
    let mut messages = Messages::with_workers(2);
    // Numbers before it in its run keep their results, and those after it are run.
    let half = |x: i64| if x % 5 == 3 { panic!("not {x}") } else { x / 2 };
    let results = map(
        &mut messages,
        half,
        (0..20).collect(),
        terms(Schedule::Fixed(10), 0),
    );
    for (item, result) in (0..20).zip(results) {
        match result {
            Ok(value) => assert!(item % 5 != 3 && value == item / 2),
            Err(error) => {
                assert!(error.is_panicked() && error.item() == Some(item as usize));
                assert!(
                    error.to_string().contains(&format!("not {item}")),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_encoded_or_decoded_is_an_error_of_its_item() {
    /// A number that cannot be encoded if it is 1, and cannot be decoded if it is 2.
    #[derive(Debug, PartialEq)]
    struct Odd(u8);

    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                1 => Err(serde::ser::Error::custom("there is no 1")),
                n => n.serialize(to),
            }
        }
    }

    impl<'de> serde::Deserialize<'de> for Odd {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            match u8::deserialize(from)? {
                2 => Err(serde::de::Error::custom("2 cannot be read")),
                n => Ok(Odd(n)),
            }
        }
    }

    let mut messages = Messages::with_workers(2);
    let less = |x: Odd| Odd(x.0 - 3);
    let args = [1, 2, 3, 4, 5, 6].map(Odd).into();
    let results = map(&mut messages, less, args, terms(Schedule::Fixed(3), 0));
    let words = |index: usize| results[index].as_ref().unwrap_err().to_string();
    assert!(
        words(0).contains("its argument could not be sent: "),
        "{}",
        words(0)
    );
    assert!(words(1).contains("2 cannot be read"), "{}", words(1));
    assert_eq!(results[2], Ok(Odd(0)));
    assert!(words(3).contains("there is no 1"), "{}", words(3));
    assert!(words(4).contains("its result: "), "{}", words(4));
    assert_eq!(results[5], Ok(Odd(3)));
}

/// Loses a worker at item 4 of 12, in a run of six items.
fn lose_one(retries: u32) -> (Vec<Outcome<String>>, Vec<u32>) {
    static CALLS: [AtomicU32; 12] = [const { AtomicU32::new(0) }; 12];
    let mut messages = Messages::with_workers(2);
    CALLS.iter().for_each(|n| n.store(0, Ordering::SeqCst));
    let f = |x: u64| {
        let n_before = CALLS[x as usize].fetch_add(1, Ordering::SeqCst);
        if x == 4 && n_before == 0 {
            IS_LOST.set(true);
        }
        x.to_string()
    };
    let results = map(
        &mut messages,
        f,
        (0..12).collect(),
        terms(Schedule::Fixed(6), retries),
    );
    let n_calls = CALLS.iter().map(|n| n.load(Ordering::SeqCst)).collect();
    (results, n_calls)
}

#[test]
fn what_a_lost_worker_has_answered_counts() {
    let (results, n_calls) = lose_one(0);
    for (item, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(item != 4 && value == item.to_string()),
            Err(error) => assert!(item == 4 && error.is_died(), "{error}"),
        }
    }
    // The lost worker went on with item 5 without effect, and another worker ran that item again.
    assert_eq!(n_calls, [1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]);
    let (results, n_calls) = lose_one(1);
    assert!(results.into_iter().eq((0..12).map(|x| Ok(x.to_string()))));
    assert_eq!(n_calls, [1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_run_of_numbers_of_a_lost_worker_is_run_again() {
    static IS_FIRST: AtomicU32 = AtomicU32::new(1);
    let mut messages = Messages::with_workers(2);
    let f = |x: u64| {
        if x == 4 && IS_FIRST.swap(0, Ordering::SeqCst) == 1 {
            IS_LOST.set(true);
        }
        x + 1
    };
    let results = map(
        &mut messages,
        f,
        (0..12).collect(),
        terms(Schedule::Fixed(6), 0),
    );
    assert!(results.into_iter().eq((1..13).map(Ok)));
}

#[test]
fn the_rest_is_reported_when_nobody_is_left() {
    let mut messages = Messages::with_workers(2);
    let f = |x: u64| {
        IS_LOST.set(true);
        x
    };
    let results = map(
        &mut messages,
        f,
        (0..12).collect(),
        terms(Schedule::Dynamic, 0),
    );
    assert_eq!(results.len(), 12);
    let n_died = results
        .iter()
        .filter(|result| result.as_ref().is_err_and(|error| error.is_died()));
    assert_eq!(n_died.count(), 2);
    assert!(results.iter().all(Result::is_err));
    let again = map(
        &mut messages,
        |x: u64| x,
        vec![1],
        terms(Schedule::Dynamic, 0),
    );
    assert!(again[0].is_err());
}

static N_DECODED: AtomicUsize = AtomicUsize::new(0);

/// A context that counts how often it is decoded.
#[derive(serde::Serialize, serde::Deserialize)]
struct Counted {
    #[serde(deserialize_with = "count")]
    offset: u64,
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    N_DECODED.fetch_add(1, Ordering::Relaxed);
    serde::Deserialize::deserialize(deserializer)
}

#[test]
fn a_context_is_encoded_once_and_decoded_once_by_each_worker_also_when_some_are_lost() {
    let mut messages = Messages::with_workers(3);
    let context = Context::new(Counted { offset: 1000 });
    let terms = terms(Schedule::Fixed(3), 0);
    for _ in 0..3 {
        let numbers = map_with(
            &mut messages,
            &context,
            |counted, x: u64| counted.offset + x,
            (0..30).collect(),
            terms,
        );
        assert!(numbers.into_iter().eq((1000..1030).map(Ok)));
    }
    let texts = map_with(
        &mut messages,
        &context,
        |counted, x: u64| {
            if x == 5 {
                IS_LOST.set(true);
            }
            (counted.offset + x).to_string()
        },
        (0..30).collect(),
        terms,
    );
    for (item, text) in (0..30).zip(texts) {
        match text {
            Ok(text) => assert_eq!(text, (1000 + item).to_string()),
            Err(error) => assert!(item == 5 && error.is_died(), "{error}"),
        }
    }
    assert_eq!(messages.contexts.n_encoded.load(Ordering::Relaxed), 1);
    assert!((1..=3).contains(&N_DECODED.load(Ordering::Relaxed)));
    drop(context);
    assert!(messages.contexts.by_name.lock().unwrap().is_empty());
}

#[test]
fn a_context_that_cannot_be_decoded_is_each_items_error() {
    /// A type that encodes what it cannot decode.
    #[derive(Debug)]
    struct Wrong(bool);
    impl Serialize for Wrong {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bool(self.0)
        }
    }
    impl<'de> serde::Deserialize<'de> for Wrong {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Wrong, D::Error> {
            let panics = <bool as serde::Deserialize>::deserialize(deserializer)?;
            assert!(!panics, "not me");
            Err(serde::de::Error::custom("nor me"))
        }
    }
    let mut messages = Messages::with_workers(2);
    for (panics, says) in [(true, "not me"), (false, "nor me")] {
        let results: Vec<Outcome<u32>> = map_with(
            &mut messages,
            &Wrong(panics),
            |_, x| x,
            (0..10).collect(),
            terms(Schedule::Fixed(2), 0),
        );
        for (item, result) in results.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert!(error.is_decode() && error.item() == Some(item));
            let text = error.to_string();
            assert!(
                text.contains("its context") && text.contains(says),
                "{text}"
            );
        }
    }
}
