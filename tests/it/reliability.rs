//! What can happen to a worker or to its owner, for every way to start workers: one table each.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use forklore::{Pool, StartMethod, TaskError};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

use crate::starts::{METHODS, pool};
use crate::support::{
    Scene, children_of, is_running, power, scene_argument, scene_with, tests, wait_until,
};

tests![
    whatever_becomes_of_a_worker,
    whatever_becomes_of_a_closures_worker,
    an_interrupt_passes_idle_workers_by,
    a_worker_is_killed_from_outside_while_it_works,
    a_stopped_worker_is_waited_for_without_a_limit,
    whatever_becomes_of_the_owner,
    results_are_the_same_for_any_number_of_workers,
    the_same_seeds_die_on_any_number_of_workers,
];

pub const SCENES: &[Scene] = &[("an_owner_ends", an_owner_ends)];

/// The fates of a task.
const NOTHING: u32 = 0;
const KILL: u32 = 1;
const PANIC: u32 = 2;
const EXIT: u32 = 3;
const ABORT: u32 = 4;
const INTERRUPT: u32 = 5;
const STOP: u32 = 6;

/// A fate, and a check of its error; `None` if it causes no error.
type Row = (&'static str, u32, Option<fn(&TaskError) -> bool>);

const FATES: [Row; 6] = [
    ("kill -9", KILL, Some(|error| error.signal() == Some(9))),
    (
        "panic",
        PANIC,
        Some(|error| error.is_panicked() && error.message() == "item 5 panics"),
    ),
    ("exit", EXIT, Some(|error| error.exit_code() == Some(7))),
    ("abort", ABORT, Some(|error| error.signal() == Some(6))),
    ("SIGINT while busy", INTERRUPT, None),
    ("SIGSTOP with a limit", STOP, Some(TaskError::is_timed_out)),
];

/// The index of the task that meets its fate.
const VICTIM: usize = 5;

fn meet((item, fate): (usize, u32)) -> String {
    let signal = match fate {
        KILL => Some(Signal::SIGKILL),
        INTERRUPT => Some(Signal::SIGINT),
        STOP => Some(Signal::SIGSTOP),
        PANIC => panic!("item {item} panics"),
        EXIT => std::process::exit(7),
        ABORT => std::process::abort(),
        _ => None,
    };
    if let Some(signal) = signal {
        kill(Pid::this(), signal).unwrap();
    }
    format!("{item}!")
}

fn args(fate: u32) -> Vec<(usize, u32)> {
    let fate_of = |item| if item == VICTIM { fate } else { NOTHING };
    (0..30).map(|item| (item, fate_of(item))).collect()
}

fn limited(method: StartMethod) -> Pool {
    let builder = Pool::builder().workers(2).start_method(method);
    builder.timeout(Duration::from_millis(150)).build().unwrap()
}

/// Checks all other results, the error, and that the pool still works.
fn check(what: &str, pool: &Pool, results: &[Result<String, TaskError>], row: Row) {
    for (item, result) in results.iter().enumerate() {
        match (row.2, result) {
            (Some(is_right), Err(error)) if item == VICTIM => {
                assert!(is_right(error), "{what}: {error}");
                assert_eq!(error.item(), Some(VICTIM), "{what}: {error}");
                assert!(error.pid().is_some(), "{what}: {error}");
            }
            _ => assert_eq!(*result, Ok(format!("{item}!")), "{what}"),
        }
    }
    assert_eq!(results.len(), 30, "{what}");
    assert_eq!(pool.pids().len(), 2, "{what}");
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024], "{what}");
}

fn whatever_becomes_of_a_worker() {
    for method in METHODS {
        let pool = limited(method);
        for row in FATES {
            let what = format!("{} under {method:?}", row.0);
            let before = pool.pids();
            let results = pool.try_map(meet, args(row.1));
            if let Err(error) = &results[VICTIM] {
                assert!(before.contains(&error.pid().unwrap()), "{what}: {error}");
            } else {
                assert_eq!(pool.pids(), before, "{what}");
            }
            check(&what, &pool, &results, row);
        }
    }
}

fn whatever_becomes_of_a_closures_worker() {
    for method in METHODS {
        let pool = limited(method);
        for row in FATES {
            let before = pool.pids();
            let captured = "!";
            let shorter = |arg| meet(arg).trim_end_matches(captured).to_owned() + captured;
            let results = pool.try_map(shorter, args(row.1));
            check(
                &format!("{} in a closure under {method:?}", row.0),
                &pool,
                &results,
                row,
            );
            assert_eq!(pool.pids(), before, "it costs the pool itself no worker");
        }
    }
}

fn an_interrupt_passes_idle_workers_by() {
    for method in METHODS {
        let pool = pool(method, 2);
        // So that they are ready, and not still on their way into being.
        pool.broadcast(|| ());
        let before = pool.pids();
        let all = crate::support::children().into_iter().chain(before.clone());
        for pid in all.collect::<std::collections::BTreeSet<_>>() {
            kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
        }
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        assert_eq!(pool.pids(), before, "{method:?}");
    }
}

/// A task that reports its pid, and runs until it gets a sign to end.
fn hold(path: String) -> u32 {
    let path = std::path::Path::new(&path);
    let own_pid = std::process::id();
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, own_pid.to_string()).unwrap();
    std::fs::rename(&unfinished, path).unwrap();
    while path.exists() {
        std::thread::yield_now();
    }
    own_pid
}

/// The pid of the worker that holds at `path`.
fn holder(path: &str) -> i32 {
    wait_until(|| std::path::Path::new(path).exists());
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn gate() -> String {
    let name = format!("forklore-hold-{}", std::process::id());
    std::env::temp_dir()
        .join(name)
        .to_string_lossy()
        .into_owned()
}

fn a_worker_is_killed_from_outside_while_it_works() {
    for method in METHODS {
        let pool = pool(method, 2);
        let path = gate();
        let held = pool.apply_async(hold, path.clone());
        let fine = pool.map_async(power, 0..100);
        let pid = holder(&path);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let error = held.get().unwrap_err();
        assert_eq!(
            (error.pid(), error.signal()),
            (Some(pid), Some(9)),
            "{method:?}"
        );
        assert_eq!(fine.get().unwrap().len(), 100);
        assert_eq!(pool.pids().len(), 2);
        std::fs::remove_file(&path).unwrap();
    }
}

fn a_stopped_worker_is_waited_for_without_a_limit() {
    for method in METHODS {
        let pool = pool(method, 2);
        let path = gate();
        let held = pool.apply_async(hold, path.clone());
        let pid = holder(&path);
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        std::fs::remove_file(&path).unwrap();
        // The other worker goes on, and none is killed.
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        assert!(!held.wait(Duration::from_millis(20)), "{method:?}");
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        assert_eq!(held.get(), Ok(pid as u32), "{method:?}");
    }
}

/// How an owner ends; the test sends the signals.
const ENDS: [&str; 7] = [
    "SIGKILL", "SIGINT", "SIGTERM", "exit", "abort", "panic", "forget",
];

fn an_owner_ends() {
    let argument = scene_argument();
    let [method, load, end] = argument.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{argument}")
    };
    let method = METHODS
        .into_iter()
        .find(|known| format!("{known:?}") == method);
    // The shell that started the tests in the background may have had this one ignored.
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.unwrap();
    let pool = pool(method.unwrap(), 2);
    pool.broadcast(|| ());
    let park = |(): ()| loop {
        std::thread::park();
    };
    let held: Option<forklore::Pending<Vec<()>>> =
        (load == "busy").then(|| pool.map_async(park, [(); 2]));
    let own = children_of(std::process::id() as i32);
    println!("{:?} {:?}", own, pool.pids());
    match end {
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        "panic" if load == "busy" => {
            // Unwinding drops what is pending, but a pool waits for what runs.
            std::mem::forget(held);
            std::mem::forget(pool);
            panic!("the owner panics");
        }
        "panic" => panic!("the owner panics"),
        "forget" => {
            std::mem::forget(held);
            std::mem::forget(pool);
        }
        _ => loop {
            std::thread::park();
        },
    }
}

fn whatever_becomes_of_the_owner() {
    for method in METHODS {
        for load in ["idle", "busy"] {
            for end in ENDS {
                let what = format!("{method:?} {load} {end}");
                let mut owner = scene_with("an_owner_ends", &what).spawn().unwrap();
                let mut line = String::new();
                let mut output = BufReader::new(owner.stdout.take().unwrap());
                output.read_line(&mut line).unwrap();
                let words = line.split(|c: char| !c.is_ascii_digit());
                let pids: Vec<i32> = words.filter_map(|pid| pid.parse().ok()).collect();
                assert!(pids.len() >= 3, "{what}: {line}");
                let sent = end.parse::<Signal>().ok();
                if let Some(sent) = sent {
                    kill(Pid::from_raw(owner.id() as i32), sent).unwrap();
                }
                let status = owner.wait().unwrap();
                if let Some(sent) = sent {
                    assert_eq!(status.signal(), Some(sent as i32), "{what}");
                }
                wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
            }
        }
    }
}

fn results_are_the_same_for_any_number_of_workers() {
    let words = |n: usize| "x".repeat(n % 17);
    let expected: Vec<String> = (0..500).map(words).collect();
    for method in METHODS {
        for n_workers in [1, 2, 3, 7] {
            let pool = pool(method, n_workers);
            assert_eq!(pool.workers(), n_workers);
            assert_eq!(pool.pids().len(), n_workers);
            assert_eq!(pool.map(|n: usize| "x".repeat(n % 17), 0..500), expected);
            assert_eq!(
                pool.map(power, 0..500),
                (0..500).map(power).collect::<Vec<_>>()
            );
            let mut unordered: Vec<_> = pool.imap_unordered(power, 0..100).collect();
            unordered.sort_unstable();
            let expected: Vec<_> = (0..100).map(|x| (x as usize, power(x))).collect();
            assert_eq!(unordered, expected);
        }
    }
}

/// Which items fail, and why, does not depend on the number of workers either.
fn the_same_seeds_die_on_any_number_of_workers() {
    let fate = |item: usize| [NOTHING, PANIC, EXIT, NOTHING, ABORT, KILL][item % 6];
    let args: Vec<_> = (0..60).map(|item| (item, fate(item))).collect();
    let shape = |results: Vec<Result<String, TaskError>>| -> Vec<_> {
        let causes = results.into_iter().map(|result| match result {
            Ok(value) => value,
            Err(error) => format!(
                "{:?} {:?} {:?} {}",
                error.item(),
                error.signal(),
                error.exit_code(),
                error.is_panicked()
            ),
        });
        causes.collect()
    };
    let alone = shape(pool(StartMethod::Fork, 1).try_map(meet, args.clone()));
    for method in METHODS {
        for n_workers in [1, 2, 3, 7] {
            let results = pool(method, n_workers).try_map(meet, args.clone());
            assert_eq!(
                shape(results),
                alone,
                "{n_workers} workers under {method:?}"
            );
        }
    }
}
