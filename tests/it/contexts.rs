//! Maps with a context: it is sent once, it is the right one, and it is forgotten.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, fs};

use forklore::{Context, Map, Pool, Serial, StartMethod, TaskError};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, is_running, tests, wait_until};

tests![
    every_method_maps_with_any_context,
    types_need_no_words,
    every_map_has_it,
    a_value_is_sent_once_for_each_map,
    a_context_is_sent_once,
    the_context_is_never_another_one,
    maps_with_several_contexts_run_at_the_same_time,
    threads_share_contexts,
    what_is_no_longer_used_is_dropped,
    idle_workers_drop_what_is_large,
    the_memory_of_contexts_is_used_again,
    large_plain_pieces_are_shared,
    nothing_is_sent_for_no_items,
    new_workers_have_it_too,
    retries_have_it_too,
    a_context_that_cannot_be_encoded_says_so,
    a_context_that_cannot_be_decoded_says_so,
    a_panic_while_it_is_encoded_costs_the_call_alone,
    a_panic_while_it_is_dropped_costs_nothing,
    a_function_that_captures_inherits_it,
    a_function_that_captures_beside_threads_says_what_to_do,
    pools_and_contexts_end_in_any_order,
    a_forked_child_has_it_in_its_own_pool,
    tasks_pass_it_on,
];

/// A context that is not in one piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Table {
    name: String,
    rows: BTreeMap<u32, Vec<u64>>,
}

fn table(n: u32) -> Table {
    Table {
        name: format!("table {n}"),
        rows: (0..100)
            .map(|row| (row, vec![u64::from(n * row); 3]))
            .collect(),
    }
}

/// Maps with a context that workers send back as it arrived.
fn comes_back<C>(pool: &Pool, context: C)
where
    C: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug,
{
    let copies = pool.map_with(&context, |context, _: u8| context.clone(), 0..3);
    assert!(copies.iter().all(|copy| *copy == context));
    let kept = Context::new(context.clone());
    let copies = pool.map_with(
        &kept,
        |context, text: String| (context.clone(), text),
        vec![String::new(); 3],
    );
    assert!(copies.iter().all(|(copy, _)| *copy == context));
}

fn every_method_maps_with_any_context() {
    for method in METHODS {
        let pool = pool(method, 2);
        comes_back(&pool, ());
        comes_back(&pool, 7u64);
        comes_back(&pool, String::new());
        comes_back(&pool, "short".to_owned());
        comes_back(&pool, "long".repeat(100_000));
        comes_back(&pool, Vec::<f64>::new());
        comes_back(&pool, (0..300_000).map(f64::from).collect::<Vec<f64>>());
        comes_back(&pool, vec![u128::MAX; 20_000]);
        comes_back(&pool, vec![true; 100_000]);
        comes_back(&pool, table(3));
        comes_back(
            &pool,
            HashMap::from([("one".to_owned(), Some(1)), ("none".to_owned(), None)]),
        );
        let table = Context::new(table(2));
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let expected: Vec<u64> = (0..100).map(|row| 2 * row).collect();
        assert_eq!(pool.map_with(&table, row, 0..100), expected);
        assert_eq!(
            pool.imap_with(&table, row, 0..100).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(pool.apply_with(&table, row, 30), 60);
        let outcomes = pool.try_map_with(&table, row, [99, 100]);
        assert_eq!(outcomes[0], Ok(198));
        assert!(outcomes[1].as_ref().unwrap_err().is_panicked());
        let endless = pool.imap_with(&table, |table, n: usize| table.rows.len() + n, 0..);
        assert_eq!(endless.take(50).last(), Some(149));
    }
}

fn types_need_no_words() {
    let pool = Pool::with_workers(2).unwrap();
    let table = table(1);
    let kept = Context::new(table.clone());
    let numbers = vec![1u64, 2, 3];
    assert_eq!(
        pool.map_with(&numbers, |numbers, i| numbers[i], 0..3usize),
        numbers
    );
    assert_eq!(
        pool.map_with(&table, |table, row| table.rows[&row].len(), [1u32, 2]),
        [3, 3]
    );
    assert_eq!(
        pool.map_with(&kept, |table, row| table.rows[&row].len(), [1u32, 2]),
        [3, 3]
    );
    assert_eq!(
        pool.apply_with(&kept, |table, row| table.rows[&row].len(), 4u32),
        3
    );
    assert_eq!(
        pool.imap_with(&kept, |table, _| table.name.len(), [(), ()])
            .sum::<usize>(),
        14
    );
    assert_eq!(kept.name, "table 1");
    assert_eq!(format!("{:?}", Context::new(1)), "Context(1)");
}

fn every_map_has_it() {
    fn names(pool: &impl Map, table: &Context<Table>) -> Vec<String> {
        let name = |table: &Table, n: usize| format!("{} {n}", table.name);
        let outcomes = pool.try_map_with(table, name, 0..3);
        let names = pool.map_with(table, name, 0..3);
        assert!(outcomes.into_iter().eq(names.iter().cloned().map(Ok)));
        names
    }
    let table = Context::new(table(5));
    let expected = ["table 5 0", "table 5 1", "table 5 2"];
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(names(&pool, &table), expected);
    assert_eq!(names(&Serial, &table), expected);
    #[cfg(feature = "progress")]
    assert_eq!(names(&pool.with_progress(), &table), expected);
    #[cfg(feature = "threads")]
    assert_eq!(
        names(&forklore::ThreadPool::with_workers(2).unwrap(), &table),
        expected
    );
    let local = Cell::new(3);
    let with_cell = |local: &Cell<i32>, x: i32| local.get() * x;
    assert_eq!(Serial.map_with(&local, with_cell, [1, 2]), [3, 6]);
    assert_eq!(pool.map_with(&local, with_cell, [1, 2]), [3, 6]);
}

/// How often this process has encoded and decoded a [`Counted`], and how many of them it has.
static N_ENCODED: AtomicU32 = AtomicU32::new(0);
static N_DECODED: AtomicU32 = AtomicU32::new(0);
static N_ALIVE: AtomicU32 = AtomicU32::new(0);

/// A context that is counted, with some ballast.
struct Counted(u64, Ballast);

impl Counted {
    fn new(value: u64) -> Counted {
        Counted::with_ballast(value, 0)
    }

    fn with_ballast(value: u64, n_bytes: usize) -> Counted {
        N_ALIVE.fetch_add(1, Ordering::Relaxed);
        Counted(value, Ballast(vec![1; n_bytes]))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        N_ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that are copied as such; a `Vec` as a part of a value is encoded number by number.
struct Ballast(Vec<u8>);

impl Serialize for Ballast {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ballast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ballast, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Ballast;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Ballast, E> {
                Ok(Ballast(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        N_ENCODED.fetch_add(1, Ordering::Relaxed);
        (self.0, &self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Counted, D::Error> {
        N_DECODED.fetch_add(1, Ordering::Relaxed);
        let (value, ballast) = Deserialize::deserialize(deserializer)?;
        N_ALIVE.fetch_add(1, Ordering::Relaxed);
        Ok(Counted(value, ballast))
    }
}

/// How often a worker has decoded, by now, and with what.
fn n_decoded(counted: &Counted, _: u32) -> (u32, u32, u64) {
    (
        std::process::id(),
        N_DECODED.load(Ordering::Relaxed),
        counted.0,
    )
}

/// Asserts that each worker had decoded `n` times when it ran the last of these tasks.
fn each_decoded(tasks: impl IntoIterator<Item = (u32, u32, u64)>, n: u32) {
    let mut last = HashMap::new();
    for (pid, n_decoded, value) in tasks {
        assert_eq!(value, 7);
        last.insert(pid, n_decoded);
    }
    assert!(
        !last.is_empty() && last.values().all(|n_decoded| *n_decoded == n),
        "{last:?}"
    );
}

fn n_encoded() -> u32 {
    N_ENCODED.swap(0, Ordering::Relaxed)
}

fn a_value_is_sent_once_for_each_map() {
    for method in METHODS {
        let pool = pool(method, 1);
        n_encoded();
        each_decoded(pool.map_with(&Counted::new(7), n_decoded, 0..1000), 1);
        assert_eq!(n_encoded(), 1);
        each_decoded(pool.imap_with(&Counted::new(7), n_decoded, 0..1000), 2);
        assert_eq!(n_encoded(), 1);
        each_decoded([pool.apply_with(&Counted::new(7), n_decoded, 0)], 3);
        assert_eq!(n_encoded(), 1);
        each_decoded(
            pool.try_map_with(&Counted::new(7), n_decoded, 0..9)
                .into_iter()
                .flatten(),
            4,
        );
        assert_eq!(n_encoded(), 1);
    }
}

fn a_context_is_sent_once() {
    for method in METHODS {
        let pools = [pool(method, 1), pool(method, 2)];
        let context = Context::new(Counted::new(7));
        n_encoded();
        for pool in &pools {
            for _ in 0..20 {
                each_decoded(pool.map_with(&context, n_decoded, 0..100), 1);
                each_decoded(pool.imap_with(&context.clone(), n_decoded, 0..100), 1);
                each_decoded([pool.apply_with(&context, n_decoded, 0)], 1);
                // Other contexts in between do not drive it out.
                pool.map_with(&table(3), |table, x: u32| table.rows[&x].len(), 0..10);
            }
            assert_eq!(n_encoded(), 1);
        }
    }
}

fn the_context_is_never_another_one() {
    let pool = Pool::with_workers(2).unwrap();
    let mut kept = Vec::new();
    for round in 0..300u64 {
        // Of one size, so that each takes the memory of one before it.
        let sizes = [10, 100_000, 300_000];
        let numbers = vec![round; sizes[round as usize % 3]];
        let is_right = |numbers: &Vec<u64>, round: u64| {
            numbers.first() == Some(&round) && numbers.last() == Some(&round)
        };
        assert_eq!(pool.map_with(&numbers, is_right, [round; 4]), [true; 4]);
        let pair = (round, round.to_string());
        let text = pool.map_with(&pair, |(_, text), _: u8| text.clone(), 0..2);
        assert_eq!(text, [pair.1.clone(), pair.1]);
        kept.push((round, Context::new(numbers)));
        if kept.len() > 5 {
            kept.remove(round as usize % 5);
        }
        for (round, context) in &kept {
            assert_eq!(pool.map_with(context, is_right, [*round; 2]), [true; 2]);
        }
    }
}

fn maps_with_several_contexts_run_at_the_same_time() {
    for method in METHODS {
        let pool = pool(method, 2);
        let tables = [Context::new(table(1)), Context::new(table(2))];
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let [mut first, mut second] = tables
            .each_ref()
            .map(|table| pool.imap_with(table, row, 0..100));
        for n in 0..50 {
            assert_eq!((first.next(), second.next()), (Some(n), Some(2 * n)));
            assert_eq!(pool.apply_with(&table(3), row, n as u32), 3 * n);
        }
        // What is on its way is cancelled, and its context given back when the last of it has ended.
        drop(first);
        drop(tables[0].clone());
        assert_eq!(second.next(), Some(100));
        let texts = vec!["x".to_owned(); 50];
        assert_eq!(
            pool.map_with(&texts, |texts, i: usize| texts[i].len(), 0..50),
            [1; 50]
        );
    }
}

fn threads_share_contexts() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    for method in METHODS {
        let pool = pool(method, 2);
        let kept = Context::new(Counted::new(7));
        is_shared(&kept);
        n_encoded();
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                let (pool, kept) = (&pool, kept.clone());
                scope.spawn(move || {
                    let own = table(thread);
                    let row = |table: &Table, row: u32| table.rows[&row][0];
                    let large = vec![u64::from(thread); 20_000];
                    for n in 0..30 {
                        each_decoded(pool.map_with(&kept, n_decoded, 0..10), 1);
                        let expected = u64::from(n * thread);
                        assert_eq!(pool.map_with(&own, row, [n; 3]), [expected; 3]);
                        let last = pool.map_with(&large, |large, i: usize| large[i], [0, 19_999]);
                        assert_eq!(last, [u64::from(thread); 2]);
                        let mut some = pool.imap_with(&own, row, [n; 20]);
                        is_send(&some);
                        assert_eq!(some.next(), Some(expected));
                    }
                });
            }
        });
        assert_eq!(n_encoded(), 1);
    }
}

fn n_alive(_: u32) -> u32 {
    N_ALIVE.load(Ordering::Relaxed)
}

fn what_is_no_longer_used_is_dropped() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let pool = pool(method, 2);
        let alive = |counted: &Counted, _: u32| (counted.0, N_ALIVE.load(Ordering::Relaxed));
        for value in 0..5 {
            let alive = pool.map_with(&Counted::new(value), alive, 0..100);
            assert!(alive.iter().all(|alive| *alive == (value, 1)), "{alive:?}");
            assert_eq!(pool.map(n_alive, 0..100), [0; 100]);
        }
        let kept = Context::new(Counted::new(7));
        pool.broadcast(|| ());
        pool.map_with(&kept, alive, 0..100);
        assert_eq!(pool.map_with(&kept, alive, 0..100), [(7, 1); 100]);
        drop(pool.imap_with(&Counted::new(8), alive, 0..).take(3));
        drop(kept);
        // What was begun of the stream still ends.
        wait_until(|| pool.map(n_alive, 0..100) == [0; 100]);
    }
}

/// How much memory of its own a process has, in KiB.
fn private_kib(pid: impl fmt::Display) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let anonymous = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    anonymous
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn idle_workers_drop_what_is_large() {
    // Much more than an allocator keeps for itself, and than a forked worker may have inherited of
    // this process, which tests before this one have filled.
    const BYTES: usize = 256 << 20;
    for method in METHODS {
        let pool = pool(method, 2);
        let kept = Context::new(Counted::with_ballast(7, BYTES));
        for pid in pool.pids() {
            // Until both have it: tasks that take no time would all be the first one's.
            let nap = |counted: &Counted, _: u32| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                counted.1.0.len()
            };
            wait_until(|| {
                pool.map_with(&kept, nap, 0..4);
                private_kib(pid) > BYTES as u64 >> 10
            });
        }
        drop(kept);
        for pid in pool.pids() {
            // Of forked workers, the owner's copy is theirs as well until one of them writes.
            wait_until(|| private_kib(pid) < BYTES as u64 >> 11);
        }
    }
}

/// How much shared memory this process has touched, in KiB.
fn shared_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let shared = status
        .lines()
        .find_map(|line| line.strip_prefix("RssShmem:"));
    shared
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn the_memory_of_contexts_is_used_again() {
    let pool = Pool::with_workers(2).unwrap();
    let before = shared_kib();
    for round in 0..40u8 {
        let bytes = vec![round; 4 << 20];
        let context = Context::new((round, vec![round; 1 << 17]));
        assert_eq!(
            pool.map_with(&bytes, |bytes, i: usize| bytes[i], [1, 2 << 20]),
            [round; 2]
        );
        assert_eq!(
            pool.apply_with(&context, |(_, bytes), i: usize| bytes[i], 1 << 16),
            round
        );
        let mut some = pool.imap_with(&bytes, |bytes, i: usize| bytes[i], 0..);
        assert_eq!(some.next(), Some(round));
    }
    let after = shared_kib();
    assert!(after - before < 100 << 10, "{before} KiB, then {after} KiB");
}

fn large_plain_pieces_are_shared() {
    const BYTES: usize = 16 << 20;
    for method in METHODS {
        let pool = pool(method, 2);
        let numbers = vec![1u64; BYTES / 8];
        let text = "x".repeat(BYTES);
        let [before, after] = [0, 1].map(|_| {
            let kib = pool.broadcast(|| private_kib("self"));
            // Each worker reads a number of each page.
            let sum = |numbers: &Vec<u64>, _: u8| numbers.iter().step_by(500).sum::<u64>();
            let expected = (BYTES / 8).div_ceil(500) as u64;
            assert_eq!(pool.map_with(&numbers, sum, 0..4), [expected; 4]);
            let is_all = |text: &String, _: u8| text.bytes().step_by(4000).all(|b| b == b'x');
            assert_eq!(pool.map_with(&text, is_all, 0..4), [true; 4]);
            kib
        });
        for (before, after) in before.into_iter().zip(after) {
            assert!(
                after < before + (BYTES as u64 >> 12),
                "{method:?}: {before}, {after}"
            );
        }
    }
}

fn nothing_is_sent_for_no_items() {
    let pool = Pool::with_workers(2).unwrap();
    let value = Counted::new(7);
    let context = Context::new(Counted::new(7));
    n_encoded();
    assert!(pool.map_with(&value, n_decoded, 0..0).is_empty());
    assert!(pool.try_map_with(&context, n_decoded, 0..0).is_empty());
    assert_eq!(pool.imap_with(&value, n_decoded, 0..0).count(), 0);
    assert_eq!(n_encoded(), 0);
    assert!(pool.map_with(&Unwritable, |_, x: u8| x, 0..0).is_empty());
}

fn new_workers_have_it_too() {
    for method in METHODS {
        let pool = Pool::builder()
            .workers(2)
            .start_method(method)
            .max_tasks_per_worker(10)
            .build()
            .unwrap();
        let context = Context::new(table(4));
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let expected: Vec<u64> = (0..100).map(|row| 4 * row).collect();
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
        pool.resize(4).unwrap();
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
        pool.resize(1).unwrap();
        assert_eq!(pool.map_with(&*context, row, 0..100), expected);
        for pid in pool.pids() {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            wait_until(|| !is_running(pid.as_raw()));
        }
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
    }
}

fn retries_have_it_too() {
    for method in METHODS {
        let pool = pool(method, 2);
        // Of the chunk that dies with its worker, the rest is run by others.
        let row = |table: &Table, row: u32| match row {
            13 | 57 => std::process::abort(),
            _ => table.rows[&row][0],
        };
        for _ in 0..3 {
            let outcomes = pool.try_map_with(&table(2), row, 0..100);
            for (row, outcome) in (0..).zip(outcomes) {
                match row {
                    13 | 57 => assert_eq!(outcome.unwrap_err().signal(), Some(6)),
                    _ => assert_eq!(outcome, Ok(2 * row)),
                }
            }
        }
        let pool = Pool::builder()
            .workers(2)
            .start_method(method)
            .retries(2)
            .build()
            .unwrap();
        let once = format!("/tmp/forklore-context-{}-{method:?}", std::process::id());
        let paths = Context::new(once.clone());
        let results = pool.map_with(
            &paths,
            |path, x: u32| match fs::exists(path).unwrap() {
                false => {
                    fs::write(path, "").unwrap();
                    std::process::abort()
                }
                true => x,
            },
            0..100,
        );
        fs::remove_file(once).unwrap();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
    }
}

/// A context that refuses to be encoded.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a lock is not a value"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Unwritable, D::Error> {
        Ok(Unwritable)
    }
}

/// A context that is encoded, and then refuses to be decoded.
#[derive(Clone)]
struct Unreadable {
    panics: bool,
}

impl Serialize for Unreadable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.panics.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unreadable, D::Error> {
        let panics = bool::deserialize(deserializer)?;
        N_DECODED.fetch_add(1, Ordering::Relaxed);
        assert!(!panics, "no room for it");
        Err(D::Error::custom("no sense in it"))
    }
}

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let _quiet = Quiet::new();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(f()))).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

fn a_context_that_cannot_be_encoded_says_so() {
    for method in METHODS {
        let pool = pool(method, 2);
        let context = Context::new(Unwritable);
        let says_so = |text: &str| {
            assert!(text.contains("context"), "{text}");
            assert!(text.contains("a lock is not a value"), "{text}");
        };
        for _ in 0..2 {
            let results = pool.try_map_with(&context, |_, x: u8| x, 0..5);
            assert_eq!(results.len(), 5);
            for (item, result) in results.into_iter().enumerate() {
                let error = result.unwrap_err();
                assert!(error.is_encode() && error.item() == Some(item), "{error}");
                says_so(&error.to_string());
            }
            says_so(&panic_of(|| pool.map_with(&Unwritable, |_, x: u8| x, 0..5)));
            says_so(&panic_of(|| pool.apply_with(&Unwritable, |_, x: u8| x, 0)));
            says_so(&panic_of(|| {
                pool.imap_with(&context, |_, x: u8| x, 0..5).count()
            }));
        }
        assert_eq!(pool.map_with(&1, |n, x: u8| n + x, 0..3), [1, 2, 3]);
    }
}

fn a_context_that_cannot_be_decoded_says_so() {
    for method in METHODS {
        let pool = pool(method, 1);
        for (panics, says) in [(true, "no room for it"), (false, "no sense in it")] {
            let unreadable = Unreadable { panics };
            let says_so = |text: &str| {
                assert!(text.contains("context") && text.contains(says), "{text}");
            };
            let n_before = pool.apply(|()| N_DECODED.load(Ordering::Relaxed), ());
            let results = pool.try_map_with(&unreadable, |_, x: u8| x, 0..50);
            for (item, result) in results.into_iter().enumerate() {
                let error: TaskError = result.unwrap_err();
                assert!(error.is_decode() && error.item() == Some(item), "{error}");
                says_so(&error.to_string());
            }
            // It is not tried again for each item.
            let n_after = pool.apply(|()| N_DECODED.load(Ordering::Relaxed), ());
            assert_eq!(n_after - n_before, 1);
            let context = Context::new(unreadable);
            says_so(&panic_of(|| {
                pool.map_with(&context, |_, x: u8| x.to_string(), 0..5)
            }));
            says_so(&panic_of(|| {
                pool.imap_with(&context, |_, x: u8| x, 0..5).count()
            }));
        }
        // A task's own panic is its own, also after that.
        let error = pool
            .try_map_with(&1, |_, _: u8| panic!("mine"), 0..1)
            .pop()
            .unwrap();
        let error = error.map(|(): ()| ()).unwrap_err();
        assert!(error.is_panicked() && error.message() == "mine", "{error}");
    }
}

/// Panics when it is encoded.
#[derive(Deserialize)]
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("{}", String::from("while it is encoded"))
    }
}

fn a_panic_while_it_is_encoded_costs_the_call_alone() {
    let pool = Pool::with_workers(2).unwrap();
    let context = Context::new(Bomb);
    let large = || (0..5).map(|n| vec![n; 1 << 20]);
    let before = shared_kib();
    for _ in 0..50 {
        let text = panic_of(|| pool.try_map_with(&context, |_, v: Vec<u8>| v.len(), large()));
        assert_eq!(text, "while it is encoded");
        let text = panic_of(|| {
            pool.imap_with(&Bomb, |_, v: Vec<u8>| v.len(), large())
                .count()
        });
        assert_eq!(text, "while it is encoded");
    }
    let after = shared_kib();
    assert!(after - before < 50 << 10, "{before} KiB, then {after} KiB");
    assert_eq!(pool.map_with(&1, |n, x: u8| n + x, 0..3), [1, 2, 3]);
}

/// Panics when it is dropped, where it was decoded.
#[derive(Serialize, Deserialize)]
struct Fragile {
    owner: u32,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert_eq!(self.owner, std::process::id(), "far from home");
    }
}

fn a_panic_while_it_is_dropped_costs_nothing() {
    let quiet = Quiet::new();
    let pool = Pool::with_workers(2).unwrap();
    drop(quiet);
    let pids = pool.pids();
    for _ in 0..5 {
        let owner = std::process::id();
        let far = pool.map_with(&Fragile { owner }, |fragile, _: u8| fragile.owner, 0..20);
        assert_eq!(far, [owner; 20]);
    }
    assert_eq!(pool.pids(), pids);
}

fn a_function_that_captures_inherits_it() {
    let pool = Pool::with_workers(2).unwrap();
    let offset = 10;
    let table = table(2);
    let sums = pool.map_with(&table, |table, row: u32| table.rows[&row][0] + offset, 0..5);
    assert_eq!(sums, [10, 12, 14, 16, 18]);
    let kept = Context::new(Unwritable);
    let sums = pool.map_with(&kept, |_, x: u64| x + offset, 0..3);
    assert_eq!(sums, [10, 11, 12]);
    let sums = pool.imap_with(&Unwritable, |_, x: u64| x + offset, 0..3);
    assert_eq!(sums.collect::<Vec<_>>(), [10, 11, 12]);
    // A worker that replaces a dead one inherits it as well.
    let outcomes = pool.try_map_with(
        &table,
        |table, row: u32| match u64::from(row) == offset {
            true => std::process::abort(),
            false => table.rows[&row][0],
        },
        0..30,
    );
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        29
    );
    assert_eq!(outcomes[29], Ok(58));
}

fn a_function_that_captures_beside_threads_says_what_to_do() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let pool = pool(StartMethod::Spawn, 1);
    let offset = 3;
    let results = pool.try_map_with(&1, |n, x: i32| n + x + offset, 0..2);
    let text = results[1].as_ref().unwrap_err().to_string();
    assert!(
        text.contains("captured something beside its context"),
        "{text}"
    );
    assert!(text.contains("map_with(&(context, captured)"), "{text}");
    let both = pool.map_with(&(1, offset), |(n, offset), x: i32| n + x + offset, 0..2);
    assert_eq!(both, [4, 5]);
    drop(send);
    let _ = thread.join().unwrap();
}

fn pools_and_contexts_end_in_any_order() {
    for method in METHODS {
        let context = Context::new(vec![3u64; 100_000]);
        for _ in 0..3 {
            let pool = pool(method, 2);
            assert_eq!(pool.map_with(&context, |v, i: usize| v[i], 0..3), [3; 3]);
            let stream = pool.imap_with(&context, |v, i: usize| v[i], 0..);
            drop(pool);
            drop(stream);
        }
        let pool = pool(method, 2);
        let stream = {
            let context = context.clone();
            pool.imap(
                |x: u64| x,
                context.iter().copied().take(5).collect::<Vec<_>>(),
            )
        };
        assert_eq!(pool.map_with(&context, |v, i: usize| v[i], 0..3), [3; 3]);
        drop(context);
        assert_eq!(stream.sum::<u64>(), 15);
        pool.close();
        let error = pool.try_map_with(&1, |n, x: u8| n + x, 0..1).pop().unwrap();
        assert!(error.unwrap_err().is_not_run());
    }
}

fn a_forked_child_has_it_in_its_own_pool() {
    let pool = Pool::with_workers(2).unwrap();
    let context = Context::new(table(2));
    let rows = || pool.map_with(&context, |table, row: u32| table.rows[&row][0], 0..3);
    assert_eq!(rows(), [0, 2, 4]);
    let child = forklore::Process::spawn(|| {
        let rows = rows();
        drop(context.clone());
        rows
    });
    assert_eq!(child.unwrap().join(), Ok(vec![0, 2, 4]));
    assert_eq!(rows(), [0, 2, 4]);
    let child = forklore::Process::spawn(move || drop(context)).unwrap();
    assert_eq!(child.join(), Ok(()));
}

fn tasks_pass_it_on() {
    let pool = Pool::with_workers(2).unwrap();
    let numbers: Vec<u64> = (0..50_000).collect();
    let sums = pool.map_with(
        &numbers,
        |numbers, part: usize| {
            let inner = Pool::with_workers(2).unwrap();
            let sums = inner.map_with(numbers, |numbers, i: usize| numbers[i], part..part + 3);
            sums.iter().sum::<u64>()
        },
        [0, 10],
    );
    assert_eq!(sums, [3, 33]);
}
