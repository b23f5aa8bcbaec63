//! Contexts that cannot be sent, or that panic when they are sent.

use std::sync::atomic::{AtomicU32, Ordering};

use forklore::{Context, Pool, TaskError};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context_memory::shared_kib;
use crate::starts::{METHODS, pool};
use crate::support::{Quiet, tests};

tests![
    a_context_that_cannot_be_encoded_says_so,
    a_context_that_cannot_be_decoded_says_so,
    a_panic_while_it_is_encoded_costs_the_call_alone,
    a_panic_while_it_is_dropped_costs_nothing,
];

/// How often this process has tried to decode an [`Unreadable`].
static N_DECODED: AtomicU32 = AtomicU32::new(0);

/// A context that refuses to be encoded.
pub struct Unwritable;

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

/// A context that can be encoded, but refuses to be decoded.
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

/// Panics when it is dropped in a process that decoded it.
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
