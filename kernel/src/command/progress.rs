//! Shows the progress of work that takes more than a second.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::library::warm;
use crate::session::start::prebuild;

const TICK: Duration = Duration::from_millis(250);
/// The duration of a cold build on two cores, for the bar. A bar that waits at its end is better
/// than none.
const BUILD: Duration = Duration::from_secs(40);
const WIDTH: usize = 24;

/// Compiles the library for later sessions, if it is not compiled yet. Returns the folder of its
/// sources.
///
/// # Errors
///
/// If there is no compiler, no network, or no folder for it.
pub(crate) fn prepare_library() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let build = || {
        let warm = warm::find_or_build_here(&program, prebuild::build)?;
        if let Some(warning) = warm.warning() {
            eprintln!("warning: {warning}");
        }
        Ok(warm.library().to_owned())
    };
    if warm::is_ready()? {
        return build();
    }
    with_bar(
        "compiling the library, once for this compiler",
        BUILD,
        build,
    )
}

/// Compiles the library for all users. Returns its folder.
///
/// # Errors
///
/// As [`warm::build_shared`].
pub(crate) fn prepare_shared(folder: &Path) -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    with_bar("compiling the library, once for all users", BUILD, || {
        warm::build_shared(folder, &program, prebuild::build)
    })
}

/// Shows a bar while `work` runs, or prints a line if there is no terminal.
fn with_bar<T>(what: &str, expected: Duration, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        eprintln!("{what} (up to a minute)");
        return work();
    }
    thread::scope(|scope| {
        let (ended, end) = channel::<()>();
        scope.spawn(move || {
            let started = Instant::now();
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                eprint!("\r{}\x1b[K", bar(what, started.elapsed(), expected));
                let _ = std::io::stderr().flush();
            }
            eprint!("\r\x1b[K");
        });
        let result = work();
        drop(ended);
        result
    })
}

fn bar(what: &str, elapsed: Duration, expected: Duration) -> String {
    let share = (elapsed.as_secs_f64() / expected.as_secs_f64()).min(0.95);
    let n_full = (share * WIDTH as f64) as usize;
    let (full, empty) = ("█".repeat(n_full), "░".repeat(WIDTH - n_full));
    format!("{what} {full}{empty} {} s", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_and_never_claims_to_have_ended() {
        let at = |secs| bar("x", Duration::from_secs(secs), BUILD);
        assert!(at(0).contains(&"░".repeat(WIDTH)));
        assert_eq!(at(20).matches('█').count(), WIDTH / 2);
        assert!(at(400).contains('░') && at(400).ends_with(" 400 s"));
    }

    #[test]
    fn the_work_is_done_and_its_value_returned() {
        assert_eq!(with_bar("x", BUILD, || 5), 5);
    }
}
