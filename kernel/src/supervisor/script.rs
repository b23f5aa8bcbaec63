//! Scripts: cells in another language. The user process starts them and waits, so that they share
//! the cells' folder and environment.
//!
//! A script cannot change a variable, so nothing is rolled back: ending it early kills its
//! processes, and the user process reports its end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::event_loop::{Phase, Watch};
use super::run::Run;
use super::verdict;
use crate::protocol::{Failure, Output, ToKernel, ToUser};
use crate::sys::procs::{self, Pid};
use crate::sys::signals::{Death, SIGKILL};

/// How long the remaining processes of a script may take to end by themselves. Python's resource
/// tracker, for example, ends as soon as it notices that the script has.
const GRACE: Duration = Duration::from_millis(100);
/// How long to wait until the remaining processes of a script are gone after they were killed.
const END: Duration = Duration::from_millis(500);

impl Watch {
    /// Starts a script, if the user process can run it.
    pub(super) fn start_script(&mut self, words: Vec<String>) {
        self.board.clear();
        self.filter.clear();
        let mut run = Run::new(self.others(), Vec::new());
        run.is_script = true;
        self.phase = Phase::Running(Box::new(run));
        self.begin_memory();
        self.user.control.send(&ToUser::Script(words));
    }

    /// Processes of earlier cells.
    pub(super) fn others(&self) -> HashSet<Pid> {
        let ours = self.ours();
        let all = procs::descendants(std::process::id() as i32).into_iter();
        all.filter(|pid| !ours.contains(pid)).collect()
    }

    /// The user process and its helpers.
    pub(super) fn ours(&self) -> HashSet<Pid> {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.pid);
        [Some(self.user.pid), snapshot, self.keeper]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Ends the running script, with this reason. The user process reports its end.
    pub(super) fn end_script(&mut self, failure: Failure) {
        if let Phase::Running(run) = &mut self.phase {
            run.ended_because.get_or_insert(failure);
            self.end_processes_of_script();
        }
    }

    /// Handles the end of the script, with this `wait` status.
    pub(super) fn finish_script(&mut self, status: i32) {
        let deadline = Instant::now() + GRACE;
        while !self.left_of_script().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
        let n_left = self.end_processes_of_script();
        self.drain();
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let mut failure = run.ended_because.take();
        if n_left > 0 && failure.is_none() {
            let text = format!(
                "forklore: {n_left} process(es) of the script were still running and were killed\n"
            );
            self.tell(&ToKernel::Output(Output::Stderr(text.into_bytes())));
        }
        if status != 0 && failure.is_none() {
            let how = match Death::from_wait_status(status) {
                Death::Exited(code) => format!("the script ended with status {code}"),
                Death::Signalled(signal) => format!("the script was ended by signal {signal}"),
            };
            failure = Some(verdict::failure("ScriptError", how));
        }
        self.phase = Phase::Idle;
        self.tell(&ToKernel::Ended(failure));
    }

    /// The script's processes that still run.
    fn left_of_script(&self) -> HashSet<Pid> {
        let Phase::Running(run) = &self.phase else {
            return HashSet::new();
        };
        let mut left = self.others();
        left.retain(|pid| !run.earlier.contains(pid) && is_running(*pid));
        left
    }

    /// Kills the remaining processes of the script; returns their number.
    fn end_processes_of_script(&self) -> usize {
        let mut ended = HashSet::new();
        let deadline = Instant::now() + END;
        loop {
            let left = self.left_of_script();
            if left.is_empty() || Instant::now() > deadline {
                return ended.len();
            }
            for pid in left {
                procs::kill(pid, SIGKILL);
                procs::reap(pid);
                ended.insert(pid);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn is_running(pid: Pid) -> bool {
    procs::Stat::of(pid).is_some_and(|process| process.state != b'Z')
}
