//! A worker's side of a job: claim a chunk, read its arguments, run the function, commit results.
//!
//! What is generic, and so compiled anew into every notebook cell that maps, is only the innermost
//! loop (the "steps" at the end of this file); it reaches everything else through a [`Task`].

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Cause, Error, Result};
use crate::shared::heap::Heap;
use crate::sys::atomic::Ordering;
use crate::sys::child;
use crate::wire;

use super::board::{ArgSpan, Job, NO_BYTES, Seat};
use super::callable::Callable;
use super::lane::Lane;
use super::recorder::Recorder;

/// What a function's name leads to in a worker: code that runs a job to its end.
///
/// The ABI is C's because the caller may have been compiled into another shared object.
pub(crate) type Trampoline = unsafe extern "C" fn(task: &mut Task<'_>);

/// A job as one worker sees it.
pub(crate) struct Task<'a> {
    heap: &'a Heap,
    job: &'a Job,
    seat: &'a Seat,
    lane: Lane<'a>,
    /// The claimed chunk's positions that are still to be done.
    next: u64,
    end: u64,
    /// How many positions were completed.
    n_done: u64,
    /// No further chunk is claimed once the worker has run this many tasks in its life.
    max_tasks: u64,
    /// Set if the job is traced.
    recorder: Option<Recorder<'a>>,
}

impl<'a> Task<'a> {
    pub(super) fn new(heap: &'a Heap, job: &'a Job, seat: &'a Seat, max_tasks: u64) -> Self {
        Task {
            heap,
            job,
            seat,
            lane: Lane::new(heap, job, seat),
            next: 0,
            end: 0,
            n_done: 0,
            max_tasks,
            recorder: Recorder::arrive(heap, job),
        }
    }

    /// How many positions this worker has completed.
    pub(super) fn n_done(&self) -> u64 {
        self.n_done
    }

    /// Runs `step` on every chunk that can be claimed, until none is left.
    ///
    /// A step runs positions from `next` on and may stop short only by a panic, which becomes the
    /// result of the position that it was at; the chunk then goes on behind it.
    #[inline(never)]
    pub(crate) fn drive(&mut self, stride: usize, step: &mut dyn FnMut(&mut Task<'_>)) {
        if let Some(recorder) = &mut self.recorder {
            recorder.found();
        }
        let panics = PanicNotes::listen();
        let are_singles = stride > 0 && self.job.claims_singly();
        while self.seat.n_tasks.load(Ordering::Relaxed) < self.max_tasks
            && let Some((first, end)) = self.job.claim()
        {
            (self.next, self.end) = (first, end);
            while self.next < self.end {
                if are_singles {
                    self.begin_single(stride);
                } else {
                    self.begin_run(stride);
                }
                let before = self.next;
                if let Some(recorder) = &mut self.recorder {
                    recorder.begin(before);
                }
                let started = self.job.wants_task_time().then(Instant::now);
                let outcome = catch_unwind(AssertUnwindSafe(|| step(self)));
                if let Some(started) = started {
                    let n_run = (self.next - before).max(1);
                    let task_ns = started.elapsed().as_nanos() as u64 / n_run;
                    self.job.tell_task_time(task_ns);
                }
                if stride > 0 {
                    self.lane.end_plain(stride);
                }
                if let Err(payload) = outcome {
                    self.fail(&panics.explain(&*payload));
                }
                let n_run = self.next - before;
                if let Some(recorder) = &mut self.recorder {
                    recorder.end(before, n_run);
                }
                self.n_done += n_run;
                // Nobody else writes it: no need to lock the bus for an addition.
                let n_tasks = self.seat.n_tasks.load(Ordering::Relaxed);
                self.seat.n_tasks.store(n_tasks + n_run, Ordering::Relaxed);
            }
        }
        if let Some(recorder) = &self.recorder {
            recorder.leave();
        }
    }

    /// Says that the next position's argument is decoded.
    fn decoded(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.decoded();
        }
    }

    /// Commits `cause` for every position that can be claimed: there is no function to run.
    pub(super) fn fail_all(&mut self, cause: &Cause) {
        while let Some((first, end)) = self.job.claim() {
            (self.next, self.end) = (first, end);
            while self.next < self.end {
                self.fail(cause);
                self.n_done += 1;
            }
        }
    }

    /// The position to run next, if the chunk has one.
    fn position(&self) -> Option<u64> {
        (self.next < self.end).then_some(self.next)
    }

    /// The place in the map's input that the next position stands for.
    fn item(&self) -> usize {
        match self.job.list.load(Ordering::Relaxed) {
            0 => self.next as usize,
            // SAFETY: a list has a place for each position, and `next` is below the job's count.
            list => unsafe {
                self.heap
                    .at(list)
                    .cast::<u64>()
                    .add(self.next as usize)
                    .read() as usize
            },
        }
    }

    /// The bytes of the next position's argument.
    fn argument(&self) -> Result<&'a [u8]> {
        let item = self.item();
        let args = self.heap.at(self.job.args.load(Ordering::Relaxed));
        // SAFETY: the owner wrote a span for every item before it published the job.
        let span = unsafe { args.cast::<ArgSpan>().add(item).read() };
        if span.bytes == NO_BYTES {
            return Err(Error::invalid_input("the argument could not be encoded"));
        }
        // SAFETY: the span is what the owner wrote there, and it stays until the job is collected.
        Ok(unsafe { std::slice::from_raw_parts(self.heap.at(span.offset), span.bytes as usize) })
    }

    /// Commits the next position's value.
    fn commit(&mut self, encode: &mut dyn FnMut(&mut dyn wire::Sink) -> Result<()>) {
        if let Some(recorder) = &self.recorder {
            recorder.ran();
        }
        let outcome = self.lane.commit_value(encode);
        if let Some(recorder) = &mut self.recorder {
            recorder.encoded();
        }
        match outcome {
            Ok(()) => self.next += 1,
            Err(error) => {
                self.fail(&Cause::Encode(error.to_string()));
                if self.next < self.end {
                    self.begin_run(0);
                }
            }
        }
    }

    /// Commits that the next position has no result.
    fn fail(&mut self, cause: &Cause) {
        if self.lane.commit_failure(self.next, cause).is_err() {
            // Not even this fits into memory: the owner sees the death and names the item.
            self.end_without_room();
        }
        self.next += 1;
    }

    /// Commits the cause and goes on with the chunk: for steps.
    fn fail_and_go_on(&mut self, cause: &Cause) {
        self.fail(cause);
        if self.next < self.end {
            self.begin_run(0);
        }
    }

    fn begin_run(&mut self, stride: usize) {
        let n_left = self.end - self.next;
        if self.lane.begin(self.next, n_left, stride).is_err() {
            self.end_without_room();
        }
    }

    fn begin_single(&mut self, stride: usize) {
        if self.lane.begin_single(self.next, stride).is_err() {
            self.end_without_room();
        }
    }

    /// Ends the process: there is no memory to say anything in, but this one word.
    fn end_without_room(&self) -> ! {
        self.seat.lacks_room.store(1, Ordering::Release);
        child::exit_now(1)
    }
}

/// Listens to panics while a job runs, so that a task's panic is told to the map's caller instead
/// of being printed by a process that the user does not see. Other threads' panics are printed.
struct PanicNotes {
    last: Arc<Mutex<Option<Cause>>>,
    /// The hook that was there before, to be put back.
    before: Option<Arc<Hook>>,
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

impl PanicNotes {
    fn listen() -> PanicNotes {
        let last = Arc::new(Mutex::new(None));
        let before = Arc::new(take_hook());
        let (notes, others) = (Arc::clone(&last), Arc::clone(&before));
        let task_thread = thread::current().id();
        set_hook(Box::new(move |info| {
            if thread::current().id() != task_thread {
                return others(info);
            }
            let location = info.location().map(ToString::to_string).unwrap_or_default();
            if let Ok(mut notes) = notes.lock() {
                *notes = Some(Cause::panicked(info.payload(), location));
            }
        }));
        PanicNotes {
            last,
            before: Some(before),
        }
    }

    fn explain(&self, payload: &(dyn std::any::Any + Send)) -> Cause {
        let noted = self.last.lock().ok().and_then(|mut notes| notes.take());
        // A payload that was thrown without the hook (`resume_unwind`) has no location.
        noted.unwrap_or_else(|| Cause::panicked(payload, String::new()))
    }
}

impl Drop for PanicNotes {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        drop(take_hook());
        // With our hook gone, nobody else holds the one before.
        if let Some(hook) = self.before.take().and_then(Arc::into_inner) {
            set_hook(hook);
        }
    }
}

/// Runs a function without captured state, found by its place in a shared object.
///
/// # Safety
/// `C` has no size, and the job's arguments are `A`s as [`Encoder`](super::args::Encoder) writes
/// them.
pub(crate) unsafe extern "C" fn run_shipped<C, A>(task: &mut Task<'_>)
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    // SAFETY: a type without size has no state to be invalid, and the mapper held such a value.
    let f: &C = unsafe { NonNull::dangling().as_ref() };
    run_on_encoded(f, task);
}

/// Runs a function that this process has inherited on arguments that come as bytes.
///
/// # Safety
/// `call` points to a `C` that is alive in this process; the arguments are as for [`run_shipped`].
pub(crate) unsafe fn run_inherited_on_encoded<C, A>(call: *const (), task: &mut Task<'_>)
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    // SAFETY: the caller vouches for the pointer.
    run_on_encoded(unsafe { &*call.cast::<C>() }, task);
}

fn run_on_encoded<C, A>(f: &C, task: &mut Task<'_>)
where
    C: Callable<A>,
    A: DeserializeOwned,
    C::Output: Serialize,
{
    match (wire::plain_size::<A>(), wire::plain_size::<C::Output>()) {
        (Some(_), Some(stride)) => {
            let args = plain_arguments(task);
            // SAFETY: the owner wrote a plain number for each item, aligned for any of them.
            task.drive(stride, &mut |task| unsafe { step_plain(task, f, args) });
        }
        (Some(_), None) => {
            let args = plain_arguments::<A>(task);
            task.drive(0, &mut |task| {
                // SAFETY: as above.
                step_values(task, f, |task| Ok(unsafe { args.add(task.item()).read() }));
            });
        }
        (None, _) => task.drive(0, &mut |task| {
            step_values(task, f, |task| task.argument().and_then(wire::decode));
        }),
    }
}

/// What a worker that was forked for one call has inherited: the function with all that it
/// captured, and the arguments.
pub(crate) struct Inherited<C, A> {
    pub(crate) f: *const C,
    pub(crate) args: *const A,
}

/// Runs a function with captured state on arguments, both of which this process has inherited.
///
/// # Safety
/// `call` points to an `Inherited` whose function and arguments are alive in this process, one
/// argument for each item of the job; this process drops none of them.
pub(crate) unsafe fn run_inherited<C, A>(call: *const (), task: &mut Task<'_>)
where
    C: Callable<A>,
    C::Output: Serialize,
{
    // SAFETY: the caller vouches for the pointer and what it leads to.
    let (f, args) = unsafe {
        let call = &*call.cast::<Inherited<C, A>>();
        (&*call.f, call.args)
    };
    // There is an argument for each item; each item is run once in all processes together, and a
    // forked process never drops what it inherited: reading an argument is a move.
    match wire::plain_size::<C::Output>() {
        // SAFETY: as said above.
        Some(stride) => task.drive(stride, &mut |task| unsafe { step_plain(task, f, args) }),
        None => task.drive(0, &mut |task| {
            // SAFETY: as said above.
            step_values(task, f, |task| Ok(unsafe { args.add(task.item()).read() }));
        }),
    }
}

/// Plain numbers as results: what is committed is the only bookkeeping per item.
///
/// # Safety
/// `args` holds an argument for each item of the job, which may be moved out of it.
unsafe fn step_plain<C: Callable<A>, A>(task: &mut Task<'_>, f: &C, args: *const A) {
    let committed = task.lane.committed_word();
    let first = task.next;
    let slots = task.lane.plain_slots().cast::<C::Output>();
    let n_before = committed.load(Ordering::Relaxed);
    // Only a job that makes up for another has to look its items up.
    let is_in_order = task.job.list.load(Ordering::Relaxed) == 0;
    while task.next < task.end {
        let item = if is_in_order {
            task.next as usize
        } else {
            task.item()
        };
        // SAFETY: the caller vouches for the arguments.
        let result = f.call(unsafe { args.add(item).read() });
        let index = task.next - first;
        // SAFETY: the run was begun with room for the whole chunk, aligned for any number.
        unsafe { slots.add(index as usize).write(result) };
        committed.store(n_before + index + 1, Ordering::Release);
        task.next += 1;
    }
}

fn step_values<C, A>(task: &mut Task<'_>, f: &C, argument: impl Fn(&Task<'_>) -> Result<A>)
where
    C: Callable<A>,
    C::Output: Serialize,
{
    while task.position().is_some() {
        match argument(task) {
            Ok(argument) => {
                task.decoded();
                let result = f.call(argument);
                task.commit(&mut |sink| wire::encode(&result, sink));
            }
            Err(error) if error.is_decode() => {
                task.fail_and_go_on(&Cause::Decode(error.to_string()));
            }
            Err(error) => task.fail_and_go_on(&Cause::Encode(error.to_string())),
        }
    }
}

/// Where the arguments of a job are that the owner has written as plain numbers.
fn plain_arguments<A>(task: &Task<'_>) -> *const A {
    let args = task.job.args.load(Ordering::Relaxed);
    task.heap.at(args).cast_const().cast()
}
