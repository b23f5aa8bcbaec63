//! Cached `getpid()` and pid namespace.
//!
//! Since 2.25, glibc's `getpid` makes a system call, which takes 200 ns, and a map checks at every
//! step whether the memory that it is about to use still belongs to this process. Here the pid lies
//! on a page that Linux wipes in every child, however it is forked (`MADV_WIPEONFORK`, Linux 4.14,
//! madvise(2)), so that each process makes the call once. Without such pages, every call is a
//! system call.
//!
//! A process that shares its parent's memory (vfork(2)) has no memory of its own to protect; it
//! gets its parent's pid.

use std::ptr::{self, NonNull};

use super::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The cached values on the page, each 0 until first used.
#[repr(C)]
struct Note {
    id: AtomicU32,
    namespace: AtomicU32,
}

/// The page with this process's id; null before the first call. No thread waits for the first
/// caller: in a child that is forked in the meantime, that thread would never finish.
static NOTE: AtomicPtr<Note> = AtomicPtr::new(ptr::null_mut());
/// Stands in if Linux cannot wipe pages; always 0.
static NO_PAGE: Note = Note {
    id: AtomicU32::new(0),
    namespace: AtomicU32::new(0),
};
/// The size of the mapping, which Linux rounds up to a page.
const PAGE_BYTES: usize = 1;

/// This process's id.
#[inline]
pub(crate) fn process_id() -> u32 {
    let note = note();
    match note.id.load(Ordering::Relaxed) {
        0 => ask(note),
        id => id,
    }
}

/// A number for the pid namespace of this process's id; `None` if it is unknown.
#[inline]
pub(crate) fn pid_namespace() -> Option<u32> {
    let note = note();
    let namespace = match note.namespace.load(Ordering::Relaxed) {
        0 => ask_namespace(note),
        namespace => namespace,
    };
    (namespace != UNKNOWN).then_some(namespace)
}

/// The namespace if `/proc` does not say.
const UNKNOWN: u32 = u32::MAX;

#[inline]
fn note() -> &'static Note {
    let note = NonNull::new(NOTE.load(Ordering::Acquire));
    // SAFETY: the note lives as long as the process, and is only written atomically.
    note.map_or_else(first_note, |note| unsafe { note.as_ref() })
}

/// Distinguishes the process that made it from all that were forked since: a process that a task
/// forks may return from the task, and would continue as a second worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    word: &'static AtomicU32,
    id: u32,
}

impl Origin {
    pub(crate) fn here() -> Origin {
        let id = process_id();
        let note = note();
        Origin {
            word: &note.id,
            // Before Linux 4.14 this would take a system call, which is too expensive after each
            // task.
            id: if ptr::eq(note, &NO_PAGE) { 0 } else { id },
        }
    }

    /// Whether this is the process that made it. Costs one load.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.id
    }

    /// Ends the process if it is another one.
    #[inline]
    pub(crate) fn check(self) {
        if !self.is_here() {
            end_copy();
        }
    }
}

#[cold]
fn end_copy() -> ! {
    super::child::exit_now(0)
}

#[cold]
fn ask(note: &Note) -> u32 {
    let id = std::process::id();
    if !ptr::eq(note, &NO_PAGE) {
        note.id.store(id, Ordering::Relaxed);
    }
    id
}

#[cold]
fn ask_namespace(note: &Note) -> u32 {
    // Without a page, each check would take a system call.
    if ptr::eq(note, &NO_PAGE) {
        return UNKNOWN;
    }
    let namespace = nix::sys::stat::stat("/proc/self/ns/pid");
    let namespace = namespace.map_or(UNKNOWN, |file| file.st_ino as u32);
    note.namespace.store(namespace, Ordering::Relaxed);
    namespace
}

#[cold]
fn first_note() -> &'static Note {
    let note = wiped_page().map_or(&raw const NO_PAGE, |page| page.as_ptr().cast_const());
    let null = ptr::null_mut();
    let known = NOTE.compare_exchange(null, note.cast_mut(), Ordering::AcqRel, Ordering::Acquire);
    // If two threads are first at the same time, one of them has mapped its page for nothing.
    let note = known.map_or_else(|known| known.cast_const(), |_| note);
    // SAFETY: it is either a zeroed page that is never unmapped, and therefore a note, or the
    // static.
    unsafe { &*note }
}

/// A page of zeros, which is zeroed again in each child.
fn wiped_page() -> Option<NonNull<Note>> {
    /// An invalid advice: a system that accepts it would accept any advice, and follow none.
    const NO_ADVICE: i32 = -1;
    if cfg!(miri) {
        // Miri has neither this advice nor forks.
        return None;
    }
    // SAFETY: a new mapping at an address that Linux chooses touches no existing memory, and the
    // advice is for that mapping alone.
    unsafe {
        let page = libc::mmap(
            ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page == libc::MAP_FAILED {
            return None;
        }
        let is_wiped = libc::madvise(page, PAGE_BYTES, NO_ADVICE) != 0
            && libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK) == 0;
        if !is_wiped {
            libc::munmap(page, PAGE_BYTES);
        }
        NonNull::new(page.cast()).filter(|_| is_wiped)
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    #[test]
    fn a_child_has_a_number_of_its_own() {
        let namespace = pid_namespace();
        assert_eq!(process_id(), std::process::id());
        let origin = Origin::here();
        assert!(origin.is_here());
        // SAFETY: the child reads and writes one word, makes a system call, and exits.
        let code = match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let is_its_own = !origin.is_here()
                    && process_id() == std::process::id()
                    && !origin.is_here()
                    && pid_namespace() == namespace;
                // SAFETY: uses no memory of ours.
                unsafe { libc::_exit(i32::from(!is_its_own)) }
            }
            ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        };
        assert!(matches!(code, WaitStatus::Exited(_, 0)), "{code:?}");
        assert_eq!(process_id(), std::process::id());
    }

    #[test]
    fn without_a_page_the_kernel_is_asked_each_time() {
        assert_eq!(ask(&NO_PAGE), std::process::id());
        assert_eq!(NO_PAGE.id.load(Ordering::Relaxed), 0);
    }
}
