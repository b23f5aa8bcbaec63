//! `cargo lab` opens JupyterLab for this user alone, and takes everything with it when it ends.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of everything that the test starts, so that it can be found again.
const MARK: &str = "FORKLORE_TEST_MARK";

/// Two that look for the first free port at the same moment find the same one.
static TURN: Mutex<()> = Mutex::new(());

struct Lab {
    program: Child,
    port: u16,
    token: String,
    mark: String,
}

fn start(name: &str) -> Lab {
    let mark = format!("{name}-{}", std::process::id());
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["lab", "--no-browser"]).env(MARK, &mark);
    let (program, address) = common::open_lab(&mut command);
    let port = address["http://127.0.0.1:".len()..]
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let token = address.split("token=").nth(1).unwrap().to_owned();
    assert!(address.contains("/lab/tree/00-"), "{address}");
    Lab {
        program,
        port,
        token,
        mark,
    }
}

/// A test that fails must not leave a server behind, which would also keep its output open.
impl Drop for Lab {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Lab {
    fn request(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let authorization = token
            .map(|token| format!("Authorization: token {token}\r\n"))
            .unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{authorization}Content-Length: {}\r\n\
             \r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.request("GET", path, Some(&self.token), "")
    }

    /// The processes that were started from here and still run.
    fn processes(&self) -> Vec<i32> {
        let wanted = format!("{MARK}={}", self.mark);
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == wanted.as_bytes())
            })
            .collect()
    }

    fn assert_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still running: {left:?}");
            // Polls for an event that has no handle: other processes' ends.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn lessons_are_served_to_who_has_the_token_and_ctrl_c_ends_all() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lab = start("ctrl-c");
    assert!(
        lab.request("GET", "/api/kernels", None, "")
            .contains(" 403 ")
    );
    let specs = lab.get("/api/kernelspecs");
    assert!(
        specs.contains("\"forklore\"") && specs.contains("\"rust-evcxr\""),
        "{specs}"
    );
    let contents = lab.get("/api/contents");
    assert!(
        contents.contains("06-serial-map-parallel-map.ipynb"),
        "{contents}"
    );

    let before = lab.processes();
    let kernel = lab.request(
        "POST",
        "/api/kernels",
        Some(&lab.token),
        "{\"name\": \"forklore\"}",
    );
    assert!(kernel.contains(" 201 "), "{kernel}");
    // Others may have ended meanwhile.
    let is_new = |pid: &i32| !before.contains(pid);
    assert!(
        lab.processes().iter().any(is_new),
        "the kernel is a process"
    );

    kill(Pid::from_raw(lab.program.id() as i32), Signal::SIGINT).unwrap();
    assert!(lab.program.wait().unwrap().success());
    lab.assert_nothing_is_left();
}

#[test]
fn kill_minus_nine_ends_all_too() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lab = start("kill-9");
    let kernel = lab.request(
        "POST",
        "/api/kernels",
        Some(&lab.token),
        "{\"name\": \"forklore\"}",
    );
    assert!(kernel.contains(" 201 "), "{kernel}");
    lab.program.kill().unwrap();
    lab.program.wait().unwrap();
    lab.assert_nothing_is_left();
}
