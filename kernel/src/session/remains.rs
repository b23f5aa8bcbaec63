//! Ends the processes that a session leaves behind.

use std::time::{Duration, Instant};

use crate::sys::procs::{self, Pid};
use crate::sys::signals::SIGKILL;

/// Ends all processes that this process started, except the supervisor: compilers, cargo, the
/// shell.
///
/// The code that started them waits for them. Only their orphans, which this process adopts, are
/// reaped here.
pub(super) fn end_compilers(supervisor: Option<Pid>) {
    let direct = procs::children(std::process::id() as i32);
    for child in direct
        .into_iter()
        .filter(|child| Some(*child) != supervisor)
    {
        let below = procs::descendants(child);
        // Parents first: cargo would start the next compiler.
        procs::kill(child, SIGKILL);
        for &pid in &below {
            procs::kill(pid, SIGKILL);
        }
        for pid in below {
            adopt_and_reap(pid);
        }
    }
}

/// Waits for a killed process that is not a child of this process, until it has become one and
/// ended, or is gone.
fn adopt_and_reap(pid: Pid) {
    let deadline = Instant::now() + Duration::from_millis(200);
    while procs::Stat::of(pid).is_some() && procs::reap(pid).is_none() && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Ends the processes that a killed supervisor left: its user process died with it, but the
/// processes that the user process started did not.
pub(super) fn end_orphans(supervisor: Pid) {
    if supervisor <= 0 {
        return;
    }
    let mark = format!("{}={supervisor}", crate::supervisor::PID_VARIABLE);
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let by_session = procs::all()
            .into_iter()
            .filter(|process| process.session == supervisor && process.pid != supervisor);
        let mut left: Vec<Pid> = by_session.map(|process| process.pid).collect();
        left.extend(procs::with_environment(&mark));
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for &pid in &left {
            procs::kill(pid, SIGKILL);
        }
        for &pid in &left {
            adopt_and_reap(pid);
        }
    }
}
