//! Runs a closure in a child process and returns its value.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught::{self, Payload};
use crate::error::{Cause, Error, Result, TaskError};
use crate::shared::heap::{Heap, Offset};
use crate::sys::Origin;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::child::{self, Ended, Side};
use crate::wire;

use super::fork::Child;

/// A closure that runs in a forked process, and whose value the parent receives.
///
/// The closure may use everything that the parent has: the child inherits a copy. Its value travels
/// through shared memory, so however the child ends, the parent never waits for a pipe that some
/// other process still holds. Dropping the handle kills the child.
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
#[must_use = "dropping it kills the child; `join` waits for its value"]
pub struct Process<T> {
    child: Child,
    heap: Heap,
    value: PhantomData<fn() -> T>,
}

/// The word at the start of the shared memory: the outcome's offset, 0 until it is complete. The
/// child stores it with release, the parent loads it with acquire after the child's end.
type ResultWord = AtomicU64;

/// A value takes at most half of the machine's memory, because the child has its own copy; so a
/// program may have thousands of processes.
const ADDRESSES_PART: usize = 16;

impl<T: Serialize + DeserializeOwned> Process<T> {
    /// Forks a child that runs `f`.
    ///
    /// # Errors
    /// As [`fork`](super::fork).
    ///
    /// # Fork safety
    /// A panic in `f`, or in its value's `Serialize`, ends the child's closure and becomes the
    /// error of [`join`](Process::join). The value is sent before it is dropped in the child, so a
    /// panic of its destructor is printed and changes nothing. `SIGTERM` ends the child, even if
    /// its parent handles or blocks it.
    pub fn spawn(f: impl FnOnce() -> T) -> Result<Process<T>> {
        let heap = Heap::of_part(size_of::<ResultWord>(), ADDRESSES_PART)?;
        match child::fork()? {
            Side::Child(_branch) => {
                child::heed_termination();
                child::exit_now(i32::from(!run_and_commit(&heap, f)))
            }
            Side::Parent(pid) => Ok(Process {
                child: Child::of(pid),
                heap,
                value: PhantomData,
            }),
        }
    }

    /// Waits until the child has ended, and returns its value.
    ///
    /// # Errors
    /// `is_panicked()`, `is_died()` (with the signal or the exit code), `is_encode()`,
    /// `is_decode()`.
    pub fn join(mut self) -> std::result::Result<T, TaskError> {
        let ended = self.child.reap();
        let fail = |cause| TaskError::new(None, Some(self.child.pid()), cause);
        match result_word(&self.heap).load(Ordering::Acquire) {
            0 => Err(fail(match ended {
                Ended::Exited(code) => Cause::Exited { code },
                Ended::Signalled(signal) => Cause::Signalled { signal },
                Ended::Unknown => Cause::Vanished,
            })),
            offset => match read(&self.heap, offset) {
                [CAUSE, cause @ ..] => Err(fail(
                    wire::decode(cause).unwrap_or_else(|error| Cause::Decode(error.to_string())),
                )),
                [_, value @ ..] => {
                    let decoded = caught::run(|| wire::decode(value));
                    let decoded = decoded.unwrap_or_else(|payload| Err(wire::panicked(&payload)));
                    decoded.map_err(|error| fail(Cause::Decode(format!("its result: {error}"))))
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

    /// Asks the child to exit (`SIGTERM`): it does, unless its closure handles the signal.
    pub fn terminate(&mut self) {
        self.child.terminate();
    }

    /// Ends the child at once (`SIGKILL`).
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

/// Runs the closure in the child and commits its outcome; false if there is not even room for an
/// error.
fn run_and_commit<T: Serialize>(heap: &Heap, f: impl FnOnce() -> T) -> bool {
    let origin = Origin::here();
    let outcome = caught::run(f);
    origin.check();
    let mut bytes = vec![VALUE];
    let encoded = match &outcome {
        Ok(value) => caught::run(|| wire::encode(value, &mut bytes))
            .map_err(|payload| panicked(&payload))
            .and_then(|encoded| encoded.map_err(not_sent)),
        Err(payload) => Err(panicked(payload)),
    };
    let committed = encoded
        .and_then(|()| commit(heap, &bytes).map_err(not_sent))
        .or_else(|cause| {
            bytes = vec![CAUSE];
            wire::encode(&cause, &mut bytes)?;
            commit(heap, &bytes)
        });
    // The parent already has the result, so what the value's destructor does is irrelevant.
    caught::drop_quietly(outcome);
    committed.is_ok()
}

fn panicked(payload: &Payload) -> Cause {
    Cause::panicked(payload.value(), String::new())
}

fn not_sent(error: Error) -> Cause {
    Cause::Encode(error.to_string())
}

/// Commits a result: one byte that says whether a value or a cause follows, then that, encoded.
fn commit(heap: &Heap, bytes: &[u8]) -> Result<()> {
    let offset = heap.take(size_of::<u64>() + bytes.len())?;
    // SAFETY: the block was just taken with room for the length and the bytes.
    unsafe {
        let start = heap.at(offset);
        start.cast::<u64>().write(bytes.len() as u64);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(size_of::<u64>()), bytes.len());
    }
    result_word(heap).store(offset, Ordering::Release);
    Ok(())
}

/// The result's first byte: the closure's value follows.
const VALUE: u8 = 0;
/// The result's first byte: why there is no value follows.
const CAUSE: u8 = 1;

fn read(heap: &Heap, offset: Offset) -> &[u8] {
    // SAFETY: the child committed a length and as many bytes at this offset, and has ended.
    unsafe {
        let start = heap.at(offset).cast_const();
        let length = start.cast::<u64>().read();
        std::slice::from_raw_parts(start.add(size_of::<u64>()), length as usize)
    }
}

fn result_word(heap: &Heap) -> &ResultWord {
    // SAFETY: the heap was made with room for the word, zeroed, at an aligned place.
    unsafe { &*heap.reserved().cast::<ResultWord>() }
}
