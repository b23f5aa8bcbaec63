//! Compares [`forklore::Gil`] with CPython's own global interpreter lock, under the same loads.
//!
//! `cargo bench --bench gil` prints a Markdown table; it needs a `python3` with a lock, that is,
//! any but a free-threaded build. An interpreted step takes CPython longer than it takes this
//! program, so each side measures how many steps are 100 ms of work. Only the ratio to the first
//! row of a load can be compared.

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forklore::Gil;
use forklore::gil::Token;

use peer::{Peer, timed};
use table::{machine, median, microseconds, number};

#[path = "../common/peer.rs"]
mod peer;
#[path = "../common/table.rs"]
mod table;

/// A load: its name, the unit that is counted, and the row with which it is compared.
struct Row {
    name: &'static str,
    unit: &'static str,
    base: &'static str,
}

const ROWS: &[Row] = &[
    row(
        "compute, 1 thread",
        "100 ms of work each",
        "compute, 1 thread",
    ),
    row(
        "compute, 2 threads",
        "100 ms of work each",
        "compute, 1 thread",
    ),
    row(
        "compute, 3 threads",
        "100 ms of work each",
        "compute, 1 thread",
    ),
    row(
        "compute, 4 threads",
        "100 ms of work each",
        "compute, 1 thread",
    ),
    row("sleep, 1 thread", "20 x 5 ms each", "sleep, 1 thread"),
    row("sleep, 4 threads", "20 x 5 ms each", "sleep, 1 thread"),
    row("short sleeps, alone", "1 ms", "short sleeps, alone"),
    row(
        "short sleeps beside computing",
        "1 ms",
        "short sleeps, alone",
    ),
    row(
        "bytes through a pipe, alone",
        "1 byte",
        "bytes through a pipe, alone",
    ),
    row(
        "bytes through a pipe beside computing",
        "1 byte",
        "bytes through a pipe, alone",
    ),
];

const fn row(name: &'static str, unit: &'static str, base: &'static str) -> Row {
    Row { name, unit, base }
}

const ROUNDS: usize = 7;

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/gil/gil.py");
    let mut cpython = Peer::start(Command::new("python3").arg(script));
    let n_steps = steps_of(Duration::from_millis(100));
    let locks = [Gil::new(), Gil::disabled()];
    println!(
        "{}; {}. Medians in µs; in brackets, the ratio to the first row of the load.\n",
        machine(),
        python_version()
    );
    println!("| load | of | CPython | Gil::new() | Gil::disabled() |");
    println!("| --- | --- | ---: | ---: | ---: |");
    let mut bases = [0.0; 3];
    for row in ROWS {
        let mut series: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            series[0].push(cpython.ask(row.name));
            for (times, gil) in series[1..].iter_mut().zip(&locks) {
                times.push(microseconds(measure(gil, row.name, n_steps)));
            }
        }
        let medians = series.map(median);
        if row.name == row.base {
            bases = medians;
        }
        let cells = medians.iter().zip(bases);
        let cells = cells.map(|(time, base)| format!(" {} ({:.1}) |", number(*time), time / base));
        println!(
            "| {} | {} |{}",
            row.name,
            row.unit,
            cells.collect::<String>()
        );
    }
}

/// Runs a load, and returns how long it took, or one of its operations.
fn measure(gil: &Gil, load: &str, n_steps: u64) -> Duration {
    let is_beside = load.ends_with("beside computing");
    match load.split_once(", ") {
        Some(("compute", n)) => timed(|| {
            gil.threads(n_threads(n), |token, _| interpret(token, n_steps));
        }),
        Some(("sleep", n)) => timed(|| {
            gil.threads(n_threads(n), |token, _| {
                for _ in 0..20 {
                    token.allow_threads(|| std::thread::sleep(Duration::from_millis(5)));
                }
            });
        }),
        _ if load.starts_with("short sleeps") => convoy(gil, is_beside, |token| {
            token.allow_threads(|| std::thread::sleep(Duration::from_millis(1)));
        }),
        _ => {
            let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
            convoy(gil, is_beside, |token| {
                token
                    .allow_threads(|| writer.write_all(&[7]))
                    .expect("a byte");
                token
                    .allow_threads(|| reader.read_exact(&mut [0]))
                    .expect("a byte");
            })
        }
    }
}

/// The time of one operation, alone or beside a thread that computes all the time.
fn convoy(gil: &Gil, is_beside: bool, operate: impl FnMut(&mut Token<'_>) + Send) -> Duration {
    let operate = Mutex::new(operate);
    let (is_computing, is_over) = (AtomicBool::new(!is_beside), AtomicBool::new(false));
    let report = gil.threads(1 + usize::from(is_beside), |token, thread| {
        if thread == 1 {
            while !is_over.load(Ordering::Relaxed) {
                is_computing.store(true, Ordering::Relaxed);
                interpret(token, 100);
            }
            return Duration::ZERO;
        }
        let mut operate = operate.lock().expect("only this thread takes it");
        while !is_computing.load(Ordering::Relaxed) {
            token.allow_threads(|| std::thread::sleep(Duration::from_millis(1)));
        }
        let (started, mut n_operations) = (Instant::now(), 0);
        while started.elapsed() < CONVOY {
            operate(token);
            n_operations += 1;
        }
        let elapsed = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        elapsed / n_operations
    });
    report.values()[0]
}

/// How long operations are counted.
const CONVOY: Duration = Duration::from_millis(200);

/// "Interpreted" code: small steps, with a check of the lock after each, as between bytecodes.
fn interpret(token: &mut Token<'_>, n_steps: u64) {
    let mut x = 1u64;
    for _ in 0..n_steps {
        x = black_box(x.wrapping_mul(1_103_515_245).wrapping_add(12_345));
        token.checkpoint();
    }
}

/// The number of steps that take one thread this long.
fn steps_of(duration: Duration) -> u64 {
    const SAMPLE: u64 = 10_000_000;
    let times =
        (0..3).map(|_| timed(|| Gil::new().threads(1, |token, _| interpret(token, SAMPLE))));
    let fastest = times.min().expect("three samples");
    (SAMPLE as f64 * duration.as_secs_f64() / fastest.as_secs_f64()) as u64
}

fn n_threads(words: &str) -> usize {
    let number = words.split(' ').next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a number of threads")
}

fn python_version() -> String {
    let output = Command::new("python3").arg("--version").output();
    String::from_utf8_lossy(&output.expect("python3").stdout)
        .trim()
        .to_owned()
}
