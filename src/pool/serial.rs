//! The map that every other is compared with.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Cause, Outcome, TaskError};
use crate::trace::Traced;

use super::callable::StarFn;
use super::diary::Diary;
use super::map::all_or_panic;

/// Runs every task in the calling thread, one after the other.
///
/// # Example
/// ```
/// let powers = forklore::Serial.map(|x: u64| x.pow(10), 0..10);
/// assert_eq!(powers[9], 3_486_784_401);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Serial;

impl Serial {
    /// One: this thread.
    pub fn workers(&self) -> usize {
        1
    }

    /// Applies `f` to every argument and returns the results in order.
    ///
    /// # Panics
    /// If a task panics, after all others have run, with the first panic's message and item.
    #[track_caller]
    pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
    {
        all_or_panic(self.try_map(f, args))
    }

    /// Applies `f` to every argument; a task that panics is an error and the others run.
    pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
    {
        args.into_iter()
            .enumerate()
            .map(|(item, arg)| run_caught(item, || f(arg)))
            .collect()
    }

    /// As [`map`](Serial::map) for a function of several parameters: each argument is a tuple, spread
    /// over them.
    ///
    /// # Panics
    /// As [`map`](Serial::map).
    #[track_caller]
    pub fn starmap<F, I, T>(&self, f: F, args: I) -> Vec<F::Output>
    where
        F: StarFn<T>,
        I: IntoIterator<Item = T>,
    {
        self.map(|args| f.call_spread(args), args)
    }

    /// As [`map`](Serial::map), lazily: each task runs when its result is taken.
    ///
    /// # Panics
    /// With a task's own panic.
    pub fn imap<F, I, A, R>(&self, f: F, args: I) -> impl Iterator<Item = R> + use<F, I, A, R>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
    {
        args.into_iter().map(f)
    }

    /// Runs `f` on one argument.
    ///
    /// # Panics
    /// With the task's own panic.
    pub fn apply<F, A, R>(&self, f: F, arg: A) -> R
    where
        F: Fn(A) -> R,
    {
        f(arg)
    }
}

impl Serial {
    /// As [`map`](Serial::map), and notes what happened when.
    ///
    /// # Panics
    /// As [`map`](Serial::map).
    ///
    /// # Example
    /// ```
    /// let traced = forklore::Serial.map_traced(|x: u64| x.pow(10), 0..10);
    /// assert_eq!(traced.value[9], 3_486_784_401);
    /// assert_eq!(traced.trace.workers().len(), 1);
    /// ```
    #[track_caller]
    pub fn map_traced<F, I, A, R>(&self, f: F, args: I) -> Traced<Vec<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
    {
        let mut diary = Diary::begin();
        let mut outcomes = Vec::new();
        for (item, arg) in args.into_iter().enumerate() {
            let start = diary.now();
            outcomes.push(run_caught(item, || f(arg)));
            diary.ran(item, 1, start);
        }
        diary.returned();
        let results = all_or_panic(outcomes);
        diary.finish(results)
    }
}

/// Runs a task in this process; its panic becomes the item's error.
pub(crate) fn run_caught<R>(item: usize, task: impl FnOnce() -> R) -> Outcome<R> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|payload| {
        let cause = Cause::panicked(&*payload, String::new());
        TaskError::new(Some(item), Some(std::process::id() as i32), cause)
    })
}
