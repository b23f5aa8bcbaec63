//! The server that `init` forks at the top of `main`, and pools of a program that then has threads.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use forklore::{Pool, StartMethod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Scene, children, children_of, is_running, play, power, scene, scene_with, tests, text,
    wait_until,
};

tests![
    pools_come_from_the_early_server,
    a_dead_or_stopped_early_server_is_done_without,
    an_early_server_ends_with_its_owner,
    a_variable_of_another_process_is_not_believed,
    many_threads_ask_at_once,
    no_program_and_no_proc_are_needed,
];

pub const SCENES: &[Scene] = &[
    ("early server", early_server),
    ("early server is ill", early_server_is_ill),
    ("early owner is gone", early_owner_is_gone),
    ("early variable", early_variable),
    ("many ask", many_ask),
    ("in an empty root", in_an_empty_root),
];

/// How workers are started in a process with threads.
const METHODS: [StartMethod; 2] = [StartMethod::Forkserver, StartMethod::Spawn];

fn name(pid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    name.trim().to_owned()
}

/// Forks the early server, and returns its pid.
fn begin() -> i32 {
    forklore::init();
    forklore::init();
    let [early] = children()[..] else {
        panic!("one early server: {:?}", children())
    };
    wait_until(|| name(early) == "forklore-early");
    early
}

/// Runs a function while this process has another thread.
fn beside_a_thread(run: impl FnOnce()) {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    run();
    drop(send);
    let _ = thread.join().unwrap();
}

fn pool(method: StartMethod) -> Pool {
    let builder = Pool::builder().workers(2).start_method(method);
    builder.build().unwrap()
}

fn succeeds(name: &str) {
    let output = play(name);
    assert!(output.status.success(), "{}", text(&output));
}

fn pools_come_from_the_early_server() {
    succeeds("early server");
}

fn early_server() {
    let early = begin();
    assert_eq!(
        Pool::with_workers(1).unwrap().start_method(),
        StartMethod::Fork
    );
    beside_a_thread(|| {
        for method in METHODS {
            let pool = pool(method);
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            assert_eq!(children(), [early], "{method:?}");
            let [server] = children_of(early)[..] else {
                panic!("{method:?}: one server");
            };
            assert_eq!(name(server), "forklore-server");
            assert_eq!(children_of(server).len(), 2);
            let n_files = |()| std::fs::read_dir("/proc/self/fd").unwrap().count();
            // The standard ones, the memory, what wakes a reactor, and the folder itself.
            assert_eq!(pool.apply(n_files, ()), 6, "{method:?}");
            // A server that is killed is replaced by another of the same kind.
            kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
            wait_until(|| !is_running(server));
            let results = pool.try_map(|_: u32| -> u32 { std::process::exit(3) }, 0..2);
            assert!(results.iter().all(Result::is_err));
            wait_until(|| pool.pids().len() == 2);
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            assert_eq!(children_of(early).len(), 1);
            // One that is stopped goes on.
            let server = children_of(early)[0];
            kill(Pid::from_raw(server), Signal::SIGSTOP).unwrap();
            pool.resize(3).unwrap();
            assert_eq!(pool.broadcast(|| ()).len(), 3);
            kill(Pid::from_raw(server), Signal::SIGSTOP).unwrap();
            let pids = pool.pids();
            drop(pool);
            assert!(!pids.iter().any(|&pid| is_running(pid)));
            assert_eq!(children_of(early), Vec::<i32>::new());
        }
    });
}

fn a_dead_or_stopped_early_server_is_done_without() {
    for signal in ["SIGKILL", "SIGSTOP"] {
        let output = scene_with("early server is ill", signal).output().unwrap();
        assert!(output.status.success(), "{signal}: {}", text(&output));
    }
}

fn early_server_is_ill() {
    let signal: Signal = crate::support::scene_argument().parse().unwrap();
    let early = begin();
    beside_a_thread(|| {
        let before = pool(StartMethod::Auto);
        assert_eq!(before.map(power, 0..3), [0, 1, 1024]);
        kill(Pid::from_raw(early), signal).unwrap();
        wait_until(|| {
            let stat = std::fs::read_to_string(format!("/proc/{early}/stat")).unwrap();
            stat.contains(") T ") || stat.contains(") Z ")
        });
        let after = pool(StartMethod::Auto);
        assert_eq!(after.map(power, 0..3), [0, 1, 1024]);
        let launched = children().into_iter().find(|&child| child != early);
        assert_eq!(name(launched.unwrap()), "forklore-server");
        // Its servers end with it, and are launched again.
        wait_until(|| {
            let results = before.try_map(power, 0..3);
            results.iter().all(Result::is_ok)
        });
    });
}

fn an_early_server_ends_with_its_owner() {
    for end in ["killed", "exec", "returns", "exec behind a fork"] {
        let mut owner = scene_with("early owner is gone", end)
            .stdin(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(owner.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let words = line.split(|c: char| !c.is_ascii_digit());
        let mut pids: Vec<i32> = words.filter_map(|pid| pid.parse().ok()).collect();
        assert_eq!(pids.len(), 5, "{end}: {line}");
        let forked = pids.pop().filter(|&pid| pid != 0);
        if end == "killed" {
            kill(Pid::from_raw(owner.id() as i32), Signal::SIGKILL).unwrap();
        }
        wait_until(|| !pids.iter().any(|&pid| is_running(pid)));
        if let Some(forked) = forked {
            assert!(is_running(forked));
            kill(Pid::from_raw(forked), Signal::SIGKILL).unwrap();
        }
        drop(owner.stdin.take());
        owner.wait().unwrap();
    }
}

/// Prints the pids of the early server, a pool's server and its workers, and of a forked child.
fn early_owner_is_gone() {
    let early = begin();
    let end = crate::support::scene_argument();
    let thread = std::thread::spawn(|| pool(StartMethod::Auto).pids().len());
    assert_eq!(thread.join().unwrap(), 2);
    let mut pids = vec![early];
    let pool = pool(StartMethod::Forkserver);
    pids.extend(children_of(early));
    pids.extend(pool.pids());
    let mut forked = 0;
    if end == "exec behind a fork" {
        // SAFETY: the child only waits.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => loop {
                nix::unistd::alarm::set(120);
                nix::unistd::pause();
            },
            nix::unistd::ForkResult::Parent { child } => forked = child.as_raw(),
        }
    }
    pids.push(forked);
    println!("{pids:?}");
    std::mem::forget(pool);
    match &*end {
        "killed" => loop {
            std::thread::park();
        },
        "returns" => {}
        _ => panic!("{}", Command::new("cat").exec()),
    }
}

/// A program may find a variable that its parent has set, or one that names this very process from
/// before it replaced its program.
fn a_variable_of_another_process_is_not_believed() {
    succeeds("early variable");
}

fn early_variable() {
    let is_second = std::env::var_os("SECOND").is_some();
    let find = || std::env::var("FORKLORE_SERVER");
    if is_second {
        let before = find().unwrap();
        // What this process has forked under its program before, ends with that, and is not reaped.
        wait_until(|| !children().into_iter().any(is_running));
        let gone = children();
        let own = || children().into_iter().filter(|pid| !gone.contains(pid));
        beside_a_thread(|| {
            let pool = pool(StartMethod::Auto);
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            let own: Vec<String> = own().map(name).collect();
            assert_eq!(own, ["forklore-server"]);
        });
        forklore::init();
        assert_eq!(own().count(), 1);
        assert_ne!(find().unwrap(), before);
        return;
    }
    begin();
    let value = find().unwrap();
    let mut child = scene("early variable");
    let output = child.env("SECOND", "1").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    for forged in ["", "1 2 3", "1 2 3 4", &value.replace(' ', "  ")] {
        let mut child = scene("early variable");
        let child = child.env("SECOND", "1").env("FORKLORE_SERVER", forged);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{forged:?}: {}", text(&output));
    }
    let mut same = scene("early variable");
    let same = same.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    panic!("{}", same.env("SECOND", "1").exec());
}

fn many_threads_ask_at_once() {
    succeeds("many ask");
}

fn many_ask() {
    let early = begin();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..10 {
                    let pool = pool(METHODS[(thread + round) % 2]);
                    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
                }
            });
        }
    });
    assert_eq!((children(), children_of(early)), (vec![early], vec![]));
}

fn no_program_and_no_proc_are_needed() {
    succeeds("in an empty root");
}

fn in_an_empty_root() {
    begin();
    let folder = std::env::temp_dir().join(format!("forklore-root-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let is_in = nix::unistd::chroot(&folder).and_then(|()| nix::unistd::chdir("/"));
    if is_in.is_err() {
        std::fs::remove_dir(&folder).unwrap();
        println!("this process may not change its root");
        return;
    }
    beside_a_thread(|| {
        let pool = pool(StartMethod::Auto);
        assert_eq!(pool.start_method(), StartMethod::Forkserver);
        for _ in 0..3 {
            assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
            let results = pool.try_map(|_: u32| -> u32 { std::process::exit(3) }, 0..2);
            assert!(results.iter().all(Result::is_err));
        }
    });
}
