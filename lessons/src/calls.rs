//! Calls of a learner's function, each with its result or its panic's message.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// Makes some calls of a function for [`check`](crate::check). A panic is a result too: the check
/// names the call, and the notebook continues.
///
/// # Example
/// ```
/// use forklore_course::{Called, calls};
///
/// fn half(n: usize, parts: usize) -> usize { n / parts }
///
/// let halves: Vec<Called<usize>> = calls![half(8, 2), half(8, 0)];
/// assert_eq!(halves[0].outcome, Ok(4));
/// assert_eq!(halves[1].call, "half(8, 0)");
/// assert_eq!(halves[1].outcome, Err("attempt to divide by zero".to_owned()));
/// ```
#[macro_export]
macro_rules! calls {
    ($($call:expr),* $(,)?) => {
        vec![$($crate::called(stringify!($call), || $call)),*]
    };
}

/// A call of a learner's function, as [`calls!`](crate::calls) makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called<T> {
    /// The call, as it is written in the check cell.
    pub call: String,
    /// What it returned, or the message of its panic.
    pub outcome: Result<T, String>,
}

/// Makes one call. A panic's message is captured, and not printed below the cell.
pub fn called<T>(call: &str, function: impl FnOnce() -> T) -> Called<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(function));
    panic::set_hook(hook);
    Called {
        call: call.to_owned(),
        outcome: outcome.map_err(message),
    }
}

/// A payload that is not text is leaked: its destructor may panic as well.
fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(other) => {
                std::mem::forget(other);
                "a value that is not text".to_owned()
            }
        },
    }
}

impl<T> Called<T> {
    /// The message for a learner whose call panicked.
    pub(crate) fn panicked(&self) -> Option<String> {
        let said = self.outcome.as_ref().err()?;
        let cause = CAUSES.iter().find(|(part, _)| said.contains(part));
        let cause = cause.map_or("", |(_, cause)| cause);
        Some(
            format!("`{}` panicked: {said}. {cause}", self.call)
                .trim_end()
                .to_owned(),
        )
    }
}

/// Parts of panics' messages, and the mistakes that usually cause them.
const CAUSES: &[(&str, &str)] = &[
    (
        "by zero",
        "For these numbers the divisor is 0: did a division of whole numbers round it down? Round up, or keep it at \
         1 or more with `.max(1)`.",
    ),
    (
        "divisor of zero",
        "For these numbers the divisor is 0: did a division of whole numbers round it down? Round up, or keep it at \
         1 or more with `.max(1)`.",
    ),
    (
        "must be non-zero",
        "A size of 0 leads nowhere: keep it at 1 or more, with `.max(1)`.",
    ),
    (
        "step != 0",
        "A step of 0 leads nowhere: keep it at 1 or more, with `.max(1)`.",
    ),
    (
        "min <= max",
        "`clamp(min, max)` needs a `min` that is not above `max`, and for these numbers it is. Take `.min(limit)` and \
         then `.max(1)`.",
    ),
    (
        "min > max",
        "`clamp(min, max)` needs a `min` that is not above `max`, and for these numbers it is. Take `.min(limit)` and \
         then `.max(1)`.",
    ),
    (
        "subtract with overflow",
        "Whole numbers of type `usize` or `u64` do not go below 0: `a.saturating_sub(b)` stops there.",
    ),
    (
        "overflow",
        "The number does not fit into its type for this call.",
    ),
    (
        "out of bounds",
        "For this call the list is shorter than the index expects: look at the smallest case.",
    ),
    (
        "`None` value",
        "For this call nothing was found, and `unwrap` needs something.",
    ),
    ("not yet implemented", "Fill in the gap, or open hint 1."),
    ("not implemented", "Fill in the gap, or open hint 1."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_panics_is_named_with_its_usual_cause() {
        fn chunk(n: usize, limit: usize) -> usize {
            n.clamp(1, limit)
        }
        let calls: Vec<Called<usize>> = calls![chunk(9, 4), chunk(9, 0)];
        assert_eq!((calls[0].panicked(), &calls[0].outcome), (None, &Ok(4)));
        let said = calls[1].panicked().unwrap();
        assert!(said.starts_with("`chunk(9, 0)` panicked:"), "{said}");
        assert!(said.contains(".max(1)"), "{said}");
        let odd = called("odd()", || -> u8 { panic::panic_any(7) });
        assert!(odd.panicked().unwrap().contains("a value that is not text"));
    }
}
