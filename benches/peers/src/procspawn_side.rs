//! The workloads on procspawn's pool. It has no map: items are split into as many chunks as
//! `multiprocessing.Pool` uses, and each chunk is one call.

use std::collections::VecDeque;
use std::time::Duration;

use procspawn::{JoinHandle, Pool};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::{self, N_WORKERS, each, nap, of_threads, power, timed};
use crate::sides::IDLE;

/// The maximum number of concurrent calls: each holds descriptors, and 10,000 calls would exhaust
/// them.
const MANY: usize = 64;
/// With more concurrent large arguments than workers, it deadlocks.
const FEW: usize = N_WORKERS;

pub fn serve(n_workers: usize) {
    let pool = Pool::new(n_workers).expect("a pool");
    common::serve(|name| measure(name, &pool));
}

fn measure(name: &str, pool: &Pool) -> Option<Duration> {
    Some(match name {
        IDLE => timed(|| calls(pool, nap, 0..2 * pool.size() as u64, MANY)),
        "pool to first result" => timed(|| {
            let pool = Pool::new(N_WORKERS).expect("a pool");
            let first = pool.spawn(0, power).join().expect("a result");
            // Dropping it is not part of the work.
            std::mem::forget(pool);
            first
        }),
        "powers of 24, after a pause" => timed(|| map(pool, 24)),
        "powers of 24, back to back" => each(100, || map(pool, 24)),
        "10,000 items" => each(5, || map(pool, 10_000)),
        "1,000,000 items" => timed(|| map(pool, 1_000_000)),
        "10,000 chunks of 1" => timed(|| calls(pool, power, 0..10_000, MANY)),
        "64 x 1 MB in and out" => echo(pool, common::large_args(64, 1_000_000)),
        "8 x 32 MB in and out" => echo(pool, common::large_args(8, 32_000_000)),
        "16 naps of 50 ms" => timed(|| calls(pool, nap, 0..16, MANY)),
        "8 threads: powers of 24" => of_threads(10, || map(pool, 24)),
        "8 threads: single tasks" => of_threads(100, || pool.spawn(7, power).join()),
        _ => return None,
    })
}

fn map(pool: &Pool, n: u64) -> Vec<u64> {
    let items: Vec<u64> = (0..n).collect();
    let chunks = items.chunks((items.len()).div_ceil(4 * pool.size()));
    let chunks: Vec<Vec<u64>> = chunks.map(<[u64]>::to_vec).collect();
    calls(pool, powers, chunks, MANY).concat()
}

fn powers(chunk: Vec<u64>) -> Vec<u64> {
    chunk.into_iter().map(power).collect()
}

fn echo(pool: &Pool, args: Vec<Vec<u8>>) -> Duration {
    timed(|| calls(pool, |x: Vec<u8>| x, args, FEW))
}

/// Calls `f` on every argument, with at most `most` concurrent calls.
fn calls<A, R>(pool: &Pool, f: fn(A) -> R, args: impl IntoIterator<Item = A>, most: usize) -> Vec<R>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let mut under_way: VecDeque<JoinHandle<R>> = VecDeque::new();
    let mut results = Vec::new();
    let mut finish = |call: JoinHandle<R>| results.push(call.join().expect("a result"));
    for arg in args {
        if under_way.len() == most {
            under_way.pop_front().into_iter().for_each(&mut finish);
        }
        under_way.push_back(pool.spawn(arg, f));
    }
    under_way.into_iter().for_each(finish);
    results
}
