//! Tasks that panic and workers that die: the caller gets the right error, and nothing else is
//! lost.

use forklore::{Pool, Schedule};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Scene, is_running, power, scene, tests, wait_until};

tests![
    a_panic_names_the_item_and_the_others_arrive,
    map_panics_after_all_have_finished,
    deaths_name_item_pid_and_signal,
    a_worker_killed_from_outside_is_replaced,
    workers_killed_while_idle_are_replaced,
    every_item_may_kill_its_worker,
    single_items_answer_for_themselves,
    a_closure_that_dies_loses_nothing_else,
    workers_die_with_their_owner,
];

pub const SCENES: &[Scene] = &[("owner_is_killed", owner_is_killed)];

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
            assert!(error.location().unwrap().contains("deaths.rs"), "{error}");
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

/// Items that are claimed one by one share a run of results, whatever the size of the numbers.
fn single_items_answer_for_themselves() {
    fn unlucky(x: u32) -> u32 {
        match x {
            7 | 500 => panic!("unlucky"),
            8 | 301 | 999 => kill(Pid::this(), Signal::SIGKILL).unwrap(),
            _ => (),
        }
        x
    }
    fn check<R: PartialEq + std::fmt::Debug>(
        results: &[Result<R, forklore::TaskError>],
        expected: impl Fn(u32) -> R,
    ) {
        let mut bad = Vec::new();
        for (item, result) in results.iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(*value, expected(item as u32)),
                Err(error) => {
                    assert_eq!(error.item(), Some(item));
                    bad.push((item, error.is_panicked(), error.signal()));
                }
            }
        }
        let killed = Some(9);
        assert_eq!(
            bad,
            [
                (7, true, None),
                (8, false, killed),
                (301, false, killed),
                (500, true, None),
                (999, false, killed)
            ]
        );
    }
    for n_workers in [1, 3] {
        let pool = Pool::builder()
            .workers(n_workers)
            .schedule(Schedule::Dynamic)
            .build()
            .unwrap();
        check(&pool.try_map(|x| unlucky(x) as u8, 0..1000), |x| x as u8);
        check(&pool.try_map(|x| f64::from(unlucky(x)), 0..1000), f64::from);
        let wide = |x: u32| u128::from(x) << 70 | 1;
        check(
            &pool.try_map(|x| u128::from(unlucky(x)) << 70 | 1, 0..1000),
            wide,
        );
        // A closure that has captured something, and results that are not plain numbers.
        let more = n_workers as u32;
        check(&pool.try_map(|x| unlucky(x) + more, 0..1000), |x| x + more);
        let words = pool.try_map(|x| unlucky(x).to_string(), 0..1000);
        check(&words, |x| x.to_string());
    }
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
