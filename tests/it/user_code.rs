//! The user's own code where the library calls it: destructors, panic payloads, `Serialize` and
//! `Deserialize` that panic. The library holds no lock and has no half-updated state while such
//! code runs.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use forklore::{Condition, Error, Gil, Lock, Pool, Process, Queue, Serial, TaskError, ThreadPool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, power, tests};

tests![
    a_result_whose_drop_panics_is_a_result,
    a_payload_whose_drop_panics_is_an_items_error,
    an_initializer_may_throw_anything,
    results_that_panic_when_they_are_read_are_their_items_errors,
    arguments_that_panic_cost_no_memory,
    a_process_value_may_panic_in_each_of_its_parts,
    an_argument_that_cannot_be_sent_was_not_run,
    a_lock_is_free_again_whatever_its_value_does,
    a_queue_loses_a_message_that_panics_and_no_other,
    a_death_tells_the_panics_that_led_to_it,
    what_cannot_travel_is_told_why,
    a_pointer_to_a_function_is_told_from_a_closure,
];

fn here() -> u32 {
    std::process::id()
}

/// A result that only its owner can drop.
#[derive(Debug, Serialize, Deserialize)]
struct OnlyHere {
    x: u32,
    owner: u32,
}

impl Drop for OnlyHere {
    fn drop(&mut self) {
        assert!(here() == self.owner, "the drop of {}", self.x);
    }
}

/// Panics when it is dropped, and so does that panic's payload.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Bomb);
    }
}

fn values(results: Vec<Result<OnlyHere, TaskError>>) -> Vec<u32> {
    results
        .into_iter()
        .map(|result| result.unwrap().x)
        .collect()
}

fn a_result_whose_drop_panics_is_a_result() {
    let _quiet = Quiet::new();
    let owner = here();
    for method in METHODS {
        for (n_workers, n_items, chunk) in [(1, 1, 1), (1, 3, 3), (2, 2, 1), (2, 40, 7)] {
            let pool = pool(method, n_workers);
            let all: Vec<u32> = (0..n_items).collect();
            let args = || all.iter().map(|&x| (x, owner));
            let shipped = |(x, owner)| OnlyHere { x, owner };
            let mapped = pool.map_chunked(shipped, args(), chunk);
            assert_eq!(
                mapped.iter().map(|result| result.x).collect::<Vec<_>>(),
                all
            );
            assert_eq!(values(pool.try_map(shipped, args())), all);
            assert_eq!(
                values(pool.try_map(|(x, _)| OnlyHere { x, owner }, args())),
                all
            );
            assert_eq!(pool.apply(shipped, (7, owner)).x, 7);
            assert_eq!(pool.imap(shipped, args()).count(), all.len());
            assert_eq!(
                pool.map_async(shipped, args().collect::<Vec<_>>())
                    .get()
                    .unwrap()
                    .len(),
                all.len()
            );
        }
    }
    // Beside items that fail, each answers for itself.
    let pool = Pool::with_workers(1).unwrap();
    let results = pool.try_map(
        |(x, owner)| {
            assert!(x % 3 != 1, "{x} is bad");
            OnlyHere { x, owner }
        },
        (0..9).map(|x| (x, owner)),
    );
    for (item, result) in results.iter().enumerate() {
        match result {
            Ok(result) => assert_eq!(result.x as usize, item),
            Err(error) => {
                assert_eq!(error.item(), Some(item));
                assert_eq!(error.message(), format!("{item} is bad"));
            }
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 3);
}

fn check_bombs(results: &[Result<u32, TaskError>]) {
    assert_eq!(results.len(), 4);
    for (item, result) in results.iter().enumerate() {
        match item {
            1 | 2 => {
                let error = result.as_ref().unwrap_err();
                assert!(error.is_panicked() && error.item() == Some(item), "{error}");
            }
            _ => assert_eq!(*result, Ok(item as u32)),
        }
    }
}

fn throw(x: u32) -> u32 {
    if x == 1 || x == 2 { panic_any(Bomb) } else { x }
}

fn a_payload_whose_drop_panics_is_an_items_error() {
    let _quiet = Quiet::new();
    let owner = here();
    for method in METHODS {
        let pool = pool(method, 2);
        let pids = pool.pids();
        check_bombs(&pool.try_map(throw, 0..4));
        let captured = 1;
        check_bombs(&pool.try_map(|x| throw(x) * captured, 0..4));
        assert_eq!(pool.pids(), pids, "a panic costs no worker");
    }
    assert!(
        Process::spawn(|| panic_any(Bomb))
            .map(Process::<()>::join)
            .unwrap()
            .unwrap_err()
            .is_panicked()
    );
    check_bombs(&Serial.try_map(throw, 0..4));
    let threads = ThreadPool::with_workers(2).unwrap();
    check_bombs(&threads.try_map(throw, 0..4));
    drop(threads);
    check_bombs(&Gil::new().pool(2).unwrap().try_map(throw, 0..4));
    let both = catch_unwind(|| Gil::new().threads(3, |_, number| throw(number as u32)));
    std::mem::forget(both.map(|_| ()).unwrap_err());
    assert_eq!(here(), owner, "no worker runs its parent's program");
}

fn an_initializer_may_throw_anything() {
    let _quiet = Quiet::new();
    let owner = here();
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.initializer(|| panic_any(Bomb)).build().unwrap();
        let results = pool.try_map(power, 0..3);
        assert_eq!(here(), owner, "no worker runs its parent's program");
        for result in results {
            let error = result.unwrap_err();
            assert!(
                error.to_string().contains("initializer panicked"),
                "{error}"
            );
        }
    }
}

/// A value that its owner cannot decode, and that a worker possibly cannot encode.
#[derive(Debug)]
struct Touchy {
    x: u32,
    /// Text is copied as a block; a debug build checks each of a vector's bytes.
    padding: String,
    panics_in_serialize: bool,
    panics_in_deserialize: bool,
}

impl Touchy {
    fn new(x: u32, n_bytes: usize) -> Touchy {
        Touchy {
            x,
            padding: "x".repeat(n_bytes),
            panics_in_serialize: false,
            panics_in_deserialize: false,
        }
    }
}

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panics_in_serialize, "{} is not written", self.x);
        (self.x, &self.padding, self.panics_in_deserialize).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (x, padding, panics): (u32, String, bool) = Deserialize::deserialize(deserializer)?;
        assert!(!panics, "{x} is not read");
        Ok(Touchy {
            x,
            padding,
            panics_in_serialize: false,
            panics_in_deserialize: false,
        })
    }
}

/// The memory that this process shares with others, in bytes.
fn shared_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssShmem:"));
    let kb = line.unwrap().split_whitespace().next().unwrap();
    kb.parse::<u64>().unwrap() << 10
}

fn results_that_panic_when_they_are_read_are_their_items_errors() {
    let _quiet = Quiet::new();
    fn odd_ones_panic(x: u32) -> Touchy {
        Touchy {
            panics_in_deserialize: x % 2 == 1,
            ..Touchy::new(x, if matches!(x, 2 | 3) { 140_000 } else { 10 })
        }
    }
    for method in METHODS {
        let pool = pool(method, 2);
        let mut after_first = 0;
        for round in 0..6 {
            let results = pool.try_map(odd_ones_panic, 0..20);
            for (item, result) in results.iter().enumerate() {
                match result {
                    Ok(value) => assert_eq!((value.x as usize, item % 2), (item, 0)),
                    Err(error) => {
                        assert!(error.is_decode() && error.item() == Some(item), "{error}");
                        assert!(error.to_string().contains("is not read"), "{error}");
                    }
                }
            }
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
            let mapped = catch_unwind(AssertUnwindSafe(|| pool.map(odd_ones_panic, 0..20)));
            assert!(mapped.is_err());
            let mut stream = pool.imap(odd_ones_panic, 0..20);
            let streamed = (0..20).filter(|_| {
                catch_unwind(AssertUnwindSafe(|| stream.next())).is_ok_and(|next| next.is_some())
            });
            assert_eq!(streamed.count(), 10);
            let pending = pool.map_async(odd_ones_panic, 0..20);
            assert!(pending.get().unwrap_err().is_decode());
            if round == 1 {
                after_first = shared_bytes();
            }
        }
        // The results of each round after that have a megabyte.
        assert!(
            shared_bytes() < after_first + (2 << 20),
            "memory is not given back"
        );
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
}

/// Arguments whose iterator panics: at an item, when one is encoded, or when it is dropped.
fn arguments_that_panic_cost_no_memory() {
    let _quiet = Quiet::new();
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            panic!("the drop of an iterator");
        }
    }
    for method in METHODS {
        let pool = pool(method, 1);
        let text = |_| "x".repeat(300_000);
        let mut after_first = 0;
        for round in 0..6 {
            let panics = |f: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
            panics(&mut || {
                let last = Last;
                let args = (0..3).map(move |x| (&last, text(x)).1);
                drop(pool.try_map(|text: String| text.len(), args));
            });
            panics(&mut || {
                let args = (0..3).map(|x| if x == 2 { panic!("two") } else { text(x) });
                drop(pool.try_map(|text: String| text.len(), args));
            });
            panics(&mut || {
                let last = Touchy {
                    panics_in_serialize: true,
                    ..Touchy::new(1, 10)
                };
                let args = [(text(0), Touchy::new(0, 10)), (text(1), last)];
                drop(pool.try_map(|(text, _): (String, Touchy)| text.len(), args));
            });
            if round == 1 {
                after_first = shared_bytes();
            }
        }
        assert!(
            shared_bytes() < after_first + (1 << 20),
            "memory is not given back"
        );
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
}

fn a_process_value_may_panic_in_each_of_its_parts() {
    let _quiet = Quiet::new();
    let owner = here();
    let child = Process::spawn(|| OnlyHere { x: 3, owner }).unwrap();
    assert_eq!(child.join().unwrap().x, 3);
    let child = Process::spawn(|| Touchy {
        panics_in_serialize: true,
        ..Touchy::new(4, 0)
    });
    let error = child.unwrap().join().unwrap_err();
    assert!(
        error.is_panicked() && error.message() == "4 is not written",
        "{error}"
    );
    let child = Process::spawn(|| Touchy {
        panics_in_deserialize: true,
        ..Touchy::new(5, 0)
    });
    let error = child.unwrap().join().unwrap_err();
    assert!(
        error.is_decode() && error.to_string().contains("5 is not read"),
        "{error}"
    );
}

/// An argument or result that refuses to be encoded.
#[derive(Debug)]
struct Unwritable(u32);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => Err(serde::ser::Error::custom("1 is private")),
            x => x.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let x = u32::deserialize(deserializer)?;
        if x == 2 {
            return Err(serde::de::Error::custom("2 is foreign"));
        }
        Ok(Unwritable(x))
    }
}

fn an_argument_that_cannot_be_sent_was_not_run() {
    let _quiet = Quiet::new();
    for method in METHODS {
        let pool = pool(method, 1);
        let results = pool.try_map(|Unwritable(x)| x, (0..4).map(Unwritable));
        assert_eq!((&results[0], &results[3]), (&Ok(0), &Ok(3)));
        let error = results[1].as_ref().unwrap_err();
        let text = error.to_string();
        assert!(error.is_encode() && error.item() == Some(1), "{text}");
        assert!(
            text.contains("was not run: its argument could not be sent"),
            "{text}"
        );
        assert!(
            text.contains("1 is private") && !text.contains("result"),
            "{text}"
        );
        let error = results[2].as_ref().unwrap_err();
        let text = error.to_string();
        assert!(error.is_decode() && text.contains("its argument"), "{text}");
        assert!(
            text.contains("2 is foreign") && !text.contains("result"),
            "{text}"
        );
        let results = pool.try_map(Unwritable, 0..4);
        let text = results[1].as_ref().unwrap_err().to_string();
        assert!(
            text.contains("ran, but its result could not be sent"),
            "{text}"
        );
        let text = results[2].as_ref().unwrap_err().to_string();
        assert!(text.contains("its result"), "{text}");
    }
}

/// Whether another process gets the lock, and the value that it finds there.
fn elsewhere(lock: &Lock<Touchy>) -> u32 {
    let child = Process::spawn(|| {
        let long = std::time::Duration::from_secs(20);
        lock.lock_timeout(long)
            .map_err(|error: Error| error.to_string())
            .map(|guard| guard.x)
    });
    child.unwrap().join().unwrap().unwrap()
}

fn a_lock_is_free_again_whatever_its_value_does() {
    let _quiet = Quiet::new();
    let panics = |f: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    // Its Serialize, at each way to release it.
    let lock = Lock::new(Touchy::new(1, 10)).unwrap();
    let changed = Condition::new().unwrap();
    let spoiled = || {
        let mut guard = lock.lock().unwrap();
        guard.x = 2;
        guard.panics_in_serialize = true;
        guard
    };
    panics(&mut || drop(spoiled()));
    assert_eq!(elsewhere(&lock), 1);
    panics(&mut || spoiled().unlock().unwrap());
    assert_eq!(elsewhere(&lock), 1);
    panics(&mut || drop(changed.wait(spoiled())));
    panics(&mut || drop(changed.wait_while(spoiled(), |_| true)));
    assert_eq!(elsewhere(&lock), 1);
    // A guard that is taken while a panic is on its way is released, and the panic goes on.
    struct Late<'a>(&'a dyn Fn());
    impl Drop for Late<'_> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    panics(&mut || {
        let _late = Late(&|| drop(spoiled()));
        panic!("first");
    });
    assert_eq!(elsewhere(&lock), 1);
    // The pool's tasks, and a worker that holds it and panics.
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.try_map(|_: u8| drop(spoiled()), 0..4);
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().unwrap_err().is_panicked())
    );
    assert_eq!(elsewhere(&lock), 1);
    // Its Deserialize, at each way to take it.
    let lock = Lock::new(Touchy {
        panics_in_deserialize: true,
        ..Touchy::new(3, 10)
    });
    let lock = lock.unwrap();
    for _ in 0..2 {
        panics(&mut || drop(lock.lock()));
        panics(&mut || drop(lock.try_lock()));
        panics(&mut || drop(lock.recover()));
    }
    let child = Process::spawn(|| drop(lock.lock())).unwrap();
    assert_eq!(child.join().unwrap_err().message(), "3 is not read");
    let mut lock = Some(lock);
    panics(&mut || drop(lock.take().unwrap().into_inner()));
}

fn a_queue_loses_a_message_that_panics_and_no_other() {
    let _quiet = Quiet::new();
    let queue = Queue::<Touchy>::bounded(4).unwrap();
    let (sender, receiver) = forklore::pipe::<Touchy>().unwrap();
    for n_bytes in [0, 100_000] {
        let unread = || Touchy {
            panics_in_deserialize: true,
            ..Touchy::new(1, n_bytes)
        };
        let unwritten = || Touchy {
            panics_in_serialize: true,
            ..Touchy::new(2, n_bytes)
        };
        assert!(catch_unwind(AssertUnwindSafe(|| queue.send(unwritten()))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| sender.send(unwritten()))).is_err());
        queue.send(unread()).unwrap();
        sender.send(unread()).unwrap();
        queue.send(Touchy::new(3, n_bytes)).unwrap();
        sender.send(Touchy::new(3, n_bytes)).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| queue.recv())).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| receiver.recv())).is_err());
        let child = Process::spawn(|| (queue.recv().unwrap().x, receiver.recv().unwrap().x));
        assert_eq!(child.unwrap().join().unwrap(), (3, 3));
    }
    assert!(queue.is_empty());
}

fn a_death_tells_the_panics_that_led_to_it() {
    let _quiet = Quiet::new();
    struct Second;
    impl Drop for Second {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    extern "C" fn cannot_unwind(x: u32) {
        panic!("out of C: {x}");
    }
    fn die(x: u32) -> u32 {
        match x {
            1 => {
                let _second = Second;
                panic!("the first");
            }
            2 => cannot_unwind(x),
            3 => {
                let _ = catch_unwind(|| panic!("is caught"));
                std::process::abort();
            }
            4 => panic!("is an error"),
            5 => std::process::abort(),
            _ => (),
        }
        x
    }
    for method in METHODS {
        let pool = pool(method, 1);
        let one = 1;
        for results in [
            pool.try_map(die, 0..7),
            pool.try_map(|x| die(x) * one, 0..7),
        ] {
            let texts: Vec<String> = results
                .iter()
                .map(|result| {
                    result
                        .as_ref()
                        .map_or_else(ToString::to_string, |_| String::new())
                })
                .collect();
            for (item, words) in [
                (
                    1,
                    &["SIGABRT", "the first", "the second", "user_code.rs"][..],
                ),
                (2, &["SIGABRT", "out of C: 2", "user_code.rs"]),
                (3, &["SIGABRT", "is caught"]),
                (4, &["is an error"]),
                (5, &["SIGABRT"]),
            ] {
                assert!(
                    words.iter().all(|word| texts[item].contains(word)),
                    "{}",
                    texts[item]
                );
            }
            assert!(results[1].as_ref().unwrap_err().is_died());
            assert_eq!(results[2].as_ref().unwrap_err().signal(), Some(6));
            // A panic that became an item's error says nothing of a later death.
            assert!(!texts[5].contains("panicked"), "{}", texts[5]);
            assert_eq!((&results[0], &results[6]), (&Ok(0), &Ok(6)));
        }
    }
}

fn what_cannot_travel_is_told_why() {
    let _quiet = Quiet::new();
    #[derive(Serialize, Deserialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        maybe: Option<u32>,
        x: u32,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    #[derive(Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u32>,
    }
    let pool = Pool::with_workers(1).unwrap();
    let sparse = |x| Sparse {
        maybe: (x > 0).then_some(x),
        x,
    };
    let errors = [
        pool.try_map(|x| sparse(x).x + sparse(x).maybe.unwrap_or(0), [0])
            .pop()
            .unwrap()
            .map(drop)
            .err(),
        pool.try_map(sparse, [0]).pop().unwrap().map(drop).err(),
        pool.try_map(Either::Number, [0])
            .pop()
            .unwrap()
            .map(drop)
            .err(),
        pool.try_map(|x: u32| Either::Text(x.to_string()), [0])
            .pop()
            .unwrap()
            .map(drop)
            .err(),
        pool.try_map(
            |_: u32| Flat {
                rest: [("a".to_owned(), 1)].into(),
            },
            [0],
        )
        .pop()
        .unwrap()
        .map(drop)
        .err(),
        pool.try_map(|sparse: Sparse| sparse.x, [sparse(0)])
            .pop()
            .unwrap()
            .map(drop)
            .err(),
        Process::spawn(|| sparse(0)).unwrap().join().map(drop).err(),
    ];
    let [none, told @ ..] = errors;
    assert_eq!(none, None);
    for error in told {
        let text = error.unwrap().to_string();
        assert!(
            text.contains("skip_serializing_if, flatten, untagged"),
            "{text}"
        );
    }
    // What the type itself says stands alone.
    let error = pool
        .try_map(Unwritable, [2])
        .pop()
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("2 is foreign") && !error.contains("flatten"),
        "{error}"
    );
}

fn a_pointer_to_a_function_is_told_from_a_closure() {
    let pool = pool(forklore::StartMethod::Forkserver, 1);
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let told = |error: TaskError| error.to_string();
    let pointer: fn(u64) -> u64 = power;
    let text = told(pool.try_map(pointer, [1]).pop().unwrap().unwrap_err());
    assert!(
        text.contains("pointer to a function (fn(u64) -> u64)"),
        "{text}"
    );
    assert!(
        text.contains("2 threads") && !text.contains("Forkserver"),
        "{text}"
    );
    let text = told(
        pool.try_map(&power as &dyn Fn(u64) -> u64, [1])
            .pop()
            .unwrap()
            .unwrap_err(),
    );
    assert!(text.contains("reference to a function"), "{text}");
    let text = told(pool.apply_async(pointer, 1).get().unwrap_err());
    assert!(text.contains("pointer to a function"), "{text}");
    let n = 1;
    let text = told(
        pool.try_map(|x: u64| x + n, [1])
            .pop()
            .unwrap()
            .unwrap_err(),
    );
    assert!(
        text.contains("has captured something") && !text.contains("Forkserver"),
        "{text}"
    );
    assert_eq!(pool.map(power, [2]), [1024]);
    drop(send);
    let _ = thread.join().unwrap();
}
