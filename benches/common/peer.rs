//! What every comparison needs: peers in processes of their own, and a clock.

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

/// The time until the result is there; giving its memory back is not part of it.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let result = black_box(work());
    let elapsed = started.elapsed();
    drop(result);
    elapsed
}
