//! The properties of workers' processes: limits of memory and CPU time, environment, folder,
//! niceness.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use forklore::pool::Builder;
use forklore::{Pool, StartMethod};

use crate::starts::METHODS;
use crate::support::{is_running, power, tests, wait_until};

tests![
    workers_have_the_environment_folder_and_niceness_that_were_asked_for,
    a_task_that_is_refused_memory_is_an_error_of_its_item,
    a_task_is_refused_memory_in_whatever_it_does,
    a_task_that_asks_first_goes_on_without_memory,
    an_abort_for_another_reason_is_no_lack_of_memory,
    a_limit_that_no_worker_can_start_under_is_named,
    cpu_time_is_limited_and_sleep_is_not,
    what_a_task_has_started_ends_with_it_if_that_was_asked_for,
    a_terminated_pool_takes_descendants_along,
    conditions_that_cannot_be_are_refused,
];

/// More than a worker uses when it starts.
const ROOM: u64 = 512 << 20;

fn build(method: StartMethod, choose: impl Fn(Builder) -> Builder) -> Pool {
    choose(Pool::builder().workers(2).start_method(method))
        .build()
        .unwrap()
}

fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

fn niceness(_: u8) -> i64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(16).unwrap().parse().unwrap()
}

fn current_dir(_: u8) -> PathBuf {
    std::env::current_dir().unwrap()
}

fn workers_have_the_environment_folder_and_niceness_that_were_asked_for() {
    let folder = fs::canonicalize(std::env::temp_dir()).unwrap();
    let before = niceness(0);
    for method in METHODS {
        let pool = build(method, |builder| {
            let builder = builder.environment("FORKLORE_TEST", "a b").nice(1);
            builder
                .environment("FORKLORE_TEST", "the last")
                .current_dir(&folder)
        });
        let name = "FORKLORE_TEST".to_owned();
        assert_eq!(pool.apply(variable, name), Some("the last".to_owned()));
        assert_eq!(pool.apply(current_dir, 0), folder);
        assert_eq!(pool.apply(niceness, 0), (before + 1).min(19));
        // Workers forked for a call have them too.
        let captured = 1;
        let there = pool.map(|x: u8| current_dir(x + captured), [0, 1]);
        assert_eq!(there, [folder.clone(), folder.clone()]);
    }
    assert_eq!(variable("FORKLORE_TEST".to_owned()), None);
    assert_eq!(niceness(0), before);
}

/// A vector of `n_bytes`, all touched.
fn fill(n_bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; n_bytes]).len()
}

fn a_task_that_is_refused_memory_is_an_error_of_its_item() {
    for method in METHODS {
        let pool = build(method, |builder| builder.memory_limit(ROOM));
        let sizes = [10, 4 << 30, 20, 1 << 20];
        let check = |results: Vec<Result<usize, forklore::TaskError>>| {
            let error = results[1].as_ref().unwrap_err();
            assert!(error.is_out_of_memory() && error.is_died(), "{error}");
            assert_eq!((error.item(), error.signal()), (Some(1), Some(6)));
            assert!(error.to_string().contains("512 MiB"), "{error}");
            let others = [0, 2, 3].map(|item: usize| results[item].clone());
            assert_eq!(others, [10, 20, 1 << 20].map(Ok));
        };
        check(pool.try_map(fill, sizes));
        let captured = 0;
        check(pool.try_map(|n: usize| fill(n + captured), sizes));
        assert_eq!(pool.pids().len(), 2);
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
}

/// One large block, blocks that grow, many small ones, a collection, and a block in a thread of the
/// task.
fn a_task_is_refused_memory_in_whatever_it_does() {
    fn use_up(way: u8) -> usize {
        match way {
            0 => fill(4 << 30),
            1 => {
                let mut numbers = Vec::new();
                loop {
                    numbers.push(std::hint::black_box(1_u64));
                }
            }
            2 => {
                let mut boxes = std::collections::VecDeque::new();
                loop {
                    boxes.push_back(Box::new([1_u8; 1000]));
                }
            }
            3 => "x".repeat(4 << 30).len(),
            4 => {
                let thread = std::thread::spawn(|| fill(4 << 30));
                thread.join().unwrap()
            }
            _ => std::process::abort(),
        }
    }
    let pool = build(StartMethod::Fork, |builder| builder.memory_limit(ROOM));
    let results = pool.try_map(use_up, 0..6);
    let is_refused = |result: &Result<usize, forklore::TaskError>| {
        result.as_ref().is_err_and(|error| error.is_out_of_memory())
    };
    let refused: Vec<bool> = results.iter().map(is_refused).collect();
    assert_eq!(refused, [true, true, true, true, true, false]);
}

fn a_task_that_asks_first_goes_on_without_memory() {
    let pool = build(StartMethod::Fork, |builder| builder.memory_limit(ROOM));
    let ask = |n: usize| Vec::<u8>::new().try_reserve_exact(n).is_ok();
    assert_eq!(pool.map(ask, [10, 4 << 30, 10]), [true, false, true]);
}

fn an_abort_for_another_reason_is_no_lack_of_memory() {
    let pool = build(StartMethod::Fork, |builder| builder.memory_limit(ROOM));
    let results = pool.try_map(
        |x: u8| {
            if x == 1 {
                std::process::abort()
            }
        },
        0..2,
    );
    let error = results[1].as_ref().unwrap_err();
    assert!(error.is_died() && !error.is_out_of_memory(), "{error}");
}

fn a_limit_that_no_worker_can_start_under_is_named() {
    for method in METHODS {
        let pool = build(method, |builder| builder.memory_limit(4096));
        let results = pool.try_map(power, 0..2);
        let error = results[0].as_ref().unwrap_err();
        assert!(error.is_not_run(), "{error}");
        let text = error.to_string();
        assert!(text.contains("its memory_limit is 4096"), "{text}");
        let needs_more = || drop(std::hint::black_box(vec![1_u8; 4 << 30]));
        let pool = build(method, |builder| {
            builder.memory_limit(ROOM).initializer(needs_more)
        });
        let results = pool.try_map(power, 0..2);
        let text = results[0].as_ref().unwrap_err().to_string();
        assert!(text.contains("its memory_limit of"), "{method:?}: {text}");
    }
}

fn cpu_time_is_limited_and_sleep_is_not() {
    let limit = Duration::from_millis(200);
    for method in METHODS {
        let pool = build(method, |builder| builder.cpu_time_limit(limit));
        let task = |x: u8| match x {
            1 => loop {
                std::hint::spin_loop();
            },
            2 => std::thread::sleep(Duration::from_millis(500)),
            _ => {}
        };
        let results = pool.try_map(task, 0..4);
        let error = results[1].as_ref().unwrap_err();
        assert!(error.is_timed_out() && !error.is_died(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("used more CPU time than the pool's limit of 200ms"),
            "{text}"
        );
        assert_eq!((&results[0], &results[2]), (&Ok(()), &Ok(())));
    }
}

/// Starts a program that starts another; writes both pids into a file, and waits for it.
fn start_and_wait(file: PathBuf) {
    let script = "sleep 600 & echo $! $$ > \"$0.part\"; mv \"$0.part\" \"$0\"; wait";
    let mut shell = Command::new("setsid");
    let mut shell = shell.args(["sh", "-c", script]).arg(&file).spawn().unwrap();
    shell.wait().unwrap();
}

/// The pids that [`start_and_wait`] wrote.
fn started(file: &PathBuf) -> Vec<i32> {
    wait_until(|| file.exists());
    let pids = fs::read_to_string(file).unwrap();
    pids.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn end(pids: &[i32]) {
    for &pid in pids {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

fn file_for(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("forklore-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&file);
    file
}

fn what_a_task_has_started_ends_with_it_if_that_was_asked_for() {
    for method in METHODS {
        for kill in [true, false] {
            let pool = build(method, |builder| {
                let limit = Duration::from_secs(1);
                builder.timeout(limit).kill_descendants(kill)
            });
            let file = file_for("timeout");
            let results = pool.try_map(start_and_wait, [file.clone()]);
            assert!(results[0].as_ref().is_err_and(|error| error.is_timed_out()));
            let pids = started(&file);
            assert_eq!(pids.len(), 2);
            if kill {
                wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
            } else {
                assert!(pids.iter().all(|&pid| is_running(pid)));
                end(&pids);
            }
            fs::remove_file(file).unwrap();
        }
    }
}

fn a_terminated_pool_takes_descendants_along() {
    for method in METHODS {
        let pool = build(method, |builder| builder.kill_descendants(true));
        let file = file_for("terminate");
        let pending = pool.apply_async(start_and_wait, file.clone());
        let pids = started(&file);
        pool.terminate();
        wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
        assert!(pending.get().is_err());
        fs::remove_file(file).unwrap();
    }
}

fn conditions_that_cannot_be_are_refused() {
    let refused = |builder: Builder, word: &str| {
        let error = builder.workers(1).build().unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(Pool::builder().environment("A=B", "x"), "A=B");
    refused(Pool::builder().environment("", "x"), "\"\"");
    refused(Pool::builder().environment("A", "x\0y"), "x\\0y");
    refused(Pool::builder().current_dir("/no/such"), "/no/such");
    refused(Pool::builder().current_dir("/dev/null"), "/dev/null");
    refused(Pool::builder().cpu_time_limit(Duration::ZERO), "0 s");
}
