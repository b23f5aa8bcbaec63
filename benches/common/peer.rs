//! What every comparison needs: peers in processes of their own, a clock, the median.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Another process that runs a workload when it is asked, and says how long it took.
pub struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    /// Starts the process, which reads names of workloads from its input and answers each with
    /// microseconds.
    pub fn start(command: &mut Command) -> Peer {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Peer { process, answers }
    }

    /// How long the workload took, in microseconds; not a number if the peer does not know it.
    pub fn ask(&mut self, work: &str) -> f64 {
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

pub fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

pub fn number(microseconds: f64) -> String {
    match microseconds {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| {
        line.trim_start_matches(['\t', ' ', ':'])
    });
    format!("{} processors ({model})", forklore::Cpus::detect().online())
}

/// The time until the result is there; giving its memory back is not part of it.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = black_box(work());
    let elapsed = started.elapsed();
    drop(result);
    elapsed
}
