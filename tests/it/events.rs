//! The events of a pool that a subscriber of the crate `tracing` receives.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forklore::{Pool, SharedArray, StartMethod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, is_running, power, tests, wait_until};

tests![
    a_pools_life_is_told,
    deaths_are_told_with_their_cause_and_item,
    retries_and_time_limits_are_told,
    a_worker_that_dies_while_idle_is_told_of,
    items_are_those_that_the_user_counts,
    what_was_never_ready_is_told,
    retirements_are_told,
    closures_workers_are_of_less_interest,
    last_panics_are_in_the_reason,
    a_subscriber_may_map_over_the_same_pool,
    subscribers_of_several_threads_map_over_one_pool,
    a_subscribers_panic_goes_no_further,
    workers_tell_nothing,
    each_death_is_told_once,
    a_death_at_the_end_is_told,
];

/// An event: its level, its text, and its formatted fields.
#[derive(Debug, Clone)]
struct Heard {
    level: Level,
    text: String,
    fields: BTreeMap<String, String>,
}

impl Heard {
    fn number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.parse().ok()
    }

    fn text_of(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut shown = String::new();
        write!(shown, "{value:?}").unwrap();
        match field.name() {
            "message" => self.text = shown,
            name => drop(self.fields.insert(name.to_owned(), shown)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields
            .insert(field.name().to_owned(), value.to_owned());
    }
}

/// Receives all events of the library, and passes each to a function.
struct Listener {
    heard: Arc<Mutex<Vec<Heard>>>,
    react: Box<dyn Fn(&Heard) + Send + Sync>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("forklore::pool")
    }

    fn event(&self, event: &Event<'_>) {
        let mut heard = Heard {
            level: *event.metadata().level(),
            text: String::new(),
            fields: BTreeMap::new(),
        };
        event.record(&mut heard);
        self.heard.lock().unwrap().push(heard.clone());
        (self.react)(&heard);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}

/// The events while `f` runs; `react` is called with each.
fn listen_and(react: impl Fn(&Heard) + Send + Sync + 'static, f: impl FnOnce()) -> Vec<Heard> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Listener {
        heard: Arc::clone(&heard),
        react: Box::new(react),
    };
    tracing::subscriber::with_default(listener, f);
    let heard = heard.lock().unwrap();
    heard.clone()
}

fn listen(f: impl FnOnce()) -> Vec<Heard> {
    listen_and(|_| (), f)
}

fn with_text(heard: &[Heard], text: &str) -> Vec<Heard> {
    let heard = heard.iter().filter(|heard| heard.text == text);
    heard.cloned().collect()
}

fn a_pools_life_is_told() {
    for method in METHODS {
        let mut pids = Vec::new();
        let heard = listen(|| {
            let pool = pool(method, 2);
            pids = pool.pids();
            pool.map(power, 0..100);
            pool.join();
        });
        let texts: Vec<&str> = heard.iter().map(|heard| &*heard.text).collect();
        let expected = [
            "worker started",
            "worker started",
            "pool started",
            "pool closed",
        ];
        assert_eq!(texts, expected, "{method:?}");
        for (slot, (heard, pid)) in heard.iter().zip(pids).enumerate() {
            assert_eq!(heard.number("slot"), Some(slot as i64));
            assert_eq!(heard.number("pid"), Some(i64::from(pid)));
            assert_eq!(heard.text_of("method"), format!("{method:?}"));
            assert_eq!(heard.level, Level::DEBUG);
        }
        assert_eq!(heard[2].number("n_workers"), Some(2));
        let heard = listen(|| pool(method, 1).terminate());
        assert_eq!(with_text(&heard, "pool terminated").len(), 1, "{heard:?}");
        assert_eq!(heard.len(), 3, "{heard:?}");
    }
}

fn die(way: u32) -> u32 {
    match way {
        0 => std::process::exit(3),
        1 => std::process::abort(),
        2 => drop(kill(Pid::this(), Signal::SIGKILL)),
        _ => {}
    }
    way
}

fn deaths_are_told_with_their_cause_and_item() {
    for method in METHODS {
        let mut errors = Vec::new();
        let heard = listen(|| {
            let pool = pool(method, 2);
            let results = pool.try_map(die, [9, 9, 0, 9, 1, 2, 9]);
            errors.extend(results.into_iter().filter_map(Result::err));
        });
        assert_eq!(errors.len(), 3);
        let deaths = with_text(&heard, "worker died");
        assert_eq!(deaths.len(), 3, "{heard:?}");
        for error in errors {
            let item = error.item().map(|item| item as i64);
            let death = deaths.iter().find(|death| death.number("item") == item);
            let death = death.unwrap_or_else(|| panic!("{item:?} is not in {deaths:?}"));
            assert_eq!(death.number("pid"), error.pid().map(i64::from));
            assert!(death.number("slot").is_some());
            let (cause, reason) = match item.unwrap() {
                2 => ("exited", "exited with code 3"),
                4 => ("aborted", "SIGABRT"),
                _ => ("killed by a signal", "SIGKILL"),
            };
            assert_eq!(death.text_of("cause"), cause);
            assert!(death.text_of("reason").contains(reason), "{death:?}");
            assert_eq!(death.level, Level::WARN);
        }
        assert_eq!(with_text(&heard, "worker started").len(), 5, "{heard:?}");
    }
}

fn hang_at_three(x: u32) -> u32 {
    match x {
        3 => loop {
            std::thread::park();
        },
        _ => x,
    }
}

fn retries_and_time_limits_are_told() {
    for method in METHODS {
        let heard = listen(|| {
            let builder = Pool::builder().workers(2).start_method(method);
            let pool = builder.retries(2).build().unwrap();
            let _ = pool.try_map(die, [9, 1]);
            let limit = Duration::from_millis(150);
            let _ = pool.timeout(limit).try_map(hang_at_three, 2..5);
        });
        let retries = with_text(&heard, "item is tried again");
        assert_eq!(retries.len(), 2, "{heard:?}");
        for retry in &retries {
            assert_eq!((retry.number("item"), retry.level), (Some(1), Level::INFO));
        }
        let over = with_text(&heard, "time limit passed, worker ended");
        let [over] = &over[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((over.number("item"), over.level), (Some(1), Level::WARN));
        assert!(
            over.text_of("reason").contains("limit of 150ms"),
            "{over:?}"
        );
        assert_eq!(over.text_of("cause"), "timed out");
    }
}

fn a_worker_that_dies_while_idle_is_told_of() {
    for method in METHODS {
        let mut victim = 0;
        let heard = listen(|| {
            let pool = pool(method, 2);
            victim = pool.broadcast(|| std::process::id() as i32)[1];
            kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
            wait_until(|| !is_running(victim));
            wait_until(|| !pool.pids().contains(&victim));
        });
        let deaths = with_text(&heard, "worker died");
        let [death] = &deaths[..] else {
            panic!("{heard:?}")
        };
        let told = ["pid", "slot", "item"].map(|field| death.number(field));
        assert_eq!(told, [Some(i64::from(victim)), Some(1), None], "{death:?}");
    }
}

/// A stream sends its input in parts, and the tasks that a worker left become a list.
fn items_are_those_that_the_user_counts() {
    let pool = pool(StartMethod::Fork, 2);
    let heard = listen(|| {
        let _quiet = Quiet::new();
        let input = (0..200).map(|item| if item == 150 { 1 } else { 9 });
        let mut results = pool.imap(die, input);
        for _ in 0..200 {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| results.next()));
        }
    });
    let [death] = &with_text(&heard, "worker died")[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(death.number("item"), Some(150), "{death:?}");
    let heard = listen(|| {
        let _ = pool.try_map(die, [9, 1, 9, 9, 1, 9, 1, 9, 9, 1]);
    });
    let deaths = with_text(&heard, "worker died");
    let mut items: Vec<_> = deaths.iter().map(|death| death.number("item")).collect();
    items.sort_unstable();
    assert_eq!(items, [1, 4, 6, 9].map(Some));
    let heard = listen(|| {
        let _ = pool.try_broadcast(|| -> u32 { std::process::exit(1) });
    });
    let deaths = with_text(&heard, "worker died");
    for death in &deaths {
        assert_eq!(death.number("item"), death.number("slot"), "{death:?}");
    }
    assert_eq!(deaths.len(), 2);
}

fn what_was_never_ready_is_told() {
    for method in METHODS {
        let heard = listen(|| {
            let builder = Pool::builder().workers(1).start_method(method);
            let pool = builder.initializer(|| panic!("not today")).build();
            assert!(pool.unwrap().try_map(power, 0..1)[0].is_err());
        });
        let deaths = with_text(&heard, "worker died before it was ready");
        assert!(!deaths.is_empty(), "{heard:?}");
        for death in deaths {
            let reason = death.text_of("reason");
            assert!(reason.contains("initializer panicked"), "{death:?}");
            assert_eq!(death.text_of("cause"), "failed to start");
        }
    }
}

fn retirements_are_told() {
    let heard = listen(|| {
        let builder = Pool::builder().workers(1).max_tasks_per_worker(5);
        let pool = builder.build().unwrap();
        for _ in 0..3 {
            pool.map_chunked(power, 0..5, 5);
        }
        wait_until(|| pool.stats().total().n_retired() == 3);
    });
    let retired = with_text(&heard, "worker retired");
    assert_eq!(retired.len(), 3, "{heard:?}");
    assert!(retired.iter().all(|heard| heard.level == Level::DEBUG));
    assert_eq!(with_text(&heard, "worker died").len(), 0);
}

fn closures_workers_are_of_less_interest() {
    let pool = pool(StartMethod::Fork, 2);
    let one = 1;
    let heard = listen(|| {
        let _ = pool.try_map(|x: u32| die(x - one), [9, 2, 9]);
    });
    let (deaths, others): (Vec<_>, Vec<_>) = heard
        .into_iter()
        .partition(|heard| heard.level == Level::WARN);
    assert_eq!(deaths.len(), 1);
    assert_eq!(deaths[0].number("item"), Some(1));
    assert!(!others.is_empty());
    for heard in deaths.iter().chain(&others) {
        assert_eq!(heard.text_of("closure"), "true", "{heard:?}");
    }
    for heard in others {
        assert_eq!(heard.level, Level::TRACE, "{heard:?}");
    }
}

/// Panics in a function that cannot unwind.
extern "C" fn panic_without_return(x: u32) -> u32 {
    assert!(x != 3, "three is refused");
    x
}

fn last_panics_are_in_the_reason() {
    let heard = listen(|| {
        let pool = pool(StartMethod::Fork, 1);
        let _ = pool.try_map(|x: u32| panic_without_return(x), 2..5);
    });
    let [death] = &with_text(&heard, "worker died")[..] else {
        panic!("{heard:?}")
    };
    let reason = death.text_of("reason");
    assert!(reason.contains("three is refused"), "{death:?}");
}

/// The results of a subscriber that maps over the pool whose events it receives.
type Sums = Arc<Mutex<Vec<(u64, bool)>>>;

fn maps_too(pool: &Arc<Pool>, sums: &Sums) -> impl Fn(&Heard) + Send + Sync + 'static {
    let (pool, sums) = (Arc::clone(pool), Arc::clone(sums));
    move |heard| {
        if heard.text == "worker died" || heard.text == "item is tried again" {
            let sum = pool.map(power, 0..3).iter().sum();
            let has_deaths = pool.stats().total().n_deaths() > 0;
            sums.lock().unwrap().push((sum, has_deaths));
        }
    }
}

fn a_subscriber_may_map_over_the_same_pool() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = Arc::new(builder.retries(1).build().unwrap());
        let sums = Sums::default();
        listen_and(maps_too(&pool, &sums), || {
            let results = pool.try_map(die, [9, 1, 9, 2, 9]);
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        });
        // What is noticed in the subscriber's own maps, it does not hear of.
        let sums = sums.lock().unwrap();
        assert!(!sums.is_empty(), "{method:?}");
        assert!(sums.iter().all(|sum| *sum == (1025, true)), "{sums:?}");
    }
}

fn subscribers_of_several_threads_map_over_one_pool() {
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = Arc::new(builder.retries(1).build().unwrap());
        let sums = Sums::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    listen_and(maps_too(&pool, &sums), || {
                        for _ in 0..5 {
                            let results = pool.try_map(die, [9, 1, 9, 2, 9]);
                            let n_ok = results.iter().filter(|result| result.is_ok()).count();
                            assert_eq!(n_ok, 3);
                        }
                    });
                });
            }
        });
        assert!(pool.stats().total().n_deaths() >= 4 * 5 * 4, "{method:?}");
        let sums = sums.lock().unwrap();
        assert!(sums.iter().all(|sum| *sum == (1025, true)), "{sums:?}");
    }
}

fn a_subscribers_panic_goes_no_further() {
    for method in METHODS {
        let _quiet = Quiet::new();
        listen_and(
            |_| panic!("a subscriber"),
            || {
                let pool = pool(method, 2);
                let results = pool.try_map(die, [9, 1, 9, 2, 9]);
                assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
                assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
                // Also on the way out of a panic.
                let raised = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _terminated = crate::starts::pool(method, 1);
                    pool.map(die, [9, 1])
                }));
                assert!(raised.is_err());
            },
        );
    }
}

/// Workers inherit the subscriber if they are forked.
fn workers_tell_nothing() {
    for method in METHODS {
        let n_told = Arc::new(SharedArray::<u32>::zeroed(1).unwrap());
        let n_told_elsewhere = Arc::clone(&n_told);
        let owner = std::process::id();
        let is_heard = Arc::new(AtomicBool::new(false));
        let heard_here = Arc::clone(&is_heard);
        listen_and(
            move |_| match std::process::id() == owner {
                true => heard_here.store(true, Ordering::Relaxed),
                false => n_told_elsewhere.set(0, 1),
            },
            || {
                let builder = Pool::builder().workers(2).start_method(method);
                let pool = builder.max_tasks_per_worker(3).retries(1).build().unwrap();
                let captured = 1;
                for _ in 0..5 {
                    let _ = pool.try_map(die, [9, 9, 1, 9]);
                    let _ = pool.try_map(|x: u32| die(x - captured), [9, 9, 1, 9]);
                }
            },
        );
        assert!(is_heard.load(Ordering::Relaxed), "{method:?}");
        assert_eq!(n_told.get(0), 0, "{method:?}");
    }
}

fn each_death_is_told_once() {
    for method in METHODS {
        let mut n_deaths = 0;
        let heard = listen(|| {
            let pool = pool(method, 3);
            for round in 0..20 {
                let _ = pool.try_map(die, (0..20).map(|item| (item + round) % 9));
            }
            n_deaths = pool.stats().total().n_deaths();
        });
        assert!(n_deaths > 100);
        let told = with_text(&heard, "worker died").len() as u64;
        assert_eq!(told, n_deaths, "{method:?}");
        let started = with_text(&heard, "worker started").len() as u64;
        assert_eq!(started, 3 + n_deaths);
    }
}

/// A closed pool waits for workers that are in their initialiser.
fn a_death_at_the_end_is_told() {
    for method in METHODS {
        let mut n_deaths = 0;
        let heard = listen(|| {
            let builder = Pool::builder().workers(2).start_method(method);
            let builder = builder.timeout(Duration::from_secs(60));
            let pool = builder.initializer(|| std::process::exit(9));
            let pool = pool.build().unwrap();
            pool.join();
            n_deaths = pool.stats().total().n_deaths();
        });
        let told = with_text(&heard, "worker died before it was ready");
        assert_eq!((told.len(), n_deaths), (2, 2), "{method:?}: {heard:?}");
        for death in told {
            assert!(death.text_of("reason").contains("code 9"), "{death:?}");
        }
    }
}
