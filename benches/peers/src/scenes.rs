//! Scenes of bad luck on forklore's and procspawn's pools; `scenes.py` has the same scenes for
//! Python's.
//!
//! In each, a pool of 2 works on 20 items, and something happens to the process that has item 5, or
//! to all. The program prints what follows:
//!
//! ```text
//! ready         the pool has worked; in "SIGINT when idle" it waits for a line
//! result 7      an item's result has arrived
//! error 5 …     instead of its result
//! interrupted   the caller was told of the interrupt
//! again         four more items are given to the same pool
//! end           it was worked with; now it is taken down
//! ```

use std::io::Write;
use std::time::Duration;

use forklore::Pool;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

pub const SCENES: [&str; 8] = [
    "kill -9",
    "panic or exception",
    "exit",
    "abort",
    "SIGINT when idle",
    "SIGINT while busy",
    "parent killed",
    "SIGSTOP",
];

pub const N_ITEMS: usize = 20;
const VICTIM: usize = 5;
const N_WORKERS: usize = 2;
/// The time limit per task, in the one scene in which users can be expected to set one.
const LIMIT: Duration = Duration::from_secs(2);

/// What happens at an item: the index of the scene in the list, and whether it concerns this item.
type Arg = (usize, usize);
/// No scene.
const QUIET: usize = SCENES.len();

pub fn play(peer: &str, scene: &str) {
    let scene = SCENES
        .iter()
        .position(|name| *name == scene)
        .expect("a scene");
    // The host handles Ctrl-C itself, as a Jupyter kernel or a shell does.
    let handled = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGINT, &handled) }.expect("a handler");
    match peer {
        "forklore" => play_forklore(scene),
        "procspawn" => play_procspawn(scene),
        _ => panic!("no peer is called {peer}"),
    }
}

extern "C" fn ignore(_: i32) {}

fn play_forklore(scene: usize) {
    let builder = Pool::builder().workers(N_WORKERS);
    let builder = match SCENES[scene] {
        "SIGSTOP" => builder.timeout(LIMIT),
        _ => builder,
    };
    let pool = builder.build().expect("a pool");
    let run = |scene, n_items| {
        let results = pool.try_map(task, (0..n_items).map(|item| (item, scene)));
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(_) => say(&format!("result {item}")),
                Err(error) => say(&format!("error {item} {error}")),
            }
        }
    };
    perform(scene, run);
    drop(pool);
}

fn play_procspawn(scene: usize) {
    let pool = procspawn::Pool::new(N_WORKERS).expect("a pool");
    let run = |scene, n_items| {
        let calls = (0..n_items).map(|item| (item, pool.spawn((item, scene), task)));
        let mut calls: Vec<_> = calls.collect();
        calls.sort_by_key(|(item, _)| *item == VICTIM);
        for (item, mut call) in calls {
            let result = match SCENES.get(scene) {
                Some(&"SIGSTOP") => {
                    let result = call.join_timeout(LIMIT);
                    let _ = call.kill();
                    result
                }
                _ => call.join(),
            };
            match result {
                Ok(_) => say(&format!("result {item}")),
                Err(error) => say(&format!("error {item} {error}")),
            }
        }
    };
    perform(scene, run);
    drop(pool);
}

fn perform(scene: usize, run: impl Fn(usize, usize)) {
    run(QUIET, 2);
    say("ready");
    if SCENES[scene] == "SIGINT when idle" {
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    run(scene, N_ITEMS);
    say("again");
    run(QUIET, 4);
    say("end");
}

fn task((item, scene): Arg) -> usize {
    let scene = SCENES.get(scene).copied().unwrap_or("");
    std::thread::sleep(match scene {
        "SIGINT while busy" | "parent killed" => Duration::from_millis(100),
        _ => Duration::from_millis(20),
    });
    if item == VICTIM {
        match scene {
            "kill -9" => drop(raise(Signal::SIGKILL)),
            "panic or exception" => panic!("bad luck"),
            "exit" => std::process::exit(3),
            "abort" => std::process::abort(),
            "SIGSTOP" => drop(raise(Signal::SIGSTOP)),
            _ => {}
        }
    }
    item
}

/// Prints a line. A closed pipe is no reason to panic.
fn say(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
