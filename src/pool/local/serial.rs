//! A serial map, the baseline for all others.

use crate::caught;
use crate::error::{Cause, Outcome, TaskError};

use super::diary::Diary;
use crate::pool::map::{impl_map, own_methods};
use crate::pool::plan::Schedule;

/// Runs every task in the calling thread, one after the other.
///
/// # Example
/// ```
/// let powers = forklore::Serial.map(|x: u64| x.pow(10), 0..10);
/// assert_eq!(powers[9], 3_486_784_401);
/// let traced = forklore::Serial.map_traced(|x: u64| x.pow(10), 0..10);
/// assert_eq!(traced.trace.workers().len(), 1);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Serial;

own_methods!(Serial, function: [], values: []);
impl_map!(Serial, imap);

impl Serial {
    /// Always 1: this thread.
    pub fn workers(&self) -> usize {
        1
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

    fn schedule(&self) -> Schedule {
        Schedule::Dynamic
    }

    /// Runs items one by one, whatever the schedule.
    fn run<F, I, A, R>(
        &self,
        f: &F,
        args: I,
        _schedule: Schedule,
        diary: &mut Diary,
    ) -> Vec<Outcome<R>>
    where
        F: Fn(A) -> R,
        I: IntoIterator<Item = A>,
    {
        let mut outcomes = Vec::new();
        for (item, arg) in args.into_iter().enumerate() {
            let start = diary.now();
            outcomes.push(run_caught(item, || f(arg)));
            diary.ran(item, 1, start);
        }
        diary.returned();
        outcomes
    }
}

/// Runs a task in this process; its panic becomes the item's error.
pub(crate) fn run_caught<R>(item: usize, task: impl FnOnce() -> R) -> Outcome<R> {
    caught::run(task).map_err(|payload| {
        let cause = Cause::panicked(payload.value(), String::new());
        TaskError::new(Some(item), Some(std::process::id() as i32), cause)
    })
}
