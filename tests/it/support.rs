//! Helpers for all tests: the check that nothing is left, a watchdog, and separate processes.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// A test and its name.
pub type Test = (&'static str, fn());

/// A list of tests, each under its function's name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[crate::support::Test] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use tests;

/// A test that takes more seconds than this counts as hanging.
const HANGS_AFTER_S: u32 = 90;

/// Runs a test and checks that it leaves nothing behind.
pub fn run(name: &str, test: fn()) {
    let fds_before = open_files();
    watch(name);
    test();
    nix::unistd::alarm::cancel();
    assert_eq!(children(), Vec::<i32>::new(), "{name} left children");
    assert_eq!(open_files(), fds_before, "{name} left open files");
}

/// The children of this process.
pub fn children() -> Vec<i32> {
    children_of(std::process::id() as i32)
}

/// The children of a process.
pub fn children_of(pid: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Whether a process exists and is not a zombie.
pub fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}

/// Waits until a condition holds; if it never does, the watchdog ends the test.
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Waits until a process sleeps in a system call.
pub fn wait_for_sleep(pid: i32) {
    wait_until(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    });
}

/// A function to map.
pub fn power(x: u64) -> u64 {
    x.wrapping_pow(10)
}

/// Suppresses the printing of panics until it is dropped: the tests' own come back as their
/// failures.
pub struct Quiet;

impl Quiet {
    pub fn new() -> Quiet {
        std::panic::set_hook(Box::new(|_| ()));
        Quiet
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::panic::take_hook());
        }
    }
}

fn open_files() -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    files.sort();
    files
}

/// Ends the whole run with the test's name if the test hangs. It uses no thread, so that tests can
/// fork.
fn watch(name: &str) {
    extern "C" fn hangs(_: i32) {
        let message = fs::read_to_string("/proc/self/comm").unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "\ntest {} HANGS", message.trim());
        std::process::abort();
    }
    // Linux keeps the name where a handler can read it without a lock, cut to 15 bytes.
    let short = name.rsplit("::").next().unwrap_or(name);
    let _ = fs::write("/proc/self/comm", short);
    let action = SigAction::new(
        SigHandler::Handler(hangs),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler ends the process; at worst, its allocation hangs or crashes a process
    // that is hanging already.
    unsafe { sigaction(Signal::SIGALRM, &action) }.unwrap();
    nix::unistd::alarm::set(HANGS_AFTER_S);
}

/// A test's part that runs in a separate process, which it may damage.
pub type Scene = (&'static str, fn());

const SCENE: &str = "FORKLORE_TEST_SCENE";

/// If this process was started to play a scene, plays it and does not return.
pub fn run_if_asked() {
    let Ok(name) = std::env::var(SCENE) else {
        return;
    };
    let scenes = [
        crate::processes::SCENES,
        crate::pools::SCENES,
        crate::deaths::SCENES,
        crate::lifelines::SCENES,
        crate::endings::SCENES,
        crate::limits::SCENES,
        crate::reliability::SCENES,
        crate::exhaustion::SCENES,
        crate::memory::SCENES,
        crate::streams::SCENES,
        crate::progress::SCENES,
        crate::parallel::SCENES,
        crate::surroundings::SCENES,
        crate::plugins::SCENES,
        crate::orders::SCENES,
        crate::starts::SCENES,
        crate::early::SCENES,
        crate::runtimes::SCENES,
        crate::wakes::SCENES,
        crate::cluster_losses::SCENES,
        crate::clusters::SCENES,
    ];
    for (scene, play) in scenes.into_iter().flatten() {
        if *scene == name {
            play();
            std::process::exit(0);
        }
    }
    panic!("no scene is called {name}");
}

/// The argument of this process's scene.
pub fn scene_argument() -> String {
    std::env::var(SCENE_ARGUMENT).unwrap()
}

const SCENE_ARGUMENT: &str = "FORKLORE_TEST_SCENE_ARGUMENT";

/// A command that plays a scene with an argument.
pub fn scene_with(name: &str, argument: &str) -> Command {
    let mut command = scene(name);
    command.env(SCENE_ARGUMENT, argument);
    command
}

/// The variables that make this binary, or a copy of it, play a scene.
pub fn scene_variables(name: &str) -> [(&'static str, String); 1] {
    [(SCENE, name.to_owned())]
}

/// A command that plays a scene.
pub fn scene(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(SCENE, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Plays a scene, and waits for its end.
pub fn play(name: &str) -> Output {
    scene(name).output().unwrap()
}

/// The output of a scene.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The variable with the seed of a run to repeat.
const SEED: &str = "FORKLORE_CHAOS_SEED";

/// A small reproducible random number generator: xorshift64* (Vigna, 2014).
pub struct Random(u64);

impl Random {
    /// A generator with the seed in the environment, or with one from the clock, which it prints.
    pub fn seeded() -> Random {
        let from_clock = || {
            let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            since_epoch.as_nanos() as u64
        };
        let seed = std::env::var(SEED)
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(from_clock);
        println!("{SEED}={seed}");
        Random::from(seed)
    }

    /// A generator with a seed.
    pub fn from(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// A number from 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}
