//! A page that supervisor, user process, snapshots and their forked children share.
//!
//! A dying process cannot send a message. It leaves details of its end (the panic, the faulting
//! address) here, and the supervisor reads them after it has noticed the death; until then the
//! supervisor only reads counters.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::time::Duration;

use crate::protocol::{Checkpoint, Frame, Place};
use crate::sys::sharing::map_shared;
use crate::sys::trap::Fault;

const PANIC_BYTES: usize = 8192;
/// Further calls are usually a recursion at the same place.
const N_FRAMES: usize = 128;

/// See the module's text. All atomics are relaxed: a message, a death or a write to a pipe always
/// lies between a write and the read that depends on it.
#[repr(C)]
pub struct Board {
    /// The process that runs cells. Written by that process when it starts or takes over; read by
    /// panic hooks and signal handlers, which also run in its forked children and must know the
    /// difference.
    user_pid: AtomicI32,
    /// A new snapshot's pid. Written by the intermediate process (see
    /// [`crate::runtime::snapshot`]), read by the user process.
    snapshot_pid: AtomicI32,
    /// How long the user process waited for its last snapshot. Written by it, read by the
    /// supervisor.
    snapshot_micros: AtomicU32,
    /// Whether the panic hook is installed. Written by the user process when it starts, read by the
    /// supervisor.
    has_hook: AtomicBool,
    /// The number of panics in the user process during this cell, including caught ones. Written by
    /// the user process.
    panics: AtomicU32,
    /// Whether the last panic has not been shown yet, because it may end the cell, whose error then
    /// shows it. Set by the user process's panic hook, taken by the hook and the supervisor.
    is_panic_held: AtomicBool,
    /// The number of panics in forked children of the user process during this cell. Written by the
    /// children.
    child_panics: AtomicU32,
    /// The signal of a fault, 0 if there was none. Written by the user process' signal handler.
    fault_signal: AtomicI32,
    fault_address: AtomicUsize,
    fault_is_overflow: AtomicBool,
    /// 0 off, 1 on, 2 automatic. Written by the supervisor, read by the user process.
    checkpoint: AtomicU8,
    checkpoint_limit_bytes: AtomicU64,
    /// `line column file_bytes` of the last panic. Written by the user process' panic hook.
    panic_place: [AtomicU32; 3],
    panic_text_bytes: AtomicU32,
    /// The file's name, then the message. Written by the hook while the user process is the only
    /// writer; read by the supervisor when the cell has ended.
    panic_text: UnsafeCell<[u8; PANIC_BYTES]>,
    /// The calls in cells that led to the last panic, and their number; each has the object in the
    /// upper half, the offset in the lower. Written by the hook, read by the supervisor when the
    /// cell has ended.
    n_frames: AtomicUsize,
    frames: [AtomicU64; N_FRAMES],
    /// The address range of the running cell's shared object. Written by the user process before it
    /// calls the cell, read by its panic hook.
    cell_object: [AtomicUsize; 2],
}

// SAFETY: all fields are atomic, except the panic's text: only the user process writes it, and a
// concurrent reader could only read garbled bytes, which are merely shown.
unsafe impl Sync for Board {}

impl Board {
    /// Maps a new board, which all processes forked from now on share.
    pub fn map() -> std::io::Result<&'static Board> {
        // SAFETY: zeroed fields are valid, and all are atomic except the text, for which the
        // accessing code states the conditions.
        unsafe { map_shared() }
    }

    /// Clears what the last cell left. Called by the supervisor while no cell runs.
    pub fn clear(&self) {
        self.panics.store(0, Ordering::Relaxed);
        self.child_panics.store(0, Ordering::Relaxed);
        self.fault_signal.store(0, Ordering::Relaxed);
        self.panic_text_bytes.store(0, Ordering::Relaxed);
        self.n_frames.store(0, Ordering::Relaxed);
        self.is_panic_held.store(false, Ordering::Relaxed);
    }

    /// Holds the last panic back until it is known whether the cell catches it.
    pub(super) fn hold_panic(&self) {
        self.is_panic_held.store(true, Ordering::Relaxed);
    }

    /// The message of a held panic, as the standard library would have shown it. Returned only
    /// once.
    pub fn take_held_panic(&self) -> Option<String> {
        let is_held = self.is_panic_held.swap(false, Ordering::Relaxed);
        let (message, place) = self.last_panic().filter(|_| is_held)?;
        Some(match place.file.as_str() {
            // A panic in a closure that an earlier cell made has no location.
            "" => format!("thread 'main' panicked: {message}\n"),
            _ => format!("thread 'main' panicked at {place}:\n{message}\n"),
        })
    }

    /// Makes this process the one that runs cells.
    pub fn become_user(&self) {
        self.user_pid
            .store(std::process::id() as i32, Ordering::Relaxed);
    }

    /// Whether this process is the one that runs cells, not a child that it forked.
    pub fn is_user(&self) -> bool {
        self.user_pid.load(Ordering::Relaxed) == std::process::id() as i32
    }

    pub(super) fn hook_is_installed(&self) {
        self.has_hook.store(true, Ordering::Relaxed);
    }

    /// Whether panics are counted here.
    pub fn has_hook(&self) -> bool {
        self.has_hook.load(Ordering::Relaxed)
    }

    /// The policy in force.
    pub fn checkpoint(&self) -> Checkpoint {
        match self.checkpoint.load(Ordering::Relaxed) {
            0 => Checkpoint::Off,
            1 => Checkpoint::On,
            _ => Checkpoint::Auto {
                limit_bytes: self.checkpoint_limit_bytes.load(Ordering::Relaxed),
            },
        }
    }

    /// Puts a policy in force.
    pub fn set_checkpoint(&self, policy: Checkpoint) {
        let (mode, limit_bytes) = match policy {
            Checkpoint::Off => (0, 0),
            Checkpoint::On => (1, 0),
            Checkpoint::Auto { limit_bytes } => (2, limit_bytes),
        };
        self.checkpoint_limit_bytes
            .store(limit_bytes, Ordering::Relaxed);
        self.checkpoint.store(mode, Ordering::Relaxed);
    }

    pub(super) fn announce_snapshot(&self, pid: i32) {
        self.snapshot_pid.store(pid, Ordering::Relaxed);
    }

    pub(super) fn announced_snapshot(&self) -> i32 {
        self.snapshot_pid.swap(0, Ordering::Relaxed)
    }

    pub(super) fn note_snapshot_took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.snapshot_micros.store(micros, Ordering::Relaxed);
    }

    /// How long the last snapshot delayed the user process.
    pub fn snapshot_micros(&self) -> u32 {
        self.snapshot_micros.load(Ordering::Relaxed)
    }

    /// Sets the address range of the next cell's shared object.
    pub(super) fn set_cell_object(&self, object: &Range<usize>) {
        self.cell_object[0].store(object.start, Ordering::Relaxed);
        self.cell_object[1].store(object.end, Ordering::Relaxed);
    }

    pub(super) fn cell_object(&self) -> Range<usize> {
        let [start, end] = &self.cell_object;
        start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)
    }

    /// Records a panic and the calls in cells that led to it. Called by the panic hook.
    pub(super) fn note_panic(
        &self,
        message: &[u8],
        (file, line, column): (&[u8], u32, u32),
        frames: impl Iterator<Item = Frame>,
    ) {
        if !self.is_user() {
            self.child_panics.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = self.panics.fetch_add(1, Ordering::Relaxed) == 0;
        // If a panic leaves a function that cannot unwind, the second panic's message says less
        // than the first.
        if !first && message == b"panic in a function that cannot unwind" {
            return;
        }
        let mut n_frames = 0;
        for (slot, frame) in self.frames.iter().zip(frames) {
            let packed = u64::from(frame.object) << 32 | u64::from(frame.offset);
            slot.store(packed, Ordering::Relaxed);
            n_frames += 1;
        }
        self.n_frames.store(n_frames, Ordering::Relaxed);
        let file = &file[..file.len().min(1024)];
        let message = &message[..message.len().min(PANIC_BYTES - file.len())];
        for (field, value) in self
            .panic_place
            .iter()
            .zip([line, column, file.len() as u32])
        {
            field.store(value, Ordering::Relaxed);
        }
        // SAFETY: only the user process writes here, from the hook, which std serialises only per
        // thread: two threads that panic at once may mix their bytes, which are plain bytes and
        // only shown. The two lengths together are at most PANIC_BYTES.
        unsafe {
            let text = self.panic_text.get().cast::<u8>();
            std::ptr::copy_nonoverlapping(file.as_ptr(), text, file.len());
            std::ptr::copy_nonoverlapping(message.as_ptr(), text.add(file.len()), message.len());
        }
        self.panic_text_bytes
            .store((file.len() + message.len()) as u32, Ordering::Relaxed);
    }

    /// The numbers of panics in this cell, in the user process and in its forked children.
    pub fn panics(&self) -> (u32, u32) {
        (
            self.panics.load(Ordering::Relaxed),
            self.child_panics.load(Ordering::Relaxed),
        )
    }

    /// The last panic's message and place. Called by the supervisor when the cell has ended.
    pub fn last_panic(&self) -> Option<(String, Place)> {
        let length = (self.panic_text_bytes.load(Ordering::Relaxed) as usize).min(PANIC_BYTES);
        if length == 0 {
            return None;
        }
        let mut text = vec![0; length];
        // SAFETY: `length` is at most PANIC_BYTES; a writer at the same time could only garble the
        // text.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.panic_text.get().cast::<u8>(),
                text.as_mut_ptr(),
                length,
            )
        };
        let [line, column, file_bytes] =
            [0, 1, 2].map(|at| self.panic_place[at].load(Ordering::Relaxed));
        let (file, message) = text.split_at((file_bytes as usize).min(length));
        let place = Place {
            file: String::from_utf8_lossy(file).into_owned(),
            line,
            column,
        };
        Some((String::from_utf8_lossy(message).into_owned(), place))
    }

    /// The calls in cells that led to the last panic, the innermost first. Called by the supervisor
    /// when the cell has ended.
    pub fn last_frames(&self) -> Vec<Frame> {
        let n_frames = self.n_frames.load(Ordering::Relaxed).min(N_FRAMES);
        let unpacked = |frame: &AtomicU64| {
            let packed = frame.load(Ordering::Relaxed);
            Frame {
                object: (packed >> 32) as u32,
                offset: packed as u32,
            }
        };
        self.frames[..n_frames].iter().map(unpacked).collect()
    }

    /// Records a fault. Called by a signal handler, so it only stores numbers.
    pub(super) fn note_fault(&self, fault: Fault) {
        self.fault_address.store(fault.address, Ordering::Relaxed);
        self.fault_is_overflow
            .store(fault.is_overflow, Ordering::Relaxed);
        self.fault_signal.store(fault.signal, Ordering::Relaxed);
    }

    /// The fault that ended the user process, if one did.
    pub fn fault(&self) -> Option<Fault> {
        let signal = self.fault_signal.load(Ordering::Relaxed);
        (signal != 0).then(|| Fault {
            signal,
            address: self.fault_address.load(Ordering::Relaxed),
            is_overflow: self.fault_is_overflow.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_can_be_read_back_and_is_cut_where_it_is_long() {
        let board = Board::map().unwrap();
        board.become_user();
        assert_eq!(board.last_panic(), None);
        let none = std::iter::empty::<Frame>;
        let frames = (1..).map(|object| Frame { object, offset: 9 });
        board.note_panic("größe".as_bytes(), (b"src/lib.rs", 3, 9), frames);
        let place = Place {
            file: "src/lib.rs".to_owned(),
            line: 3,
            column: 9,
        };
        assert_eq!(board.last_panic(), Some(("größe".to_owned(), place)));
        let second = b"panic in a function that cannot unwind";
        board.note_panic(second, (b"core", 1, 1), none());
        assert_eq!(board.last_panic().unwrap().0, "größe");
        let frames = board.last_frames();
        assert_eq!(frames.len(), N_FRAMES);
        assert_eq!((frames[1].object, frames[1].offset), (2, 9));
        board.note_panic(&vec![b'x'; 2 * PANIC_BYTES], (b"a", 1, 1), none());
        assert_eq!(board.last_frames(), []);
        assert_eq!(board.last_panic().unwrap().0.len(), PANIC_BYTES - 1);
        assert_eq!(board.panics(), (3, 0));
        board.clear();
        assert_eq!((board.last_panic(), board.panics()), (None, (0, 0)));
        board.note_panic(b"caught", (b"src/lib.rs", 1, 1), none());
        assert_eq!(board.take_held_panic(), None);
        board.hold_panic();
        let held = board.take_held_panic().unwrap();
        assert_eq!(held, "thread 'main' panicked at src/lib.rs:1:1:\ncaught\n");
        assert_eq!(board.take_held_panic(), None);
    }

    #[test]
    fn policies_travel() {
        let board = Board::map().unwrap();
        for policy in [
            Checkpoint::On,
            Checkpoint::Off,
            Checkpoint::Auto { limit_bytes: 7 },
        ] {
            board.set_checkpoint(policy);
            assert_eq!(board.checkpoint(), policy);
        }
    }
}
