//! Contexts' memory: a context is sent once, shared if possible, and forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, fs};

use forklore::{Context, Pool, StartMethod};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context_errors::Unwritable;
use crate::contexts::{Table, table};
use crate::starts::{METHODS, pool};
use crate::support::{tests, wait_until};

tests![
    a_value_is_sent_once_for_each_map,
    a_context_is_sent_once,
    threads_share_contexts,
    what_is_no_longer_used_is_dropped,
    idle_workers_drop_what_is_large,
    the_memory_of_contexts_is_used_again,
    large_plain_pieces_are_shared,
    nothing_is_sent_for_no_items,
];

/// How often this process has encoded and decoded a [`Counted`], and how many of them it holds.
static N_ENCODED: AtomicU32 = AtomicU32::new(0);

static N_DECODED: AtomicU32 = AtomicU32::new(0);

static N_ALIVE: AtomicU32 = AtomicU32::new(0);

/// A context whose copies are counted, with some ballast.
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

/// Bytes that are copied as a block; a `Vec` inside a value is encoded number by number.
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

/// How often a worker has decoded the context so far, and its values.
fn n_decoded(counted: &Counted, _: u32) -> (u32, u32, u64) {
    (
        std::process::id(),
        N_DECODED.load(Ordering::Relaxed),
        counted.0,
    )
}

/// Asserts that each worker had decoded `n` times when it ran its last of these tasks.
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

/// The private memory of a process, in KiB.
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

/// The shared memory that this process has touched, in KiB.
pub fn shared_kib() -> u64 {
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
