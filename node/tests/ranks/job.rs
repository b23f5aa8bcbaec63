//! A job of this program's ranks, which leaves no process behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::deadline;

/// `mpirun`, and what its ranks say.
pub struct Job {
    launcher: Child,
    output: BufReader<ChildStdout>,
    pids: Vec<u32>,
    n_ranks: usize,
}

/// Begins the line in which a rank says which process it is.
pub const PID: &str = "pid ";

impl Job {
    pub fn start(role: &str, n_ranks: usize) -> Job {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("mpirun");
        command.args("--bind-to none --mca pml ob1 --mca btl tcp,self".split(' '));
        command.args(
            "--mca btl_tcp_if_include 127.0.0.0/8 --mca oob_tcp_if_include 127.0.0.0/8".split(' '),
        );
        command.args([
            "-n",
            &n_ranks.to_string(),
            "--host",
            &format!("localhost:{n_ranks}"),
        ]);
        command.arg(program).args(["rank", role]);
        if nix::unistd::getuid().is_root() {
            command
                .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
                .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // A group of its own, which is ended with the test whatever happens.
        let mut launcher = command.process_group(0).spawn().expect("mpirun starts");
        let output = BufReader::new(launcher.stdout.take().unwrap());
        Job {
            launcher,
            output,
            pids: Vec::new(),
            n_ranks,
        }
    }

    /// Reads until all ranks have said which processes they are.
    pub fn wait_for_ranks(&mut self) {
        while self.pids.len() < self.n_ranks {
            assert!(
                self.next_line().is_none_or(|line| line.is_empty()),
                "a line before the ranks'"
            );
        }
    }

    pub fn kill_launcher(&mut self) {
        self.launcher.kill().unwrap();
    }

    /// Everything that the ranks have said, in alphabetical order, once all have ended.
    pub fn finish(mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.next_line() {
            lines.push(line);
        }
        self.expect_none_left();
        lines.retain(|line| !line.is_empty());
        lines.sort();
        lines.join("\n")
    }

    /// The ranks know of no good end.
    pub fn expect_death(self) {
        let said = self.finish();
        assert!(!said.contains("relay: "), "{said}");
    }

    /// A rank's line, or an empty one for its pid; `None` when the last process of the job has ended.
    fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if line.is_empty() {
            return None;
        }
        let line = line.trim_end();
        match line.strip_prefix(PID) {
            None => Some(line.to_owned()),
            Some(pid) => {
                self.pids.push(pid.parse().unwrap());
                Some(String::new())
            }
        }
    }

    fn expect_none_left(&mut self) {
        self.launcher.wait().unwrap();
        let end = deadline();
        for pid in &self.pids {
            while is_running(*pid) {
                assert!(Instant::now() < end, "process {pid} is still there");
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.launcher.id() as i32);
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.launcher.wait();
        for pid in &self.pids {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
        }
    }
}

/// Whether a process of this program is there, and no zombie.
fn is_running(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    let is_ours = status.contains("(ranks");
    is_ours && state.is_some_and(|state| state != 'Z' && state != 'X')
}
