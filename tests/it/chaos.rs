//! Random operations with a printed seed: nothing hangs, nothing is lost, nothing is left.

use std::collections::BTreeSet;

use forklore::Pool;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Random, tests};

tests![five_hundred_rounds];

/// What a task does, decided by the caller and told by the argument.
const PANIC: u64 = 1;
const EXIT: u64 = 2;
const KILL: u64 = 3;
const ABORT: u64 = 4;

fn task((item, fate): (u64, u64)) -> String {
    match fate {
        PANIC => panic!("item {item} panics"),
        EXIT => std::process::exit(5),
        KILL => {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
        ABORT => std::process::abort(),
        _ => {}
    }
    format!("{item}!")
}

fn five_hundred_rounds() {
    let mut random = Random::seeded();
    let mut pool = Pool::with_workers(2).unwrap();
    for round in 0..500 {
        match random.below(12) {
            0 => {
                let n = 1 + random.below(4) as usize;
                match random.below(3) {
                    0 => pool.join(),
                    1 => pool.terminate(),
                    _ => {}
                }
                pool = Pool::with_workers(n).unwrap();
            }
            1 => {
                let pids = pool.pids();
                let victim = pids[random.below(pids.len() as u64) as usize];
                kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
            }
            kind => a_map(&pool, &mut random, kind, round),
        }
        assert_eq!(pool.pids().len(), pool.workers(), "round {round}");
    }
}

/// One map in which some items have bad luck; every other must arrive, and every error be right.
fn a_map(pool: &Pool, random: &mut Random, kind: u64, round: u64) {
    let n_items = random.below(60);
    let danger = random.below(8) + 2;
    let args: Vec<(u64, u64)> = (0..n_items)
        .map(|item| {
            let fate = if random.below(danger) == 0 {
                random.below(5)
            } else {
                0
            };
            (item, fate)
        })
        .collect();
    let results = if kind < 5 {
        let captured = round;
        pool.try_map(
            |arg: (u64, u64)| task(arg) + &captured.to_string()[..0],
            args.clone(),
        )
    } else {
        pool.try_map(task, args.clone())
    };
    assert_eq!(results.len(), args.len());
    let mut items = BTreeSet::new();
    for ((item, fate), result) in args.into_iter().zip(results) {
        assert!(items.insert(item));
        match result {
            Ok(value) => assert_eq!((value, fate), (format!("{item}!"), 0), "round {round}"),
            Err(error) => {
                assert_eq!(error.item(), Some(item as usize), "round {round}: {error}");
                let expected = match fate {
                    PANIC => error.is_panicked(),
                    EXIT => error.exit_code() == Some(5),
                    KILL => error.signal() == Some(9),
                    ABORT => error.signal() == Some(6),
                    // A worker that was killed while it was idle had not begun anything.
                    _ => false,
                };
                assert!(expected, "round {round}, fate {fate}: {error}");
            }
        }
    }
}
