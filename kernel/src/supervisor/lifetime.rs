//! How the supervisor detaches from the kernel, and what it does after the kernel's death.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys::signals::{SIGKILL, ignore_interrupts};
use crate::sys::{procs, this_process, variables};

/// Leaves the kernel's process group and session, adopts orphans, and receives signals.
pub(super) fn detach() -> io::Result<SignalFd> {
    this_process::lead_session();
    this_process::set_name(c"forklore-super");
    this_process::adopt_orphans()?;
    ignore_interrupts();
    let mut wanted = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGHUP] {
        wanted.add(signal);
    }
    wanted.thread_block()?;
    Ok(SignalFd::with_flags(
        &wanted,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Removes variables that are meant for this process, or for the compiler, before the user process
/// inherits them.
///
/// This includes `RUST_BACKTRACE`, which evcxr always sets: a cell has few frames and the kernel
/// many. A cell can set it itself.
pub(super) fn clean_environment() {
    let ours = [
        super::EVCXR_VARIABLE,
        super::SOCKET_VARIABLE,
        super::CHECKPOINT_VARIABLE,
        "RUST_BACKTRACE",
    ];
    let compiler = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str()
            .is_some_and(|name| name.starts_with("CARGO_PROFILE_DEV_"))
    });
    for name in compiler.chain(ours.map(Into::into)).collect::<Vec<_>>() {
        variables::set(name, None);
    }
    let pid = std::process::id().to_string();
    variables::set(super::KERNEL_VARIABLE, Some("1".as_ref()));
    variables::set(super::PID_VARIABLE, Some(pid.as_ref()));
}

/// Cleans up for a kernel that died: ends its compilers and removes its folder.
pub(super) fn clean_up_after_kernel() {
    let Some(folder) = std::env::var_os(super::FOLDER_VARIABLE) else {
        return;
    };
    let entry = format!("{}={}", super::FOLDER_VARIABLE, folder.to_string_lossy());
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = procs::with_environment(&entry);
        if left.is_empty() || Instant::now() > deadline {
            break;
        }
        for pid in left {
            procs::kill(pid, SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if std::env::var_os(super::OWNED_VARIABLE).is_some() {
        let _ = std::fs::remove_dir_all(folder);
    }
}
