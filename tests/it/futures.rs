//! Pending results as futures, on executors of all kinds.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use forklore::{Pending, Pool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::starts::METHODS;
use crate::support::{Quiet, power, tests, wait_until};

tests![
    a_future_gives_what_get_returns,
    one_thread_stays_one,
    other_tasks_go_on_beside_a_future_that_waits,
    thousands_wait_at_once,
    threads_await_the_same_pool,
    a_death_is_its_futures_error,
    a_limit_is_its_futures_error,
    a_dropped_future_is_not_worked_on,
    the_waker_of_the_last_poll_is_woken,
    a_waker_that_panics_holds_no_other_up,
    a_future_ends_with_its_pool,
    a_future_that_was_polled_can_be_waited_for,
    a_result_is_taken_once,
    a_future_in_a_child_is_an_error,
    closures_are_awaited_in_turn,
    the_thread_that_wakes_leaves,
];

/// Parks the thread until the future's waker unparks it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for all futures, in any order.
pub async fn join_all<F: Future + Unpin>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut open: Vec<(usize, F)> = futures.into_iter().enumerate().collect();
    let mut done = Vec::new();
    poll_fn(|context| {
        open.retain_mut(|(index, future)| match Pin::new(future).poll(context) {
            Poll::Ready(output) => {
                done.push((*index, output));
                false
            }
            Poll::Pending => true,
        });
        if open.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, output)| output).collect()
}

/// Polls once.
pub fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub fn n_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Runs `test` while this process has another thread.
pub fn beside_a_thread(test: impl FnOnce()) {
    let (release, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    test();
    drop(release);
    other.join().unwrap().unwrap_err();
}

/// Runs `test` while this process has one thread, and while it has two.
pub fn with_and_without_threads(test: impl Fn()) {
    test();
    beside_a_thread(test);
}

/// Sleeps until it is killed, or its process exits.
pub fn sleep_on(_: u32) -> u64 {
    loop {
        thread::park();
    }
}

fn a_future_gives_what_get_returns() {
    with_and_without_threads(|| {
        for method in METHODS {
            let builder = Pool::builder().workers(2);
            let pool = builder.start_method(method).build();
            // A process with threads cannot be forked.
            let Ok(pool) = pool else { continue };
            block_on(async {
                assert_eq!(pool.apply_async(power, 3).await, Ok(power(3)));
                let words = pool.map_async(|x: u64| x.to_string(), 0..100).await;
                assert!(
                    words
                        .unwrap()
                        .into_iter()
                        .eq((0..100).map(|x| x.to_string()))
                );
                assert_eq!(pool.map_async(power, 0..0).await, Ok(vec![]));
                let pending = pool.apply_async(|x: u32| assert!(x != 1, "it is {x}"), 1);
                assert!(pending.await.unwrap_err().is_panicked());
            });
        }
    });
}

fn one_thread_stays_one() {
    let pool = Pool::with_workers(2).unwrap();
    block_on(async {
        for x in 0..50 {
            assert_eq!(pool.apply_async(power, x).await, Ok(power(x)));
            assert_eq!(n_threads(), 1);
        }
    });
}

/// A task that waits for a pool and one that counts take turns on one thread.
fn other_tasks_go_on_beside_a_future_that_waits() {
    let pool = Pool::with_workers(1).unwrap();
    let count = Cell::new(0);
    let mut pending = Some(pool.apply_async(sleep_on, 0));
    block_on(poll_fn(|context| {
        count.set(count.get() + 1);
        if count.get() == 20 {
            pending = None;
        }
        match &mut pending {
            Some(pending) => Pin::new(pending).poll(context).map(drop),
            None => Poll::Ready(()),
        }
    }));
    assert_eq!(count.get(), 20);
}

fn thousands_wait_at_once() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let all: Vec<_> = (0..3000).map(|x| pool.apply_async(power, x)).collect();
        let results = block_on(join_all(all));
        assert!(results.into_iter().eq((0..3000).map(|x| Ok(power(x)))));
    });
}

fn threads_await_the_same_pool() {
    let pool = Pool::with_workers(2).unwrap();
    thread::scope(|scope| {
        let pool = &pool;
        let threads: Vec<_> = (0..20u64)
            .map(|thread| {
                scope.spawn(move || {
                    let args = || (0..50).map(|x| 100 * thread + x);
                    let all = args().map(|x| pool.apply_async(power, x));
                    let results = block_on(join_all(all));
                    assert!(results.into_iter().eq(args().map(|x| Ok(power(x)))));
                    // Threads wait beside futures.
                    assert_eq!(
                        pool.map(power, args()),
                        args().map(power).collect::<Vec<_>>()
                    );
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

fn a_death_is_its_futures_error() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let die = |x: u32| if x % 3 == 1 { std::process::abort() } else { x };
        let all: Vec<_> = (0..9).map(|x| pool.apply_async(die, x)).collect();
        for (x, result) in (0..).zip(block_on(join_all(all))) {
            match result {
                Ok(value) => assert!(value == x && x % 3 != 1),
                Err(error) => assert!(error.signal() == Some(6) && x % 3 == 1, "{x}: {error}"),
            }
        }
        assert_eq!(pool.pids().len(), 2);
    });
}

fn a_limit_is_its_futures_error() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let limited = pool.timeout(Duration::from_millis(30));
        let pending = limited.apply_async(sleep_on, 0);
        assert!(block_on(pending).unwrap_err().is_timed_out());
    });
}

fn a_dropped_future_is_not_worked_on() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(1).unwrap();
        let mut first = pool.apply_async(sleep_on, 0);
        let mut others: Vec<_> = (0..3).map(|x| pool.apply_async(power, x)).collect();
        for pending in &mut others {
            assert!(poll_once(pending, Waker::noop()).is_pending());
        }
        assert!(poll_once(&mut first, Waker::noop()).is_pending());
        drop(others);
        drop(first);
        drop(pool);
    });
}

struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<CountWakes>, Waker) {
    let count = Arc::new(CountWakes(AtomicUsize::new(0)));
    (Arc::clone(&count), Waker::from(count))
}

fn the_waker_of_the_last_poll_is_woken() {
    beside_a_thread(|| {
        let pool = Pool::with_workers(1).unwrap();
        let mut pending = pool.apply_async(sleep_on, 0);
        let (first, first_waker) = counter();
        let (last, last_waker) = counter();
        assert!(poll_once(&mut pending, &first_waker).is_pending());
        assert!(poll_once(&mut pending, &last_waker).is_pending());
        // The first is let go of.
        drop(first_waker);
        assert_eq!(Arc::strong_count(&first), 1);
        pool.terminate();
        wait_until(|| last.0.load(Ordering::SeqCst) == 1);
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        let Poll::Ready(result) = poll_once(&mut pending, &last_waker) else {
            panic!("its task was woken, and it is not ready");
        };
        assert!(result.is_err());
        drop(last_waker);
        wait_until(|| Arc::strong_count(&last) == 1);
    });
}

/// Kills the only worker of a pool.
pub fn kill_worker(pool: &Pool) {
    let pids = pool.pids();
    assert_eq!(pids.len(), 1);
    kill(Pid::from_raw(pids[0]), Signal::SIGKILL).unwrap();
}

fn a_waker_that_panics_holds_no_other_up() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of the test's");
        }
    }
    beside_a_thread(|| {
        let _quiet = Quiet::new();
        let pool = Pool::with_workers(1).unwrap();
        let mut pending: Vec<_> = (0..2).map(|x| pool.apply_async(sleep_on, x)).collect();
        let (count, waker) = counter();
        assert!(poll_once(&mut pending[0], &Waker::from(Arc::new(Panics))).is_pending());
        assert!(poll_once(&mut pending[1], &waker).is_pending());
        pool.terminate();
        wait_until(|| count.0.load(Ordering::SeqCst) == 1);
        for pending in pending {
            assert!(block_on(pending).is_err());
        }
    });
}

fn a_future_ends_with_its_pool() {
    with_and_without_threads(|| {
        // Dropped, a pool waits for what is wanted.
        let pool = Pool::with_workers(2).unwrap();
        let mut all: Vec<_> = (0..100).map(|x| pool.apply_async(power, x)).collect();
        let (count, waker) = counter();
        let is_pending = |pending: &mut Pending<u64>| poll_once(pending, &waker).is_pending();
        let open: Vec<bool> = all.iter_mut().map(is_pending).collect();
        drop(pool);
        let n_open = open.iter().filter(|&&is_open| is_open).count();
        assert!(
            count.0.load(Ordering::SeqCst) >= n_open,
            "{n_open} futures were open"
        );
        for ((x, pending), is_open) in (0..).zip(all).zip(open) {
            if is_open {
                assert_eq!(block_on(pending), Ok(power(x)));
            }
        }
        // Terminated, it ends them.
        let pool = Pool::with_workers(1).unwrap();
        let mut pending = pool.apply_async(sleep_on, 0);
        assert!(poll_once(&mut pending, Waker::noop()).is_pending());
        pool.terminate();
        assert!(block_on(pending).is_err());
        let late = pool.apply_async(power, 1);
        assert!(block_on(late).unwrap_err().to_string().contains("closed"));
    });
}

fn a_future_that_was_polled_can_be_waited_for() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(1).unwrap();
        let nap = |ms| thread::sleep(Duration::from_millis(ms));
        let mut first = pool.apply_async(nap, 20);
        let mut second = pool.map_async(nap, [20, 1]);
        assert!(poll_once(&mut first, Waker::noop()).is_pending());
        assert!(poll_once(&mut second, Waker::noop()).is_pending());
        assert!(!first.ready());
        assert!(first.wait(Duration::from_secs(60)));
        assert_eq!(first.get(), Ok(()));
        assert_eq!(second.get(), Ok(vec![(), ()]));
    });
}

fn a_result_is_taken_once() {
    let pool = Pool::with_workers(1).unwrap();
    let mut pending = pool.apply_async(power, 2);
    assert_eq!(block_on(&mut pending), Ok(power(2)));
    assert!(pending.ready());
    let error = block_on(&mut pending).unwrap_err();
    assert!(error.to_string().contains("taken before"), "{error}");
}

fn a_future_in_a_child_is_an_error() {
    let pool = Pool::with_workers(1).unwrap();
    let mut pending = pool.apply_async(sleep_on, 0);
    assert!(poll_once(&mut pending, Waker::noop()).is_pending());
    let child = forklore::Process::spawn(move || block_on(pending).unwrap_err().to_string());
    let error = child.unwrap().join().unwrap();
    assert!(error.contains("another process"), "{error}");
    pool.terminate();
}

fn closures_are_awaited_in_turn() {
    let pool = Pool::with_workers(2).unwrap();
    let table = String::from("567").into_bytes();
    let add = move |x: usize| x + usize::from(table[x % 3]);
    let all: Vec<_> = (0..20).map(|x| pool.apply_async(add.clone(), x)).collect();
    let results = block_on(join_all(all));
    let expected = (0..20).map(|x| Ok(x + usize::from(b'5') + x % 3));
    assert!(results.into_iter().eq(expected));
    // Beside threads, there is no worker that could inherit the table.
    beside_a_thread(|| {
        let error = block_on(pool.apply_async(add.clone(), 1)).unwrap_err();
        assert!(error.to_string().contains("map_with"), "{error}");
    });
}

fn the_thread_that_wakes_leaves() {
    let pool = Pool::with_workers(1).unwrap();
    let mut pending = pool.apply_async(sleep_on, 0);
    beside_a_thread(|| {
        assert!(poll_once(&mut pending, Waker::noop()).is_pending());
        assert_eq!(n_threads(), 3);
    });
    drop(pending);
    // With the last future, so that this process may fork again.
    wait_until(|| n_threads() == 1);
    let offset = 3;
    pool.terminate();
    let pool = Pool::with_workers(1).unwrap();
    assert_eq!(pool.map(|x: u32| x + offset, [1]), [4]);
}
