//! Random operations with a printed seed: nothing hangs, nothing is lost, nothing is left.

use std::collections::BTreeSet;

use forklore::{Pool, StartMethod, TaskError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::starts::METHODS;
use crate::support::{Random, children, children_of, is_running, tests, wait_until};

tests![ten_thousand_operations];

const N_OPERATIONS: u32 = 10_000;
/// How often to check that nothing is left of earlier pools.
const CHECKED_EVERY: u32 = 500;

/// The fates of a task, chosen by the caller and passed in the argument.
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

fn ten_thousand_operations() {
    let mut chaos = Chaos::new(Random::seeded());
    let mappings = n_shared_mappings();
    let files = n_files();
    for operation in 0..N_OPERATIONS {
        chaos.operation = operation;
        chaos.operate();
        if operation % CHECKED_EVERY == 0 {
            chaos.check_family();
            drop(chaos.pool.take());
            assert_eq!(children(), Vec::<i32>::new(), "operation {operation}");
            assert_eq!(n_shared_mappings(), mappings, "operation {operation}");
            assert_eq!(n_files(), files, "operation {operation}");
        }
    }
}

struct Chaos {
    random: Random,
    operation: u32,
    pool: Option<Pool>,
    method: StartMethod,
}

impl Chaos {
    fn new(random: Random) -> Chaos {
        Chaos {
            random,
            operation: 0,
            pool: None,
            method: StartMethod::Fork,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    fn operate(&mut self) {
        let Some(pool) = self.pool.take() else {
            self.pool = Some(self.make());
            return;
        };
        match self.below(100) {
            0 | 1 => {
                match self.below(3) {
                    0 => pool.join(),
                    1 => pool.terminate(),
                    _ => drop(pool),
                }
                self.pool = Some(self.make());
                return;
            }
            2..=4 => {
                let n = 1 + self.below(4) as usize;
                pool.resize(n).unwrap();
            }
            5..=8 => self.kill_a_worker(&pool),
            9 => self.kill_the_server(&pool),
            10..=12 => self.stop_and_continue(&pool),
            13..=17 => assert_eq!(pool.broadcast(own_pid), pool.pids(), "{self}"),
            18..=26 => self.wait_for_some(&pool),
            27..=30 => self.kill_during_work(&pool),
            31..=40 => self.stream(&pool),
            41..=47 => self.map_closure(&pool),
            _ => self.map(&pool),
        }
        assert_eq!(pool.pids().len(), pool.workers(), "{self}");
        self.pool = Some(pool);
    }

    fn make(&mut self) -> Pool {
        self.method = METHODS[self.below(3) as usize];
        let n = 1 + self.below(4) as usize;
        let builder = Pool::builder().workers(n).start_method(self.method);
        builder.build().unwrap()
    }

    /// Checks that the processes below this one are the pool's workers, and a server's if it has
    /// one. Dismissed workers may first finish tasks that no caller waited for.
    fn check_family(&mut self) {
        let Some(pool) = &self.pool else { return };
        wait_until(|| {
            pool.resize(pool.workers()).unwrap();
            let pids: BTreeSet<i32> = pool.pids().into_iter().collect();
            let mut family = children();
            if self.method != StartMethod::Fork {
                assert_eq!(family.len(), 1, "{self}");
                family = children_of(family[0]);
            }
            pids == family.into_iter().collect()
        });
    }

    fn victim(&mut self, pool: &Pool) -> i32 {
        let pids = pool.pids();
        pids[self.below(pids.len() as u64) as usize]
    }

    fn kill_a_worker(&mut self, pool: &Pool) {
        let victim = self.victim(pool);
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        // Or the next operation could see it begin something before it is gone.
        wait_until(|| !is_running(victim));
    }

    fn kill_the_server(&mut self, pool: &Pool) {
        if self.method != StartMethod::Fork
            && let [server] = children()[..]
        {
            let workers = pool.pids();
            kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
            wait_until(|| !workers.iter().any(|&pid| is_running(pid)));
        }
    }

    fn stop_and_continue(&mut self, pool: &Pool) {
        let victim = Pid::from_raw(self.victim(pool));
        kill(victim, Signal::SIGSTOP).unwrap();
        let pending = pool.map_async(task, fine(8));
        let _ = pending.ready();
        kill(victim, Signal::SIGCONT).unwrap();
        assert_eq!(pending.get().unwrap(), expected(8), "{self}");
    }

    /// Waits for some results, and not for others, in any order.
    fn wait_for_some(&mut self, pool: &Pool) {
        let n_pending = 1 + self.below(6);
        let mut pending: Vec<_> = (1..=n_pending)
            .map(|n| (n, pool.map_async(task, fine(n))))
            .collect();
        while !pending.is_empty() {
            let which = self.below(pending.len() as u64) as usize;
            let (n, result) = pending.swap_remove(which);
            match self.below(4) {
                0 => drop(result),
                _ => assert_eq!(result.get().unwrap(), expected(n), "{self}"),
            }
        }
    }

    fn kill_during_work(&mut self, pool: &Pool) {
        let victim = self.victim(pool);
        let pending: Vec<_> = (0..6u64)
            .map(|item| (item, pool.apply_async(task, (item, 0))))
            .collect();
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        for (item, result) in pending {
            match result.get() {
                Ok(value) => assert_eq!(value, format!("{item}!"), "{self}"),
                Err(error) => {
                    let is_right = error.signal() == Some(9) && error.pid() == Some(victim);
                    assert!(is_right, "{self}: {error}");
                }
            }
        }
        wait_until(|| !is_running(victim));
    }

    /// A lazy map that is dropped somewhere in the middle.
    fn stream(&mut self, pool: &Pool) {
        let n = self.below(40);
        let taken = self.below(50) as usize;
        let results: Vec<String> = pool.imap(task, fine(n)).take(taken).collect();
        let expected: Vec<String> = expected(n).into_iter().take(taken).collect();
        assert_eq!(results, expected, "{self}");
    }

    fn map_closure(&mut self, pool: &Pool) {
        let args = self.args();
        let captured = self.operation;
        let same = |arg: (u64, u64)| task(arg) + &captured.to_string()[..0];
        let results = pool.try_map(same, args.clone());
        self.check(&args, results);
    }

    fn map(&mut self, pool: &Pool) {
        let args = self.args();
        let results = pool.try_map(task, args.clone());
        self.check(&args, results);
    }

    /// Arguments, some of which have bad luck.
    fn args(&mut self) -> Vec<(u64, u64)> {
        let n_items = self.below(40);
        let danger = self.below(100) + 15;
        let items = 0..n_items;
        let fate = |item| match self.below(danger) {
            0 => (item, self.below(5)),
            _ => (item, 0),
        };
        items.map(fate).collect()
    }

    /// Checks that every item without bad luck has its result, and that every error is right.
    fn check(&self, args: &[(u64, u64)], results: Vec<Result<String, TaskError>>) {
        assert_eq!(results.len(), args.len(), "{self}");
        for (&(item, fate), result) in args.iter().zip(results) {
            let error = match result {
                Ok(value) => {
                    assert_eq!((value, fate), (format!("{item}!"), 0), "{self}");
                    continue;
                }
                Err(error) => error,
            };
            assert_eq!(error.item(), Some(item as usize), "{self}: {error}");
            let is_right = match fate {
                PANIC => error.is_panicked(),
                EXIT => error.exit_code() == Some(5),
                KILL => error.signal() == Some(9),
                ABORT => error.signal() == Some(6),
                // A worker that was killed while it was idle had not begun anything.
                _ => false,
            };
            assert!(is_right, "{self}, fate {fate}: {error}");
        }
    }
}

impl std::fmt::Display for Chaos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "operation {} under {:?}", self.operation, self.method)
    }
}

fn own_pid() -> i32 {
    std::process::id() as i32
}

fn fine(n: u64) -> Vec<(u64, u64)> {
    (0..n).map(|item| (item, 0)).collect()
}

fn expected(n: u64) -> Vec<String> {
    (0..n).map(|item| format!("{item}!")).collect()
}

fn n_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The number of memory mappings that this process shares with others.
fn n_shared_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let flags = maps.lines().filter_map(|line| line.split(' ').nth(1));
    flags.filter(|flags| flags.ends_with('s')).count()
}
