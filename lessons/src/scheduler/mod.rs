//! The learner acts as the scheduler: which of two threads takes the next step?
//!
//! [`model`] computes the outcome of each schedule, [`page`] lets a learner build one with buttons,
//! and [`replay`] runs one on two OS threads.

mod model;
mod page;
mod replay;
mod script;

use std::fmt;

pub use model::ScheduleEnd;
pub use replay::Replay;

use model::{Step, Steps, schedules};

use crate::show;

/// Two threads and their steps. As the last expression of a cell, shows a figure in which the
/// learner decides which thread is next.
///
/// # Example
/// ```
/// use forklore_course::{ScheduleEnd, TwoThreads};
///
/// let adding = TwoThreads::adding();
/// assert_eq!(adding.outcomes().len(), 20);
/// assert_eq!(adding.replay("AAABBB").outcome(), ScheduleEnd::Right);
/// assert_eq!(adding.replay("ABABAB").outcome(), ScheduleEnd::Lost);
/// ```
#[derive(Clone)]
pub struct TwoThreads {
    title: &'static str,
    steps: Steps,
    outcomes: Vec<(String, ScheduleEnd)>,
}

impl TwoThreads {
    fn of(title: &'static str, steps: Steps) -> TwoThreads {
        let outcomes = schedules(&steps);
        TwoThreads {
            title,
            steps,
            outcomes,
        }
    }

    /// Each thread adds 1 to a count: it loads, adds, and stores.
    pub fn adding() -> TwoThreads {
        let steps = vec![Step::Load, Step::Add, Step::Store];
        TwoThreads::of("Two threads add 1", [steps.clone(), steps])
    }

    /// Each thread adds 1 to a count while it holds a lock.
    pub fn adding_under_a_lock() -> TwoThreads {
        let steps = vec![
            Step::Lock(0),
            Step::Load,
            Step::Add,
            Step::Store,
            Step::Unlock(0),
        ];
        TwoThreads::of("Two threads add 1, with a lock", [steps.clone(), steps])
    }

    /// One thread moves money from account 0 to account 1, the other back. Each takes its source's
    /// lock first.
    pub fn transferring() -> TwoThreads {
        let transfer = |from: usize, to: usize| {
            vec![
                Step::Lock(from),
                Step::Lock(to),
                Step::Move(from, to),
                Step::Unlock(to),
                Step::Unlock(from),
            ]
        };
        let steps = [transfer(0, 1), transfer(1, 0)];
        TwoThreads::of("Two threads move money", steps)
    }

    /// Every possible schedule, as the letters of the threads in the order of their turns, and its
    /// outcome. A thread that waits for a lock gets no turn until the lock is free.
    pub fn outcomes(&self) -> &[(String, ScheduleEnd)] {
        &self.outcomes
    }

    /// Runs a schedule on two OS threads: for each letter, `A` or `B`, that thread takes its next
    /// step, or waits for a lock.
    ///
    /// # Panics
    /// If a thread cannot be started.
    pub fn replay(&self, schedule: &str) -> Replay {
        replay::replay(&self.steps, schedule)
    }

    fn number_of(&self, outcome: ScheduleEnd) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|(_, found)| *found == outcome).count()
    }

    /// The shortest schedule with this outcome.
    fn example(&self, outcome: ScheduleEnd) -> Option<&str> {
        let of_it = self.outcomes.iter().filter(|(_, found)| *found == outcome);
        let shortest = of_it.min_by_key(|(schedule, _)| schedule.len());
        shortest.map(|(schedule, _)| schedule.as_str())
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        show::show(page::html(self), self);
    }
}

impl fmt::Debug for TwoThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (thread, steps) in self.steps.iter().enumerate() {
            let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
            writeln!(
                f,
                "  thread {}: {}",
                model::letter(thread),
                names.join(", ")
            )?;
        }
        f.write_str(&page::all_in_words(self))
    }
}
