//! The limits of a pool: how long a task may take, how often it is tried, how many workers run.

use std::os::unix::process::CommandExt;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use forklore::{Pool, SharedArray};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::starts::METHODS;
use crate::support::{
    Scene, is_running, power, scene_argument, scene_with, tests, text, wait_until,
};
use crate::wakes::drive;

tests![
    a_task_that_takes_too_long_is_ended_and_named,
    a_worker_that_was_stopped_is_replaced,
    a_worker_that_was_stopped_while_idle_is_replaced_and_nobody_blamed,
    limits_hold_for_whatever_is_waited_for,
    a_limit_is_no_limit_for_the_whole_map,
    a_stopped_worker_does_not_hold_up_the_end,
    a_task_is_tried_again_when_its_worker_died,
    the_last_try_tells_how_many_there_were,
    what_panics_or_takes_too_long_is_not_tried_again,
    a_broadcast_runs_once_on_each_worker,
    a_broadcast_names_the_worker_that_died,
    a_broadcast_cannot_capture,
    a_pool_grows_and_shrinks,
    a_pool_is_resized_while_it_works,
    limits_of_nothing_are_refused,
    time_in_which_all_were_stopped_does_not_count,
    an_initializer_has_a_limit_too,
    a_pool_with_an_endless_initializer_ends,
];

pub const SCENES: &[Scene] = &[("all_are_stopped", all_are_stopped)];

/// Long enough for quick tasks on a busy machine, short enough to wait for.
const LIMIT: Duration = Duration::from_millis(300);

fn limited(n_workers: usize) -> Pool {
    let builder = Pool::builder().workers(n_workers);
    builder.timeout(LIMIT).build().unwrap()
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

fn hang_at_three(x: u32) -> u32 {
    if x == 3 { hang() } else { x + 1 }
}

fn a_task_that_takes_too_long_is_ended_and_named() {
    let pool = limited(2);
    let before = pool.pids();
    let results = pool.try_map(hang_at_three, 0..20);
    for (item, result) in results.iter().enumerate() {
        if item == 3 {
            let error = result.as_ref().unwrap_err();
            assert!(error.is_timed_out() && !error.is_died(), "{error}");
            assert_eq!(error.item(), Some(3));
            assert!(before.contains(&error.pid().unwrap()));
            assert!(error.to_string().contains("limit of 300ms"), "{error}");
        } else {
            assert_eq!(*result, Ok(item as u32 + 1));
        }
    }
    let after = pool.pids();
    assert_eq!(after.len(), 2);
    assert_ne!(after, before);
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn a_worker_that_was_stopped_is_replaced() {
    let pool = limited(2);
    let results = pool.try_map(
        |x: u32| {
            if x == 1 {
                kill(Pid::this(), Signal::SIGSTOP).unwrap();
            }
            x
        },
        0..6,
    );
    let error = results[1].as_ref().unwrap_err();
    assert!(error.is_timed_out() && error.item() == Some(1), "{error}");
    // Its death is known before the system has cleared it away.
    let stopped = error.pid().unwrap();
    wait_until(|| !is_running(stopped));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
}

fn a_worker_that_was_stopped_while_idle_is_replaced_and_nobody_blamed() {
    let pool = limited(1);
    let pid = pool.pids()[0];
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    assert_ne!(pool.pids(), [pid]);
}

fn limits_hold_for_whatever_is_waited_for() {
    let pool = limited(2);
    let pending = pool.apply_async(hang_at_three, 3);
    let fine = pool.apply_async(hang_at_three, 4);
    assert!(pending.get().unwrap_err().is_timed_out());
    assert_eq!(fine.get(), Ok(5));
    let pending = pool.map_async(hang_at_three, 0..5);
    wait_until(|| pending.ready());
    assert_eq!(pending.get().unwrap_err().item(), Some(3));
    // A closure's own workers keep the pool's limits, and so does a stream.
    let three = 3;
    let results = pool.try_map(|x: u32| if x == three { hang() } else { x }, 0..5);
    assert!(results[3].as_ref().unwrap_err().is_timed_out());
    assert_eq!(results[4], Ok(4));
    let mut results = pool.imap(hang_at_three, 2..6);
    assert_eq!(results.next(), Some(3));
    let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| results.next()));
    let message = *next.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("item 1") && message.contains("limit"),
        "{message}"
    );
    assert_eq!(results.next(), Some(5));
    // What no caller waits for is ended too, when the pool is.
    drop(results);
    drop(pool.apply_async(hang_at_three, 3));
}

fn a_limit_is_no_limit_for_the_whole_map() {
    let pool = limited(1);
    let begun = Instant::now();
    let nap = |n: u64| {
        std::thread::sleep(Duration::from_millis(10));
        n
    };
    assert_eq!(
        pool.map_chunked(nap, 0..50, 50),
        (0..50).collect::<Vec<_>>()
    );
    assert!(begun.elapsed() > LIMIT);
}

fn a_stopped_worker_does_not_hold_up_the_end() {
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    for pid in pool.pids() {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    drop(pool);
    let pool = Pool::with_workers(2).unwrap();
    kill(Pid::from_raw(pool.pids()[1]), Signal::SIGSTOP).unwrap();
    pool.terminate();
}

fn a_task_is_tried_again_when_its_worker_died() {
    let pool = Pool::builder().workers(2).retries(2).build().unwrap();
    let tries = SharedArray::<u32>::zeroed(10).unwrap();
    let results = pool.map(
        |x: usize| {
            tries.set(x, tries.get(x) + 1);
            if x.is_multiple_of(3) && tries.get(x) < 3 {
                std::process::abort();
            }
            x * 2
        },
        0..10,
    );
    assert_eq!(results, (0..10).map(|x| x * 2).collect::<Vec<_>>());
    for x in 0..10 {
        assert_eq!(
            tries.get(x),
            if x.is_multiple_of(3) { 3 } else { 1 },
            "item {x}"
        );
    }
}

fn the_last_try_tells_how_many_there_were() {
    let pool = Pool::builder().workers(2).retries(2).build().unwrap();
    let results = pool.try_map(
        |x: u32| if x == 4 { std::process::exit(8) } else { x },
        0..8,
    );
    let error = results[4].as_ref().unwrap_err();
    assert_eq!((error.tries(), error.exit_code()), (3, Some(8)));
    assert!(error.to_string().contains("the last of 3 tries"), "{error}");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 7);
    // Without retries, there is one try and no word about it.
    let pool = Pool::with_workers(1).unwrap();
    let results = pool.try_map(|_: u32| -> u32 { std::process::exit(8) }, [0]);
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.tries(), 1);
    assert!(!error.to_string().contains("tries"), "{error}");
}

fn what_panics_or_takes_too_long_is_not_tried_again() {
    let builder = Pool::builder().workers(2).retries(5).timeout(LIMIT);
    let pool = builder.build().unwrap();
    let tries = SharedArray::<u32>::zeroed(3).unwrap();
    let results = pool.try_map(
        |x: usize| {
            tries.set(x, tries.get(x) + 1);
            match (x, tries.get(x)) {
                (0, _) => hang(),
                (1, 1) => std::process::abort(),
                (1, _) => panic!("the second time"),
                _ => x,
            }
        },
        0..3,
    );
    let [hangs, panics, fine] = &results[..] else {
        panic!("{results:?}")
    };
    let (hangs, panics) = (hangs.as_ref().unwrap_err(), panics.as_ref().unwrap_err());
    assert!(hangs.is_timed_out() && hangs.tries() == 1, "{hangs}");
    assert!(panics.is_panicked() && panics.tries() == 2, "{panics}");
    assert_eq!(*fine, Ok(2));
    assert_eq!((tries.get(0), tries.get(1), tries.get(2)), (1, 2, 1));
}

fn a_broadcast_runs_once_on_each_worker() {
    let pool = Pool::with_workers(5).unwrap();
    let own_pid = || std::process::id() as i32;
    for _ in 0..50 {
        assert_eq!(pool.broadcast(own_pid), pool.pids());
    }
    // It waits for those who are at work, and comes to each once.
    let busy = pool.map_async(power, 0..200_000);
    assert_eq!(pool.broadcast(own_pid), pool.pids());
    assert_eq!(busy.get().unwrap().len(), 200_000);
    // What it does in a worker stays there.
    pool.broadcast(|| std::env::set_current_dir("/proc").unwrap());
    let dirs = pool.broadcast(|| {
        std::env::current_dir()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    });
    assert_eq!(dirs, ["/proc"; 5]);
}

fn a_broadcast_names_the_worker_that_died() {
    let pool = Pool::with_workers(3).unwrap();
    let victim = pool.pids()[1];
    let path = std::env::temp_dir().join("forklore-victim");
    std::fs::write(&path, victim.to_string()).unwrap();
    let results = pool.try_broadcast(|| {
        let path = std::env::temp_dir().join("forklore-victim");
        if std::fs::read_to_string(path).unwrap() == std::process::id().to_string() {
            std::process::abort();
        }
        7
    });
    std::fs::remove_file(&path).unwrap();
    assert_eq!((&results[0], &results[2]), (&Ok(7), &Ok(7)));
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(
        (error.item(), error.pid(), error.signal()),
        (Some(1), Some(victim), Some(6))
    );
    for pid in pool.pids() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    assert_eq!(
        pool.broadcast(|| 7),
        [7; 3],
        "who died before is replaced first"
    );
}

fn a_broadcast_cannot_capture() {
    let pool = Pool::with_workers(2).unwrap();
    let captured = 7;
    let results = pool.try_broadcast(|| captured);
    let error = results[0].as_ref().unwrap_err();
    assert!(
        error.is_not_run() && error.to_string().contains("captured"),
        "{error}"
    );
}

fn a_pool_grows_and_shrinks() {
    let pool = Pool::with_workers(2).unwrap();
    let before = pool.pids();
    pool.resize(5).unwrap();
    assert_eq!((pool.workers(), pool.pids().len()), (5, 5));
    assert_eq!(pool.pids()[..2], before);
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    pool.resize(1).unwrap();
    assert_eq!((pool.workers(), pool.pids()), (1, vec![before[0]]));
    assert_eq!(
        crate::support::children(),
        [before[0]],
        "no process is left over"
    );
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    assert!(pool.resize(0).unwrap_err().is_invalid_input());
    assert!(pool.resize(5000).unwrap_err().is_invalid_input());
    assert_eq!(pool.workers(), 1);
    pool.close();
    assert!(pool.resize(2).unwrap_err().is_closed());
}

fn a_pool_is_resized_while_it_works() {
    let pool = Pool::with_workers(1).unwrap();
    for round in 0..60 {
        let pending: Vec<_> = (0..8)
            .map(|_| pool.map_async(|x: u64| x.to_string(), 0..300))
            .collect();
        pool.resize(1 + (round * 7) % 6).unwrap();
        for result in pending {
            let expected: Vec<String> = (0..300).map(|x: u64| x.to_string()).collect();
            assert_eq!(result.get().unwrap(), expected);
        }
        assert_eq!(pool.pids().len(), pool.workers());
    }
}

fn limits_of_nothing_are_refused() {
    let builder = Pool::builder().workers(1).timeout(Duration::ZERO);
    assert!(builder.build().unwrap_err().is_invalid_input());
}

/// The limit of tasks that are stopped for longer. On a busy machine, starting and ending them
/// takes a part of it.
const LONG_LIMIT: Duration = Duration::from_secs(3);
/// Two readings of the clock are further apart only if the process was stopped in between.
const STOPPED: Duration = Duration::from_secs(1);

fn all_are_stopped() {
    let argument = scene_argument();
    let (method, path) = argument.split_once(' ').unwrap();
    let (method, has_reactor) = match method.strip_prefix("reactor:") {
        Some(method) => (method, true),
        None => (method, false),
    };
    let named = |known: &forklore::StartMethod| format!("{known:?}") == method;
    let method = METHODS.into_iter().find(named).unwrap();
    let builder = Pool::builder().workers(2).start_method(method);
    let pool = builder.timeout(LONG_LIMIT).build().unwrap();
    let work = |path: String| {
        // The first look comes before the others know that this task runs.
        let mut looks = (Instant::now(), Instant::now());
        std::fs::write(path, "").unwrap();
        while looks.1 - looks.0 < STOPPED {
            looks = (looks.1, Instant::now());
        }
        // Has more to do after the stop, so that its owner looks at it once more.
        let begun = cpu_time();
        while cpu_time() < begun + Duration::from_millis(20) {}
        7
    };
    if has_reactor {
        let wakes = pool.wakes().unwrap();
        let pending = pool.apply_async(work, path.to_owned());
        assert_eq!(drive(&wakes, pending).0, Ok(7));
    } else {
        assert_eq!(pool.try_map(work, [path.to_owned()]), [Ok(7)]);
    }
    println!("done");
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).unwrap().into()
}

/// Processes with a group each. However the test ends, none of them is left, stopped or not.
struct Groups(Vec<Child>);

impl Groups {
    fn signal(&self, signal: Signal) {
        for scene in &self.0 {
            // A scene that has ended is reaped later, and has no group to signal.
            let _ = kill(Pid::from_raw(-(scene.id() as i32)), signal);
        }
    }

    /// Waits for all of them before any of their outputs is checked.
    fn outputs(mut self) -> Vec<Output> {
        let scenes = std::mem::take(&mut self.0).into_iter();
        scenes
            .map(|scene| scene.wait_with_output().unwrap())
            .collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        for scene in &mut self.0 {
            let _ = scene.wait();
        }
    }
}

fn time_in_which_all_were_stopped_does_not_count() {
    let mut scenes = Groups(Vec::new());
    let mut paths = Vec::new();
    let methods = METHODS.map(|method| format!("{method:?}"));
    // An owner that is in a reactor is stopped there.
    let methods = methods.into_iter().chain(["reactor:Fork".to_owned()]);
    for method in methods {
        let name = format!("forklore-stopped-{}-{method}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let argument = format!("{method} {}", path.display());
        let mut scene = scene_with("all_are_stopped", &argument);
        scenes.0.push(scene.process_group(0).spawn().unwrap());
        paths.push(path);
    }
    for (path, scene) in paths.iter().zip(&mut scenes.0) {
        wait_until(|| path.exists() || scene.try_wait().unwrap().is_some());
        let _ = std::fs::remove_file(path);
    }
    scenes.signal(Signal::SIGSTOP);
    // What is tested is that this time does not count.
    std::thread::sleep(LONG_LIMIT + LIMIT);
    scenes.signal(Signal::SIGCONT);
    let outputs = scenes.outputs();
    assert_eq!(
        crate::support::children(),
        [0; 0],
        "no process is left over"
    );
    for output in &outputs {
        assert!(text(output).contains("done"), "{}", text(output));
    }
}

fn an_initializer_has_a_limit_too() {
    let pools = METHODS.map(|method| {
        let builder = Pool::builder().workers(2).start_method(method);
        builder
            .timeout(LIMIT)
            .initializer(|| hang())
            .build()
            .unwrap()
    });
    for pool in pools {
        for error in pool
            .try_map(power, 0..4)
            .into_iter()
            .map(Result::unwrap_err)
        {
            let message = error.to_string();
            assert!(
                error.is_not_run() && message.contains("initializer took longer"),
                "{message}"
            );
        }
    }
}

/// No task ever runs in it.
fn a_pool_with_an_endless_initializer_ends() {
    let builder = Pool::builder().workers(2).timeout(LIMIT);
    drop(builder.initializer(|| hang()).build().unwrap());
}
