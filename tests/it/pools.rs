//! A pool's life: how it is made, which workers it has, and how it ends.

use std::collections::HashSet;

use forklore::{Pool, ThreadPool};

use crate::support::{Scene, is_running, play, power, tests, text, wait_until};

tests![
    the_same_workers_serve_many_maps,
    all_workers_take_part,
    a_closed_pool_says_so,
    a_terminated_pool_leaves_nothing,
    bad_numbers_are_refused,
    a_second_thread_is_refused,
    a_pool_in_a_forked_child_has_workers_of_its_own,
    a_thread_pool_without_its_threads_starts_new_ones,
    a_pool_in_a_task_works,
    an_initializer_runs_in_every_worker,
    an_initializer_that_panics_is_an_error_and_no_loop,
    many_more_workers_than_items,
    output_of_tasks_is_printed_once,
    workers_are_replaced_after_enough_tasks,
];

pub const SCENES: &[Scene] = &[("tasks_print", tasks_print)];

fn the_same_workers_serve_many_maps() {
    let pool = Pool::with_workers(2).unwrap();
    let pids: HashSet<i32> = pool.pids().into_iter().collect();
    for n in 0..300u64 {
        let seen = pool.map(|_: u64| std::process::id() as i32, 0..n);
        assert!(seen.iter().all(|pid| pids.contains(pid)));
    }
    assert_eq!(pool.pids().into_iter().collect::<HashSet<_>>(), pids);
}

fn all_workers_take_part() {
    let pool = Pool::with_workers(3).unwrap();
    // Each task waits for the other two: this ends only if three workers run at the same time.
    let dir = std::env::temp_dir().join(format!("forklore-meet-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let met = pool.map(
        |name: String| {
            std::fs::write(&name, "").unwrap();
            let dir = std::path::Path::new(&name).parent().unwrap().to_owned();
            while std::fs::read_dir(&dir).unwrap().count() < 3 {
                std::thread::yield_now();
            }
            std::process::id()
        },
        (0..3).map(|i| dir.join(i.to_string()).to_string_lossy().into_owned()),
    );
    assert_eq!(met.into_iter().collect::<HashSet<_>>().len(), 3);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn a_closed_pool_says_so() {
    let pool = Pool::with_workers(2).unwrap();
    pool.close();
    let errors = pool.try_map(power, 0..3);
    assert_eq!(errors.len(), 3);
    assert!(
        errors
            .iter()
            .all(|result| result.as_ref().unwrap_err().is_not_run())
    );
    assert!(
        errors[2]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    let captured = 3;
    let errors = pool.try_map(|x: u64| x + captured, 0..2);
    assert!(
        errors[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    pool.join();
    assert_eq!(crate::support::children(), Vec::<i32>::new());
    assert_eq!(pool.pids(), Vec::<i32>::new());
    pool.join();
}

fn a_terminated_pool_leaves_nothing() {
    let pool = Pool::with_workers(4).unwrap();
    pool.terminate();
    assert_eq!(crate::support::children(), Vec::<i32>::new());
    assert!(
        pool.try_map(power, 0..1)[0]
            .as_ref()
            .unwrap_err()
            .is_not_run()
    );
}

fn bad_numbers_are_refused() {
    assert!(Pool::with_workers(0).unwrap_err().is_invalid_input());
    assert!(Pool::with_workers(5000).unwrap_err().is_invalid_input());
    assert!(ThreadPool::with_workers(0).unwrap_err().is_invalid_input());
    let pool = Pool::with_workers(1).unwrap();
    let zero = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.map_chunked(power, 0..3, 0)
    }));
    assert!(
        zero.unwrap_err()
            .downcast_ref::<String>()
            .unwrap()
            .contains("chunk of 0")
    );
}

fn a_second_thread_is_refused() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let forking = || Pool::builder().start_method(forklore::StartMethod::Fork);
    let error = forking().workers(2).build().unwrap_err();
    assert!(error.is_multi_threaded());
    assert!(error.to_string().contains("2 threads"), "{error}");
    assert!(forklore::fork().unwrap_err().is_multi_threaded());
    drop(send);
    let _ = thread.join().unwrap();
    // The kernel takes a thread off its books only a moment after it was joined.
    assert!(forking().workers(1).build().is_ok());
}

fn a_pool_in_a_forked_child_has_workers_of_its_own() {
    let pool = Pool::with_workers(2).unwrap();
    let before = pool.pids();
    let child = forklore::Process::spawn(|| {
        let results = pool.map(power, 0..3);
        (results, pool.pids())
    })
    .unwrap();
    let (results, pids) = child.join().unwrap();
    assert_eq!(results, [0, 1, 1024]);
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| !before.contains(pid)));
    wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
    assert_eq!(pool.map(power, 0..3), results);
    assert_eq!(pool.pids(), before);
}

/// After a cell is rolled back, its process has the pool, but none of the pool's threads.
fn a_thread_pool_without_its_threads_starts_new_ones() {
    let pool = ThreadPool::with_workers(2).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    // SAFETY: no thread of the pool is in the allocator: they sleep, having nothing to do. The
    // child ends in `_exit`.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let is_right = pool.map(power, 0..3) == [0, 1, 1024];
            drop(pool);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(!is_right)) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            let end = nix::sys::wait::waitpid(child, None).unwrap();
            assert_eq!(end, nix::sys::wait::WaitStatus::Exited(child, 0));
        }
    }
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn a_pool_in_a_task_works() {
    let pool = Pool::with_workers(2).unwrap();
    let sums = pool.map(
        |n: u64| {
            Pool::with_workers(2)
                .unwrap()
                .map(|x: u64| x * x, 0..n)
                .iter()
                .sum::<u64>()
        },
        [3, 5],
    );
    assert_eq!(sums, [5, 30]);
    // Captured, the outer pool itself is used in the workers.
    let sums = pool.map(
        |n: u64| pool.map(|x: u64| x, 0..n).iter().sum::<u64>(),
        [3, 5],
    );
    assert_eq!(sums, [3, 10]);
}

fn an_initializer_runs_in_every_worker() {
    let pool = Pool::builder()
        .workers(2)
        .initializer(|| std::env::set_current_dir("/proc").unwrap())
        .build()
        .unwrap();
    let where_am_i = |_: u32| {
        std::env::current_dir()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    assert!(pool.map(where_am_i, 0..10).iter().all(|dir| dir == "/proc"));
    let _ = pool.try_map(|_: u32| -> u32 { std::process::exit(1) }, 0..2);
    assert!(pool.map(where_am_i, 0..10).iter().all(|dir| dir == "/proc"));
}

fn an_initializer_that_panics_is_an_error_and_no_loop() {
    let pool = Pool::builder()
        .workers(2)
        .initializer(|| panic!("not today"))
        .build()
        .unwrap();
    let results = pool.try_map(power, 0..3);
    let error = results[0].as_ref().unwrap_err();
    assert!(error.is_not_run(), "{error}");
    assert!(error.to_string().contains("initializer"), "{error}");
}

fn many_more_workers_than_items() {
    let pool = Pool::with_workers(16).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    let captured = 1;
    assert_eq!(pool.map(|x: u64| x + captured, 0..3), [1, 2, 3]);
}

fn tasks_print() {
    print!("before ");
    let pool = Pool::with_workers(2).unwrap();
    pool.map(|x: u32| print!("[{x}]"), 0..4);
    let captured = 9;
    pool.map(|x: u32| print!("<{}>", x + captured), 0..1);
    pool.join();
    println!("after");
}

fn output_of_tasks_is_printed_once() {
    let output = text(&play("tasks_print"));
    for piece in ["before ", "[0]", "[1]", "[2]", "[3]", "<9>", "after\n"] {
        assert_eq!(output.matches(piece).count(), 1, "{output}");
    }
}

fn workers_are_replaced_after_enough_tasks() {
    let pool = Pool::builder()
        .workers(2)
        .max_tasks_per_worker(10)
        .build()
        .unwrap();
    let pids = pool.map_chunked(|_: u32| std::process::id(), 0..200, 1);
    let mut counts = std::collections::BTreeMap::new();
    for pid in pids {
        *counts.entry(pid).or_insert(0) += 1;
    }
    assert!(counts.values().all(|&n| n <= 10), "{counts:?}");
    assert!(counts.len() >= 20, "{counts:?}");
    assert_eq!(pool.pids().len(), 2);
    assert!(
        Pool::builder()
            .max_tasks_per_worker(0)
            .build()
            .unwrap_err()
            .is_invalid_input()
    );
}
