//! A closure in a child process, and its value back.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Cause, Result, TaskError};
use crate::shared::heap::{Heap, Offset};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::child::{self, Ended, Side};
use crate::wire;

use super::fork::Child;

/// A closure that runs in a forked process and whose value comes back.
///
/// The closure may use everything that the parent has: the child inherits a copy. Its value comes
/// back through shared memory, so however the child ends, nobody waits for a pipe that some other
/// process still holds. Dropping the handle kills the child.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = vec![1u64, 2, 3];
/// let child = forklore::Process::spawn(|| numbers.iter().sum::<u64>())?;
/// assert_eq!(child.join()?, 6);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Process<T> {
    child: Child,
    heap: Heap,
    value: PhantomData<fn() -> T>,
}

/// The word at the start of the shared memory: where the outcome is, 0 until it is complete. The
/// child stores it with release, the parent loads it with acquire after the child's end.
type Answer = AtomicU64;

impl<T: Serialize + DeserializeOwned> Process<T> {
    /// Forks a child that runs `f`.
    ///
    /// # Errors
    /// As [`fork`](super::fork).
    ///
    /// # Fork safety
    /// A panic in `f` ends the child's closure and becomes the error of [`join`](Process::join).
    pub fn spawn(f: impl FnOnce() -> T) -> Result<Process<T>> {
        let heap = Heap::new(size_of::<Answer>())?;
        match child::fork()? {
            Side::Child => {
                let code = match catch_unwind(AssertUnwindSafe(|| answer(&heap, f))) {
                    Ok(Ok(())) => 0,
                    Ok(Err(_)) | Err(_) => 1,
                };
                child::exit_now(code)
            }
            Side::Parent(pid) => Ok(Process {
                child: Child::of(pid),
                heap,
                value: PhantomData,
            }),
        }
    }

    /// Waits until the child has ended, and takes its value.
    ///
    /// # Errors
    /// `is_panicked()`, `is_died()` (with the signal or the exit code), `is_encode()`,
    /// `is_decode()`.
    pub fn join(mut self) -> std::result::Result<T, TaskError> {
        let ended = self.child.reap();
        let fail = |cause| TaskError::new(None, Some(self.child.pid()), cause);
        match answer_word(&self.heap).load(Ordering::Acquire) {
            0 => Err(fail(match ended {
                Ended::Exited(code) => Cause::Exited { code },
                Ended::Signalled(signal) => Cause::Signalled { signal },
                Ended::Unknown => Cause::Vanished,
            })),
            place => match read(&self.heap, place) {
                [CAUSE, cause @ ..] => Err(fail(
                    wire::decode(cause).unwrap_or_else(|error| Cause::Decode(error.to_string())),
                )),
                [_, value @ ..] => {
                    wire::decode(value).map_err(|error| fail(Cause::Decode(error.to_string())))
                }
                [] => Err(fail(Cause::Vanished)),
            },
        }
    }
}

impl<T> Process<T> {
    /// The child's process id.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Whether the child still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.is_alive()
    }

    /// Asks the child to end (`SIGTERM`).
    pub fn terminate(&mut self) {
        self.child.terminate();
    }

    /// Ends the child at once (`SIGKILL`).
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

/// Runs the closure in the child and commits what became of it: a byte that says whether it is a
/// value or a cause, and that, encoded.
fn answer<T: Serialize>(heap: &Heap, f: impl FnOnce() -> T) -> Result<()> {
    let mut bytes = vec![VALUE];
    let failure = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => wire::encode(&value, &mut bytes)
            .err()
            .map(|error| Cause::Encode(error.to_string())),
        Err(payload) => Some(Cause::panicked(&*payload, String::new())),
    };
    if let Some(cause) = failure {
        bytes.clear();
        bytes.push(CAUSE);
        wire::encode(&cause, &mut bytes)?;
    }
    let place = heap.take(size_of::<u64>() + bytes.len())?;
    // SAFETY: the block was just taken with room for the length and the bytes.
    unsafe {
        let start = heap.at(place);
        start.cast::<u64>().write(bytes.len() as u64);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(size_of::<u64>()), bytes.len());
    }
    answer_word(heap).store(place, Ordering::Release);
    Ok(())
}

/// The answer's first byte: the closure's value follows.
const VALUE: u8 = 0;
/// The answer's first byte: why there is no value follows.
const CAUSE: u8 = 1;

fn read(heap: &Heap, place: Offset) -> &[u8] {
    // SAFETY: the child committed a length and as many bytes at this place, and has ended.
    unsafe {
        let start = heap.at(place).cast_const();
        let length = start.cast::<u64>().read();
        std::slice::from_raw_parts(start.add(size_of::<u64>()), length as usize)
    }
}

fn answer_word(heap: &Heap) -> &Answer {
    // SAFETY: the heap was made with room for the word, zeroed, at an aligned place.
    unsafe { &*heap.reserved().cast::<Answer>() }
}
