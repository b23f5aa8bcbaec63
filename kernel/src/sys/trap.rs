//! Faults of this process's own instructions, reported to a callback before they take effect.
//!
//! To the OS, a stack overflow is a SIGSEGV like any other. Its address, just below the stack,
//! identifies it, and its handler needs a separate stack.

use std::sync::OnceLock;

use super::signals::{SIGBUS, SIGFPE, SIGILL, SIGSEGV};

/// Signals that instructions raise.
const FAULTS: [i32; 4] = [SIGSEGV, SIGBUS, SIGILL, SIGFPE];
const HANDLER_STACK_BYTES: usize = 64 * 1024;
/// Linux keeps a gap of 1 MiB free below a stack that grows, and a large frame may skip over some
/// pages.
const REACH_BYTES: usize = 2 * 1024 * 1024;
const SLACK_BYTES: usize = 64 * 1024;

/// A fault, as seen by a signal handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: i32,
    /// The accessed address.
    pub address: usize,
    /// Whether it lies just below the stack.
    pub is_overflow: bool,
}

/// Records a fault. It runs in a signal handler, and does only what signal-safety(7) allows.
pub(crate) type Note = fn(Fault);

/// What a handler needs; a static is its only access. Written once, before the handlers are
/// installed.
static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    note: Note,
    stack_low: Option<usize>,
}

/// Watches for faults, with a stack for the handlers, on the calling thread. Only the first call
/// counts.
///
/// # Safety
///
/// `note` does only what signal-safety(7) allows.
pub(crate) unsafe fn watch(note: Note) {
    let stack_low = stack_low();
    if WATCH.set(Watch { note, stack_low }).is_err() {
        return;
    }
    let stack = Box::leak(vec![0_u8; HANDLER_STACK_BYTES].into_boxed_slice());
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: HANDLER_STACK_BYTES,
    };
    // SAFETY: the stack is leaked, so it outlives every signal; the handler only does what
    // signal-safety(7) allows.
    unsafe {
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        for signal in FAULTS {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the OS passes a valid pointer.
    let was_sent = unsafe { (*info).si_code } <= 0;
    // A sent signal has its sender where a fault has its address.
    if let (Some(watch), false) = (WATCH.get(), was_sent) {
        // SAFETY: with SA_SIGINFO the OS passes valid pointers.
        let (address, stack_pointer) =
            unsafe { ((*info).si_addr() as usize, stack_pointer(context)) };
        let is_below = |low| is_below(address, low) || is_below(stack_pointer, low);
        (watch.note)(Fault {
            signal,
            address,
            is_overflow: signal == SIGSEGV && watch.stack_low.is_some_and(is_below),
        });
    }
    // The default action reports the real signal to the parent. It takes effect when the
    // instruction runs again; a signal that was sent and not raised must be sent again. SAFETY:
    // both calls are on signal-safety(7)'s list.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn is_below(address: usize, low: usize) -> bool {
    (low.saturating_sub(REACH_BYTES)..low + SLACK_BYTES).contains(&address)
}

/// The lowest address of the calling thread's stack.
fn stack_low() -> Option<usize> {
    // SAFETY: the attributes are initialised by the first call, read by the second and destroyed by
    // the third.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        let failed =
            libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (failed == 0).then_some(low as usize)
    }
}

/// # Safety
///
/// `context` is what the OS passed to a handler with SA_SIGINFO.
unsafe fn stack_pointer(context: *mut libc::c_void) -> usize {
    // SAFETY: the caller's promise.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    return context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    return context.uc_mcontext.sp as usize;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return std::ptr::from_ref(context) as usize;
}
