//! Futures whose tasks the program's own reactor wakes: no thread, and no sleep in a poll.

use std::future::Future;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use forklore::{Fork, Pool, StartMethod, Wakes};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::futures::{beside_a_thread, join_all, n_threads, poll_once, sleep_on};
use crate::starts::{METHODS, pool};
use crate::stream_futures::next;
use crate::support::{Scene, children, play, power, tests, text, wait_until};

tests![
    results_wake_a_poll,
    results_come_without_the_timer,
    results_of_an_early_server_wake,
    a_death_makes_it_readable,
    an_idle_worker_that_dies_is_replaced,
    a_worker_that_ends_by_itself_is_replaced,
    workers_that_came_later_are_watched,
    a_dead_server_makes_it_readable,
    a_limit_makes_it_readable,
    a_result_from_before_makes_it_readable,
    a_stream_is_woken,
    it_does_what_the_helper_did,
    futures_go_on_when_it_is_dropped,
    there_is_one_at_a_time,
    it_outlives_its_pool,
    a_closed_pool_has_none,
    another_thread_notices_the_death,
    a_task_that_closes_what_is_not_its_is_survived,
    a_child_does_not_wake_for_its_parent,
    closures_wake_themselves,
];

pub const SCENES: &[Scene] = &[("wakes of an early server", wakes_of_an_early_server)];

fn is_readable(wakes: &Wakes, within: PollTimeout) -> bool {
    let mut fds = [PollFd::new(wakes.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, within).unwrap() == 1
}

/// One iteration of an event loop.
fn turn(wakes: &Wakes) {
    is_readable(wakes, PollTimeout::NONE);
    wakes.wake();
}

/// Acts as the reactor of other threads until it is over.
pub fn serve_until(wakes: &Wakes, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        // Looks again after 10 ms whether it is over.
        if is_readable(wakes, PollTimeout::from(10u8)) {
            wakes.wake();
        }
    }
}

#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    n_wakes: AtomicUsize,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.n_wakes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a future whenever its task is woken, and waits only for the descriptor in between. Returns
/// its output, and how often the task was woken.
pub fn drive<F: Future>(wakes: &Wakes, future: F) -> (F::Output, usize) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, woken.n_wakes.load(Ordering::SeqCst));
        }
        while !woken.is_woken.swap(false, Ordering::SeqCst) {
            turn(wakes);
        }
    }
}

/// Runs `test` with pools of each method, while this process has one thread and while it has two.
fn with_each(test: impl Fn(Pool)) {
    for method in METHODS {
        test(pool(method, 2));
    }
    beside_a_thread(|| {
        for method in [StartMethod::Forkserver, StartMethod::Spawn] {
            test(pool(method, 2));
        }
    });
}

fn results_wake_a_poll() {
    with_each(|pool| {
        let wakes = pool.wakes().unwrap();
        let n_before = n_threads();
        let all: Vec<_> = (0..300).map(|x| pool.apply_async(power, x)).collect();
        let (results, _) = drive(&wakes, join_all(all));
        assert!(results.into_iter().eq((0..300).map(|x| Ok(power(x)))));
        let (all, n_wakes) = drive(&wakes, pool.map_async(power, 0..10_000));
        assert!(all.unwrap().into_iter().eq((0..10_000).map(power)));
        assert!(n_wakes <= 1, "woken {n_wakes} times for one result");
        assert_eq!(n_threads(), n_before);
    });
}

/// The timer alone checks the workers ten times a second, and would take minutes.
fn results_come_without_the_timer() {
    with_each(|pool| {
        let wakes = pool.wakes().unwrap();
        for x in 0..2_000 {
            let (result, _) = drive(&wakes, pool.apply_async(power, x));
            assert_eq!(result, Ok(power(x)));
        }
    });
}

fn results_of_an_early_server_wake() {
    let output = play("wakes of an early server");
    assert!(output.status.success(), "{}", text(&output));
}

fn wakes_of_an_early_server() {
    forklore::init();
    let early = children();
    beside_a_thread(|| {
        for method in [StartMethod::Forkserver, StartMethod::Spawn] {
            let pool = pool(method, 2);
            // It has forked the pool's server.
            assert_eq!(children(), early);
            let wakes = pool.wakes().unwrap();
            for x in 0..1_000 {
                let (result, _) = drive(&wakes, pool.apply_async(power, x));
                assert_eq!(result, Ok(power(x)));
            }
        }
    });
}

fn a_death_makes_it_readable() {
    with_each(|pool| {
        let wakes = pool.wakes().unwrap();
        let pending = pool.apply_async(|x: u32| -> u32 { std::process::exit(x as i32) }, 3);
        let (result, _) = drive(&wakes, pending);
        assert_eq!(result.unwrap_err().exit_code(), Some(3));
        let (result, _) = drive(&wakes, pool.apply_async(power, 2));
        assert_eq!(result, Ok(1024));
    });
}

/// Waits for the descriptor and handles it, until a condition holds.
fn turn_until(wakes: &Wakes, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        turn(wakes);
    }
}

fn an_idle_worker_that_dies_is_replaced() {
    let pool = pool(StartMethod::Fork, 2);
    let wakes = pool.wakes().unwrap();
    wakes.wake();
    assert!(!is_readable(&wakes, PollTimeout::ZERO));
    // Its successor, too: it came after the descriptor.
    for _ in 0..3 {
        let worker = children()[0];
        kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
        turn_until(&wakes, || {
            children().len() == 2 && !children().contains(&worker)
        });
        assert!(!is_readable(&wakes, PollTimeout::ZERO));
    }
}

fn a_worker_that_ends_by_itself_is_replaced() {
    let builder = Pool::builder().workers(1).max_tasks_per_worker(1);
    let pool = builder.build().unwrap();
    let wakes = pool.wakes().unwrap();
    let mut pids = Vec::new();
    for _ in 0..20 {
        let pid = pool.apply_async(|()| std::process::id(), ());
        pids.push(drive(&wakes, pid).0.unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 20);
}

fn workers_that_came_later_are_watched() {
    let pool = pool(StartMethod::Fork, 1);
    let wakes = pool.wakes().unwrap();
    pool.resize(3).unwrap();
    wakes.wake();
    let newest = *children().iter().max().unwrap();
    kill(Pid::from_raw(newest), Signal::SIGKILL).unwrap();
    turn_until(&wakes, || {
        children().len() == 3 && !children().contains(&newest)
    });
    // Those that leave are not watched any more.
    pool.resize(1).unwrap();
    wakes.wake();
    assert!(!is_readable(&wakes, PollTimeout::ZERO));
}

fn a_dead_server_makes_it_readable() {
    let pool = pool(StartMethod::Forkserver, 2);
    let wakes = pool.wakes().unwrap();
    let server = children()[0];
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    // Its workers die with it, and those that come next have another.
    turn_until(&wakes, || children() != [server] && !children().is_empty());
    let (result, _) = drive(&wakes, pool.apply_async(power, 2));
    assert_eq!(result, Ok(1024));
}

fn a_limit_makes_it_readable() {
    with_each(|pool| {
        let wakes = pool.wakes().unwrap();
        let limited = pool.timeout(Duration::from_millis(30));
        let (result, _) = drive(&wakes, limited.apply_async(sleep_on, 0));
        assert!(result.unwrap_err().is_timed_out());
    });
    let builder = Pool::builder()
        .workers(1)
        .timeout(Duration::from_millis(30));
    let pool = builder.build().unwrap();
    let wakes = pool.wakes().unwrap();
    let (result, _) = drive(&wakes, pool.apply_async(sleep_on, 0));
    assert!(result.unwrap_err().is_timed_out());
}

/// A future that waits when the reactor begins is served by the reactor.
fn a_result_from_before_makes_it_readable() {
    beside_a_thread(|| {
        let pool = pool(StartMethod::Forkserver, 1);
        let mut pending = pool.apply_async(power, 3);
        let woken = Arc::new(Woken::default());
        let is_done = poll_once(&mut pending, &Waker::from(Arc::clone(&woken))).is_ready();
        let wakes = pool.wakes().unwrap();
        assert!(is_readable(&wakes, PollTimeout::ZERO));
        while !is_done && !woken.is_woken.load(Ordering::SeqCst) {
            turn(&wakes);
        }
    });
}

fn a_stream_is_woken() {
    with_each(|pool| {
        let wakes = pool.wakes().unwrap();
        let mut powers = pool.stream(power, 0..500);
        let mut unordered = pool.stream_unordered(power, 0..500);
        let (sum, _) = drive(&wakes, async {
            let mut sum = 0u64;
            while let (Some(x), Some((_, y))) =
                (next(&mut powers).await, next(&mut unordered).await)
            {
                sum = sum.wrapping_add(x).wrapping_sub(y);
            }
            sum
        });
        assert_eq!(sum, 0);
    });
}

fn it_does_what_the_helper_did() {
    beside_a_thread(|| {
        let pool = pool(StartMethod::Forkserver, 1);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let limited = pool.timeout(Duration::from_millis(300));
        let mut endless = limited.apply_async(sleep_on, 0);
        assert!(poll_once(&mut endless, &waker).is_pending());
        assert_eq!(n_threads(), 3);
        let wakes = pool.wakes().unwrap();
        // The helper has ended; Linux lists it for a moment longer.
        wait_until(|| n_threads() == 2);
        while !woken.is_woken.load(Ordering::SeqCst) {
            turn(&wakes);
        }
        assert!(poll_once(&mut endless, &waker).is_ready());
        assert_eq!(n_threads(), 2);
    });
}

fn futures_go_on_when_it_is_dropped() {
    for has_thread in [false, true] {
        let test = || {
            let pool = Pool::with_workers(1).unwrap();
            let wakes = pool.wakes().unwrap();
            let woken = Arc::new(Woken::default());
            let limited = pool.timeout(Duration::from_millis(300));
            let mut pending = limited.apply_async(sleep_on, 0);
            assert!(poll_once(&mut pending, &Waker::from(Arc::clone(&woken))).is_pending());
            assert!(!woken.is_woken.load(Ordering::SeqCst));
            drop(wakes);
            // Its task is polled again, and then waits as without.
            assert!(woken.is_woken.load(Ordering::SeqCst));
            let result = crate::futures::block_on(pending);
            assert!(result.unwrap_err().is_timed_out());
        };
        match has_thread {
            true => beside_a_thread(test),
            false => test(),
        }
    }
}

fn there_is_one_at_a_time() {
    let pool = pool(StartMethod::Fork, 1);
    let first = pool.wakes().unwrap();
    let second = pool.wakes().unwrap_err();
    assert!(second.is_invalid_input(), "{second}");
    assert!(
        second.to_string().contains("has a `Wakes` already"),
        "{second}"
    );
    drop(first);
    let again = pool.wakes().unwrap();
    assert_eq!(drive(&again, pool.apply_async(power, 2)).0, Ok(1024));
}

fn it_outlives_its_pool() {
    for ends in [Pool::terminate, Pool::join, drop_nothing] {
        let pool = pool(StartMethod::Fork, 2);
        let wakes = pool.wakes().unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut pending = pool.apply_async(power, 3);
        let is_open = poll_once(&mut pending, &waker).is_pending();
        ends(&pool);
        drop(pool);
        // The end of the pool has woken it, and not the reactor.
        assert!(!is_open || woken.is_woken.load(Ordering::SeqCst));
        assert_eq!(children(), Vec::<i32>::new());
        assert!(!is_open || poll_once(&mut pending, &waker).is_ready());
        // An event loop that waits for nothing else goes on.
        assert!(is_readable(&wakes, PollTimeout::ZERO));
        wakes.wake();
        assert!(!is_readable(&wakes, PollTimeout::ZERO));
        wakes.wake();
    }
}

fn drop_nothing(_: &Pool) {}

fn a_closed_pool_has_none() {
    let pool = pool(StartMethod::Fork, 1);
    pool.close();
    assert!(pool.wakes().unwrap_err().is_closed());
}

/// Whichever thread looks first notices the death of a future's worker.
fn another_thread_notices_the_death() {
    let pool = Arc::new(pool(StartMethod::Forkserver, 2));
    let wakes = pool.wakes().unwrap();
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let maps = scope.spawn({
            let pool = Arc::clone(&pool);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
                }
            }
        });
        for _ in 0..30 {
            let pending = pool.apply_async(|_: u32| -> u32 { std::process::abort() }, 0);
            assert_eq!(drive(&wakes, pending).0.unwrap_err().signal(), Some(6));
        }
        is_over.store(true, Ordering::Relaxed);
        maps.join().unwrap();
    });
}

/// Without the descriptor that it sets, a worker's results are found at the next periodic check.
fn a_task_that_closes_what_is_not_its_is_survived() {
    for method in METHODS {
        let pool = pool(method, 1);
        let wakes = pool.wakes().unwrap();
        let closes = |path: String| {
            (3..64).for_each(|fd| nix::unistd::close(fd).unwrap_or_default());
            // Another file gets the number.
            let files: Vec<_> = (3..64)
                .map(|_| std::fs::File::create(&path).unwrap())
                .collect();
            std::mem::forget(files);
        };
        let path = std::env::temp_dir().join(format!("forklore-wakes-{}", std::process::id()));
        let name = path.to_str().unwrap().to_owned();
        assert_eq!(drive(&wakes, pool.apply_async(closes, name)).0, Ok(()));
        for x in 0..3 {
            let (result, _) = drive(&wakes, pool.apply_async(power, x));
            assert_eq!(result, Ok(power(x)));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "{method:?}");
        std::fs::remove_file(path).unwrap();
    }
}

fn a_child_does_not_wake_for_its_parent() {
    let pool = pool(StartMethod::Fork, 1);
    let wakes = pool.wakes().unwrap();
    wakes.wake();
    match forklore::fork().unwrap() {
        Fork::Child(guard) => {
            wakes.wake();
            // The child's pool has workers of its own, and may have a reactor.
            let own = pool.wakes().unwrap();
            assert_eq!(drive(&own, pool.apply_async(power, 2)).0, Ok(1024));
            drop(wakes);
            assert_eq!(drive(&own, pool.apply_async(power, 3)).0, Ok(power(3)));
            drop((own, pool));
            guard.exit(17);
        }
        Fork::Parent(child) => {
            assert_eq!(child.wait().code(), Some(17));
            assert!(!is_readable(&wakes, PollTimeout::ZERO));
            assert_eq!(drive(&wakes, pool.apply_async(power, 2)).0, Ok(1024));
        }
    }
}

fn closures_wake_themselves() {
    let pool = pool(StartMethod::Fork, 2);
    let wakes = pool.wakes().unwrap();
    let factor = std::hint::black_box(3);
    let all: Vec<_> = (0..4)
        .map(|x: u64| pool.apply_async(move |y: u64| factor * y, x))
        .collect();
    let (results, _) = drive(&wakes, join_all(all));
    assert!(results.into_iter().eq((0..4).map(|x| Ok(3 * x))));
}
