//! Exhausted resources, and host programs that handle signals: an error explains the problem, and
//! nothing is left. Each scene has its own process, for each way to start workers.

use forklore::{Pool, StartMethod};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;

use crate::starts::METHODS;
use crate::support::{Scene, children, power, scene_argument, scene_with, tests, text};

tests![
    no_more_files,
    no_more_processes,
    little_address_space,
    no_address_space,
    the_host_takes_exit_statuses,
    the_host_ignores_its_children,
    a_storm_of_signals,
    nothing_lies_in_dev_shm,
];

pub const SCENES: &[Scene] = &[
    ("files_run_out", files_run_out),
    ("processes_run_out", processes_run_out),
    ("address_space_is_little", address_space_is_little),
    ("address_space_runs_out", address_space_runs_out),
    ("statuses_are_taken", statuses_are_taken),
    ("children_are_ignored", children_are_ignored),
    ("signals_storm", signals_storm),
    ("memory_is_listed", memory_is_listed),
];

/// Plays a scene for each way to start workers.
fn play_all(name: &str) {
    for method in METHODS {
        let output = scene_with(name, &format!("{method:?}")).output().unwrap();
        assert!(output.status.success(), "{method:?}: {}", text(&output));
    }
}

fn no_more_files() {
    play_all("files_run_out");
}

fn no_more_processes() {
    play_all("processes_run_out");
}

fn little_address_space() {
    play_all("address_space_is_little");
}

fn no_address_space() {
    play_all("address_space_runs_out");
}

fn the_host_takes_exit_statuses() {
    play_all("statuses_are_taken");
}

fn the_host_ignores_its_children() {
    play_all("children_are_ignored");
}

fn a_storm_of_signals() {
    play_all("signals_storm");
}

fn nothing_lies_in_dev_shm() {
    play_all("memory_is_listed");
}

fn method() -> StartMethod {
    let asked = scene_argument();
    let known = METHODS
        .into_iter()
        .find(|known| format!("{known:?}") == asked);
    known.unwrap()
}

fn pool(n_workers: usize) -> forklore::Result<Pool> {
    let builder = Pool::builder().workers(n_workers);
    builder.start_method(method()).build()
}

fn n_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn limit(resource: Resource, soft: u64) {
    let (_, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, soft.min(hard), hard).unwrap();
}

/// Runs a map; returns the reason if it fails.
fn map_or_reason(pool: &Pool) -> Option<String> {
    let results = pool.try_map(power, 0..20);
    let mut reason = None;
    for (item, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, power(item as u64)),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    reason
}

fn files_run_out() {
    let (before, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let n_before = n_files();
    for n in 3..12 {
        limit(Resource::RLIMIT_NOFILE, n);
        match pool(2) {
            Ok(pool) => drop(map_or_reason(&pool)),
            Err(error) => assert!(
                error.is_os() && error.to_string().contains("ulimit -n"),
                "{n}: {error}"
            ),
        }
        limit(Resource::RLIMIT_NOFILE, before);
        assert_eq!(children(), Vec::<i32>::new());
        assert_eq!(n_files(), n_before, "{n}");
    }
    assert_eq!(map_or_reason(&pool(2).unwrap()), None);
}

fn processes_run_out() {
    // The limit does not hold for root.
    let nobody = 65534;
    // SAFETY: both calls take numbers.
    unsafe {
        if libc::getuid() == 0 {
            assert_eq!(libc::setresuid(nobody, nobody, nobody), 0);
        }
        // The process may look at itself again.
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
    }
    let (before, _) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
    let pool = pool(2).unwrap();
    pool.broadcast(|| ());
    limit(Resource::RLIMIT_NPROC, 0);
    let error = self::pool(2).unwrap_err();
    assert!(
        error.is_os() && error.to_string().contains("ulimit -u"),
        "{error}"
    );
    assert!(pool.resize(3).is_err() || method() != StartMethod::Fork);
    // No process comes for those that die, but a server has a limit of its own.
    let deadly = |x: u64| if x == 3 { std::process::exit(1) } else { x };
    let results = pool.try_map(deadly, 0..9);
    assert_eq!(results[3].as_ref().unwrap_err().exit_code(), Some(1));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
    for pid in pool.pids() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    if let Some(reason) = map_or_reason(&pool) {
        assert!(reason.contains("ulimit -u"), "{reason}");
    }
    limit(Resource::RLIMIT_NPROC, before);
    assert_eq!(map_or_reason(&pool), None);
    drop(pool);
    assert_eq!(children(), Vec::<i32>::new());
}

fn address_space_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

fn address_space_is_little() {
    limit(Resource::RLIMIT_AS, address_space_bytes() + (300 << 20));
    let pool = pool(2).unwrap();
    assert_eq!(map_or_reason(&pool), None);
    // A task that wants too much dies of it, alone.
    let greedy = |x: usize| if x == 2 { vec![1u8; 1 << 32].len() } else { x };
    let results = pool.try_map(greedy, 0..6);
    assert_eq!(results[2].as_ref().unwrap_err().signal(), Some(6));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    // Results that do not fit into the shared memory are errors that say so; the others are there.
    let results = pool.try_map(|x: u8| vec![x; 8 << 20], 0..40);
    let (fit, rest): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!(!fit.is_empty() && !rest.is_empty());
    for result in rest {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("shared memory"), "{error}");
    }
    drop(fit);
    // Arguments that do not: each item has the error, those that were not taken yet included.
    let results = pool.try_map(|x: Vec<u8>| x.len(), (0..40).map(|x| vec![x; 8 << 20]));
    assert_eq!(results.len(), 40);
    for (item, result) in results.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert_eq!(error.item(), Some(item));
        assert!(error.to_string().contains("shared memory"), "{error}");
    }
    assert_eq!(map_or_reason(&pool), None);
    drop(pool);
    assert_eq!(children(), Vec::<i32>::new());
}

fn address_space_runs_out() {
    let (before, _) = getrlimit(Resource::RLIMIT_AS).unwrap();
    let n_before = n_files();
    limit(Resource::RLIMIT_AS, address_space_bytes() + (4 << 20));
    let error = pool(2).unwrap_err();
    assert!(
        error.is_os() && error.to_string().contains("ulimit -v"),
        "{error}"
    );
    limit(Resource::RLIMIT_AS, before);
    assert_eq!((n_files(), children()), (n_before, Vec::new()));
    assert_eq!(map_or_reason(&pool(2).unwrap()), None);
}

/// Whichever process reaps the exit statuses: deaths are noticed, and the cause is reported if it
/// can be known.
fn live_without_statuses() {
    let pool = pool(2).unwrap();
    for round in 0..10 {
        let deadly = |x: u64| if x == 3 { std::process::abort() } else { x };
        let results = pool.try_map(deadly, 0..9);
        let error = results[3].as_ref().unwrap_err();
        assert!(
            error.is_died() && error.item() == Some(3),
            "{round}: {error}"
        );
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
        assert_eq!(pool.pids().len(), 2);
    }
    drop(pool);
    assert_eq!(children(), Vec::<i32>::new());
}

fn on(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handlers of this file make only calls that are safe in one.
    unsafe { sigaction(signal, &action) }.unwrap();
}

fn statuses_are_taken() {
    extern "C" fn reap_all(_: i32) {
        // SAFETY: waitpid is safe in a handler; errno is put back.
        unsafe {
            let errno = *libc::__errno_location();
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            *libc::__errno_location() = errno;
        }
    }
    on(Signal::SIGCHLD, SigHandler::Handler(reap_all));
    live_without_statuses();
}

fn children_are_ignored() {
    on(Signal::SIGCHLD, SigHandler::SigIgn);
    live_without_statuses();
}

fn signals_storm() {
    extern "C" fn nothing(_: i32) {}
    // Without SA_RESTART: every call that can be interrupted is.
    on(Signal::SIGALRM, SigHandler::Handler(nothing));
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 150,
    };
    let storm = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the call reads one structure.
    let code =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const storm, std::ptr::null_mut()) };
    assert_eq!(code, 0);
    for _ in 0..5 {
        let pool = pool(2).unwrap();
        for _ in 0..20 {
            assert_eq!(map_or_reason(&pool), None);
        }
        for pid in children().into_iter().chain(pool.pids()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let nap = |x: u64| {
            std::thread::sleep(std::time::Duration::from_micros(300));
            x
        };
        assert_eq!(pool.map_chunked(nap, 0..20, 1), (0..20).collect::<Vec<_>>());
        let deadly = |x: u64| if x == 3 { std::process::exit(5) } else { x };
        let results = pool.try_map(deadly, 0..9);
        assert_eq!(results[3].as_ref().unwrap_err().exit_code(), Some(5));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
        pool.resize(3).unwrap();
        assert_eq!(pool.broadcast(|| std::process::id() as i32), pool.pids());
        crate::memory::share_everything(method());
    }
    assert_eq!(children(), Vec::<i32>::new());
}

/// No pool depends on `/dev/shm`: it may be full, small or absent.
fn memory_is_listed() {
    let pool = pool(2).unwrap();
    assert_eq!(map_or_reason(&pool), None);
    let shared = forklore::SharedArray::<u64>::zeroed(1000).unwrap();
    let mut processes = pool.pids();
    processes.push(std::process::id() as i32);
    for pid in processes {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        assert!(!maps.contains("/dev/shm"), "{maps}");
    }
    drop(shared);
}
