//! Many tasks of one tokio runtime wait for one pool. The runtime's own reactor wakes them, so the
//! program has one thread, and its workers are forks of it.
//!
//! `cargo run --example tokio`

use std::error::Error;

use forklore::{Pool, StartMethod, Wakes};
use tokio::io::{Interest, unix::AsyncFd};
use tokio::task::JoinSet;

/// Adds numbers. Like many a C library, it ends the process where it should have returned an error.
fn add(text: String) -> u64 {
    let numbers = text.split('+').map(str::parse::<u64>);
    numbers
        .map(|number| number.unwrap_or_else(|_| std::process::abort()))
        .sum()
}

/// Waits for the pool's descriptor as for any socket, until the runtime ends.
fn serve(wakes: Wakes) -> Result<(), Box<dyn Error>> {
    // SAFETY: `Wakes` keeps its descriptor open, and the same, until it is dropped.
    let wakes = unsafe { AsyncFd::register_with_interest(wakes, Interest::READABLE)? };
    tokio::spawn(async move {
        while let Ok(mut ready) = wakes.readable().await {
            wakes.get_ref().wake();
            ready.clear_ready();
        }
    });
    Ok(())
}

async fn run(pool: &Pool) -> Result<(), Box<dyn Error>> {
    serve(pool.wakes()?)?;
    let mut sums = JoinSet::new();
    for number in 0..100 {
        let second = if number % 20 == 19 { "one" } else { "1" };
        sums.spawn(pool.apply_async(add, format!("{number}+{second}")));
    }
    let (mut total, mut n_failed) = (0, 0);
    while let Some(sum) = sums.join_next().await {
        match sum? {
            Ok(sum) => total += sum,
            Err(error) => {
                println!("{error}");
                n_failed += 1;
            }
        }
    }
    println!("{total} in total, {n_failed} failed");
    let expected: u64 = (0..100).filter(|n| n % 20 != 19).map(|n| n + 1).sum();
    assert_eq!((total, n_failed), (expected, 5));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::with_workers(2)?;
    assert_eq!(pool.start_method(), StartMethod::Fork);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(run(&pool))?;
    let n_threads = std::fs::read_dir("/proc/self/task")?.count();
    assert_eq!(n_threads, 1);
    Ok(())
}
