//! loky's tests of its executor, run on this pool: crashes at every step of an item's path, and
//! large data in transit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use forklore::{Pool, SharedArray, TaskError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::starts::{METHODS, pool};
use crate::support::{Quiet, children, is_running, power, tests, wait_until};

tests![
    a_crash_at_any_step_is_its_items_error,
    a_crash_at_any_step_spoils_no_other_call,
    workers_killed_between_calls_are_replaced,
    an_initializer_that_ends_its_worker_is_an_error,
    an_initializer_may_fail_later,
    pools_in_pools_in_pools,
    many_large_arguments_and_results_under_way,
    a_pool_ends_whatever_befell_its_workers,
    workers_that_end_each_other,
];

/// How a process, or a step, ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Not,
    Panic,
    Exit,
    Abort,
    Kill,
}

const CRASHES: [How; 4] = [How::Panic, How::Exit, How::Abort, How::Kill];

impl How {
    fn happen(self) {
        match self {
            How::Not => (),
            How::Panic => panic!("crash"),
            How::Exit => std::process::exit(3),
            How::Abort => std::process::abort(),
            How::Kill => kill(Pid::this(), Signal::SIGKILL).unwrap(),
        }
    }

    /// Whether the error reports what happened.
    fn is_told_by(self, error: &TaskError) -> bool {
        match self {
            How::Not => false,
            How::Panic => error.to_string().contains("crash"),
            How::Exit => error.exit_code() == Some(3),
            How::Abort => error.signal() == Some(Signal::SIGABRT as i32),
            How::Kill => error.signal() == Some(Signal::SIGKILL as i32),
        }
    }
}

/// A step of an item's path through a worker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    ReadArgument,
    Run,
    DropArgument,
    WriteResult,
}

const STEPS: [Step; 4] = [
    Step::ReadArgument,
    Step::Run,
    Step::DropArgument,
    Step::WriteResult,
];

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Plan {
    x: u64,
    step: Step,
    how: How,
    owner: u32,
}

impl Plan {
    fn reach(&self, step: Step) {
        if self.step == step && std::process::id() != self.owner {
            self.how.happen();
        }
    }
}

struct Argument(Plan);

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let plan = Plan::deserialize(deserializer)?;
        plan.reach(Step::ReadArgument);
        Ok(Argument(plan))
    }
}

impl Drop for Argument {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.reach(Step::DropArgument);
        }
    }
}

#[derive(Debug)]
struct Outcome(Plan);

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.reach(Step::WriteResult);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Plan::deserialize(deserializer).map(Outcome)
    }
}

fn follow(argument: Argument) -> Outcome {
    argument.0.reach(Step::Run);
    Outcome(argument.0)
}

const N_ITEMS: u64 = 9;
const BAD: u64 = 4;

fn arguments(step: Step, how: How) -> impl Iterator<Item = Argument> {
    let owner = std::process::id();
    (0..N_ITEMS).map(move |x| {
        let how = if x == BAD { how } else { How::Not };
        Argument(Plan {
            x,
            step,
            how,
            owner,
        })
    })
}

fn a_crash_at_any_step_is_its_items_error() {
    let _quiet = Quiet::new();
    for method in METHODS {
        let pool = pool(method, 2);
        for step in STEPS {
            for how in CRASHES {
                let what = format!("{method:?} {step:?} {how:?}");
                let offset = 0;
                for results in [
                    pool.try_map(follow, arguments(step, how)),
                    pool.try_map(
                        |argument: Argument| {
                            let mut result = follow(argument);
                            result.0.x += offset;
                            result
                        },
                        arguments(step, how),
                    ),
                ] {
                    assert_eq!(results.len() as u64, N_ITEMS);
                    for (x, result) in (0..).zip(&results) {
                        match result {
                            Ok(result) => assert_eq!(result.0.x, x, "{what}"),
                            Err(error) => {
                                assert_eq!(error.item(), Some(BAD as usize), "{what}: {error}");
                                assert!(how.is_told_by(error), "{what}: {error}");
                            }
                        }
                    }
                    // A closure's workers inherit the arguments and read none.
                    let n_bad = results.iter().filter(|result| result.is_err()).count();
                    assert!(
                        n_bad == 1 || step == Step::ReadArgument && n_bad == 0,
                        "{what}"
                    );
                }
            }
        }
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        assert_eq!(pool.pids().len(), 2);
    }
}

fn a_crash_at_any_step_spoils_no_other_call() {
    let _quiet = Quiet::new();
    for method in METHODS {
        let pool = pool(method, 2);
        for step in STEPS {
            let good = pool.map_async(power, 0..200);
            let bad: Vec<_> = CRASHES
                .iter()
                .map(|&how| pool.map_async(follow, arguments(step, how).collect::<Vec<_>>()))
                .collect();
            let last = pool.apply_async(power, 2);
            let mut stream = pool.imap(follow, arguments(step, How::Kill));
            let n_streamed = (0..N_ITEMS)
                .filter(|_| catch_unwind(AssertUnwindSafe(|| stream.next().unwrap())).is_ok())
                .count();
            assert_eq!(n_streamed as u64, N_ITEMS - 1, "{method:?} {step:?}");
            assert!(stream.next().is_none());
            for (pending, how) in bad.into_iter().zip(CRASHES) {
                let error = pending.get().unwrap_err();
                assert_eq!(
                    error.item(),
                    Some(BAD as usize),
                    "{method:?} {step:?}: {error}"
                );
                assert!(how.is_told_by(&error), "{method:?} {step:?}: {error}");
            }
            assert_eq!(good.get().unwrap(), (0..200).map(power).collect::<Vec<_>>());
            assert_eq!(last.get(), Ok(1024));
        }
    }
}

fn workers_killed_between_calls_are_replaced() {
    for method in METHODS {
        let pool = pool(method, 2);
        for round in 0..6 {
            let before = pool.pids();
            for &pid in &before[round % 2..] {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
            // Half of the time, the call comes before the death.
            if round > 2 {
                wait_until(|| before[round % 2..].iter().all(|&pid| !is_running(pid)));
            }
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024], "{method:?}");
            assert_eq!(pool.broadcast(|| 7), [7, 7], "{method:?}");
        }
    }
}

fn an_initializer_that_ends_its_worker_is_an_error() {
    for method in METHODS {
        let builder = || Pool::builder().workers(2).start_method(method);
        for builder in [
            builder().initializer(|| How::Exit.happen()),
            builder().initializer(|| How::Abort.happen()),
            builder().initializer(|| How::Kill.happen()),
        ] {
            let Ok(pool) = builder.build() else {
                continue;
            };
            let pending = pool.map_async(power, 0..3);
            let results = pool.try_map(power, 0..3);
            assert!(results.iter().all(Result::is_err), "{method:?}");
            assert!(pending.get().is_err());
            assert_eq!(
                pool.try_broadcast(|| 1)
                    .iter()
                    .filter(|result| result.is_ok())
                    .count(),
                0
            );
        }
        assert_eq!(children(), Vec::<i32>::new());
    }
}

/// Only workers that replace others fail to start.
fn an_initializer_may_fail_later() {
    let n_started = std::rc::Rc::new(SharedArray::<u64>::zeroed(1).unwrap());
    let counted = std::rc::Rc::clone(&n_started);
    let initializer = move || {
        counted.set(0, counted.get(0) + 1);
        if counted.get(0) > 1 {
            How::Exit.happen();
        }
    };
    let pool = Pool::builder()
        .workers(1)
        .initializer(initializer)
        .build()
        .unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    let results = pool.try_map(
        |x: u64| {
            if x == 1 {
                How::Abort.happen();
            }
            x
        },
        0..6,
    );
    assert_eq!(results[0], Ok(0));
    assert_eq!(results[1].as_ref().unwrap_err().signal(), Some(6));
    for (item, result) in (2..).zip(&results[2..]) {
        assert_eq!(result.as_ref().unwrap_err().item(), Some(item));
    }
    // Once it succeeds again, the pool is as before.
    n_started.set(0, 0);
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn leaves(depth: u32) -> u32 {
    if depth == 0 {
        return 1;
    }
    let pool = Pool::with_workers(2).unwrap();
    pool.map(leaves, [depth - 1; 2]).iter().sum()
}

fn pools_in_pools_in_pools() {
    for method in METHODS {
        let pool = pool(method, 1);
        assert_eq!(pool.map(leaves, [3]), [8], "{method:?}");
        // The innermost that dies takes nothing else down.
        let results = pool.map(
            |_: u8| {
                let inner = Pool::with_workers(1).unwrap();
                let results = inner.try_map(
                    |x: u32| {
                        if x == 1 {
                            How::Kill.happen();
                        }
                        leaves(x)
                    },
                    0..3,
                );
                results.into_iter().map(Result::ok).collect::<Vec<_>>()
            },
            [0],
        );
        assert_eq!(results, [[Some(1), None, Some(4)]]);
    }
}

fn many_large_arguments_and_results_under_way() {
    const N_BYTES: usize = 1 << 20;
    for method in METHODS {
        let pool = pool(method, 2);
        let captured = 0;
        let large = |x: usize| "x".repeat(N_BYTES + x);
        let twice = |text: String| text.repeat(2);
        let mut pending: Vec<_> = (0..40).map(|x| pool.apply_async(twice, large(x))).collect();
        let more = pool.map(|text: String| text.len() + captured, (0..4).map(large));
        assert_eq!(more, [0, 1, 2, 3].map(|x| N_BYTES + x));
        // In the order that is the worst: all others wait with their results.
        for x in (0..40).rev() {
            let text = pending.pop().unwrap().get().unwrap();
            assert_eq!(text.len(), 2 * (N_BYTES + x));
        }
        let lengths = pool.imap(twice, (0..20).map(large)).map(|text| text.len());
        assert_eq!(
            lengths.collect::<Vec<_>>(),
            (0..20).map(|x| 2 * (N_BYTES + x)).collect::<Vec<_>>()
        );
    }
}

fn a_pool_ends_whatever_befell_its_workers() {
    fn stay(text: String) -> usize {
        while text.len() == 1 << 18 {
            std::thread::park();
        }
        text.len()
    }
    let ends: [fn(Pool); 3] = [|pool| pool.terminate(), |pool| pool.join(), drop];
    for method in METHODS {
        for end in ends {
            let pool = pool(method, 2);
            let pids = pool.pids();
            // Much is under way, by two workers that never come to its end.
            let pending: Vec<_> = (0..10)
                .map(|_| pool.apply_async(stay, "x".repeat(1 << 18)))
                .collect();
            let stays = pool.apply_async(|x: u64| x + 1, 6);
            kill(Pid::from_raw(pids[0]), Signal::SIGKILL).unwrap();
            kill(Pid::from_raw(pids[1]), Signal::SIGSTOP).unwrap();
            // A call whose `Pending` was dropped does not delay the end.
            drop((pending, stays));
            end(pool);
            wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
            assert_eq!(children(), Vec::<i32>::new(), "{method:?}");
        }
    }
}

fn workers_that_end_each_other() {
    for method in METHODS {
        let pool = pool(method, 3);
        for _ in 0..4 {
            let pids = pool.pids();
            let victims: Vec<i32> = (0..12).map(|item| pids[item % 3]).collect();
            let results = pool.try_map(
                |pid: i32| {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    pid
                },
                victims.iter().copied(),
            );
            assert_eq!(results.len(), 12);
            for ((item, result), victim) in results.iter().enumerate().zip(victims) {
                match result {
                    Ok(pid) => assert_eq!(*pid, victim),
                    Err(error) => {
                        assert!(error.is_died() && error.item() == Some(item), "{error}");
                        assert_eq!(error.signal(), Some(9), "{error}");
                    }
                }
            }
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        }
    }
}
