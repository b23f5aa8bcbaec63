//! Peers in separate processes, and a clock: what every comparison needs.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Another process that runs a workload on request, and replies with the time that it took.
pub struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    /// Starts the process, which reads names of workloads from its input and replies to each with
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

    /// The time of the workload, in microseconds; NaN if the peer does not have it.
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

/// The time until the result is ready, excluding the time to free its memory.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = black_box(work());
    let elapsed = started.elapsed();
    drop(result);
    elapsed
}
