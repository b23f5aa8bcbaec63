//! Checks of the course's exercises: the expected answer, the given answer, and what the difference
//! often means.
//!
//! A judge inspects an answer and never runs code, so an unsolved exercise causes no error, and
//! `Restart-and-Run-All` continues after it. Exercise `NN.k` is judged in `lesson_NN.rs`.

mod finding;
mod lesson_00;
mod lesson_01;
mod lesson_02;
mod lesson_03;
mod lesson_04;
mod lesson_05;
mod lesson_06;
mod lesson_07;
mod lesson_08;
mod lesson_09;
mod lesson_10;
mod lesson_11;
mod lesson_12;

use std::any::Any;
use std::fmt;

use finding::{Finding, NotYet, wrong};

use crate::calls::Called;
use crate::processes::RunBy;
use crate::progress;
use crate::show::{self, BLUE, GREEN};

/// Every exercise of the course and its judge. If an exercise's check cell has changed, its older
/// form, which a learner's notebook may still have, gives answers of another type, and those are
/// judged too.
const EXERCISES: &[(&str, Judge)] = &[
    ("00.1", |answer| judge_all(answer, lesson_00::usable)),
    ("00.2", |answer| {
        judge(answer, |script: &String| lesson_00::sge_script(script))
    }),
    ("00.3", |answer| {
        judge(answer, |script: &String| lesson_00::slurm_script(script))
    }),
    ("01.1", |answer| judge_all(answer, lesson_01::summaries)),
    ("01.2", |answer| judge(answer, lesson_01::repaired)),
    ("01.3", |answer| judge(answer, lesson_01::mistakes)),
    ("02.1", |answer| {
        match answer.downcast_ref::<(Vec<Called<Option<i32>>>, bool)>() {
            Some((calls, by_children)) => {
                let finding = judge_all(calls, lesson_02::exit_codes);
                lesson_02::by_children(finding, *by_children)
            }
            None => judge_all(answer, lesson_02::exit_codes),
        }
    }),
    ("02.2", |answer| match answer.downcast_ref() {
        Some((diverged, by_children)) => {
            lesson_02::by_children(lesson_02::diverged(diverged), *by_children)
        }
        None => judge(answer, lesson_02::diverged),
    }),
    ("02.3", |answer| judge_all(answer, lesson_02::memory)),
    ("03.1", |answer| match answer.downcast_ref() {
        Some(timed) => lesson_03::parts_at_once(timed),
        None => judge_all(answer, lesson_03::parts),
    }),
    ("03.2", |answer| judge_all(answer, lesson_03::counts)),
    ("03.3", |answer| judge(answer, lesson_03::choices)),
    ("04.1", |answer| judge(answer, lesson_04::released)),
    ("04.2", |answer| judge_all(answer, lesson_04::done_after)),
    ("04.3", |answer| judge(answer, lesson_04::deposited)),
    ("05.1", |answer| judge_all(answer, lesson_05::right_n)),
    ("05.2", |answer| judge_all(answer, lesson_05::fitting)),
    ("05.3", |answer| judge(answer, lesson_05::none_left)),
    ("06.1", |answer| judge_all(answer, lesson_06::fair_ratios)),
    ("06.2", |answer| match answer.is::<lesson_06::ByHand>() {
        true => judge_all(answer, lesson_06::by_hand),
        false => judge(answer, lesson_06::by_hand_on_a_pool),
    }),
    ("06.3", |answer| judge_all(answer, lesson_06::chunk_sizes)),
    ("07.1", |answer| judge_all(answer, lesson_07::break_even)),
    ("07.2", |answer| {
        match answer.downcast_ref::<(f64, f64, f64)>() {
            Some(&(answer, low, high)) => lesson_07::crossover(&(answer, low, high, true)),
            None => judge(answer, lesson_07::crossover),
        }
    }),
    ("07.3", |answer| judge_all(answer, lesson_07::amdahl)),
    ("07.4", |answer| judge_all(answer, lesson_07::chunks)),
    ("08.1", |answer| judge_all(answer, lesson_08::choices)),
    ("08.2", |answer| judge(answer, lesson_08::who_ran)),
    ("09.1", |answer| judge_all(answer, lesson_09::caps)),
    ("09.2", |answer| judge_all(answer, lesson_09::stripes)),
    ("09.3", |answer| {
        if let Some((squares, by)) = answer.downcast_ref::<(Vec<u64>, RunBy)>() {
            lesson_09::arrived_by(squares, *by)
        } else if let Some((squares, by_workers)) = answer.downcast_ref::<(Vec<u64>, bool)>() {
            let by = match by_workers {
                true => RunBy::ForkedWorkers,
                false => RunBy::ThisProcess,
            };
            lesson_09::arrived_by(squares, by)
        } else {
            judge_all::<u64>(answer, lesson_09::arrived)
        }
    }),
    ("10.1", |answer| judge(answer, lesson_10::even_count)),
    ("10.2", |answer| judge_all(answer, lesson_10::places)),
    ("10.3", |answer| judge_all(answer, lesson_10::lock_order)),
    ("11.1", |answer| judge_all(answer, lesson_11::chunk_sizes)),
    ("11.2", |answer| judge_all(answer, lesson_11::shares)),
    ("12.1", |answer| judge_all(answer, lesson_12::nodes_to_use)),
    ("12.2", |answer| judge(answer, lesson_12::scaled)),
    ("12.3", |answer| judge_all(answer, lesson_12::choices)),
];

type Judge = fn(&dyn Any) -> Finding;

/// Checks the answer to an exercise, such as `"06.1"`, and records the outcome in the learner's
/// progress: in the file that `FORKLORE_PROGRESS` names (nowhere, if it is empty), or in
/// `forklore/progress.tsv` in the user's data folder.
pub fn check(exercise: &str, answer: &dyn Any) -> Checked {
    let finding = match EXERCISES.iter().find(|(name, _)| *name == exercise) {
        Some((_, judge)) => {
            let finding = judge(answer);
            match &finding {
                Ok(_) => progress::note(exercise, true),
                Err(NotYet::Wrong(_)) => progress::note(exercise, false),
                Err(NotYet::Untouched(_)) => {}
            }
            finding
        }
        None => {
            let known: Vec<String> = EXERCISES
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            wrong(format!(
                "there is no exercise `{exercise}`; there are {}",
                known.join(", ")
            ))
        }
    };
    Checked {
        exercise: exercise.to_owned(),
        finding,
    }
}

/// Passes an answer of the right type to its judge.
fn judge<T: 'static>(answer: &dyn Any, judge: fn(&T) -> Finding) -> Finding {
    match answer.downcast_ref::<T>() {
        Some(answer) => judge(answer),
        None => another_type::<T>(),
    }
}

/// As [`judge`], for the results of several calls. A call that panicked is reported first.
fn judge_all<T: Clone + 'static>(answers: &dyn Any, judge: fn(&[T]) -> Finding) -> Finding {
    if let Some(answers) = answers.downcast_ref::<Vec<T>>() {
        return judge(answers);
    }
    let Some(calls) = answers.downcast_ref::<Vec<Called<T>>>() else {
        return another_type::<Vec<Called<T>>>();
    };
    if let Some(panicked) = calls.iter().find_map(Called::panicked) {
        return wrong(panicked);
    }
    let results: Vec<T> = calls.iter().flat_map(|call| call.outcome.clone()).collect();
    judge(&results)
}

fn another_type<T>() -> Finding {
    wrong(format!(
        "the answer has another type than the exercise asks for: expected `{}`; leave the check cell \
         as it was",
        std::any::type_name::<T>()
    ))
}

/// The verdict on an answer, shown if it is the last expression of a cell.
#[derive(Clone, PartialEq, Eq)]
pub struct Checked {
    exercise: String,
    finding: Finding,
}

impl Checked {
    /// Whether the exercise is solved.
    pub fn is_solved(&self) -> bool {
        self.finding.is_ok()
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let (colour, mark, text) = match &self.finding {
            Ok(text) => (
                GREEN,
                format!("✓ exercise {}: solved.", self.exercise),
                text.as_str(),
            ),
            Err(not_yet) => (
                BLUE,
                format!("○ exercise {}: not yet.", self.exercise),
                not_yet.text(),
            ),
        };
        let body = show::code(&show::escape(text));
        show::show(show::boxed(colour, &mark, &body), self);
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Ok(text) => write!(f, "exercise {}: solved. {text}", self.exercise),
            Err(not_yet) => write!(f, "exercise {}: not yet. {}", self.exercise, not_yet.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_exercise_and_a_wrong_type_are_answered() {
        let unknown = check("99.9", &1);
        assert!(!unknown.is_solved());
        assert!(format!("{unknown:?}").contains("no exercise `99.9`"));
        let wrong_type = check("06.1", &"24");
        assert!(format!("{wrong_type:?}").contains("another type"));
    }
}
