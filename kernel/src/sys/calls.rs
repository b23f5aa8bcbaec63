//! The call stack of a thread.

use std::ffi::{c_int, c_void};

// From the unwinder that std and the cells are linked with.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
}

/// Continue with the next frame.
const GO_ON: c_int = 0;
/// Stop: there is no room for another frame.
const STOP: c_int = 5;

/// Calls, the innermost first.
struct Found<'a> {
    addresses: &'a mut [usize],
    n: usize,
}

/// Fills `addresses` with the addresses of this thread's calls, the innermost first, and returns
/// their number. Allocates nothing. Each address is inside the call instruction, not after it.
pub(crate) fn addresses(addresses: &mut [usize]) -> usize {
    let mut found = Found { addresses, n: 0 };
    // SAFETY: `visit` gets the pointer passed here, whose target outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut found).cast()) };
    found.n
}

extern "C" fn visit(frame: *mut c_void, found: *mut c_void) -> c_int {
    // SAFETY: the unwinder calls this with its own frame, and with the pointer from `addresses`,
    // whose target nothing else uses in the meantime.
    let (address, found) = unsafe { (_Unwind_GetIP(frame), &mut *found.cast::<Found<'_>>()) };
    if address == 0 {
        // The stack's outermost end.
        return GO_ON;
    }
    match found.addresses.get_mut(found.n) {
        Some(slot) => *slot = address - 1,
        None => return STOP,
    }
    found.n += 1;
    GO_ON
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn deep(n: usize, room: &mut [usize]) -> usize {
        match n {
            0 => addresses(room),
            // Using the result prevents the compiler from turning this into a loop.
            _ => std::hint::black_box(deep(n - 1, room)),
        }
    }

    #[test]
    fn calls_are_found_from_the_innermost_as_far_as_there_is_room() {
        let mut room = [0; 64];
        let n = deep(5, &mut room);
        assert!((6..=64).contains(&n), "{n}");
        assert!(room[..n].iter().all(|address| *address > 0));
        // The recursion's calls are all at the same address.
        let again = room[..n].windows(2).filter(|pair| pair[0] == pair[1]);
        assert!(again.count() >= 4, "{room:x?}");
        assert_eq!(deep(100, &mut room), 64);
        assert_eq!(deep(5, &mut []), 0);
    }
}
