//! Lazy maps as streams, on an executor that parks.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use forklore::Pool;
use futures_core::Stream;

use crate::futures::{beside_a_thread, block_on, kill_worker, sleep_on, with_and_without_threads};
use crate::starts::METHODS;
use crate::support::{Quiet, children, power, tests};

tests![
    a_stream_gives_what_imap_gives,
    a_stream_has_a_context,
    a_stream_is_a_little_ahead_of_its_consumer,
    a_stream_names_the_item_and_goes_on,
    a_stream_of_a_closure_ends_its_workers,
    an_unordered_stream_gives_the_quick_ones_first,
    a_dropped_stream_is_not_worked_on,
];

/// The next item of a stream.
pub async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

async fn collect<S: Stream + Unpin>(mut stream: S) -> Vec<S::Item> {
    let mut items = Vec::new();
    while let Some(item) = next(&mut stream).await {
        items.push(item);
    }
    items
}

fn a_stream_gives_what_imap_gives() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let results = block_on(collect(pool.stream(power, 0..10_000)));
        assert!(results.into_iter().eq((0..10_000).map(power)));
        let words = block_on(collect(pool.stream(|x: u32| x.to_string(), 0..100)));
        assert!(words.into_iter().eq((0..100).map(|x: u32| x.to_string())));
        assert!(block_on(collect(pool.stream(power, 0..0))).is_empty());
        assert_eq!(pool.stream(power, 0..10).size_hint(), (10, Some(10)));
    });
}

fn a_stream_has_a_context() {
    with_and_without_threads(|| {
        for method in METHODS {
            let builder = Pool::builder().workers(2);
            let Ok(pool) = builder.start_method(method).build() else {
                continue;
            };
            let table: Vec<u64> = (0..50_000).map(|x| 3 * x).collect();
            let read = |table: &Vec<u64>, i: usize| table[i];
            let limited = pool.timeout(Duration::from_secs(60));
            block_on(async {
                let all = collect(pool.stream_with(&table, read, 0..200)).await;
                assert_eq!(all, table[..200]);
                assert_eq!(
                    collect(limited.stream_with(&table, read, 0..200)).await,
                    all
                );
                let unordered = [
                    collect(pool.stream_unordered_with(&table, read, 0..200)).await,
                    collect(limited.stream_unordered_with(&table, read, 0..200)).await,
                ];
                for mut unordered in unordered {
                    unordered.sort_unstable();
                    assert!(unordered.into_iter().eq(all.iter().copied().enumerate()));
                }
            });
        }
    });
}

fn a_stream_is_a_little_ahead_of_its_consumer() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let taken = Cell::new(0);
        let endless = (0u64..).inspect(|_| taken.set(taken.get() + 1));
        let mut stream = pool.stream(power, endless);
        assert_eq!(taken.get(), 0);
        assert_eq!(block_on(next(&mut stream)), Some(power(0)));
        // Three chunks of one item for each worker.
        assert_eq!(taken.get(), 6);
        for x in 1..100 {
            assert_eq!(block_on(next(&mut stream)), Some(power(x)));
        }
        // Chunks of quick items grow, to 4,096 items at most.
        assert!(taken.get() < 100 + 6 * 4096, "{} were taken", taken.get());
    });
}

fn a_stream_names_the_item_and_goes_on() {
    let _quiet = Quiet::new();
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let die = |x: u32| if x == 70 { std::process::exit(2) } else { x };
        let mut stream = pool.stream(die, 0..100);
        for x in 0..70 {
            assert_eq!(block_on(next(&mut stream)), Some(x));
        }
        let panic = catch_unwind(AssertUnwindSafe(|| block_on(next(&mut stream)))).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("item 70"), "{message}");
        assert_eq!(block_on(collect(stream)), (71..100).collect::<Vec<_>>());
        pool.close();
        let late = catch_unwind(AssertUnwindSafe(|| drop(pool.stream(power, 0..1))));
        assert!(late.is_err());
    });
}

fn a_stream_of_a_closure_ends_its_workers() {
    let pool = Pool::with_workers(2).unwrap();
    let n_children = children().len();
    let table = String::from("123").into_bytes();
    let mut stream = pool.stream(move |i: usize| table[i % 3], 0..);
    let taken = block_on(async { [next(&mut stream).await, next(&mut stream).await] });
    assert_eq!(taken, [Some(b'1'), Some(b'2')]);
    // Its own workers cannot be woken for by a thread of the pool's.
    beside_a_thread(|| {
        assert_eq!(block_on(next(&mut stream)), Some(b'3'));
    });
    drop(stream);
    assert_eq!(children().len(), n_children);
}

fn an_unordered_stream_gives_the_quick_ones_first() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(2).unwrap();
        let work = |x: u64| if x == 0 { sleep_on(0) } else { power(x) };
        let mut stream = pool.stream_unordered(work, 0..5);
        let mut items = block_on(async {
            let mut items = Vec::new();
            for _ in 1..5 {
                items.push(next(&mut stream).await.unwrap());
            }
            items
        });
        items.sort_unstable();
        assert!(items.into_iter().eq((1..5).map(|x| (x as usize, power(x)))));
    });
}

fn a_dropped_stream_is_not_worked_on() {
    with_and_without_threads(|| {
        let pool = Pool::with_workers(1).unwrap();
        let mut stream = pool.stream(sleep_on, 0..);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut stream).poll_next(&mut context).is_pending());
        drop(stream);
        kill_worker(&pool);
        assert_eq!(block_on(pool.apply_async(power, 3)), Ok(power(3)));
        assert_eq!(pool.n_tasks(), 1);
    });
}
