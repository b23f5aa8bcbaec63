//! Progress as a notebook, a terminal and a log show it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Stdio};

use forklore::{Map, Pool, progress};

use crate::support::{Scene, play, power, scene, text};

pub const SCENES: &[Scene] = &[
    ("an iterator and a stream", an_iterator_and_a_stream),
    ("a map that is held up", a_map_that_is_held_up),
    ("a map with a timeline", a_map_with_a_timeline),
    ("maps with a line per worker", maps_with_a_line_per_worker),
];

crate::support::tests![
    watched_maps_are_maps,
    a_log_has_one_line_for_each,
    a_notebook_sees_who_is_at_what_while_it_runs,
    a_notebook_sees_a_timeline,
    every_task_is_in_the_line_of_who_finished_it,
    a_terminal_has_a_bar_and_no_thread,
];

fn watched_maps_are_maps() {
    let pool = Pool::with_workers(2).unwrap();
    let captured = 7;
    let quiet = pool.map(power, 0..500u64);
    let views = [
        pool.with_progress(),
        pool.with_progress().label("powers").per_worker(),
        pool.with_progress().timeline(),
    ];
    for view in &views {
        assert_eq!(view.workers(), 2);
        assert_eq!(view.map(power, 0..500u64), quiet);
        assert_eq!(view.map_chunked(power, 0..500u64, 7), quiet);
        assert_eq!(Map::map(view, |x: u64| x + captured, 0..3u64), [7, 8, 9]);
        assert_eq!(
            view.starmap(|a: u32, b: u32| a * b, [(2, 3), (4, 5)]),
            [6, 20]
        );
        assert!(view.map(power, std::iter::empty()).is_empty());
        let results = view.try_map(
            |x: u32| if x == 2 { std::process::abort() } else { x },
            0..5u32,
        );
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
        assert!(results[2].as_ref().is_err_and(|error| error.is_died()));
    }
}

fn an_iterator_and_a_stream() {
    let words = ["fork", "wait", "reap"];
    assert_eq!(
        progress(words).label("words").map(str::len).sum::<usize>(),
        12
    );
    let pool = Pool::with_workers(2).unwrap();
    let results = pool.imap(power, 0..1_000u64);
    assert_eq!(results.size_hint(), (1_000, Some(1_000)));
    assert_eq!(progress(results).label("stream").count(), 1_000);
    assert_eq!(
        progress(pool.imap(power, 0..))
            .label("endless")
            .take(5)
            .count(),
        5
    );
    pool.with_progress().label("map").map(power, 0..2_000u64);
    eprintln!(
        "threads: {}",
        std::fs::read_dir("/proc/self/task").unwrap().count()
    );
}

fn a_log_has_one_line_for_each() {
    let output = play("an iterator and a stream");
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        output.stdout.is_empty(),
        "standard output is the program's own"
    );
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let begins = [
        "words: 100 % |█████████████████████████| 3 of 3, 0:0",
        "stream: 100 % |█████████████████████████| 1,000 of 1,000, 0:0",
        // No one asked for a sixth, so it is unknown whether the fifth was done with.
        "endless: 4, 0:0",
        "map: 100 % |█████████████████████████| 2,000 of 2,000, 0:0",
        "threads: 1",
    ];
    assert_eq!(lines.len(), begins.len(), "{log}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

/// The last task waits until the process that started this one closes this one's standard input.
fn a_map_that_is_held_up() {
    let pool = Pool::with_workers(2).unwrap();
    let hold = |x: u64| {
        if x == 5 {
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        x
    };
    let results = pool
        .with_progress()
        .label("held")
        .per_worker()
        .map_chunked(hold, 0..6, 1);
    assert_eq!(results, [0, 1, 2, 3, 4, 5]);
}

fn a_notebook_sees_who_is_at_what_while_it_runs() {
    let mut child = in_notebook("a map that is held up");
    let mut frames = Frames::of(&mut child);
    let seen = frames.until("at item 5");
    assert!(seen.contains("held") && seen.contains("worker 1"), "{seen}");
    frames.until("5 of 6");
    drop(child.stdin.take());
    let last = frames.until("6 of 6");
    assert!(
        last.contains(r#"<progress aria-label=\"held\" value=\"6\" max=\"6\""#),
        "{last}"
    );
    assert!(!last.contains("at item"), "{last}");
    assert!(child.wait().unwrap().success());
}

fn a_map_with_a_timeline() {
    let pool = Pool::with_workers(2).unwrap();
    let hold = |x: u64| {
        if x == 3 {
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
    };
    pool.with_progress().timeline().map_chunked(hold, 0..4, 1);
}

fn a_notebook_sees_a_timeline() {
    let mut child = in_notebook("a map with a timeline");
    let mut frames = Frames::of(&mut child);
    let seen = frames.until("<title>run 3: ");
    assert!(
        seen.contains("worker 0") && seen.contains("role="),
        "{seen}"
    );
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

const N_WATCHED: u64 = 150;
/// The items that end their worker.
const DEADLY: [u64; 2] = [31, 97];

/// For non-capturing functions, closures, workers that die, and workers that retire.
fn maps_with_a_line_per_worker() {
    let deadly = |x: u64| {
        if DEADLY.contains(&x) {
            std::process::abort()
        } else {
            x
        }
    };
    let short_lived = Pool::builder().workers(2).max_tasks_per_worker(20);
    let (pool, short_lived) = (Pool::with_workers(2).unwrap(), short_lived.build().unwrap());
    let captured = 7;
    for round in 0..10 {
        let watched = |pool: &Pool, what: &str, n_failed: usize| {
            let label = format!("{what} {round}, {n_failed} failed");
            let watched = pool.with_progress().label(&label).per_worker();
            let results = match what {
                "closure" => watched.try_map(|x: u64| x + captured, 0..N_WATCHED),
                "deaths" => watched.try_map(deadly, 0..N_WATCHED),
                _ => watched.try_map(power, 0..N_WATCHED),
            };
            assert_eq!(
                results.iter().filter(|result| result.is_err()).count(),
                n_failed
            );
        };
        watched(&pool, "function", 0);
        watched(&pool, "closure", 0);
        watched(&pool, "deaths", DEADLY.len());
        watched(&short_lived, "function", 0);
    }
}

fn every_task_is_in_the_line_of_who_finished_it() {
    let output = play("maps with a line per worker");
    assert!(output.status.success(), "{}", text(&output));
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 10 * 4 * 3, "{log}");
    for map in lines.chunks(3) {
        let (label, _) = map[0].split_once(" failed: 100 % ").expect(map[0]);
        let n_failed: u64 = label.rsplit(' ').next().unwrap().parse().unwrap();
        let finished = |line: &str| -> u64 {
            let (_, counts) = line.split_once(": ").unwrap();
            counts.split(',').next().unwrap().parse().unwrap()
        };
        let n_finished: u64 = map[1..].iter().copied().map(finished).sum();
        assert_eq!(n_finished + n_failed, N_WATCHED, "{map:#?}");
    }
}

fn a_terminal_has_a_bar_and_no_thread() {
    let (mut terminal, other_end) = pseudo_terminal();
    let mut child = scene("an iterator and a stream");
    let child = child.env("TERM", "xterm").stderr(Stdio::from(other_end));
    let mut running = child.spawn().unwrap();
    // The command holds the other end too, and the terminal ends when the last one is closed.
    child.stderr(Stdio::null());
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = terminal.read(&mut piece) {
        shown.extend_from_slice(&piece[..n]);
    }
    assert!(running.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("words: 100 % |█████████████████████████| 3 of 3"),
        "{shown}"
    );
    assert!(shown.contains("2,000 of 2,000"), "{shown}");
    assert!(shown.contains("\x1b["), "it is redrawn in place: {shown}");
    assert!(shown.contains("threads: 1\r"), "{shown}");
}

fn in_notebook(name: &str) -> Child {
    let mut command = scene(name);
    command.env("FORKLORE_KERNEL", "1").stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// The messages for the forklore kernel, one by one.
struct Frames {
    output: std::process::ChildStdout,
    unread: Vec<u8>,
    message: Vec<u8>,
}

impl Frames {
    fn of(child: &mut Child) -> Frames {
        Frames {
            output: child.stdout.take().unwrap(),
            unread: Vec::new(),
            message: Vec::new(),
        }
    }

    /// The first message that contains a text.
    fn until(&mut self, part: &str) -> String {
        loop {
            let message = self.next();
            if message.contains(part) {
                return message;
            }
        }
    }

    fn next(&mut self) -> String {
        loop {
            let end = self.unread.windows(2).position(|pair| pair == b"\x1b\\");
            let Some(end) = end else {
                let mut piece = [0; 8192];
                let n = self.output.read(&mut piece).unwrap();
                assert!(n > 0, "the output ended");
                self.unread.extend_from_slice(&piece[..n]);
                continue;
            };
            let frame: Vec<u8> = self.unread.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).unwrap();
            // ESC ] 7717 ; id ; more ; base64 ESC \
            let fields: Vec<&str> = frame.trim_end_matches("\x1b\\").splitn(4, ';').collect();
            assert!(fields[0].ends_with("\x1b]7717"), "{frame:?}");
            self.message.extend(from_base64(fields[3]));
            if fields[2] == "0" {
                return String::from_utf8(std::mem::take(&mut self.message)).unwrap();
            }
        }
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, digit)| {
            bits | u32::from(*digit) << (18 - 6 * i)
        });
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// A terminal's two ends: one to read from here, and one to print to.
fn pseudo_terminal() -> (File, OwnedFd) {
    // SAFETY: it takes flags and gives a new descriptor, or -1.
    let fd = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just opened and has no other owner.
    let mut terminal = unsafe { File::from_raw_fd(fd) };
    let mut name = [0; 64];
    // SAFETY: the descriptor is a terminal's, and `name` is as long as it is said to be.
    let outcome = unsafe {
        libc::grantpt(fd)
            | libc::unlockpt(fd)
            | libc::ptsname_r(terminal.as_raw_fd(), name.as_mut_ptr(), name.len())
    };
    assert_eq!(outcome, 0);
    terminal.flush().unwrap();
    let name: Vec<u8> = name
        .iter()
        .map(|c| *c as u8)
        .take_while(|c| *c != 0)
        .collect();
    let other_end = File::options()
        .read(true)
        .write(true)
        .open(String::from_utf8(name).unwrap())
        .unwrap();
    (terminal, other_end.into())
}
