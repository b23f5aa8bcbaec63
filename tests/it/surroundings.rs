//! Changes that the host program makes to the pool's process: its descriptors, its addresses, its
//! memory, its file system.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use forklore::{
    Event, Lock, Pool, Process, Queue, Receiver, Semaphore, Sender, SharedArray, StartMethod, pipe,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;

use crate::support::{self, Scene, children, scene_with, text};

const METHODS: [(&str, StartMethod); 3] = [
    ("fork", StartMethod::Fork),
    ("forkserver", StartMethod::Forkserver),
    ("spawn", StartMethod::Spawn),
];

support::tests![
    a_program_without_standard_streams_prints_into_nothing_of_the_pools,
    a_channel_in_a_static_outlives_its_workers_sleep,
    a_core_dump_leaves_shared_memory_out,
    memory_that_is_locked_is_not_taken_at_once,
    a_limit_of_locked_memory_is_named,
    hundreds_of_processes_and_pools,
    a_death_with_thousands_of_locks,
    a_worker_that_dies_with_thousands_of_locks_is_replaced,
    a_lock_is_not_taken_from_another_namespace,
    without_proc,
    a_pipe_outlives_its_makers_user,
    what_c_code_prints_arrives_once,
];

pub const SCENES: &[Scene] = &[
    ("without standard streams", without_standard_streams),
    ("locked memory", locked_memory),
    ("limited locked memory", limited_locked_memory),
    ("another namespace", another_namespace),
    ("without proc", in_an_empty_folder),
    ("another user", another_user),
    ("c prints", c_prints),
];

fn method() -> StartMethod {
    let name = support::scene_argument();
    METHODS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Plays a scene for each start method.
fn play_for_each_method(name: &str) {
    for (method, _) in METHODS {
        let output = scene_with(name, method).output().unwrap();
        assert!(output.status.success(), "{method}: {}", text(&output));
    }
}

fn a_program_without_standard_streams_prints_into_nothing_of_the_pools() {
    play_for_each_method("without standard streams");
}

fn without_standard_streams() {
    // The scene's own streams, to report through.
    let report = std::io::stderr();
    let kept = nix::unistd::dup(&report).unwrap();
    for fd in 0..3 {
        // SAFETY: nothing of the scene uses the standard streams until they are back.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let outcome = std::panic::catch_unwind(|| {
        // The first of what the library makes gets the lowest numbers.
        let pools: Vec<Pool> = (0..3)
            .map(|_| {
                let builder = Pool::builder().workers(1).start_method(method());
                builder.build().unwrap()
            })
            .collect();
        let queue = Queue::<u32>::bounded(4).unwrap();
        let (sender, receiver) = pipe::<u32>().unwrap();
        for round in 0..3 {
            println!("{}", "printed to nowhere ".repeat(100));
            eprintln!("{}", "printed to nowhere ".repeat(100));
            let _ = std::io::stdout().flush();
            for pool in &pools {
                let squares = pool.map(
                    |x: u64| {
                        println!("printed by a task");
                        x * x
                    },
                    0..4,
                );
                assert_eq!(squares, [0, 1, 4, 9]);
            }
            sender.send(round).unwrap();
            queue.send(round).unwrap();
            assert_eq!(receiver.recv().unwrap() + queue.recv().unwrap(), 2 * round);
        }
        // Who dies is replaced by way of the same descriptors.
        for pool in &pools {
            let results = pool.try_map(|x: u64| assert!(x != 1 || std::process::id() == 0), 0..2);
            assert!(results[1].is_err());
            let results = pool.try_map(
                |x: u64| [std::process::abort, || unreachable!()][x as usize](),
                [0],
            );
            let results: Vec<Result<(), _>> = results;
            assert_eq!(results[0].as_ref().unwrap_err().signal(), Some(6));
            assert_eq!(pool.map(|x: u64| x + 1, 0..2), [1, 2]);
        }
    });
    for fd in 0..3 {
        // SAFETY: takes numbers; the standard ones are free, or nothing uses them.
        unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&kept), fd) };
    }
    outcome.unwrap();
    assert_eq!(children(), Vec::<i32>::new());
}

thread_local! {
    static CHANNEL: RefCell<Option<(Sender<u32>, Receiver<u32>)>> = const { RefCell::new(None) };
}

/// Uses the channel of [`CHANNEL`] while another file has the descriptor numbers that it had.
fn send_with_a_file_open(message: u32) -> u64 {
    let path = std::env::temp_dir().join(format!("forklore-fd-{}", std::process::id()));
    let files: Vec<File> = (0..8).map(|_| File::create(&path).unwrap()).collect();
    CHANNEL.with_borrow(|channel| channel.as_ref().unwrap().0.send(message).unwrap());
    let bytes = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    std::fs::remove_file(&path).unwrap();
    bytes
}

fn receive(_: ()) -> u32 {
    let limit = Duration::from_secs(60);
    CHANNEL.with_borrow(|channel| channel.as_ref().unwrap().1.recv_timeout(limit).unwrap())
}

fn a_channel_in_a_static_outlives_its_workers_sleep() {
    CHANNEL.set(Some(pipe().unwrap()));
    let pool = Pool::with_workers(1).unwrap();
    for round in 0..3 {
        support::wait_for_sleep(pool.pids()[0]);
        assert_eq!(pool.apply(send_with_a_file_open, round), 0);
        assert_eq!(receive(()), round);
        support::wait_for_sleep(pool.pids()[0]);
        CHANNEL.with_borrow(|channel| channel.as_ref().unwrap().0.send(round).unwrap());
        assert_eq!(pool.apply(receive, ()), round);
    }
    // A worker that sleeps again is no sender, although it was one.
    support::wait_for_sleep(pool.pids()[0]);
    let (sender, receiver) = CHANNEL.take().unwrap();
    drop(sender);
    assert!(receiver.recv().unwrap_err().is_closed());
    drop(pool);
    let child = Process::spawn(|| ()).unwrap();
    child.join().unwrap();
}

/// The mappings of a process that are the library's shared memory, each with its resident KiB and
/// its flags (proc(5), `smaps`).
fn shared_mappings(pid: i32) -> Vec<(String, u64, String)> {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut mappings = Vec::new();
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_head = words
            .get(1)
            .is_some_and(|word| word.len() == 4 && word.ends_with(['p', 's']));
        if is_head {
            mappings.push((line.to_owned(), 0, String::new()));
        }
        let Some(mapping) = mappings.last_mut() else {
            continue;
        };
        match words[0] {
            "Rss:" => mapping.1 = words[1].parse().unwrap(),
            "VmFlags:" => mapping.2 = words[1..].join(" "),
            _ => {}
        }
    }
    mappings.retain(|(head, ..)| {
        let is_shared = head
            .split_whitespace()
            .nth(1)
            .is_some_and(|rights| rights == "rw-s");
        is_shared && (head.contains("/dev/zero") || head.contains("memfd:forklore"))
    });
    mappings
}

fn a_core_dump_leaves_shared_memory_out() {
    let is_left_out = |pid: i32, n: usize| {
        let mappings = shared_mappings(pid);
        assert!(mappings.len() >= n, "{mappings:?}");
        for (head, _, flags) in mappings {
            assert!(flags.split(' ').any(|flag| flag == "dd"), "{head}: {flags}");
        }
    };
    let _lock = Lock::new(1).unwrap();
    let _array = SharedArray::<u8>::zeroed(1 << 20).unwrap();
    let (_sender, receiver) = pipe::<u32>().unwrap();
    for (_, method) in METHODS {
        let builder = Pool::builder().workers(1).start_method(method);
        let pool = builder.build().unwrap();
        assert_eq!(pool.apply(support::power, 2), 1024);
        is_left_out(pool.pids()[0], 1);
    }
    let child = Process::spawn(|| receiver.recv_timeout(Duration::from_secs(60)).is_ok()).unwrap();
    is_left_out(child.pid(), 4);
    is_left_out(std::process::id() as i32, 4);
}

fn memory_that_is_locked_is_not_taken_at_once() {
    play_for_each_method("locked memory");
}

/// Locks memory, if this process is allowed to.
fn locks_memory(flags: i32) -> bool {
    // SAFETY: the call takes a number.
    unsafe { libc::mlockall(flags) == 0 }
}

/// Gives up root's privileges, if this process has them.
fn become_nobody() {
    const NOBODY: u32 = 65534;
    // SAFETY: the calls take numbers.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!((libc::setgid(NOBODY), libc::setuid(NOBODY)), (0, 0));
        }
    }
}

fn locked_memory() {
    // Were all of the memory taken, it would not be the machine's.
    setrlimit(Resource::RLIMIT_AS, 4_000_000_000, 4_000_000_000).unwrap();
    if !locks_memory(libc::MCL_CURRENT | libc::MCL_FUTURE) {
        println!("this process may not lock its memory");
        return;
    }
    let _lock = Lock::new(1).unwrap();
    let queue = Queue::<u32>::bounded(4).unwrap();
    queue.send(1).unwrap();
    let pool = Pool::builder().workers(1).start_method(method());
    let pool = pool.build().unwrap();
    assert_eq!(pool.apply(support::power, 2), 1024);
    let child = Process::spawn(|| 7).unwrap();
    let taken = |pid| {
        shared_mappings(pid)
            .iter()
            .map(|(_, kib, _)| kib)
            .sum::<u64>()
    };
    assert!(taken(std::process::id() as i32) < 64 << 10);
    assert!(taken(pool.pids()[0]) < 64 << 10);
    assert_eq!(child.join().unwrap(), 7);
}

fn a_limit_of_locked_memory_is_named() {
    let output = support::play("limited locked memory");
    assert!(output.status.success(), "{}", text(&output));
}

fn limited_locked_memory() {
    setrlimit(Resource::RLIMIT_MEMLOCK, 1 << 20, 1 << 20).unwrap();
    become_nobody();
    if !locks_memory(libc::MCL_FUTURE) {
        println!("this process may not lock its memory");
        return;
    }
    let error = Pool::with_workers(1).unwrap_err();
    assert!(error.to_string().contains("ulimit -l"), "{error}");
}

fn hundreds_of_processes_and_pools() {
    const N: usize = 300;
    let (sender, receiver) = pipe::<u32>().unwrap();
    let processes: Vec<Process<bool>> = (0..N)
        .map(|_| Process::spawn(|| receiver.recv().is_err()).unwrap())
        .collect();
    drop(sender);
    for process in processes {
        assert!(process.join().unwrap());
    }
    let pools: Vec<Pool> = (0..N / 2).map(|_| Pool::with_workers(1).unwrap()).collect();
    for pool in &pools {
        assert_eq!(pool.apply(support::power, 2), 1024);
    }
}

fn a_death_with_thousands_of_locks() {
    // The system marks 2,048 of what a thread holds when it dies.
    const N: usize = 2100;
    let locks: Vec<Lock<u8>> = (0..N).map(|n| Lock::new(n as u8).unwrap()).collect();
    let semaphore = Semaphore::new(1).unwrap();
    let held = Event::new().unwrap();
    let mut child = Process::spawn(|| -> usize {
        // What is taken first is marked last.
        let _permit = semaphore.acquire().unwrap();
        let guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
        held.set();
        loop {
            // It may return at once: a child inherits what woke its parent's thread.
            std::thread::park();
            assert_eq!(guards.len(), N);
        }
    })
    .unwrap();
    held.wait();
    assert!(locks[0].try_lock().unwrap().is_none());
    child.kill();
    let limit = Duration::from_secs(60);
    // It was not reaped yet. In three ways, so that each meets some that the system did not mark.
    let mut n_told = 0;
    for (index, lock) in locks.iter().enumerate() {
        let is_told = |error: forklore::Error| error.is_owner_died();
        n_told += usize::from(match index % 3 {
            0 => lock.lock().is_err_and(is_told),
            1 => lock.lock_timeout(limit).is_err_and(is_told),
            _ => loop {
                match lock.try_lock() {
                    Ok(Some(_)) => break false,
                    Ok(None) => std::thread::yield_now(),
                    Err(error) => break is_told(error),
                }
            },
        });
    }
    assert_eq!(n_told, N);
    assert!(
        semaphore
            .acquire_timeout(limit)
            .unwrap_err()
            .is_owner_died()
    );
    assert!(child.join().unwrap_err().is_died());

    assert!(locks.iter().all(|lock| lock.recover().is_ok()));

    // A worker that is forked for its call, and takes them all: its own word is the first that it
    // took.
    let pool = Pool::with_workers(1).unwrap();
    let results = pool.try_map(
        |x: usize| {
            let guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
            assert_eq!(guards.len(), N);
            if x == 0 {
                std::process::abort();
            }
        },
        0..1,
    );
    assert_eq!(results[0].as_ref().unwrap_err().signal(), Some(6));
    assert!(locks.iter().all(|lock| lock.recover().is_ok()));
}

/// Takes more locks than Linux marks, and dies with them.
fn die_with_thousands_of_locks(x: usize) -> usize {
    if x == 1 {
        let locks: Vec<Lock<u8>> = (0..2100).map(|_| Lock::new(1).unwrap()).collect();
        let guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
        assert_eq!(guards.len(), locks.len());
        std::process::abort();
    }
    x
}

fn a_worker_that_dies_with_thousands_of_locks_is_replaced() {
    for (name, method) in METHODS {
        let pool = Pool::builder().workers(1).start_method(method);
        let pool = pool.build().unwrap();
        let results = pool.try_map(die_with_thousands_of_locks, 0..3);
        assert_eq!((&results[0], &results[2]), (&Ok(0), &Ok(2)), "{name}");
        let error = results[1].as_ref().unwrap_err();
        assert_eq!(
            (error.item(), error.signal()),
            (Some(1), Some(6)),
            "{name}: {error}"
        );
        assert_eq!(pool.map(support::power, 0..2), [0, 1], "{name}");
    }
}

fn a_lock_is_not_taken_from_another_namespace() {
    let output = support::play("another namespace");
    assert!(output.status.success(), "{}", text(&output));
}

fn another_namespace() {
    let lock = Lock::new(1).unwrap();
    let guard = lock.lock().unwrap();
    // SAFETY: the call takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        println!("this process may not make namespaces");
        return;
    }
    // Children are in a namespace of their own now, in which the holder has no id.
    // SAFETY: the process has one thread; the child waits for a lock, and ends.
    match unsafe { nix::unistd::fork() }.unwrap() {
        ForkResult::Child => {
            let waited = lock.lock_timeout(Duration::from_millis(250)).map(drop);
            let is_right = std::process::id() == 1 && waited.unwrap_err().is_timed_out();
            // SAFETY: takes no memory of ours.
            unsafe { libc::_exit(i32::from(!is_right)) }
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).unwrap();
            assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
        }
    }
    drop(guard);
}

fn without_proc() {
    let output = support::play("without proc");
    assert!(output.status.success(), "{}", text(&output));
}

fn in_an_empty_folder() {
    let folder = std::env::temp_dir().join(format!("forklore-empty-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let is_in = nix::unistd::chroot(&folder).and_then(|()| nix::unistd::chdir("/"));
    if is_in.is_err() {
        std::fs::remove_dir(&folder).unwrap();
        println!("this process may not change its root");
        return;
    }
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.map(support::power, 0..4), [0, 1, 1024, 59_049]);
    let (sender, receiver) = pipe::<u32>().unwrap();
    let lock = Lock::new(0).unwrap();
    let squares = pool.map(
        |x: u32| {
            *lock.lock().unwrap() += 1;
            sender.send(x).unwrap();
            x * x
        },
        0..4,
    );
    assert_eq!((squares, *lock.lock().unwrap()), (vec![0, 1, 4, 9], 4));
    let mut sent: Vec<u32> = (0..4).map(|_| receiver.recv().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0, 1, 2, 3]);
    let limit = Duration::from_millis(1);
    assert!(receiver.recv_timeout(limit).unwrap_err().is_timed_out());
    // It cannot stop counting as a sender, and says so instead of waiting for itself.
    let error = receiver.recv().unwrap_err();
    assert!(error.to_string().contains("/proc"), "{error}");
    sender.send(5).unwrap();
    assert_eq!(receiver.recv().unwrap(), 5);
    drop(pool);
    drop(sender);
    assert!(receiver.recv().unwrap_err().is_closed());
    for method in [StartMethod::Forkserver, StartMethod::Spawn] {
        let builder = Pool::builder().workers(1).start_method(method);
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains("/proc"), "{error}");
    }
    // With a second thread, this process may not fork.
    std::thread::scope(|scope| {
        let thread = scope.spawn(std::thread::park);
        assert!(forklore::fork().unwrap_err().is_multi_threaded());
        let error = Pool::with_workers(1).unwrap_err();
        assert!(error.to_string().contains("/proc"), "{error}");
        thread.thread().unpark();
    });
    assert_eq!(Process::spawn(|| 7).unwrap().join().unwrap(), 7);
}

fn a_pipe_outlives_its_makers_user() {
    let output = support::play("another user");
    assert!(output.status.success(), "{}", text(&output));
}

fn another_user() {
    let (sender, receiver) = pipe::<u32>().unwrap();
    become_nobody();
    // Each wait for the end makes a write end again.
    let child = Process::spawn(|| receiver.iter().sum::<u32>()).unwrap();
    for number in 1..=4 {
        sender.send(number).unwrap();
    }
    drop(sender);
    assert_eq!(child.join().unwrap(), 10);
}

fn what_c_code_prints_arrives_once() {
    for (method, _) in METHODS {
        let output = scene_with("c prints", method).output().unwrap();
        assert!(output.status.success(), "{method}: {}", text(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let mut expected = ["parent", "process", "fork"].map(str::to_owned).to_vec();
        expected.extend(
            ["shipped", "captured"]
                .iter()
                .flat_map(|kind| (0..4).map(move |item| format!("{kind} {item}"))),
        );
        expected.sort_unstable();
        assert_eq!(lines, expected, "{method}");
    }
}

/// Prints as C code does: output into a pipe is buffered.
fn puts(line: &str) {
    let line = std::ffi::CString::new(line).unwrap();
    // SAFETY: the text ends with a zero.
    unsafe { libc::puts(line.as_ptr()) };
}

fn c_prints() {
    puts("parent");
    let pool = Pool::builder().workers(1).start_method(method());
    let pool = pool.build().unwrap();
    pool.map(|item: u32| puts(&format!("shipped {item}")), 0..4);
    let kind = String::from("captured");
    pool.map(|item: u32| puts(&format!("{kind} {item}")), 0..4);
    Process::spawn(|| puts("process")).unwrap().join().unwrap();
    match forklore::fork().unwrap() {
        forklore::Fork::Child(guard) => {
            puts("fork");
            guard.exit(0);
        }
        forklore::Fork::Parent(child) => assert!(child.wait().is_success()),
    }
    // A worker that sleeps has written what it had.
    support::wait_for_sleep(pool.pids()[0]);
    pool.terminate();
}
