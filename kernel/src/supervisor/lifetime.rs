//! How the supervisor comes to stand on its own, and what it does when the kernel has gone before it.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys::procs;

/// Leaves the kernel's process group and session, and makes orphans and signals come here.
pub(super) fn detach() -> io::Result<SignalFd> {
    // SAFETY: all only change this process' own attributes.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"forklore-super".as_ptr());
        if libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
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

/// Takes out what is meant for this process, or for the compiler, before the user's process inherits it.
///
/// Also `RUST_BACKTRACE`, which evcxr always sets: the frames of a cell are few and those of the kernel many. A cell
/// can set it for itself.
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
        // SAFETY: the supervisor has one thread.
        unsafe { std::env::remove_var(name) };
    }
    // SAFETY: as above.
    unsafe {
        std::env::set_var(super::KERNEL_VARIABLE, "1");
        std::env::set_var(super::PID_VARIABLE, std::process::id().to_string());
    }
}

/// The kernel died and could not do it itself: ends its compilers and removes its folder.
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
            procs::kill(pid, libc::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if std::env::var_os(super::OWNED_VARIABLE).is_some() {
        let _ = std::fs::remove_dir_all(folder);
    }
}
