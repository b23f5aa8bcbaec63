//! Fork, and both of its sides: the child and its parent.

use std::ffi::CStr;
use std::fmt;
use std::io::Write;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid};

use super::{leash, thread};
use crate::error::{Error, Result, signal_name};

/// The number of this process's threads, or 2 if it is only known that there are several.
pub(crate) fn n_threads() -> usize {
    // In a process with one thread this call changes nothing, and in any other it fails
    // (unshare(2)). SAFETY: the call takes a number, and changes nothing.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return 1;
    }
    let is_refused = Errno::last() == Errno::EINVAL;
    // `/proc/self/task` has a folder for each thread, so it has one link for itself, one for its
    // parent, and one for each thread.
    match nix::sys::stat::stat("/proc/self/task") {
        Ok(folder) => (folder.st_nlink as usize).max(3) - 2,
        Err(_) if is_refused => 2,
        Err(_) => 1,
    }
}

/// The number of this process's threads, without those that were just joined: `join` returns before
/// the OS has removed the thread.
fn n_threads_settled() -> usize {
    let deadline = Instant::now() + Duration::from_millis(5);
    loop {
        let n = n_threads();
        if n == 1 || Instant::now() >= deadline {
            return n;
        }
        std::thread::yield_now();
    }
}

/// Whether this process may be forked, as far as its threads are concerned. Returns at once if
/// another thread sleeps, as is usual in a program with threads, because such a thread is not about
/// to end.
pub(crate) fn is_alone() -> bool {
    n_threads() == 1 || (!thread::another_sleeps() && is_alone_in_the_end())
}

/// As [`is_alone`], but always waits for threads that may be about to end.
pub(crate) fn is_alone_in_the_end() -> bool {
    n_threads_settled() == 1
}

/// Which side of a fork this is.
pub(crate) enum Side {
    /// The calling process, with the child's pid.
    Parent(i32),
    /// The new process, with the guard that keeps it in its branch.
    Child(Branch),
}

/// Held by a child for as long as it lives. Dropping it ends the process, so a child never returns
/// or unwinds into its parent's code, whichever way it leaves.
#[derive(Debug)]
pub(crate) struct Branch {
    _private: (),
}

/// The exit code of a child whose branch panicked: that of a program whose `main` panics.
const PANICKED: i32 = 101;

impl Branch {
    /// The branch of a process that was started for the code that follows, but not by [`fork`].
    pub(crate) fn enter() -> Branch {
        Branch { _private: () }
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        exit_now(if std::thread::panicking() {
            PANICKED
        } else {
            0
        })
    }
}

/// Forks, if this process has one thread only. The child dies with its parent.
///
/// A second thread could hold any lock at the moment of the fork (the allocator's, `stdout`'s), and
/// in the child no thread would ever unlock it: 185 of 200 forks hung when the child printed while
/// another thread printed. With one thread there is no such moment, so this call is safe.
pub(crate) fn fork() -> Result<Side> {
    Forks::begin()?.fork()
}

/// A series of forks, with no output in between.
///
/// After a fork, the first write to each page copies it, which takes 3.5 µs. So everything that can
/// be done once is done before the first fork, not between two.
pub(crate) struct Forks {
    parent: Pid,
}

impl Forks {
    /// Prepares for forks.
    ///
    /// # Errors
    /// `is_multi_threaded()`.
    pub(crate) fn begin() -> Result<Forks> {
        check_alone()?;
        // Buffered output would otherwise be printed twice.
        flush();
        Ok(Forks {
            parent: nix::unistd::getpid(),
        })
    }

    /// As [`fork`].
    pub(crate) fn fork(&self) -> Result<Side> {
        check_alone()?;
        // SAFETY: this is the process's only thread, so the child's memory is in the same state as
        // the parent's after an ordinary call.
        match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Parent { child }) => Ok(Side::Parent(child.as_raw())),
            Ok(ForkResult::Child) => {
                // First: the following calls may already end this process.
                let branch = Branch::enter();
                die_with(self.parent);
                skip_inherited_exit_handlers();
                Ok(Side::Child(branch))
            }
            Err(errno) => Err(not_forked(errno)),
        }
    }
}

fn check_alone() -> Result<()> {
    match n_threads_settled() {
        0 | 1 => Ok(()),
        n_threads => Err(Error::multi_threaded(n_threads)),
    }
}

fn not_forked(errno: Errno) -> Error {
    let reason = match errno {
        Errno::ENOMEM if has_children_elsewhere() => {
            "cannot fork a process: the PID namespace that this process has made with unshare has lost its first \
             process, or the memory is full"
        }
        _ => "cannot fork a process (see ulimit -u, and the memory that is left)",
    };
    Error::os(reason, errno.into())
}

/// Whether this process's children live in another PID namespace than itself (unshare(2),
/// `CLONE_NEWPID`).
pub(crate) fn has_children_elsewhere() -> bool {
    let namespace = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    match (namespace("pid"), namespace("pid_for_children")) {
        (Some(own), Some(theirs)) => own != theirs,
        // Before the first child exists, the new namespace cannot be read.
        (Some(_), None) => std::fs::symlink_metadata("/proc/self/ns/pid_for_children").is_ok(),
        _ => false,
    }
}

/// Asks Linux to kill this process when its parent dies, and exits if that has already happened.
pub(crate) fn die_with(parent: Pid) {
    rearm();
    check_parent(parent);
}

/// Ends this process if its parent has died.
pub(crate) fn check_parent(parent: Pid) {
    let now = nix::unistd::getppid();
    // A parent outside of this process's PID namespace has no pid here (pid_namespaces(7)).
    if now != parent && now.as_raw() != 0 {
        exit_now(1);
    }
}

/// Asks Linux again to kill this process when its parent dies: Linux forgets that when a process's
/// credentials change, even there and back (prctl(2), `PR_SET_PDEATHSIG`).
pub(crate) fn rearm() {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Gives this process a name for `ps` and `top`, of at most 15 bytes.
pub(crate) fn name_process(name: &CStr) {
    let _ = nix::sys::prctl::set_name(name);
}

/// Makes an inherited file close when this process starts another program.
pub(crate) fn keep_from_programs(fd: RawFd) {
    // SAFETY: the call takes numbers, and changes a property of this descriptor only.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Ends the process without running its parent's destructors or `atexit` handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    if n_threads() == 1 {
        flush();
    } else {
        flush_in_time();
    }
    // SAFETY: `_exit` uses no memory of ours.
    unsafe { libc::_exit(code) }
}

/// How long an exiting process waits for the lock of its standard output, which a thread that a
/// task left behind may hold forever.
const FLUSHED_WITHIN: Duration = Duration::from_millis(300);

/// Flushes buffered output, including C code's.
fn flush() {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    flush_c_streams();
}

/// Flushes the C library's buffered output.
fn flush_c_streams() {
    // SAFETY: null stands for all streams that have something to write (fflush(3)).
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// As [`flush_c_streams`], if the process has one thread: another could hold a stream's lock
/// forever. With nothing to write, it takes 0.2 µs, mostly for the number of threads.
pub(crate) fn flush_c_streams_if_alone() {
    if n_threads() == 1 {
        flush_c_streams();
    }
}

/// As [`flush`], in a process with other threads. The standard library cannot try the lock, so an
/// additional thread waits for it, perhaps in vain.
fn flush_in_time() {
    let (done, is_done) = std::sync::mpsc::channel();
    let flusher = std::thread::Builder::new().spawn(move || {
        flush();
        let _ = done.send(());
    });
    if flusher.is_ok() {
        let _ = is_done.recv_timeout(FLUSHED_WITHIN);
    }
}

/// Makes `exit` in a forked child end the process without its parent's exit handlers: handlers run
/// in reverse order (exit(3)), and this is the first of the child's. Handlers that the child
/// registers later do run.
#[cfg(target_env = "gnu")]
fn skip_inherited_exit_handlers() {
    unsafe extern "C" {
        fn on_exit(
            handler: extern "C" fn(libc::c_int, *mut libc::c_void),
            argument: *mut libc::c_void,
        ) -> libc::c_int;
    }
    extern "C" fn end(status: libc::c_int, _: *mut libc::c_void) {
        // SAFETY: null stands for all of the C library's streams. `_exit` uses no memory of ours.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(status)
        }
    }
    // SAFETY: the handler has the documented signature, and uses no memory.
    unsafe { on_exit(end, std::ptr::null_mut()) };
}

/// In other C libraries, handlers do not get the exit status, so they cannot end the process with
/// it.
#[cfg(not(target_env = "gnu"))]
fn skip_inherited_exit_handlers() {}

/// Lets `SIGTERM` end this process, however its parent handles the signal.
pub(crate) fn heed_termination() {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: there is no handler that could run.
    let _ = unsafe { signal::sigaction(Signal::SIGTERM, &action) };
    let _ = SigSet::from(Signal::SIGTERM).thread_unblock();
}

/// Makes this process ignore interrupts: its parent decides what they mean.
///
/// It sets an empty handler, not `SIG_IGN`, which programs started from here would inherit.
pub(crate) fn pass_interrupts() {
    pass(Signal::SIGINT);
}

/// Makes this process ignore a request to end, because it ends by itself when it has done what is
/// left to do.
#[cfg(feature = "cluster")]
pub(crate) fn pass_requests_to_end() {
    pass(Signal::SIGTERM);
}

fn pass(signal: Signal) {
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which is safe at any moment.
    let _ = unsafe { signal::sigaction(signal, &action) };
    // In a launched process the signal is blocked until here.
    let _ = SigSet::from(signal).thread_unblock();
}

/// Ensures that this process's children wait to be reaped: a program that ignores `SIGCHLD` passes
/// that on to programs that it starts.
pub(crate) fn keep_zombies() {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: there is no handler that could run.
    let _ = unsafe { signal::sigaction(Signal::SIGCHLD, &action) };
}

/// Lets the end of a child interrupt this process's sleep.
#[cfg(feature = "cluster")]
pub(crate) fn wake_for_children() {
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_NOCLDSTOP,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, which is safe at any moment.
    let _ = unsafe { signal::sigaction(Signal::SIGCHLD, &action) };
}

/// Makes this process's children leave no zombies.
pub(crate) fn leave_no_zombies() {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: there is no handler that could run.
    let _ = unsafe { signal::sigaction(Signal::SIGCHLD, &action) };
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// Other code in this process took its status (`SIGCHLD` ignored, or a handler that waits for
    /// every child).
    Unknown,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exited(code) => write!(f, "exited with code {code}"),
            Ended::Signalled(signal) => {
                write!(f, "was ended by signal {signal} ({})", signal_name(*signal))
            }
            Ended::Unknown => f.write_str("died"),
        }
    }
}

/// Reaps a child if it has ended; `None` while it runs.
pub(crate) fn try_reap(pid: i32) -> Option<Ended> {
    reap_with(pid, WaitPidFlag::WNOHANG)
}

/// How a child is ending, which Linux knows before it has freed the child's memory and lets it be
/// reaped; `None` if it is not known yet.
///
/// `/proc/PID/stat` ends with the exit status (proc(5), field 52, shown to a process that may
/// trace the child).
pub(crate) fn peek_ending(pid: i32) -> Option<Ended> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status: i32 = stat.trim_end().rsplit(' ').next()?.parse().ok()?;
    match (status & 0x7f, status >> 8) {
        // Either still running or about to exit with 0: too early to tell.
        (0, 0) => None,
        (0, code) => Some(Ended::Exited(code)),
        (signal, _) => Some(Ended::Signalled(signal)),
    }
}

/// Whether a process is stopped, or has ended.
pub(crate) fn is_stopped(pid: i32) -> bool {
    state(pid).is_none_or(|state| "TtZX".contains(state))
}

/// As [`is_stopped`]; false if `/proc` does not say.
pub(crate) fn is_known_to_be_stopped(pid: i32) -> bool {
    state(pid).is_some_and(|state| "TtZX".contains(state))
}

/// How long a process may take to stop. One that does not stop because it sleeps in a system call
/// is still making the same call.
const STOPS_WITHIN: Duration = Duration::from_millis(50);

/// Stops a process, and waits until it has stopped or ended, if it does so soon.
pub(crate) fn stop(pid: i32) {
    kill(pid, Signal::SIGSTOP);
    let deadline = Instant::now() + STOPS_WITHIN;
    while !is_stopped(pid) && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// Whether a process has ended; it may wait to be reaped.
pub(crate) fn has_ended(pid: i32) -> bool {
    state(pid).is_none_or(|state| "ZX".contains(state))
}

/// Whether a process has ended and waits to be reaped; false if `/proc` does not say.
pub(crate) fn is_zombie(pid: i32) -> bool {
    state(pid).is_some_and(|state| "ZX".contains(state))
}

fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the name, which may contain any character (proc(5)).
    let (_, behind_name) = stat.rsplit_once(") ")?;
    behind_name.chars().next()
}

/// Waits until a child has ended, and reaps it.
pub(crate) fn reap(pid: i32) -> Ended {
    loop {
        if let Some(ended) = reap_with(pid, WaitPidFlag::empty()) {
            return ended;
        }
    }
}

/// Waits until a child has ended or `deadline` has passed, if there is one, and reaps it if it has
/// ended.
pub(crate) fn reap_before(pid: i32, deadline: Option<Instant>) -> Option<Ended> {
    reap_before_by(pid, deadline, || try_reap(pid))
}

/// As [`reap_before`], with `try_reap` to reap the child.
pub(crate) fn reap_before_by(
    pid: i32,
    deadline: Option<Instant>,
    mut try_reap: impl FnMut() -> Option<Ended>,
) -> Option<Ended> {
    let mut nap = Duration::from_micros(50);
    loop {
        if let Some(ended) = try_reap() {
            return Some(ended);
        }
        let left = deadline.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return None;
        }
        wait_for_exit(pid, left, &mut nap);
    }
}

/// Sleeps until the child has ended or the time is over; without pidfds (before Linux 5.3), it
/// polls.
fn wait_for_exit(pid: i32, left: Duration, nap: &mut Duration) {
    let Some(fd) = leash::pidfd(pid) else {
        std::thread::sleep((*nap).min(left));
        *nap = (*nap * 2).min(Duration::from_millis(5));
        return;
    };
    let mut fds = [nix::poll::PollFd::new(
        std::os::fd::AsFd::as_fd(&fd),
        nix::poll::PollFlags::POLLIN,
    )];
    let timeout = left.saturating_add(Duration::from_millis(1));
    let timeout = nix::poll::PollTimeout::try_from(timeout).unwrap_or(nix::poll::PollTimeout::MAX);
    let _ = nix::poll::poll(&mut fds, timeout);
}

fn reap_with(pid: i32, flags: WaitPidFlag) -> Option<Ended> {
    match waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | flags) {
        Ok(WaitStatus::Exited(_, code)) => Some(Ended::Exited(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Signalled(signal as i32)),
        Err(Errno::ECHILD) => Some(Ended::Unknown),
        Ok(_) | Err(_) => None,
    }
}

/// Sends a signal to our child, which is not reaped yet; false if this process may not.
pub(crate) fn kill(pid: i32, signal: Signal) -> bool {
    signal::kill(Pid::from_raw(pid), signal) != Err(Errno::EPERM)
}
