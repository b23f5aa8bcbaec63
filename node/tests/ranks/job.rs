//! A job of this program's ranks, which leaves no process behind.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
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

/// Those that a node's job has everywhere.
const SWITCHES: &str = "--bind-to none --mca pml ob1 --mca btl tcp,self --mca oob_tcp_keepalive_time 3 \
    --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3";

/// Begins the line in which a rank says which process it is.
pub const PID: &str = "pid ";

impl Job {
    /// Ranks on this machine.
    pub fn start(role: &str, n_ranks: usize) -> Job {
        let mut command = Command::new("mpirun");
        command.args(words(SWITCHES));
        command.args(words(
            "--mca btl_tcp_if_include 127.0.0.0/8 --mca oob_tcp_if_include 127.0.0.0/8",
        ));
        command.args([
            "-n",
            &n_ranks.to_string(),
            "--host",
            &format!("localhost:{n_ranks}"),
        ]);
        command.args(rank(role));
        if nix::unistd::getuid().is_root() {
            command
                .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
                .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        Job::of(command, n_ranks)
    }

    /// A relay on the head and an agent on `node1` of a cluster of namespaces. When all is over, the
    /// last line says whether a process is left there.
    pub fn on_nodes(role: &str) -> Job {
        let mut command = Command::new(cluster());
        command.args(["1", "sh", "-c", "mpirun \"$@\"; exec \"$0\" rank left"]);
        command.arg(program()).args(words(SWITCHES));
        command
            .args(words("--mca plm_rsh_agent rsh -n 1 --host localhost:1"))
            .args(rank(role));
        command
            .args(words(": -n 1 --host node1:1"))
            .args(rank(role));
        // Their pids are those of another namespace.
        Job::of(command, 0)
    }

    fn of(mut command: Command, n_ranks: usize) -> Job {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // A group of its own, which is ended with the test whatever happens.
        let mut launcher = command
            .process_group(0)
            .spawn()
            .expect("the launcher starts");
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
            Some(_) if self.n_ranks == 0 => Some(String::new()),
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

/// Why there can be no cluster of namespaces on this machine.
pub fn why_no_nodes() -> Option<String> {
    let output = Command::new(cluster()).args(["1", "true"]).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// What makes a cluster of namespaces.
fn cluster() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/run")
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn rank(role: &str) -> [OsString; 3] {
    [program().into(), "rank".into(), role.into()]
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Whether a process of this program is there, and no zombie.
fn is_running(pid: u32) -> bool {
    name_of_running(pid).is_some_and(|name| name.starts_with("ranks"))
}

/// The name of a process that has not ended.
pub fn name_of_running(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = status.split_once(" (")?.1.rsplit_once(") ")?;
    (!rest.starts_with(['Z', 'X'])).then(|| name.to_owned())
}
