//! How processes end: with a lock that one of their threads holds, inside a task that has forked,
//! while their owner panics, and without running their parent's exit handlers.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use forklore::{Fork, Pool, Process, StartMethod, fork};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;

use crate::starts::{METHODS, pool};
use crate::support::{Scene, children, is_running, play, power, tests, text, wait_until};

tests![
    a_thread_that_keeps_the_output_holds_no_end_up,
    a_task_that_returns_twice_counts_once,
    a_process_that_returns_twice_answers_once,
    a_panic_does_not_wait_for_what_runs,
    what_is_not_wanted_is_not_waited_for,
    a_childs_exit_runs_its_own_handlers_only,
    a_process_heeds_a_signal_that_its_parent_does_not,
    a_wait_may_be_as_long_as_can_be,
];

pub const SCENES: &[Scene] = &[("children_exit", children_exit)];

/// Leaves a thread behind that never releases the standard output.
fn keep_the_output() -> u32 {
    let (send, receive) = channel();
    thread::spawn(move || {
        let _kept = std::io::stdout().lock();
        send.send(()).unwrap();
        loop {
            thread::park();
        }
    });
    receive.recv().unwrap();
    std::process::id()
}

fn a_thread_that_keeps_the_output_holds_no_end_up() {
    for method in METHODS {
        let pool = pool(method, 2);
        pool.broadcast(keep_the_output);
        pool.resize(1).unwrap();
        assert_eq!(pool.pids().len(), 1, "{method:?}");
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        drop(pool);

        let builder = Pool::builder().workers(1).start_method(method);
        let pool = builder.max_tasks_per_worker(1).build().unwrap();
        let first = pool.apply(|()| keep_the_output(), ());
        assert_ne!(pool.apply(|()| std::process::id(), ()), first, "{method:?}");
    }
    assert_eq!(
        Process::spawn(|| keep_the_output() > 0).unwrap().join(),
        Ok(true)
    );
    match fork().unwrap() {
        Fork::Child(guard) => {
            keep_the_output();
            guard.exit(3)
        }
        Fork::Parent(child) => assert_eq!(child.wait().code(), Some(3)),
    }
}

/// Both processes return from here.
fn fork_and_return() {
    // SAFETY: what calls this has one thread.
    assert!(unsafe { libc::fork() } >= 0);
}

fn a_task_that_returns_twice_counts_once() {
    for method in METHODS {
        let pool = pool(method, 2);
        for _ in 0..3 {
            let number = |x: u32| {
                if x % 5 == 3 {
                    fork_and_return();
                }
                x * 2
            };
            let expected: Vec<u32> = (0..40).map(|x| x * 2).collect();
            assert_eq!(pool.map(number, 0..40), expected, "{method:?}");
            let word = |x: u32| {
                if x % 5 == 3 {
                    fork_and_return();
                }
                x.to_string()
            };
            let words: Vec<String> = (0..40).map(|x: u32| x.to_string()).collect();
            assert_eq!(pool.map(word, 0..40), words, "{method:?}");
            let panics = |x: u32| {
                if x == 3 {
                    fork_and_return();
                    panic!("twice");
                }
                x
            };
            let results = pool.try_map(panics, 0..10);
            let errors = results.iter().filter_map(|result| result.as_ref().err());
            assert!(
                errors.map(|error| error.item()).eq([Some(3)]),
                "{results:?}"
            );
        }
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.initializer(fork_and_return).build().unwrap();
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        assert_eq!(pool.broadcast(|| std::process::id() as i32), pool.pids());
    }
    let more = 2;
    let captured = |x: u32| {
        fork_and_return();
        x + more
    };
    assert_eq!(pool(StartMethod::Fork, 2).map(captured, 0..4), [2, 3, 4, 5]);
}

fn a_process_that_returns_twice_answers_once() {
    let child = Process::spawn(|| {
        fork_and_return();
        std::process::id() as i32
    });
    let child = child.unwrap();
    let pid = child.pid();
    assert_eq!(child.join(), Ok(pid));
}

/// A task that never ends.
fn never(path: String) {
    std::fs::write(path, "").unwrap();
    loop {
        thread::park();
    }
}

/// A pool with a running task that never ends, and the task's pending result.
fn pool_at_work(method: StartMethod) -> (Pool, forklore::Pending<()>) {
    let name = format!("forklore-endings-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let pool = pool(method, 2);
    let pending = pool.apply_async(never, path.to_string_lossy().into_owned());
    wait_until(|| path.exists());
    std::fs::remove_file(&path).unwrap();
    (pool, pending)
}

fn a_panic_does_not_wait_for_what_runs() {
    for method in METHODS {
        let payload = catch_unwind(AssertUnwindSafe(|| {
            let (_pool, _pending) = pool_at_work(method);
            // `panic!` would print.
            std::panic::resume_unwind(Box::new("the owner panics"));
        }));
        let payload = payload.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"the owner panics"));
        assert_eq!(children(), Vec::<i32>::new(), "{method:?}");
    }
}

fn what_is_not_wanted_is_not_waited_for() {
    for method in METHODS {
        let (pool, pending) = pool_at_work(method);
        let wanted = pool.map_async(power, 0..3);
        drop(pending);
        pool.join();
        assert_eq!(wanted.get().unwrap(), [0, 1, 1024]);
        assert_eq!(children(), Vec::<i32>::new(), "{method:?}");
    }
}

extern "C" fn parents_handler() {
    let _ = writeln!(std::io::stderr(), "the parent's handler");
}

extern "C" fn childs_handler() {
    let _ = writeln!(std::io::stderr(), "the child's handler");
}

fn children_exit() {
    // SAFETY: the handlers are functions that write.
    let register = |handler| assert_eq!(unsafe { libc::atexit(handler) }, 0);
    register(parents_handler);
    match fork().unwrap() {
        Fork::Child(_guard) => {
            register(childs_handler);
            print!("what the child had buffered ");
            std::process::exit(3)
        }
        Fork::Parent(child) => assert_eq!(child.wait().code(), Some(3)),
    }
    let exits = || -> () { std::process::exit(4) };
    let error = Process::spawn(exits).unwrap().join().unwrap_err();
    assert_eq!(error.exit_code(), Some(4));
    for method in METHODS {
        let pool = pool(method, 1);
        let exits = |_: u32| -> u32 { std::process::exit(5) };
        let error = pool.try_map(exits, [0]).remove(0).unwrap_err();
        assert_eq!(error.exit_code(), Some(5));
    }
}

fn a_childs_exit_runs_its_own_handlers_only() {
    let output = play("children_exit");
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    let count = |what: &str| printed.matches(what).count();
    assert_eq!(count("the parent's handler"), 1, "{printed}");
    assert_eq!(count("the child's handler"), 1, "{printed}");
    assert_eq!(count("what the child had buffered"), 1, "{printed}");
}

fn a_process_heeds_a_signal_that_its_parent_does_not() {
    extern "C" fn nothing(_: i32) {}
    let handler = SigHandler::Handler(nothing);
    for handler in [handler, SigHandler::SigIgn] {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        let before = unsafe { sigaction(Signal::SIGTERM, &action) }.unwrap();
        let blocked = SigSet::from(Signal::SIGTERM);
        blocked.thread_block().unwrap();
        let mut child = Process::spawn(|| {
            loop {
                thread::park();
            }
        })
        .unwrap();
        child.terminate();
        let error: forklore::TaskError = child.join().map(|(): ()| ()).unwrap_err();
        assert_eq!(error.signal(), Some(15));
        blocked.thread_unblock().unwrap();
        // SAFETY: it is what was there.
        unsafe { sigaction(Signal::SIGTERM, &before) }.unwrap();
    }
}

fn a_wait_may_be_as_long_as_can_be() {
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
        match fork().unwrap() {
            Fork::Child(guard) => guard.exit(6),
            Fork::Parent(mut child) => {
                assert_eq!(child.wait_timeout(timeout).unwrap().code(), Some(6));
            }
        }
    }
    let mut child = match fork().unwrap() {
        Fork::Child(_guard) => loop {
            thread::park();
        },
        Fork::Parent(child) => child,
    };
    assert_eq!(child.wait_timeout(Duration::from_millis(1)), None);
    kill(Pid::from_raw(child.pid()), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait_timeout(Duration::MAX).unwrap().signal(), Some(9));
    assert!(!is_running(child.pid()));
}
