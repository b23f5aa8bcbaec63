//! Ends the kernel for reasons other than a request: signals, and Jupyter's death.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::getppid;
use tokio::signal::unix::{SignalKind, signal};

use super::control;
use super::log::log;
use super::shared::{Shared, Stop};
use crate::sys::procs;

/// If the kernel cannot be notified of Jupyter's end, it checks at this interval.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts watching.
pub(super) fn watch(shared: Arc<Shared>) {
    tokio::spawn(interrupts(shared.clone()));
    for (kind, name) in [
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::quit(), "SIGQUIT"),
    ] {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Ok(mut signals) = signal(kind) {
                signals.recv().await;
                let _ = shared.stop.send(Stop::Alone(name)).await;
            }
        });
    }
    if let Some(pid) = jupyter_pid() {
        let stop = shared.stop.clone();
        std::thread::spawn(move || {
            wait_for_end(pid);
            let _ = stop.blocking_send(Stop::Alone("Jupyter, which started it, has gone"));
        });
    }
}

/// A SIGINT interrupts the cell, and never ends the kernel.
async fn interrupts(shared: Arc<Shared>) {
    let Ok(mut signals) = signal(SignalKind::interrupt()) else {
        return;
    };
    while signals.recv().await.is_some() {
        control::interrupt(&shared).await;
    }
}

/// The process that started the kernel, if it has passed its pid.
fn jupyter_pid() -> Option<i32> {
    let pid = std::env::var("JPY_PARENT_PID").ok()?.parse().ok()?;
    // A pid of 1 means nothing, and one from another container does not exist here.
    (pid > 1).then_some(pid)
}

/// Returns when process `pid` has ended.
fn wait_for_end(pid: i32) {
    if let Some(process) = procs::descriptor_of(pid) {
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        while poll(&mut fds, PollTimeout::NONE).is_err() {}
        return;
    }
    // No pidfd: an old kernel, or no such process. When the parent dies, this process gets a new
    // one.
    log(format_args!(
        "process {pid} cannot be watched; its death will be noticed within a second"
    ));
    let parent = getppid();
    while getppid() == parent {
        std::thread::sleep(LOOK_EVERY);
    }
}
