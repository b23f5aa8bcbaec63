//! Workers of an owner that is gone, if the OS's own death signal does not reach them: those that
//! changed their credentials, and those of an owner that replaced its program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use forklore::{Pool, Process, StartMethod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::starts::METHODS;
use crate::support::{
    Scene, is_running, power, scene_argument, scene_with, tests, wait_for_sleep, wait_until,
};

tests![
    no_worker_outlives_its_owner,
    a_worker_of_a_dead_server_is_gone_before_it_is_replaced,
    a_pool_outlives_the_thread_that_made_it,
    a_pool_may_end_on_another_thread,
    a_worker_outlives_the_thread_that_replaced_it,
    no_server_outlives_its_owner,
    an_owner_without_privileges_ends_its_pools,
    a_pool_in_a_pid_namespace_of_its_own,
];

pub const SCENES: &[Scene] = &[
    ("an_owner_is_gone", an_owner_is_gone),
    (
        "an_owner_with_threads_is_gone",
        an_owner_with_threads_is_gone,
    ),
    ("an_owner_gives_up_privileges", an_owner_gives_up_privileges),
    ("children_have_their_own_pids", children_have_their_own_pids),
];

/// When workers change their credentials.
const CHANGES: [&str; 3] = ["nothing", "initializer", "task"];
/// What workers are doing when their owner goes.
const LOADS: [&str; 3] = ["idle", "busy", "nested"];
/// How the owner goes.
const ENDS: [&str; 2] = ["killed", "exec"];

/// A user without privileges.
const UNPRIVILEGED: u32 = 65534;

fn drop_privileges() {
    // SAFETY: the calls take numbers.
    let is_done = unsafe { libc::setgid(UNPRIVILEGED) == 0 && libc::setuid(UNPRIVILEGED) == 0 };
    assert!(is_done);
}

/// Drops privileges and regains them: that is enough for the OS to forget whose death should end
/// this process.
fn drop_privileges_for_a_moment() {
    // SAFETY: the calls take numbers.
    let is_done = unsafe { libc::seteuid(UNPRIVILEGED) == 0 && libc::seteuid(0) == 0 };
    assert!(is_done);
}

fn may_change_credentials() -> bool {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// The folder of a run, in which all users may write.
fn folder() -> PathBuf {
    let name = format!("forklore-lifelines-{}", std::process::id());
    std::env::temp_dir().join(name)
}

/// After this time, a held task returns.
const HELD_AT_MOST: Duration = Duration::from_secs(120);

/// A task that reports that it runs, and returns when the gate is removed. It does not outlive a
/// failed test.
fn hold(folder: String) {
    let folder = Path::new(&folder);
    fs::write(folder.join(std::process::id().to_string()), "").unwrap();
    let deadline = Instant::now() + HELD_AT_MOST;
    while folder.join("gate").exists() {
        if Instant::now() > deadline {
            std::process::exit(1);
        }
        std::thread::yield_now();
    }
}

fn builder(method: &str, change: &str) -> forklore::pool::Builder {
    let named = |known: &StartMethod| format!("{known:?}") == method;
    let method = METHODS.into_iter().find(named).unwrap();
    let builder = Pool::builder().workers(2).start_method(method);
    match change {
        "initializer" => builder.initializer(drop_privileges),
        _ => builder,
    }
}

fn an_owner_is_gone() {
    let argument = scene_argument();
    let [folder, method, change, load, end] = argument.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{argument}")
    };
    let pool = builder(method, change).build().unwrap();
    if change == "task" {
        pool.broadcast(drop_privileges_for_a_moment);
    }
    let mut pids = pool.broadcast(|| std::process::id() as i32);
    // Only then has each asked the OS again to die with its owner.
    pids.iter().for_each(|&pid| wait_for_sleep(pid));
    pids.extend(crate::support::children());
    if load == "nested" {
        // Kept in the workers: each makes one and forgets it.
        let inner = pool.broadcast(|| {
            let inner = Pool::with_workers(2).unwrap();
            let pids = inner.broadcast(|| {
                if may_change_credentials() {
                    drop_privileges_for_a_moment();
                }
                std::process::id() as i32
            });
            std::mem::forget(inner);
            pids
        });
        pids.extend(inner.into_iter().flatten());
    }
    let n_held = 2;
    let busy = (load == "busy").then(|| {
        let held = pool.map_async(hold, vec![folder.to_owned(); n_held]);
        // Beside the gate, and the folder of what comes late.
        let n_at_it = || fs::read_dir(folder).unwrap().count() - 2;
        wait_until(|| !held.ready() && n_at_it() == n_held);
        let late = pool.map_async(hold, vec![format!("{folder}/late"); 20]);
        (held, late)
    });
    println!("{pids:?}");
    if end == "exec" {
        let error = Command::new("cat").exec();
        panic!("{error}");
    }
    let _stays = busy;
    loop {
        std::thread::park();
    }
}

fn play(scene: &str, argument: &str) -> (Child, Vec<i32>) {
    let mut owner = scene_with(scene, argument)
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(owner.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let words = line.split(|c: char| !c.is_ascii_digit());
    let pids: Vec<i32> = words.filter_map(|pid| pid.parse().ok()).collect();
    assert!(pids.len() >= 2, "{argument}: {line}");
    (owner, pids)
}

fn no_worker_outlives_its_owner() {
    let folder = folder();
    for method in METHODS {
        for change in CHANGES {
            if change != "nothing" && !may_change_credentials() {
                continue;
            }
            for load in LOADS {
                for end in ENDS {
                    fs::create_dir_all(folder.join("late")).unwrap();
                    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                    fs::set_permissions(&folder, all).unwrap();
                    fs::write(folder.join("gate"), "").unwrap();
                    fs::write(folder.join("late/gate"), "").unwrap();
                    let what = format!("{} {method:?} {change} {load} {end}", folder.display());
                    let (mut owner, pids) = play("an_owner_is_gone", &what);
                    let server = pids[2];
                    if end == "killed" {
                        kill(Pid::from_raw(owner.id() as i32), Signal::SIGKILL).unwrap();
                    } else {
                        // What runs a task when its owner replaces its program, goes on to the
                        // task's end.
                        wait_until(|| has_replaced_its_program(owner.id()));
                        if method != StartMethod::Fork {
                            // The server is what workers are tied to. It is killed when the files
                            // of the old program are closed, which takes a moment.
                            wait_until(|| !is_running(server));
                        }
                        fs::remove_file(folder.join("gate")).unwrap();
                    }
                    wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
                    let n_late = fs::read_dir(folder.join("late")).unwrap().count() - 1;
                    assert_eq!(n_late, 0, "{what}");
                    drop(owner.stdin.take());
                    owner.wait().unwrap();
                    fs::remove_dir_all(&folder).unwrap();
                }
            }
        }
    }
}

fn has_replaced_its_program(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "cat")
}

/// Workers whose credentials changed do not die with their server. None may continue beside the
/// server's successor.
fn a_worker_of_a_dead_server_is_gone_before_it_is_replaced() {
    if !may_change_credentials() {
        return;
    }
    let pool = builder("Forkserver", "task").build().unwrap();
    for _ in 0..3 {
        pool.broadcast(drop_privileges_for_a_moment);
        let before = pool.pids();
        let [server] = crate::support::children()[..] else {
            panic!("one server");
        };
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
        let after = pool.pids();
        assert_eq!(pool.broadcast(|| std::process::id() as i32), after);
        wait_until(|| {
            let mut replaced = before.iter().filter(|pid| !after.contains(pid));
            replaced.all(|&pid| !is_running(pid))
        });
    }
}

/// A value that its creator passes to another thread, whatever its type says.
struct Handed<T>(T);

// SAFETY: the thread that made it has ended before another uses it.
unsafe impl<T> Send for Handed<T> {}

/// Runs a function on a thread, and waits until the OS has removed that thread: by then, it has
/// sent every signal that is tied to it.
fn on_a_thread<T>(run: impl FnOnce() -> T) -> T {
    let run = Handed(run);
    let thread = move || {
        let Handed(run) = { run };
        (nix::unistd::gettid(), Handed(run()))
    };
    // SAFETY: what it borrows lives until it has been joined.
    let thread = unsafe { std::thread::Builder::new().spawn_unchecked(thread) };
    let (id, Handed(result)) = thread.unwrap().join().unwrap();
    wait_until(|| !Path::new(&format!("/proc/self/task/{id}")).exists());
    result
}

/// How workers are started in a process with threads.
const WITH_THREADS: [StartMethod; 2] = [StartMethod::Forkserver, StartMethod::Spawn];

fn a_pool_outlives_the_thread_that_made_it() {
    for method in WITH_THREADS {
        let (pool, before) = on_a_thread(|| {
            let pool = crate::starts::pool(method, 2);
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            let pids = pool.pids();
            (pool, pids)
        });
        for _ in 0..2 {
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            assert_eq!(pool.broadcast(|| std::process::id() as i32), before);
        }
    }
}

fn a_pool_may_end_on_another_thread() {
    for method in METHODS {
        for _ in 0..3 {
            let pool = crate::starts::pool(method, 2);
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            on_a_thread(|| {
                assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
                drop(pool);
            });
            assert_eq!(crate::support::children(), Vec::<i32>::new(), "{method:?}");
        }
    }
}

fn a_worker_outlives_the_thread_that_replaced_it() {
    let exits = |x: u64| if x == 1 { std::process::exit(3) } else { x };
    for method in [&[StartMethod::Auto], &WITH_THREADS[..]].concat() {
        // Auto comes to a fork, and has a server from the first death beside a thread on.
        let pool = crate::starts::pool(method, 2);
        let first = pool.pids();
        let second = on_a_thread(|| {
            let results = pool.try_map(exits, 0..20);
            assert_eq!(results[1].as_ref().unwrap_err().exit_code(), Some(3));
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 19);
            pool.pids()
        });
        assert_eq!(second.iter().filter(|&pid| first.contains(pid)).count(), 1);
        assert_eq!(pool.broadcast(|| std::process::id() as i32), second);
    }
}

/// Obstacles to noticing that an owner is gone.
const HINDRANCES: [&str; 3] = ["nothing", "stopped server", "forked child"];

/// Prints the pids that must end, and last the pid of the obstacle.
fn an_owner_with_threads_is_gone() {
    let argument = scene_argument();
    let [folder, method, thread, hindrance, end] = argument.split('|').collect::<Vec<_>>()[..]
    else {
        panic!("{argument}")
    };
    let make = || {
        let pool = builder(method, "nothing").build().unwrap();
        let held = pool.map_async(hold, vec![folder.to_owned(); 2]);
        wait_until(|| !held.ready() && fs::read_dir(folder).unwrap().count() == 3);
        (pool, held)
    };
    let (pool, _held) = match thread {
        "thread" => on_a_thread(make),
        _ => make(),
    };
    let server = crate::support::children()[0];
    let mut pids = pool.pids();
    pids.push(server);
    pids.push(match hindrance {
        "stopped server" => {
            kill(Pid::from_raw(server), Signal::SIGSTOP).unwrap();
            wait_until(|| {
                let stat = fs::read_to_string(format!("/proc/{server}/stat")).unwrap();
                stat.contains(") T ")
            });
            0
        }
        // It holds all of this process's files open.
        "forked child" => {
            // SAFETY: the child only waits.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => loop {
                    nix::unistd::alarm::set(HELD_AT_MOST.as_secs() as u32);
                    nix::unistd::pause();
                },
                nix::unistd::ForkResult::Parent { child } => child.as_raw(),
            }
        }
        _ => 0,
    });
    println!("{pids:?}");
    if end == "exec" {
        let error = Command::new("cat").exec();
        panic!("{error}");
    }
    loop {
        std::thread::park();
    }
}

fn no_server_outlives_its_owner() {
    let folder = folder();
    for method in WITH_THREADS {
        for thread in ["main thread", "thread"] {
            for hindrance in HINDRANCES {
                for end in ENDS {
                    let _ = fs::remove_dir_all(&folder);
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(folder.join("gate"), "").unwrap();
                    let what =
                        format!("{}|{method:?}|{thread}|{hindrance}|{end}", folder.display());
                    let (mut owner, mut pids) = play("an_owner_with_threads_is_gone", &what);
                    let in_the_way = pids.pop().unwrap();
                    if end == "killed" {
                        kill(Pid::from_raw(owner.id() as i32), Signal::SIGKILL).unwrap();
                    }
                    wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
                    if in_the_way != 0 {
                        assert!(is_running(in_the_way), "{what}");
                        kill(Pid::from_raw(in_the_way), Signal::SIGKILL).unwrap();
                    }
                    drop(owner.stdin.take());
                    owner.wait().unwrap();
                    fs::remove_dir_all(&folder).unwrap();
                }
            }
        }
    }
}

fn an_owner_gives_up_privileges() {
    let argument = scene_argument();
    let (method, folder) = argument.split_once(' ').unwrap();
    let idle = builder(method, "nothing").build().unwrap();
    let limited = builder(method, "nothing").timeout(Duration::from_millis(100));
    let limited = limited.build().unwrap();
    let joined = builder(method, "nothing").build().unwrap();
    let pids = idle.broadcast(|| std::process::id() as i32);
    limited.broadcast(|| ());
    joined.broadcast(|| ());
    let child = Process::spawn(|| hold(folder.to_owned())).unwrap();
    wait_until(|| Path::new(folder).join(child.pid().to_string()).exists());
    drop_privileges();
    drop(child);
    idle.terminate();
    assert!(pids.iter().all(|&pid| !is_running(pid)), "{method}");
    // The task may not be ended, and goes on; the map does not.
    let task = |folder: String| {
        if !folder.is_empty() {
            hold(folder);
        }
    };
    let results = limited.try_map(task, [folder.to_owned(), String::new()]);
    let error = results[0].as_ref().unwrap_err();
    let message = error.to_string();
    assert!(
        error.is_timed_out() && message.contains("privileges"),
        "{message}"
    );
    assert!(limited.try_map(power, [1])[0].is_err());
    drop(limited);
    assert_eq!(joined.map(power, 0..3), [0, 1, 1024]);
    drop(joined);
    println!("done");
}

fn an_owner_without_privileges_ends_its_pools() {
    if !may_change_credentials() {
        return;
    }
    let folder = folder();
    for method in METHODS {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("gate"), "").unwrap();
        let argument = format!("{method:?} {}", folder.display());
        let mut scene = scene_with("an_owner_gives_up_privileges", &argument);
        let output = scene
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .status();
        assert!(output.unwrap().success(), "{method:?}");
        let names = fs::read_dir(&folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let at_it: Vec<i32> = names.filter_map(|name| name.parse().ok()).collect();
        assert_eq!(at_it.len(), 2, "{method:?}");
        fs::remove_dir_all(&folder).unwrap();
        wait_until(|| at_it.iter().all(|&pid| !is_running(pid)));
    }
}

fn children_have_their_own_pids() {
    let method = scene_argument();
    // SAFETY: concerns the children only.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        println!("may not be tried here");
        return;
    }
    let named = |known: &StartMethod| format!("{known:?}") == method;
    let builder = Pool::builder().workers(3);
    let pool = builder.start_method(METHODS.into_iter().find(named).unwrap());
    match pool.build() {
        Ok(pool) => {
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            assert_eq!(pool.pids().len(), 3);
            drop(pool);
            let error = Pool::with_workers(1).unwrap_err().to_string();
            assert!(error.contains("PID namespace"), "{error}");
        }
        Err(error) => {
            assert_ne!(method, "Fork");
            assert!(error.to_string().contains("PID namespace"), "{error}");
        }
    }
}

fn a_pool_in_a_pid_namespace_of_its_own() {
    for method in METHODS {
        let mut scene = scene_with("children_have_their_own_pids", &format!("{method:?}"));
        let output = scene.output().unwrap();
        assert!(
            output.status.success(),
            "{method:?}: {}",
            crate::support::text(&output)
        );
    }
}
