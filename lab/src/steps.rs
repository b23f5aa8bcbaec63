//! Progress on the terminal: one line per step, with a count that moves while the step runs.
//!
//! Everything goes to stderr, so that stdout has only what a caller may want to keep. On a terminal
//! the line is rewritten in place; in a log there is a line for each tenth.

use std::io::{IsTerminal, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);

/// A step that takes a while, announced when it starts and closed with its time.
#[derive(Debug)]
pub struct Step {
    title: String,
    started: Instant,
    in_place: bool,
    tenths_shown: usize,
}

impl Step {
    /// Announces a step.
    pub fn start(title: impl Into<String>) -> Self {
        let step = Step {
            title: title.into(),
            started: Instant::now(),
            in_place: std::io::stderr().is_terminal(),
            tenths_shown: 0,
        };
        if step.in_place {
            eprint!("  {} …", step.title);
            flush();
        } else {
            eprintln!("  {} …", step.title);
        }
        step
    }

    /// Shows that `done` of about `total` parts are done, and which one is running.
    pub fn progress(&mut self, done: usize, total: usize, what: &str) {
        let tenths = done * 10 / total.max(1);
        if self.in_place {
            eprint!("\r\x1b[2K  {} … {done} of {total}  {what}", self.title);
            flush();
        } else if tenths > self.tenths_shown {
            self.tenths_shown = tenths;
            eprintln!("    {done} of {total}  {what}");
        }
    }

    /// Does the step's work while the terminal shows the elapsed time.
    pub fn while_doing<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if !self.in_place {
            return work();
        }
        std::thread::scope(|scope| {
            let (over, wait) = mpsc::channel::<()>();
            scope.spawn(move || {
                while wait.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    eprint!(
                        "\r\x1b[2K  {} … {}",
                        self.title,
                        readable(self.started.elapsed())
                    );
                    flush();
                }
            });
            let done = work();
            drop(over);
            done
        })
    }

    /// Closes the step with the time it took.
    pub fn done(self) {
        let clear = if self.in_place { "\r\x1b[2K" } else { "" };
        eprintln!(
            "{clear}  {}: done in {}",
            self.title,
            readable(self.started.elapsed())
        );
    }

    /// Closes the step after a failure that is about to be explained.
    pub fn failed(self) {
        let clear = if self.in_place { "\r\x1b[2K" } else { "" };
        eprintln!("{clear}  {}: failed", self.title);
    }
}

/// Formats a duration for people: `0.4 s`, `38 s`, `7 min 20 s`.
pub fn readable(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

fn flush() {
    // The work continues even if the terminal is gone.
    let _ = std::io::stderr().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(readable(Duration::from_millis(440)), "0.4 s");
        assert_eq!(readable(Duration::from_secs(38)), "38 s");
        assert_eq!(readable(Duration::from_secs(440)), "7 min 20 s");
    }
}
