//! Distinguishes an abort for lack of memory from any other.
//!
//! When an allocation fails, Rust prints a message and aborts: on stable, none of our code runs in
//! between. Only the stack remains. Near its end is the address at which `abort` would return into
//! the part of std that handles such a failure, and no other stack contains that address. To learn
//! it, two children of this process abort, one of them by such a failure, and each lists its
//! callers: the first caller that the other lacks is the address.

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::c_void;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use super::atomic::{AtomicPtr, AtomicU32, Ordering};

/// How this process reports that it was refused memory; null if it does not.
static SHORTAGE: AtomicPtr<Report> = AtomicPtr::new(ptr::null_mut());

struct Report {
    /// Set to 1 before the process ends.
    word: *const AtomicU32,
    /// The address to which `abort` would return.
    caller: usize,
}

/// How much of the stack to search. `abort` itself takes about 600 bytes of it (glibc 2.28 to
/// 2.41); above its first function, every stack has more than this.
const LOOKED_AT_BYTES: usize = 2048;
/// The maximum number of callers that a child lists.
const MAX_CALLERS: usize = 64;

/// From now on, if this process aborts because it was refused memory, it first sets `word` to 1. A
/// child that this process forks reports in its place.
///
/// # Safety
/// The word lives as long as this process, which has one thread.
pub(crate) unsafe fn report(word: &AtomicU32) {
    // SAFETY: the process has one thread, as the caller says.
    let (refused, aborted) = unsafe {
        let refused = callers(|| handle_alloc_error(Layout::new::<u8>()));
        (refused, callers(|| std::process::abort()))
    };
    let Some(&caller) = refused.iter().find(|caller| !aborted.contains(caller)) else {
        return;
    };
    let report = Box::leak(Box::new(Report { word, caller }));
    SHORTAGE.store(report, Ordering::Release);
    let look = SigHandler::SigAction(look);
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESETHAND;
    let action = SigAction::new(look, flags, SigSet::empty());
    // SAFETY: the handler reads its own stack and stores to an atomic, which a signal handler may
    // do. When it returns, `abort` continues and ends the process by the signal.
    let _ = unsafe { sigaction(Signal::SIGABRT, &action) };
}

extern "C" fn look(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: null, or a report that was leaked.
    let Some(report) = (unsafe { SHORTAGE.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    // SAFETY: the OS passes the interrupted state, whose stack is larger than this.
    let stack = unsafe {
        let start = stack_pointer(&*context.cast::<libc::ucontext_t>());
        std::slice::from_raw_parts(start, LOOKED_AT_BYTES / size_of::<usize>())
    };
    if stack.contains(&report.caller) {
        // SAFETY: the word lives as long as the process, as the caller of `report` has promised.
        unsafe { &*report.word }.store(1, Ordering::Release);
    }
}

#[cfg(target_arch = "x86_64")]
fn stack_pointer(context: &libc::ucontext_t) -> *const usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as *const usize
}

#[cfg(target_arch = "aarch64")]
fn stack_pointer(context: &libc::ucontext_t) -> *const usize {
    context.uc_mcontext.sp as *const usize
}

/// The return addresses on the stack of a child that ends in an abort, innermost first.
///
/// # Safety
/// This process has one thread.
unsafe fn callers(end: fn() -> !) -> Vec<usize> {
    let Ok((reader, writer)) = pipe() else {
        return Vec::new();
    };
    // SAFETY: the process has one thread, as the caller says.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let list = SigHandler::Handler(list);
            let action = SigAction::new(list, SaFlags::empty(), SigSet::empty());
            // SAFETY: descriptors are numbers, and the handler ends this process, which has one
            // thread.
            unsafe {
                libc::dup2(writer.as_raw_fd(), libc::STDOUT_FILENO);
                // Printing to a full device fails: no text appears, and no time is spent on the
                // callers' names.
                let full = libc::open(c"/dev/full".as_ptr(), libc::O_WRONLY);
                libc::dup2(full, libc::STDERR_FILENO);
                let _ = sigaction(Signal::SIGABRT, &action);
            }
            end()
        }
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            let mut bytes = Vec::new();
            let _ = File::from(reader).read_to_end(&mut bytes);
            let _ = waitpid(child, None);
            let words = bytes.chunks_exact(size_of::<usize>());
            words
                .filter_map(|word| Some(usize::from_ne_bytes(word.try_into().ok()?)))
                .collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Writes this process's callers to its standard output, and exits.
extern "C" fn list(_: i32) {
    let mut callers = Callers {
        n: 0,
        addresses: [0; MAX_CALLERS],
    };
    // SAFETY: the visitor gets the list passed here, and the process exits here, so nothing unwinds
    // further.
    unsafe {
        _Unwind_Backtrace(visit, (&raw mut callers).cast());
        let n_bytes = callers.n * size_of::<usize>();
        libc::write(
            libc::STDOUT_FILENO,
            callers.addresses.as_ptr().cast(),
            n_bytes,
        );
        libc::_exit(0);
    }
}

struct Callers {
    n: usize,
    addresses: [usize; MAX_CALLERS],
}

extern "C" fn visit(context: *mut c_void, callers: *mut c_void) -> libc::c_int {
    // SAFETY: what `list` passes on.
    let callers = unsafe { &mut *callers.cast::<Callers>() };
    if let Some(address) = callers.addresses.get_mut(callers.n) {
        // SAFETY: the unwinder's own context.
        *address = unsafe { _Unwind_GetIP(context) };
        callers.n += 1;
    }
    0
}

// The unwinder of every Rust program's panics (Itanium C++ ABI, exception handling).
unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut c_void, *mut c_void) -> libc::c_int,
        argument: *mut c_void,
    ) -> libc::c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}
