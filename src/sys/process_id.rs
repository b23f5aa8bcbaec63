//! This process's id, and the namespace that ids are of, for those who ask all the time.
//!
//! glibc asks the kernel each time since 2.25, which takes 200 ns, and a map asks at every step
//! whether the memory that it is about to use is still this process's. Here the number stands on a
//! page that the kernel wipes in every child, however it is forked (`MADV_WIPEONFORK`, Linux 4.14,
//! madvise(2)), so that each process asks once. Where the kernel knows no such pages, it is asked
//! each time.
//!
//! A process that shares its parent's memory, which has none of its own to look after, is told its
//! parent's number (vfork(2)).

use std::ptr::{self, NonNull};

use super::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What is noted on the page, each 0 before it was asked for.
#[repr(C)]
struct Note {
    id: AtomicU32,
    namespace: AtomicU32,
}

/// Where this process's id is noted; null before the first call. No thread waits for the one that
/// is first: it might be forked meanwhile, and never be done.
static NOTE: AtomicPtr<Note> = AtomicPtr::new(ptr::null_mut());
/// Stands for a page that the kernel does not wipe; always 0.
static NO_PAGE: Note = Note {
    id: AtomicU32::new(0),
    namespace: AtomicU32::new(0),
};
/// What the note lies on. The kernel rounds up to a page.
const PAGE_BYTES: usize = 1;

/// This process's number.
#[inline]
pub(crate) fn process_id() -> u32 {
    let note = note();
    match note.id.load(Ordering::Relaxed) {
        0 => ask(note),
        id => id,
    }
}

/// A number of the pid namespace of which this process's id is; `None` where it cannot be told.
#[inline]
pub(crate) fn pid_namespace() -> Option<u32> {
    let note = note();
    let namespace = match note.namespace.load(Ordering::Relaxed) {
        0 => ask_namespace(note),
        namespace => namespace,
    };
    (namespace != UNKNOWN).then_some(namespace)
}

/// The namespace where `/proc` does not tell.
const UNKNOWN: u32 = u32::MAX;

#[inline]
fn note() -> &'static Note {
    let note = NonNull::new(NOTE.load(Ordering::Acquire));
    // SAFETY: what is there lives as long as the process, and is never written but atomically.
    note.map_or_else(first_note, |note| unsafe { note.as_ref() })
}

/// Knows the process that made it from all that were forked since: what a task forks may return
/// from the task, and would go on as a second worker.
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
            // An older kernel's process cannot tell without asking, which is too dear after each
            // task.
            id: if ptr::eq(note, &NO_PAGE) { 0 } else { id },
        }
    }

    /// Whether this is that process. Costs a load.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.id
    }

    /// Ends a process that is another one.
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
    // Without a page, it would be asked each time.
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
    // Of two threads that are the first, one has mapped its page for nothing.
    let note = known.map_or_else(|known| known.cast_const(), |_| note);
    // SAFETY: it is a page that is never unmapped, zeroed and so a note, or the static.
    unsafe { &*note }
}

/// A page of zeros, which is one again in each child.
fn wiped_page() -> Option<NonNull<Note>> {
    /// An advice that there is not: a system that takes it would take any, and follow none.
    const NO_ADVICE: i32 = -1;
    if cfg!(miri) {
        // It has neither this advice nor forks.
        return None;
    }
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that exists, and
    // the advice is for that mapping alone.
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
        // SAFETY: the child reads and writes one word, asks the kernel, and ends.
        let code = match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let is_its_own = !origin.is_here()
                    && process_id() == std::process::id()
                    && !origin.is_here()
                    && pid_namespace() == namespace;
                // SAFETY: takes no memory of ours.
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
