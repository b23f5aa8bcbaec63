//! Checks of the course's exercises: what was expected, what came, and what that often means.
//!
//! An answer is looked at and never run, so an exercise that is not solved yet is no error and
//! `Restart-and-Run-All` passes over it.

mod l06;

use std::any::Any;
use std::fmt;

use super::figure::{self, BLUE, GREEN};
use super::show;

/// Checks the answer to an exercise, such as `"06.1"`.
pub fn check(exercise: &str, answer: &dyn Any) -> Checked {
    let finding = match exercise {
        "06.1" => judge(answer, |plans: &Vec<Vec<usize>>| l06::chunk_sizes(plans)),
        _ => Finding::Wrong(format!(
            "there is no exercise `{exercise}`; there is `06.1`"
        )),
    };
    Checked {
        exercise: exercise.to_owned(),
        finding,
    }
}

/// What a check finds.
#[derive(Clone, PartialEq, Eq)]
enum Finding {
    Solved(String),
    Wrong(String),
}

/// Hands an answer of the right type to its judge.
fn judge<T: 'static>(answer: &dyn Any, judge: impl FnOnce(&T) -> Finding) -> Finding {
    match answer.downcast_ref::<T>() {
        Some(answer) => judge(answer),
        None => Finding::Wrong(format!(
            "the answer has another type than the exercise asks for: expected `{}`; leave the \
             check cell as it was",
            std::any::type_name::<T>()
        )),
    }
}

/// The verdict on an answer. The last expression of a cell: shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Checked {
    exercise: String,
    finding: Finding,
}

impl Checked {
    /// Whether the exercise is solved.
    pub fn is_solved(&self) -> bool {
        matches!(self.finding, Finding::Solved(_))
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let (colour, mark, text) = match &self.finding {
            Finding::Solved(text) => (
                GREEN,
                format!("✓ exercise {}: solved.", self.exercise),
                text,
            ),
            Finding::Wrong(text) => (
                BLUE,
                format!("○ exercise {}: not yet.", self.exercise),
                text,
            ),
        };
        let body = figure::code(&show::escape(text));
        show::show(show::boxed(colour, &mark, &body), self);
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Finding::Solved(text) => write!(f, "exercise {}: solved. {text}", self.exercise),
            Finding::Wrong(text) => write!(f, "exercise {}: not yet. {text}", self.exercise),
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
