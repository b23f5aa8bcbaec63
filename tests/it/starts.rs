//! Ways to start workers: the properties that all share, and those that only some have.

use forklore::{Pool, StartMethod};

use crate::support::{Scene, power, tests};

tests![
    every_method_maps_the_same,
    a_process_with_threads_can_have_a_pool,
    the_method_is_what_auto_came_to,
    a_pool_that_forked_lives_on_beside_threads,
    an_initializer_that_captured_is_named_where_it_cannot_be_sent,
    a_pool_needs_no_file_to_fork,
    closures_are_run_by_forks_of_the_caller,
    initializers_travel_if_they_captured_nothing,
    workers_are_processes_of_their_own,
    a_killed_server_is_replaced,
    a_stopped_server_is_continued,
    workers_killed_before_they_are_ready_are_replaced,
    workers_of_workers,
];

pub const SCENES: &[Scene] = &[("no_file_is_allowed", no_file_is_allowed)];

pub const METHODS: [StartMethod; 3] = [
    StartMethod::Fork,
    StartMethod::Forkserver,
    StartMethod::Spawn,
];

pub fn pool(method: StartMethod, n_workers: usize) -> Pool {
    let builder = Pool::builder().workers(n_workers).start_method(method);
    builder.build().unwrap()
}

fn every_method_maps_the_same() {
    for method in METHODS {
        let pool = pool(method, 2);
        assert_eq!(
            pool.map(power, 0..100),
            (0..100).map(power).collect::<Vec<_>>()
        );
        let words = pool.map(|n: u32| n.to_string(), 0..1000);
        assert_eq!(
            words,
            (0..1000).map(|n: u32| n.to_string()).collect::<Vec<_>>()
        );
        assert_eq!(
            pool.map(|v: Vec<u8>| v.len(), vec![vec![7; 3 << 20]; 3]),
            [3 << 20; 3]
        );
        assert_eq!(pool.imap(power, 0..).take(100).count(), 100);
        assert_eq!(pool.broadcast(|| std::process::id() as i32), pool.pids());
        pool.resize(3).unwrap();
        assert_eq!(pool.broadcast(|| std::process::id() as i32), pool.pids());
        pool.resize(1).unwrap();
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
}

fn a_process_with_threads_can_have_a_pool() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let pool = pool(method, 2);
        let deadly = |x: u64| if x == 7 { std::process::abort() } else { x + 1 };
        let results = pool.try_map(deadly, 0..30);
        assert_eq!(results[7].as_ref().unwrap_err().signal(), Some(6));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 29);
        assert_eq!(pool.pids().len(), 2);
        // What only a fork could do says so, and what to do instead.
        let captured = 3;
        let results = pool.try_map(|x: u64| x + captured, 0..2);
        let error = results[0].as_ref().unwrap_err();
        let text = error.to_string();
        let line = "pool.map_with(&captured, |captured, item| …, items)";
        assert!(
            error.is_not_run() && text.contains("captured something") && text.contains(line),
            "{error}"
        );
        let pointer: fn(u64) -> u64 = power;
        let error = pool.try_map(pointer, 0..2).remove(0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("pass the function itself") && !text.contains("map_with"));
    }
    drop(send);
    let _ = thread.join().unwrap();
}

/// Runs a function while this process has another thread.
fn beside_a_thread<T>(run: impl FnOnce() -> T) -> T {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let result = run();
    drop(send);
    let _ = thread.join().unwrap();
    result
}

fn the_method_is_what_auto_came_to() {
    assert_eq!(StartMethod::default(), StartMethod::Auto);
    for _ in 0..20 {
        // A thread that was joined counts no more.
        let pool = Pool::with_workers(1).unwrap();
        assert_eq!(pool.start_method(), StartMethod::Fork);
        let served = beside_a_thread(|| Pool::with_workers(1).unwrap());
        assert_eq!(served.start_method(), StartMethod::Forkserver);
        assert_eq!(served.map(power, 0..3), pool.map(power, 0..3));
    }
    assert!(beside_a_thread(Pool::new).is_ok());
    for method in METHODS {
        assert_eq!(pool(method, 1).start_method(), method);
    }
}

fn kill_a_worker(pool: &Pool) {
    use nix::sys::signal::{Signal, kill};
    let victim = pool.pids()[0];
    kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    crate::support::wait_until(|| !crate::support::is_running(victim));
}

fn a_pool_that_forked_lives_on_beside_threads() {
    let builder = Pool::builder().workers(2).environment("OF_THE_POOL", "1");
    let initializer = || std::env::set_current_dir("/proc").unwrap();
    let pool = builder.initializer(initializer).build().unwrap();
    let is_ready = || {
        let folder = std::env::current_dir().unwrap();
        folder.as_os_str() == "/proc" && std::env::var("OF_THE_POOL").as_deref() == Ok("1")
    };
    let forked = pool.pids();
    assert_eq!(pool.broadcast(is_ready), [true; 2]);
    beside_a_thread(|| {
        kill_a_worker(&pool);
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        let pids = pool.pids();
        assert_eq!(pids.iter().filter(|&pid| forked.contains(pid)).count(), 1);
        assert_eq!(pool.broadcast(is_ready), [true; 2]);
        pool.resize(4).unwrap();
        assert_eq!(pool.broadcast(is_ready), [true; 4]);
        let exits = |x: u64| if x < 4 { std::process::exit(5) } else { x };
        let results = pool.try_map(exits, 0..8);
        let codes = results
            .iter()
            .map(|result| result.as_ref().err()?.exit_code());
        assert_eq!(codes.flatten().collect::<Vec<_>>(), [5; 4]);
        assert_eq!(pool.broadcast(is_ready), [true; 4]);
        assert_eq!(pool.start_method(), StartMethod::Fork);
    });
    // From here on it forks again, and ends the server's workers like its own.
    let before = pool.pids();
    kill_a_worker(&pool);
    pool.resize(5).unwrap();
    assert_eq!(pool.broadcast(is_ready), [true; 5]);
    let own = crate::support::children();
    let n_new = pool
        .pids()
        .iter()
        .filter(|pid| !before.contains(pid))
        .count();
    assert_eq!(
        (n_new, own.len()),
        (2, 3),
        "two workers and the server: {own:?}"
    );
    pool.resize(1).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn an_initializer_that_captured_is_named_where_it_cannot_be_sent() {
    let builder = || {
        let captured = String::from("/proc");
        Pool::builder()
            .workers(1)
            .initializer(move || drop(captured.clone()))
    };
    let pool = builder().build().unwrap();
    beside_a_thread(|| {
        let error = builder().build().unwrap_err();
        assert!(error.is_invalid_input());
        let error = error.to_string();
        assert!(
            error.contains("captured something") && error.contains("before the first thread"),
            "{error}"
        );
        kill_a_worker(&pool);
        let error = pool.try_map(power, 0..1).remove(0).unwrap_err();
        assert!(error.is_not_run());
        let error = error.to_string();
        assert!(
            error.contains("initializer") && error.contains("captured something"),
            "{error}"
        );
    });
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn a_pool_needs_no_file_to_fork() {
    let output = crate::support::play("no_file_is_allowed");
    assert!(output.status.success(), "{}", crate::support::text(&output));
}

fn no_file_is_allowed() {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
    let pool = Pool::with_workers(1).unwrap();
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    beside_a_thread(|| {
        kill_a_worker(&pool);
        let error = pool.try_map(power, 0..1).remove(0).unwrap_err().to_string();
        assert!(error.contains("ulimit -f"), "{error}");
    });
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn closures_are_run_by_forks_of_the_caller() {
    for method in METHODS {
        let pool = pool(method, 2);
        let table: Vec<usize> = (0..50).map(|x| x * x).collect();
        assert_eq!(pool.map(|x: usize| table[x], 0..50), table);
        let two = 2;
        let pending = pool.apply_async(move |x: u32| x + two, 3);
        assert_eq!(pending.get().unwrap(), 5);
    }
}

fn initializers_travel_if_they_captured_nothing() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder
            .initializer(|| std::env::set_current_dir("/proc").unwrap())
            .build()
            .unwrap();
        let dir = || {
            std::env::current_dir()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        assert_eq!(pool.broadcast(dir), ["/proc"; 2]);
        let _ = pool.try_map(|_: u32| -> u32 { std::process::exit(1) }, 0..2);
        assert_eq!(pool.broadcast(dir), ["/proc"; 2]);

        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.initializer(|| panic!("not today")).build().unwrap();
        let error = pool.try_map(power, 0..1).remove(0).unwrap_err();
        assert!(
            error.is_not_run() && error.to_string().contains("initializer"),
            "{error}"
        );

        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder
            .initializer(|| std::process::exit(9))
            .build()
            .unwrap();
        let error = pool.try_map(power, 0..1).remove(0).unwrap_err();
        assert!(
            error.is_not_run() && error.to_string().contains("exited with code 9 before"),
            "{error}"
        );

        let captured = "/proc".to_owned();
        let builder = Pool::builder().workers(1).start_method(method);
        let built = builder.initializer(move || drop(captured.clone())).build();
        match method {
            StartMethod::Fork => drop(built.unwrap()),
            _ => assert!(built.unwrap_err().is_invalid_input()),
        }
    }
}

fn workers_are_processes_of_their_own() {
    let name = || std::fs::read_to_string("/proc/self/comm").unwrap();
    let has_order = || std::env::var_os("FORKLORE_WORKER").is_some();
    let n_threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let pool = pool(method, 2);
        assert_eq!(pool.broadcast(name), ["forklore-worker\n"; 2]);
        assert_eq!(pool.broadcast(has_order), [false; 2]);
        assert_eq!(pool.broadcast(n_threads), [1; 2]);
    }
}

fn a_killed_server_is_replaced() {
    use nix::sys::signal::{Signal, kill};
    // Its workers die with it, one perhaps while it runs an item: that is tried again.
    let pool = Pool::builder()
        .workers(2)
        .start_method(StartMethod::Forkserver)
        .retries(5)
        .build()
        .unwrap();
    for _ in 0..5 {
        let [server] = crate::support::children()[..] else {
            panic!("a pool with a server has one child")
        };
        let before = pool.pids();
        let mut forked = crate::support::children_of(server);
        forked.sort_by_key(|pid| before.iter().position(|before| before == pid));
        assert_eq!(forked, before);
        kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        crate::support::wait_until(|| {
            pool.pids().iter().all(|pid| !before.contains(pid)) && pool.pids().len() == 2
        });
    }
}

/// Each is killed while there is nothing to run; earlier deaths do not affect the next map.
fn workers_killed_before_they_are_ready_are_replaced() {
    use nix::sys::signal::{Signal, kill};
    for method in METHODS {
        let pool = pool(method, 1);
        for _ in 0..5 {
            let victim = pool.pids()[0];
            kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
            crate::support::wait_until(|| !crate::support::is_running(victim));
        }
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024], "{method:?}");
    }
}

fn a_stopped_server_is_continued() {
    use nix::sys::signal::{Signal, kill};
    let pool = pool(StartMethod::Forkserver, 1);
    let server = nix::unistd::Pid::from_raw(crate::support::children()[0]);
    kill(server, Signal::SIGSTOP).unwrap();
    let results = pool.try_map(|_: u32| -> u32 { std::process::exit(4) }, 0..2);
    let codes: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().unwrap_err().exit_code())
        .collect();
    assert_eq!(codes, [Some(4); 2]);
    kill(server, Signal::SIGSTOP).unwrap();
}

fn workers_of_workers() {
    for outer in METHODS {
        let pool = pool(outer, 2);
        let sums = pool.map(
            |n: u64| -> Vec<u64> {
                let inner = METHODS.map(|method| {
                    let pool = self::pool(method, 2);
                    pool.map(|x: u64| x * x, 0..n).iter().sum::<u64>()
                });
                inner.to_vec()
            },
            [3, 5],
        );
        assert_eq!(sums, [[5; 3], [30; 3]], "{outer:?}");
    }
}
