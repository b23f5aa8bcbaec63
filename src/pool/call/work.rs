//! A worker's part of a job: claim a chunk, read its arguments, run the function, commit results.
//!
//! Only the innermost loop (the "steps" at the end of this file) is generic, and compiled again
//! into every notebook cell that maps; it reaches everything else through a [`Work`].

use std::io::Write;
use std::ptr::NonNull;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught;
use crate::error::{Cause, Error, Result};
use crate::sys::Origin;
use crate::sys::atomic::Ordering;
use crate::wire;

use super::callable::{Callable, SentBound};
use super::decoded::{self, Decode, Decoded};
use super::panics::PanicNotes;
use super::transport::{ContextId, Outputs, Port};

/// What a function's name resolves to in a worker: code that runs a job to its end.
///
/// It uses the C ABI because the caller may have been compiled into another shared object.
pub(in crate::pool) type Trampoline<T> = unsafe extern "C" fn(work: &mut Work<'_, T>);

/// A transport as its workers see it.
pub(in crate::pool) trait Carrier: Sized {
    /// A worker's side of one job.
    type Port<'a>: Port;

    /// [`Work::run_chunks`]. Each carrier has its own, so that it is compiled with the carrier, and
    /// not again into every notebook cell.
    fn drive(work: &mut Work<'_, Self>, stride: usize, step: &mut Step<'_, Self>);
}

/// Runs tasks starting with the next one. It may stop early, with the reason why that task has no
/// result.
pub(in crate::pool) type Step<'s, T> =
    dyn FnMut(&mut Work<'_, T>) -> std::result::Result<(), Cause> + 's;

/// A job that a worker is running.
pub(in crate::pool) struct Work<'a, T: Carrier> {
    port: T::Port<'a>,
    /// The tasks of the claimed chunk that are still to be run.
    next: u64,
    end: u64,
    /// Whether the running code belongs to no task: the task before `next` has its result, which is
    /// being dropped.
    is_between: bool,
    /// The number of completed tasks.
    n_done: u64,
    /// The contexts that this worker has decoded.
    contexts: &'a Decoded,
    /// The context that is being decoded; its decoder belongs to no task.
    decoding: Option<ContextId>,
    /// The process that runs the job. A task may fork a process and let it return: that is another.
    origin: Origin,
}

impl<'a, T: Carrier> Work<'a, T> {
    pub(in crate::pool) fn new(port: T::Port<'a>, contexts: &'a Decoded) -> Self {
        Work {
            port,
            next: 0,
            end: 0,
            is_between: false,
            n_done: 0,
            contexts,
            decoding: None,
            origin: Origin::here(),
        }
    }

    /// The number of tasks that this worker has completed.
    pub(in crate::pool) fn n_done(&self) -> u64 {
        self.n_done
    }

    /// Runs `step` on every chunk that can be claimed, until none is left. If a step stops early or
    /// panics, its reason becomes the result of the current task, and the chunk continues after
    /// that task.
    ///
    /// A task that has its result gets no second one: if a result's destructor panics, the result
    /// was still sent.
    pub(in crate::pool) fn run_chunks(&mut self, stride: usize, step: &mut Step<'_, T>) {
        let panics = PanicNotes::listen(self.port.last_panic());
        let mut has_told = false;
        while let Some((first, end)) = self.port.claim() {
            (self.next, self.end) = (first, end);
            while self.next < self.end {
                let before = self.next;
                self.port.begin(before, self.end - before, stride);
                let outcome = caught::run(|| step(self));
                self.origin.check();
                let outcome = outcome.unwrap_or_else(|panic| Err(panics.explain(&panic)));
                let outcome = outcome.map_err(|cause| self.blame(cause));
                let has_result = std::mem::take(&mut self.is_between);
                match outcome {
                    Err(cause) if has_result => {
                        // Printed once: it is the same for all values of a type.
                        if !std::mem::replace(&mut has_told, true) {
                            tell_of_drop(&cause);
                        }
                    }
                    Err(cause) => {
                        self.port.fail(self.next, &cause);
                        self.next += 1;
                    }
                    Ok(()) => {}
                }
                let n_run = self.next - before;
                self.port.end(n_run);
                self.n_done += n_run;
            }
        }
    }

    /// Commits `cause` for every task that can be claimed, because there is no function to run.
    pub(in crate::pool) fn fail_all(&mut self, cause: &Cause) {
        while let Some((first, end)) = self.port.claim() {
            (first..end).for_each(|task| self.port.fail(task, cause));
            self.n_done += end - first;
        }
    }

    /// A panic of the context's own `Deserialize` is not the fault of the task.
    fn blame(&mut self, cause: Cause) -> Cause {
        match self.decoding.take() {
            None => cause,
            Some(id) => {
                let cause =
                    Cause::Decode(format!("its context: the type's own Deserialize {cause}"));
                self.contexts.fail(id, &cause);
                cause
            }
        }
    }

    /// The context of the job's tasks; called while one of its chunks is claimed.
    ///
    /// # Safety
    /// `decode` makes the context's type, and the value is read only while the job runs.
    unsafe fn context(&mut self, decode: Decode) -> std::result::Result<NonNull<()>, Cause> {
        let Some(arrived) = self.port.context() else {
            return Err(Cause::Decode(
                "its context: the job has none; please report this".to_owned(),
            ));
        };
        self.decoding = Some(arrived.id);
        // SAFETY: the caller vouches for the type. The job is open as long as claimed tasks have no
        // results.
        let outcome = unsafe { self.contexts.get(&arrived, decode) };
        self.decoding = None;
        outcome
    }

    /// The item that the next task stands for.
    fn item(&self) -> usize {
        let items = self.port.items();
        items.map_or(self.next, |items| items[self.next as usize]) as usize
    }
}

/// Runs a non-capturing function, found by its offset in a shared object.
///
/// # Safety
/// `C` has no size, and the job's arguments are `A`s that were encoded for its carrier.
pub(in crate::pool) unsafe extern "C" fn run_shipped<C, A, T>(work: &mut Work<'_, T>)
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
    T: Carrier,
{
    // SAFETY: a type without size has no state to be invalid, and the caller of the map held such a
    // value. `is_non_capturing` and the pool's documentation explain what such a value may prove of
    // the caller's process.
    let f: &C = unsafe { NonNull::dangling().as_ref() };
    run_on_encoded(|_| Ok(f), work);
}

/// Runs a non-capturing function of a context and an argument, found in the same way.
///
/// # Safety
/// As for [`run_shipped`], and the job's context is an encoded `V`.
pub(in crate::pool) unsafe extern "C" fn run_with_context<F, V, A, R, T>(work: &mut Work<'_, T>)
where
    F: Fn(&V, A) -> R,
    V: DeserializeOwned,
    A: DeserializeOwned,
    R: Serialize,
    T: Carrier,
{
    // SAFETY: as in `run_shipped`.
    let f: &F = unsafe { NonNull::dangling().as_ref() };
    let mut value = None;
    let with_context = |work: &mut Work<'_, T>| {
        let value: &V = match value {
            Some(value) => value,
            None => {
                // SAFETY: the caller vouches for the type, and tasks run only in this job.
                let found = unsafe { work.context(decoded::decode::<V>)?.cast().as_ref() };
                value = Some(found);
                found
            }
        };
        Ok(SentBound { f, value })
    };
    run_on_encoded(with_context, work);
}

/// Runs a function that this process inherited on arguments that arrive as bytes.
///
/// # Safety
/// `call` points to a `C` that is alive in this process; the arguments are as for [`run_shipped`].
pub(super) unsafe fn run_inherited_on_encoded<C, A, T>(call: *const (), work: &mut Work<'_, T>)
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
    T: Carrier,
{
    // SAFETY: the caller vouches for the pointer.
    let f = unsafe { &*call.cast::<C>() };
    run_on_encoded(|_| Ok(f), work);
}

/// Runs the function that `get` returns. `get` is called when a chunk of the job is claimed,
/// because that keeps the job open.
fn run_on_encoded<C, A, T>(
    mut get: impl FnMut(&mut Work<'_, T>) -> std::result::Result<C, Cause>,
    work: &mut Work<'_, T>,
) where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
    T: Carrier,
{
    let numbers = work.port.numbers().cast::<A>();
    match (wire::plain_size::<A>(), wire::plain_size::<C::Output>()) {
        (Some(_), Some(stride)) => {
            T::drive(work, stride, &mut |work| {
                let f = get(work)?;
                // SAFETY: the owner wrote a plain number for each item, aligned for any of them.
                unsafe { step_plain(work, &f, numbers) }
            });
        }
        (stride, _) => T::drive(work, 0, &mut |work| {
            let f = get(work)?;
            // One loop for both: every cell that maps compiles it.
            step_values(work, &f, |port, item| match stride {
                // SAFETY: as above.
                Some(_) => Ok(unsafe { numbers.add(item).read() }),
                None => port.argument(item).and_then(wire::decode),
            })
        }),
    }
}

/// What a worker that was forked for one call inherits: the function with its captured state, and
/// the arguments.
pub(super) struct Inherited<C, A> {
    pub(in crate::pool) f: *const C,
    pub(in crate::pool) args: *const A,
}

/// Runs a capturing function on arguments, both of which this process has inherited.
///
/// # Safety
/// `call` points to an `Inherited` whose function and arguments are alive in this process, one
/// argument for each item of the job; this process drops none of them.
pub(super) unsafe fn run_inherited<C, A, T>(call: *const (), work: &mut Work<'_, T>)
where
    C: Callable<A>,
    C::Output: Serialize,
    T: Carrier,
{
    // SAFETY: the caller vouches for the pointer and what it leads to.
    let (f, args) = unsafe {
        let call = &*call.cast::<Inherited<C, A>>();
        (&*call.f, call.args)
    };
    // There is an argument for each item, each item is run once over all processes, and a forked
    // process never drops what it inherited: reading an argument is therefore a move.
    match wire::plain_size::<C::Output>() {
        // SAFETY: as explained above.
        Some(stride) => T::drive(work, stride, &mut |work| unsafe {
            step_plain(work, f, args)
        }),
        None => T::drive(work, 0, &mut |work| {
            // SAFETY: as explained above.
            step_values(work, f, |_, item| Ok(unsafe { args.add(item).read() }))
        }),
    }
}

/// Runs tasks whose results are plain numbers: the commit is the only bookkeeping per item.
///
/// # Safety
/// `args` holds an argument for each item of the job, which may be moved out of it.
unsafe fn step_plain<C, A, T>(
    work: &mut Work<'_, T>,
    f: &C,
    args: *const A,
) -> std::result::Result<(), Cause>
where
    C: Callable<A>,
    T: Carrier,
{
    let Outputs { first, n_committed } = work.port.outputs();
    let slots = first.cast::<C::Output>();
    let n_before = n_committed.load(Ordering::Relaxed);
    let (start, end, origin) = (work.next, work.end, work.origin);
    // Only a job that publishes lost tasks again has to look up its items.
    let items = work.port.items();
    let mut at = Counted {
        task: start,
        next: &mut work.next,
    };
    while at.task < end {
        let item = items.map_or(at.task, |items| items[at.task as usize]);
        // SAFETY: the caller vouches for the arguments.
        let result = f.call(unsafe { args.add(item as usize).read() });
        origin.check();
        let index = at.task - start;
        // SAFETY: the run was begun with room for the whole chunk, aligned for any number.
        unsafe { slots.add(index as usize).write(result) };
        n_committed.store(n_before + index + 1, Ordering::Release);
        at.task += 1;
    }
    Ok(())
}

/// Counts tasks in a register: in memory, each count would wait for the previous store. It saves
/// its count when it is dropped, even if a task panics.
struct Counted<'w> {
    task: u64,
    next: &'w mut u64,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *self.next = self.task;
    }
}

fn step_values<C, A, T>(
    work: &mut Work<'_, T>,
    f: &C,
    argument: impl Fn(&T::Port<'_>, usize) -> Result<A>,
) -> std::result::Result<(), Cause>
where
    C: Callable<A>,
    C::Output: Serialize,
    T: Carrier,
{
    while work.next < work.end {
        let argument = argument(&work.port, work.item()).map_err(no_argument)?;
        work.port.decoded();
        let result = f.call(argument);
        work.origin.check();
        let encode = &mut |sink: &mut dyn wire::Sink| wire::encode(&result, sink);
        work.port.commit(encode).map_err(not_sent)?;
        work.next += 1;
        work.is_between = true;
        drop(result);
        work.is_between = false;
    }
    Ok(())
}

/// Prints a panic that no item's error can contain, because the result has arrived.
#[cold]
fn tell_of_drop(cause: &Cause) {
    let pid = std::process::id();
    let _ = writeln!(
        std::io::stderr(),
        "in worker process {pid}, a task's result was sent, and then dropping it {cause}"
    );
}

/// Why a task was not run: its argument could not be read.
fn no_argument(error: Error) -> Cause {
    if error.is_decode() {
        Cause::Decode(format!("its argument: {error}"))
    } else {
        Cause::Argument(error.to_string())
    }
}

/// Why a task that was run has no result.
fn not_sent(error: Error) -> Cause {
    Cause::Encode(error.to_string())
}
