//! Futures and streams on the runtimes of other crates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forklore::{Pool, StartMethod, Wakes};
use tokio::io::{Interest, unix::AsyncFd};
use tokio::runtime::{Builder, Runtime};

use crate::futures::{join_all, n_threads, sleep_on};
use crate::starts::{METHODS, pool};
use crate::support::{Scene, is_running, play, power, tests, text, wait_until};

tests![
    tokio_with_threads,
    tokio_on_one_thread,
    smol_with_a_reactor,
    a_time_limit_of_the_runtime_cancels,
    a_task_that_is_aborted_cancels,
    a_runtime_is_dropped_while_futures_wait,
    a_pool_is_made_and_dropped_in_a_runtime,
    tokio_on_one_thread_stays_on_it,
    tokio_with_threads_gets_no_other,
    smol_waits_for_it,
];

pub const SCENES: &[Scene] = &[
    ("wakes by tokio on one thread", wakes_by_tokio_on_one_thread),
    ("wakes by tokio with threads", wakes_by_tokio_with_threads),
    ("wakes by smol", wakes_by_smol),
];

fn threads() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Many tasks that each await many results, some of which are deaths.
async fn spawn_tasks(pool: Arc<Pool>) {
    let work = |x: u64| {
        if x % 40 == 7 {
            std::process::abort()
        } else {
            power(x)
        }
    };
    let tasks = (0..8).map(|task| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            let args = 50 * task..50 * (task + 1);
            let all = args.clone().map(|x| pool.apply_async(work, x));
            for (x, result) in args.zip(join_all(all).await) {
                match x % 40 {
                    7 => assert_eq!(result.unwrap_err().signal(), Some(6)),
                    _ => assert_eq!(result, Ok(power(x))),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn tokio_with_threads() {
    let runtime = threads();
    let pool = Arc::new(Pool::with_workers(2).unwrap());
    assert_eq!(pool.start_method(), StartMethod::Forkserver);
    runtime.block_on(spawn_tasks(pool));
}

fn tokio_on_one_thread() {
    let pool = Arc::new(Pool::with_workers(2).unwrap());
    assert_eq!(pool.start_method(), StartMethod::Fork);
    one_thread().block_on(spawn_tasks(pool));
}

fn smol_with_a_reactor() {
    let pool = Pool::with_workers(2).unwrap();
    let ticks = AtomicUsize::new(0);
    let executor = smol::LocalExecutor::new();
    let ticker = executor.spawn(async {
        // The executor's other tasks go on.
        while ticks.fetch_add(1, Ordering::Relaxed) < 50 {
            smol::future::yield_now().await;
        }
    });
    let results = smol::future::block_on(executor.run(async {
        let all = (0..200).map(|x| pool.apply_async(power, x));
        let results = join_all(all).await;
        ticker.await;
        results
    }));
    assert!(results.into_iter().eq((0..200).map(|x| Ok(power(x)))));
}

/// Runs a test on a runtime of each kind.
fn on_each(test: impl AsyncFn()) {
    threads().block_on(test());
    one_thread().block_on(test());
}

fn a_time_limit_of_the_runtime_cancels() {
    on_each(async || {
        let pool = Pool::with_workers(1).unwrap();
        let endless = pool.apply_async(sleep_on, 0);
        let behind_it = pool.apply_async(sleep_on, 1);
        for pending in [behind_it, endless] {
            let limit = Duration::from_millis(5);
            assert!(tokio::time::timeout(limit, pending).await.is_err());
        }
        // The worker is still at the first task, and the second was cancelled.
        let pid = pool.pids()[0];
        assert!(is_running(pid));
        drop(pool);
        assert!(!is_running(pid));
    });
}

fn a_task_that_is_aborted_cancels() {
    on_each(async || {
        let pool = Arc::new(Pool::with_workers(1).unwrap());
        let task = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.apply_async(sleep_on, 0).await }
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        pool.join();
    });
}

fn a_runtime_is_dropped_while_futures_wait() {
    for runtime in [threads(), one_thread()] {
        let pool = Arc::new(Pool::with_workers(2).unwrap());
        let pids = pool.pids();
        for x in 0..10 {
            let pool = Arc::clone(&pool);
            runtime.spawn(async move { pool.apply_async(sleep_on, x).await });
        }
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        // Workers that are at something which is not wanted any more end with the pool.
        drop(pool);
        wait_until(|| pids.iter().all(|&pid| !is_running(pid)));
    }
}

fn a_pool_is_made_and_dropped_in_a_runtime() {
    on_each(async || {
        for x in 0..3 {
            let pool = Pool::with_workers(1).unwrap();
            assert_eq!(pool.apply_async(power, x).await, Ok(power(x)));
        }
    });
}

/// Waits for a pool's descriptor as for any other on tokio, until the runtime ends.
fn serve_by_tokio(wakes: Wakes) {
    // SAFETY: it keeps its descriptor open.
    let wakes = unsafe { AsyncFd::register_with_interest(wakes, Interest::READABLE) }.unwrap();
    tokio::spawn(async move {
        while let Ok(mut ready) = wakes.readable().await {
            wakes.get_ref().wake();
            ready.clear_ready();
        }
    });
}

/// Results, a death and a limit, one after another and at the same time.
async fn everything(pool: &Pool) {
    for x in 0..500 {
        assert_eq!(pool.apply_async(power, x).await, Ok(power(x)));
    }
    let all: Vec<_> = (0..500).map(|x| pool.apply_async(power, x)).collect();
    let results = join_all(all).await;
    assert!(results.into_iter().eq((0..500).map(|x| Ok(power(x)))));
    let dies = pool.apply_async(|_: u32| -> u32 { std::process::abort() }, 0);
    assert_eq!(dies.await.unwrap_err().signal(), Some(6));
    let limited = pool.timeout(Duration::from_millis(20));
    let late = limited.apply_async(sleep_on, 0).await;
    assert!(late.unwrap_err().is_timed_out());
}

/// Plays the scene in another process, because a runtime's reactor keeps files open (tokio's, for
/// signals) or a thread running (smol's).
#[track_caller]
fn play_well(scene: &str) {
    let output = play(scene);
    assert!(output.status.success(), "{}", text(&output));
}

fn tokio_on_one_thread_stays_on_it() {
    play_well("wakes by tokio on one thread");
}

fn tokio_with_threads_gets_no_other() {
    play_well("wakes by tokio with threads");
}

fn smol_waits_for_it() {
    play_well("wakes by smol");
}

fn wakes_by_tokio_on_one_thread() {
    for method in METHODS {
        let pool = pool(method, 2);
        let runtime = Builder::new_current_thread().enable_io().build();
        runtime.unwrap().block_on(async {
            serve_by_tokio(pool.wakes().unwrap());
            everything(&pool).await;
            assert_eq!(n_threads(), 1);
        });
        // The runtime has dropped its task, and the descriptor with it.
        drop(pool.wakes().unwrap());
    }
}

fn wakes_by_tokio_with_threads() {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_io().build().unwrap();
    let pool = Arc::new(Pool::with_workers(2).unwrap());
    runtime.block_on(async {
        serve_by_tokio(pool.wakes().unwrap());
        let tasks = (0..4).map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { everything(&pool).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(n_threads(), 3);
    });
}

fn wakes_by_smol() {
    let pool = Pool::with_workers(2).unwrap();
    let pids = pool.pids();
    smol::block_on(async {
        let wakes = smol::Async::new_nonblocking(pool.wakes().unwrap()).unwrap();
        let serve = async {
            loop {
                wakes.readable().await.unwrap();
                wakes.get_ref().wake();
            }
        };
        smol::future::or(everything(&pool), serve).await;
    });
    drop(pool);
    assert!(pids.iter().all(|&pid| !is_running(pid)));
}
