//! The workloads of the benchmarks, and how they are measured: the same for our own benchmarks and
//! for the comparisons with peers.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use forklore::Pool;
use rayon::prelude::*;

pub use peer::{Peer, timed};
pub use table::{machine, median, microseconds, number};

mod peer;
mod table;

pub const N_WORKERS: usize = 2;

/// The number of threads that share the workers in the rows with threads.
pub const N_THREADS: u32 = 8;

/// A workload: how to run it here, how often, and how long to rest before each run.
pub struct Work {
    pub name: &'static str,
    pub rounds: usize,
    pub pause: Duration,
    pub forklore: fn(&Pool) -> Duration,
    pub rayon: fn() -> Duration,
}

pub fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

const NO_PAUSE: Duration = Duration::ZERO;

pub const WORKS: &[Work] = &[
    Work {
        name: "pool to first result",
        rounds: 40,
        pause: NO_PAUSE,
        forklore: |_| {
            let started = Instant::now();
            let pool = Pool::with_workers(N_WORKERS).expect("a pool");
            pool.map(power, 0..1);
            started.elapsed()
        },
        rayon: || {
            let started = Instant::now();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(N_WORKERS)
                .build();
            pool.expect("threads")
                .install(|| collect((0..1u64).into_par_iter().map(power)));
            started.elapsed()
        },
    },
    Work {
        name: "powers of 24, after a pause",
        rounds: 100,
        pause: Duration::from_millis(5),
        forklore: |pool| timed(|| pool.map(power, 0..24)),
        rayon: || timed(|| collect((0..24u64).into_par_iter().map(power))),
    },
    Work {
        name: "powers of 24, back to back",
        rounds: 30,
        pause: NO_PAUSE,
        forklore: |pool| each(1000, || pool.map(power, 0..24)),
        rayon: || each(1000, || collect((0..24u64).into_par_iter().map(power))),
    },
    Work {
        name: "10,000 items",
        rounds: 60,
        pause: NO_PAUSE,
        forklore: |pool| each(20, || pool.map(power, 0..10_000)),
        rayon: || each(20, || collect((0..10_000u64).into_par_iter().map(power))),
    },
    Work {
        name: "1,000,000 items",
        rounds: 15,
        pause: NO_PAUSE,
        forklore: |pool| each(5, || pool.map(power, 0..1_000_000)),
        rayon: || each(5, || collect((0..1_000_000u64).into_par_iter().map(power))),
    },
    Work {
        name: "10,000 chunks of 1",
        rounds: 20,
        pause: NO_PAUSE,
        forklore: |pool| each(5, || pool.map_chunked(power, 0..10_000, 1)),
        rayon: || {
            each(5, || {
                collect(
                    (0..10_000u32)
                        .into_par_iter()
                        .with_max_len(1)
                        .map(|x| power(x.into())),
                )
            })
        },
    },
    Work {
        name: "64 x 1 MB in and out",
        rounds: 9,
        pause: NO_PAUSE,
        forklore: |pool| {
            let args = large_args(64, 1_000_000);
            timed(|| pool.map(|x: Vec<u8>| x, args))
        },
        rayon: || {
            let args = large_args(64, 1_000_000);
            timed(|| collect(args.into_par_iter()))
        },
    },
    Work {
        name: "8 x 32 MB in and out",
        rounds: 5,
        pause: NO_PAUSE,
        forklore: |pool| {
            let args = large_args(8, 32_000_000);
            timed(|| pool.map(|x: Vec<u8>| x, args))
        },
        rayon: || {
            let args = large_args(8, 32_000_000);
            timed(|| collect(args.into_par_iter()))
        },
    },
    Work {
        name: "16 naps of 50 ms",
        rounds: 3,
        pause: NO_PAUSE,
        forklore: |pool| timed(|| pool.map(nap, 0..16)),
        rayon: || {
            timed(|| {
                collect(
                    (0..16u32)
                        .into_par_iter()
                        .with_max_len(1)
                        .map(|x| nap(x.into())),
                )
            })
        },
    },
    Work {
        name: "8 threads: powers of 24",
        rounds: 20,
        pause: NO_PAUSE,
        forklore: |pool| of_threads(100, || pool.map(power, 0..24)),
        rayon: || of_threads(100, || collect((0..24u64).into_par_iter().map(power))),
    },
    Work {
        name: "8 threads: single tasks",
        rounds: 20,
        pause: NO_PAUSE,
        forklore: |pool| of_threads(100, || pool.apply(power, 7)),
        // Its scope runs on one of its threads.
        rayon: || of_threads(100, || rayon::scope(|_| power(black_box(7)))),
    },
];

pub fn nap(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(50));
    x
}

/// Not zeros: for those, the OS provides pages that do not exist until they are written.
pub fn large_args(n: usize, bytes: usize) -> Vec<Vec<u8>> {
    vec![vec![7; bytes]; n]
}

/// The time of one of `n` consecutive calls, for work that is too short for the clock.
pub fn each<T>(n: u32, mut work: impl FnMut() -> T) -> Duration {
    timed(|| (0..n).for_each(|_| drop(black_box(work())))) / n
}

/// The time of one call, while each of [`N_THREADS`] threads makes `n` consecutive calls: all calls
/// together take this times their number.
pub fn of_threads<T>(n: u32, work: impl Fn() -> T + Sync) -> Duration {
    let all_are_there = Barrier::new(N_THREADS as usize + 1);
    let elapsed = std::thread::scope(|scope| {
        let call = || {
            all_are_there.wait();
            (0..n).for_each(|_| drop(black_box(work())));
        };
        let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(call)).collect();
        all_are_there.wait();
        let started = Instant::now();
        for thread in threads {
            thread.join().expect("its calls succeed");
        }
        started.elapsed()
    });
    elapsed / (N_THREADS * n)
}

fn collect<T: Send>(items: impl ParallelIterator<Item = T>) -> Vec<T> {
    items.collect()
}

/// Measures rayon in this process on request.
pub fn serve_rayon() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(N_WORKERS)
        .build_global()
        .expect("threads");
    serve(|name| {
        let work = WORKS.iter().find(|work| work.name == name)?;
        Some((work.rayon)())
    });
}

/// Reads names of workloads from standard input, and prints the time of each.
pub fn serve(measure: impl Fn(&str) -> Option<Duration>) {
    for name in std::io::stdin().lines().map_while(Result::ok) {
        println!("{}", measure(&name).map_or(f64::NAN, microseconds));
    }
}
