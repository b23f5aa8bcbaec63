//! What a map costs, beside rayon and Python's `multiprocessing.Pool`, interleaved in one run.
//!
//! `cargo bench --bench maps` prints a Markdown table of medians in microseconds. It is the source
//! of the numbers in the README. An argument picks the rows whose name contains it.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use forklore::{Pool, cpu_count};
use rayon::prelude::*;

const N_WORKERS: usize = 2;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    // Processes first: they cannot be forked once rayon has its threads. Rayon's are made in a
    // process of their own for the same reason: forklore's pools are made again and again.
    if std::env::var_os(RAYON_SIDE).is_some() {
        return serve_rayon();
    }
    println!("{} of {}, medians in µs", cpu_count(), machine());
    println!("\n| work | forklore | rayon | mp.Pool | rayon / forklore | mp.Pool / forklore |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let mut rayon = Peer::start(
        Command::new(std::env::current_exe().expect("the program knows its path"))
            .env(RAYON_SIDE, "1"),
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/mp_pool.py");
    let mut python = Peer::start(
        Command::new("python3")
            .arg(script)
            .arg(N_WORKERS.to_string()),
    );
    let pool = Pool::with_workers(N_WORKERS).expect("a pool");
    for work in WORKS {
        if filter
            .as_ref()
            .is_some_and(|filter| !work.name.contains(filter.as_str()))
        {
            continue;
        }
        let mut series: [Vec<f64>; 3] = Default::default();
        for _ in 0..work.rounds {
            for (which, times) in series.iter_mut().enumerate() {
                std::thread::sleep(work.pause);
                times.push(match which {
                    0 => microseconds((work.forklore)(&pool)),
                    1 => rayon.ask(work.name),
                    _ => python.ask(work.name),
                });
            }
        }
        let [ours, rayon, python] = series.map(median);
        println!(
            "| {} | {} | {} | {} | {:.2} | {:.1} |",
            work.name,
            number(ours),
            number(rayon),
            number(python),
            rayon / ours,
            python / ours
        );
    }
}

/// A workload: how to run it here, how often, and how long to rest before each run.
struct Work {
    name: &'static str,
    rounds: usize,
    pause: Duration,
    forklore: fn(&Pool) -> Duration,
    rayon: fn() -> Duration,
}

fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

const NO_PAUSE: Duration = Duration::ZERO;

const WORKS: &[Work] = &[
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
            let args = vec![vec![0u8; 1_000_000]; 64];
            timed(|| pool.map(|x: Vec<u8>| x, args))
        },
        rayon: || {
            let args = vec![vec![0u8; 1_000_000]; 64];
            timed(|| collect(args.into_par_iter()))
        },
    },
    Work {
        name: "8 x 32 MB in and out",
        rounds: 5,
        pause: NO_PAUSE,
        forklore: |pool| {
            let args = vec![vec![0u8; 32_000_000]; 8];
            timed(|| pool.map(|x: Vec<u8>| x, args))
        },
        rayon: || {
            let args = vec![vec![0u8; 32_000_000]; 8];
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
];

fn nap(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(50));
    x
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    black_box(work());
    started.elapsed()
}

/// The time of one of `n` calls in a row, for work that is too short for the clock.
fn each<T>(n: u32, mut work: impl FnMut() -> T) -> Duration {
    timed(|| (0..n).for_each(|_| drop(black_box(work())))) / n
}

fn collect<T: Send>(items: impl ParallelIterator<Item = T>) -> Vec<T> {
    items.collect()
}

/// Set in the process that measures rayon.
const RAYON_SIDE: &str = "FORKLORE_BENCH_RAYON";

fn serve_rayon() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(N_WORKERS)
        .build_global()
        .expect("threads");
    for name in std::io::stdin().lines().map_while(Result::ok) {
        if let Some(work) = WORKS.iter().find(|work| work.name == name) {
            println!("{}", microseconds((work.rayon)()));
        }
    }
}

/// Another process that runs a workload when it is asked, and says how long it took.
struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(command: &mut Command) -> Peer {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Peer { process, answers }
    }

    fn ask(&mut self, work: &str) -> f64 {
        let questions = self.process.stdin.as_mut().expect("a pipe");
        writeln!(questions, "{work}").expect("the peer listens");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the peer answers");
        answer.trim().parse().unwrap_or(f64::NAN)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn number(microseconds: f64) -> String {
    match microseconds {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| {
        line.trim_start_matches(['\t', ' ', ':'])
    });
    format!("{} processors ({model})", forklore::Cpus::detect().online())
}
