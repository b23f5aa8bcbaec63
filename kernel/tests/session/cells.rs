//! A session whose output is kept, and what the trials ask it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forklore_kernel::protocol::Output;
use forklore_kernel::session::{CellError, Control, Options, Session};
use forklore_kernel::supervisor;
use forklore_kernel::sys::procs::{self, Pid};

/// Only to catch hangs.
const DEADLINE: Duration = Duration::from_secs(60);
/// Declarations that cells use to reach the system.
pub const SYSTEM: &str = "unsafe extern \"C\" {
    safe fn fork() -> i32; safe fn _exit(code: i32) -> !; safe fn getpid() -> i32; safe fn setsid() -> i32;
    safe fn raise(signal: i32) -> i32; safe fn kill(pid: i32, signal: i32) -> i32; safe fn pause() -> i32;
    fn ioctl(fd: i32, request: u64, ...) -> i32; fn wait(status: *mut i32) -> i32; fn write(fd: i32, text: *const u8, n: usize) -> isize;
}";

/// A session whose output is kept.
pub struct Cells {
    pub session: Option<Session>,
    pub control: Control,
    pub output: Arc<Mutex<Vec<Output>>>,
}

impl Cells {
    pub fn start() -> Cells {
        Cells::start_with(false)
    }

    pub fn start_with(library: bool) -> Cells {
        let output = Arc::new(Mutex::new(Vec::new()));
        let kept = output.clone();
        let options = Options {
            library,
            ..Options::new(move |raw| kept.lock().unwrap().push(raw))
        };
        let (session, control) = Session::start(options).unwrap();
        let record = session.folder().join("tools/record");
        assert!(
            !library || !record.exists(),
            "cargo ran before the first cell"
        );
        let mut cells = Cells {
            session: Some(session),
            control,
            output,
        };
        cells.run(SYSTEM).unwrap();
        cells
    }

    pub fn run(&mut self, code: &str) -> Result<(), CellError> {
        self.output.lock().unwrap().clear();
        self.session.as_mut().unwrap().run_cell(code).map(drop)
    }

    /// Runs a cell as a learner writes it, magics included, and gives what it wrote to standard
    /// output.
    pub fn magic(&mut self, code: &str) -> Result<String, CellError> {
        self.output.lock().unwrap().clear();
        self.session.as_mut().unwrap().run_cell(code)?;
        Ok(String::from_utf8_lossy(&self.stdout()).into_owned())
    }

    /// Runs a cell that must succeed, and gives what it wrote to standard output.
    pub fn ok(&mut self, code: &str) -> String {
        self.run(code)
            .unwrap_or_else(|error| panic!("{code}: {error:?}"));
        String::from_utf8_lossy(&self.stdout()).into_owned()
    }

    /// Runs a cell that must fail with an error of this kind.
    pub fn fails(&mut self, code: &str, ename: &str) -> CellError {
        let error = self.run(code).expect_err(code);
        assert_eq!(error.ename, ename, "{code}: {error:?}");
        error
    }

    pub fn stdout(&self) -> Vec<u8> {
        let output = self.output.lock().unwrap();
        let stdout = output.iter().filter_map(|raw| {
            if let Output::Stdout(bytes) = raw {
                Some(bytes)
            } else {
                None
            }
        });
        stdout.flatten().copied().collect()
    }

    pub fn stderr(&self) -> String {
        let output = self.output.lock().unwrap();
        let stderr = output.iter().filter_map(|raw| {
            if let Output::Stderr(bytes) = raw {
                Some(bytes)
            } else {
                None
            }
        });
        String::from_utf8_lossy(&stderr.flatten().copied().collect::<Vec<u8>>()).into_owned()
    }

    /// What the kernel itself has shown, as plain text.
    pub fn displayed(&self) -> String {
        let output = self.output.lock().unwrap();
        let shown = output.iter().filter_map(|output| match output {
            Output::Display(contents) => contents.get("text/plain"),
            _ => None,
        });
        shown.map(String::as_str).collect()
    }

    /// Runs a cell and interrupts it when it has written `started`.
    pub fn interrupted(&mut self, code: &str) -> CellError {
        self.interrupted_when(code, |output| {
            output
                .iter()
                .any(|raw| matches!(raw, Output::Stdout(bytes) if bytes.starts_with(b"started")))
        })
    }

    /// Runs a cell and interrupts it when what it has written tells that it is time.
    pub fn interrupted_when(
        &mut self,
        code: &str,
        is_time: impl Fn(&[Output]) -> bool + Send + 'static,
    ) -> CellError {
        self.output.lock().unwrap().clear();
        let (output, control) = (self.output.clone(), self.control.clone());
        let interrupter = std::thread::spawn(move || {
            wait_until(|| is_time(&output.lock().unwrap()));
            control.interrupt();
            Instant::now()
        });
        let ran = self.session.as_mut().unwrap().run_cell(code);
        let error = ran.expect_err(code);
        assert_eq!(error.ename, "Interrupt", "{code}: {error:?}");
        let took = interrupter.join().unwrap().elapsed();
        println!(
            "interrupted: ended after {took:.1?}: {}",
            code.lines().last().unwrap_or_default()
        );
        error
    }

    /// Ends the session, and asserts that no process of it is left.
    pub fn finish(self) {
        self.finish_by(drop);
    }

    /// The same, as a program does that is about to end.
    pub fn abandon(self) {
        self.finish_by(Session::abandon);
    }

    fn finish_by(mut self, end: impl FnOnce(Session)) {
        let session = self.session.take().unwrap();
        let folder = session.folder().to_owned();
        end(session);
        assert!(!folder.exists(), "{} is left", folder.display());
        assert!(of_folder(&folder).is_empty(), "processes are left");
        let left = procs::children(std::process::id() as Pid).into_iter();
        let left: Vec<_> = left.map(procs::Stat::of).collect();
        assert!(left.is_empty(), "children are left: {left:?}");
    }
}

pub fn of_folder(folder: &Path) -> Vec<Pid> {
    procs::with_environment(&format!(
        "{}={}",
        supervisor::FOLDER_VARIABLE,
        folder.display()
    ))
}

pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn is_alive(pid: Pid) -> bool {
    procs::Stat::of(pid).is_some_and(|process| process.state != b'Z')
}

/// The supervisor's process id: the parent of the process that runs cells.
pub fn supervisor_of(cells: &mut Cells) -> Pid {
    let user: Pid = cells
        .ok("println!(\"{}\", getpid());")
        .trim()
        .parse()
        .unwrap();
    procs::Stat::of(user).unwrap().parent
}
