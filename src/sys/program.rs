//! Other programs, as children that end with this process.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Starts a program in its own process group, so that it gets no interrupts from the terminal. It
/// gets `SIGTERM` when the calling thread ends. Its input and its standard error are pipes.
///
/// # Errors
/// If there is no such program, or if the OS allows no more processes.
pub(crate) fn start(
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> io::Result<Child> {
    let (program, arguments) = arguments.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // SAFETY: the closure calls nothing but prctl(2), which is safe after a fork.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?));
    }
    command.spawn()
}
