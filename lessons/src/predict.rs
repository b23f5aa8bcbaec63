//! A prediction, and how far it is from the measurement.
//!
//! What "far" means depends on what was predicted. A number of processors is right or wrong. A
//! share of all pages that is four times too large is wrong, although it has the right order of
//! magnitude. A factor makes sense only for a ratio of two times. So a prediction has a kind, and a
//! lesson names the answers that follow from a misconception.

use std::fmt;

use crate::show::{self, BLUE, ORANGE};

/// A share within this distance is right: five percentage points.
const SHARE: f64 = 0.05;
/// Ratios within this factor of each other count as equal.
const SAME_RATIO: f64 = 1.05;
/// A ratio within this factor of a misconception's answer counts as that answer.
const THAT_RATIO: f64 = 1.1;

/// Records what you expect before you measure it: a ratio, unless [`Prediction::count`] or a
/// similar method says otherwise.
///
/// # Example
/// ```
/// use forklore_course::predict;
///
/// let guess = predict("workers that can compute at the same time:", 8).count();
/// assert!(format!("{:?}", guess.against(8.0)).contains("Exactly right"));
/// assert!(format!("{:?}", guess.against(2.0)).contains("6 too many"));
/// ```
pub fn predict(question: &str, value: impl Into<f64>) -> Prediction {
    Prediction {
        question: question.to_owned(),
        value: value.into(),
        kind: Kind::Ratio,
    }
}

/// A prediction, shown if it is the last expression of a cell.
#[derive(Clone, PartialEq)]
pub struct Prediction {
    question: String,
    value: f64,
    kind: Kind,
}

/// The kind of a prediction, which decides how it is judged and formatted.
#[derive(Clone, PartialEq)]
enum Kind {
    /// Judged by the factor between prediction and measurement, and by being above or below 1.
    Ratio,
    /// Judged by the factor; formatted with its unit.
    Amount(String),
    /// Right or wrong.
    Count,
    /// From 0 to 1. Right within [`SHARE`], or wrong.
    Share,
}

impl Prediction {
    /// Makes it a number of things: right or wrong, and nothing in between.
    #[must_use]
    pub fn count(self) -> Prediction {
        let kind = Kind::Count;
        Prediction { kind, ..self }
    }

    /// Makes it a share, from 0 for none to 1 for all: right within five percentage points, or
    /// wrong.
    #[must_use]
    pub fn share(self) -> Prediction {
        let kind = Kind::Share;
        Prediction { kind, ..self }
    }

    /// Makes it an amount in this unit, such as `"µs"`: judged by the factor between it and the
    /// measurement.
    #[must_use]
    pub fn amount(self, unit: &str) -> Prediction {
        let kind = Kind::Amount(unit.to_owned());
        Prediction { kind, ..self }
    }

    /// Compares the prediction with the measurement: a number, or [`Comparison::times`], which also
    /// knows whether it can be trusted.
    ///
    /// [`Comparison::times`]: crate::Comparison::times
    pub fn against(&self, measured: impl Into<Measured>) -> Judged {
        Judged {
            prediction: self.clone(),
            measured: measured.into(),
            misconceptions: Vec::new(),
        }
    }

    /// The prediction, as the learner wrote it.
    fn shown(&self) -> String {
        self.with_unit(self.value.to_string(), self.value)
    }

    /// Formats a measured number of the same kind.
    fn shown_measured(&self, value: f64) -> String {
        if !value.is_finite() {
            return "—".to_owned();
        }
        let is_whole = matches!(self.kind, Kind::Count) && value.fract() == 0.0;
        let number = if is_whole || value == 0.0 {
            value.to_string()
        } else {
            show::number(value)
        };
        self.with_unit(number, value)
    }

    fn with_unit(&self, number: String, value: f64) -> String {
        match &self.kind {
            Kind::Ratio | Kind::Count => number,
            Kind::Amount(unit) => format!("{number} {unit}"),
            Kind::Share => format!("{number} ({:.0} %)", 100.0 * value),
        }
    }

    /// Whether two numbers of this kind count as equal.
    fn are_same(&self, one: f64, other: f64, ratio: f64) -> bool {
        match self.kind {
            Kind::Count => one == other,
            Kind::Share => (one - other).abs() <= SHARE,
            Kind::Ratio | Kind::Amount(_) => factor(one, other) <= ratio,
        }
    }

    /// The distance between two numbers of this kind, used to find the nearer of two.
    fn distance(&self, one: f64, other: f64) -> f64 {
        match self.kind {
            Kind::Count | Kind::Share => (one - other).abs(),
            Kind::Ratio | Kind::Amount(_) => factor(one, other),
        }
    }

    /// What is wrong with a prediction that no measurement can match.
    fn impossible(&self) -> Option<String> {
        let value = self.value;
        match self.kind {
            _ if !value.is_finite() => {
                Some(format!("{value} is no number to be measured: predict one."))
            }
            _ if value < 0.0 => Some(format!(
                "{value} is less than nothing: predict a number from 0 up."
            )),
            Kind::Share if value > 1.0 => Some(format!(
                "{value} is more than all of it: a share lies between 0 and 1, and 25 % is 0.25."
            )),
            Kind::Count if value.fract() != 0.0 => Some(format!(
                "{value} is not a whole number, and there are only whole ones of these."
            )),
            _ => None,
        }
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let body = format!(
            "{} <em>{}</em>",
            show::escape(&self.question),
            show::escape(&self.shown())
        );
        show::show(show::boxed(BLUE, "Your prediction:", &body), self);
    }
}

/// The ratio of the larger number to the smaller; infinite if only one is 0.
fn factor(one: f64, other: f64) -> f64 {
    if one == other {
        1.0
    } else if one > 0.0 && other > 0.0 {
        (one / other).max(other / one)
    } else {
        f64::INFINITY
    }
}

impl fmt::Debug for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prediction: {} {}", self.question, self.shown())
    }
}

/// A measured number, and whether the machine was quiet enough to trust it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Whether the machine was quiet enough to trust it.
    pub conclusive: bool,
}

impl From<f64> for Measured {
    fn from(value: f64) -> Measured {
        Measured {
            value,
            conclusive: true,
        }
    }
}

/// A number that this system cannot measure judges no prediction.
impl From<Option<usize>> for Measured {
    fn from(count: Option<usize>) -> Measured {
        Measured {
            value: count.map_or(f64::NAN, |count| count as f64),
            conclusive: count.is_some(),
        }
    }
}

/// A prediction and its measurement, shown if it is the last expression of a cell.
#[derive(Clone, PartialEq)]
pub struct Judged {
    prediction: Prediction,
    measured: Measured,
    /// Answers that follow from a misconception, and the misconception.
    misconceptions: Vec<(f64, String)>,
}

impl Judged {
    /// Names the misconception that leads to the answer `value`. A learner who predicted that
    /// answer reads it, unless the measurement gave the same number.
    ///
    /// # Example
    /// ```
    /// use forklore_course::predict;
    ///
    /// let guess = predict("speed-up of two threads with a GIL:", 2.0);
    /// let judged = guess.against(1.02).misconception(2.0, "a core for each thread is not a lock for each.");
    /// assert!(format!("{judged:?}").contains("This is the misconception: a core for each thread"));
    /// ```
    #[must_use]
    pub fn misconception(mut self, value: impl Into<f64>, why: &str) -> Judged {
        self.misconceptions.push((value.into(), why.to_owned()));
        self
    }

    /// The factor between prediction and measurement, at least 1; infinite if a factor makes no
    /// sense.
    pub fn factor(&self) -> f64 {
        factor(self.prediction.value, self.measured.value)
    }

    /// The misconception that the prediction shows, unless the measurement agrees with the
    /// prediction.
    fn shown_misconception(&self) -> Option<&str> {
        let (prediction, expected) = (&self.prediction, self.prediction.value);
        let measured = self.measured.value;
        if prediction.are_same(expected, measured, SAME_RATIO) {
            return None;
        }
        let is_shown = |wrong: f64| {
            prediction.are_same(expected, wrong, THAT_RATIO)
                && prediction.distance(expected, wrong) < prediction.distance(expected, measured)
        };
        let mut shown = self
            .misconceptions
            .iter()
            .filter(|(wrong, _)| is_shown(*wrong));
        shown.next().map(|(_, why)| why.as_str())
    }

    fn comment(&self) -> String {
        if let Some(impossible) = self.prediction.impossible() {
            return impossible;
        }
        // The measurement itself has printed why.
        let doubt =
            "Inconclusive: this measurement cannot judge the prediction. Run both cells again.";
        match (self.shown_misconception(), self.measured.conclusive) {
            (Some(why), true) => format!("This is the misconception: {why}"),
            (Some(why), false) => {
                format!("This is the misconception: {why} (The number itself is inconclusive.)")
            }
            (None, false) => doubt.to_owned(),
            (None, true) => self.distance_in_words(),
        }
    }

    fn distance_in_words(&self) -> String {
        let (expected, measured) = (self.prediction.value, self.measured.value);
        let (more, less) = (expected > measured, expected < measured);
        match self.prediction.kind {
            _ if expected == measured => "Exactly right.".to_owned(),
            Kind::Count => {
                let off = (expected - measured).abs();
                let off = self.prediction.shown_measured(off);
                format!("Wrong: {off} too {}.", if more { "many" } else { "few" })
            }
            Kind::Share if self.prediction.are_same(expected, measured, SAME_RATIO) => {
                "Right, within five percentage points.".to_owned()
            }
            Kind::Share if measured == 0.0 => "Wrong: it is none at all.".to_owned(),
            Kind::Share if more => format!(
                "Wrong: {} times too much.",
                show::number(expected / measured)
            ),
            Kind::Share => {
                "Wrong: too little. Read on to see where the rest comes from.".to_owned()
            }
            Kind::Ratio
                if (expected > 1.0 && measured < 1.0 / SAME_RATIO)
                    || (expected < 1.0 && measured > SAME_RATIO) =>
            {
                let side = if more {
                    "more than 1, and it is less"
                } else {
                    "less than 1, and it is more"
                };
                format!("The wrong way round: you predicted {side}. Read on to see why.")
            }
            Kind::Ratio | Kind::Amount(_) => match self.factor() {
                factor if factor <= 1.25 => "Well predicted.".to_owned(),
                factor if factor <= 2.0 => "Close: within a factor of two.".to_owned(),
                factor if factor <= 10.0 => "The right order of magnitude.".to_owned(),
                _ if less => {
                    "Far more than predicted: read on to see where it comes from.".to_owned()
                }
                _ => "Far less than predicted: read on to see why.".to_owned(),
            },
        }
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let cell = |text: String| format!("<td>{}</td>", show::escape(&text));
        let body = format!(
            "{}<table><tr><th scope=\"col\">you \
             predicted</th><th scope=\"col\">measured here, now</th></tr><tr>{}{}</tr></table>{}",
            show::escape(&self.prediction.question),
            cell(self.prediction.shown()),
            cell(self.prediction.shown_measured(self.measured.value)),
            show::code(&show::escape(&self.comment()))
        );
        show::show(show::boxed(ORANGE, "", &body), self);
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}; measured: {}. {}",
            self.prediction,
            self.prediction.shown_measured(self.measured.value),
            self.comment()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(judged: &Judged) -> String {
        format!("{judged:?}")
    }

    #[test]
    fn a_ratio_is_judged_by_its_factor() {
        let guess = predict("times?", 10.0);
        assert!((guess.against(40.0).factor() - 4.0).abs() < 1e-12);
        assert!((guess.against(2.5).factor() - 4.0).abs() < 1e-12);
        assert!(guess.against(0.0).factor().is_infinite());
        let text = said(&guess.against(400.0));
        assert!(text.contains("times? 10;") && text.contains("400") && text.contains("Far more"));
        assert!(said(&guess.against(11.0)).contains("Well predicted"));
        assert!(said(&guess.against(0.5)).contains("wrong way round"));
        assert!(said(&predict("0?", 0).against(0.0)).contains("Exactly right"));
    }

    #[test]
    fn a_count_is_right_or_wrong_and_has_no_decimals() {
        let guess = predict("workers:", 8).count();
        let text = said(&guess.against(2.0));
        assert!(
            text.contains("workers: 8; measured: 2. Wrong: 6 too many."),
            "{text}"
        );
        assert!(said(&guess.against(9.0)).contains("1 too few"));
        let none = predict("the counter has grown by", 0.0).count();
        assert!(said(&none.against(0.0)).ends_with("by 0; measured: 0. Exactly right."));
        assert!(said(&predict("", 1.5).count().against(2.0)).contains("whole number"));
    }

    #[test]
    fn a_share_that_is_four_times_too_large_is_wrong() {
        let all = predict("this share is copied:", 1.0).share();
        let text = said(&all.against(0.25));
        assert!(
            text.contains("1 (100 %); measured: 0.25 (25 %). Wrong: 4.00 times too much"),
            "{text}"
        );
        assert!(said(&predict("", 0.25).share().against(0.2496)).contains("Right, within"));
        assert!(said(&predict("", 0.5).share().against(0.0)).contains("none at all"));
        assert!(said(&predict("", 0.0).share().against(0.5)).contains("too little"));
        assert!(said(&predict("", 25).share().against(0.25)).contains("25 % is 0.25"));
    }

    #[test]
    fn what_cannot_be_measured_is_refused_and_a_unit_is_shown() {
        assert!(said(&predict("", f64::NAN).against(1.0)).contains("no number"));
        assert!(said(&predict("", -2).against(1.0)).contains("less than nothing"));
        let text = said(&predict("from", 100).amount("µs").against(3.2));
        assert!(
            text.contains("from 100 µs; measured: 3.20 µs. Far less"),
            "{text}"
        );
        // For an amount, above or below 1 has no meaning.
        assert!(said(&predict("", 0.9).amount("µs").against(1.8)).contains("factor of two"));
    }

    #[test]
    fn a_misconception_is_named_and_never_praised() {
        let of = |expected: f64, measured: f64| {
            said(
                &predict("", expected)
                    .against(measured)
                    .misconception(4.0, "seven do not divide by four."),
            )
        };
        assert!(of(4.0, 3.5).contains("This is the misconception: seven"));
        assert!(of(3.9, 3.4).contains("misconception"));
        // The right answer and close ones show no misconception, nor does a misconception's answer
        // that was measured.
        assert!(of(3.5, 3.5).contains("Exactly right"));
        assert!(of(3.6, 3.5).contains("Well predicted"));
        assert!(of(4.0, 4.1).contains("Well predicted"));
        let two = predict("", 50)
            .count()
            .against(0.0)
            .misconception(50, "the child has a copy.");
        assert!(said(&two).contains("This is the misconception: the child"));
    }

    #[test]
    fn what_the_system_does_not_tell_judges_nothing() {
        let guess = predict("pages:", 16).count();
        assert!(said(&guess.against(Some(16))).contains("Exactly right"));
        let text = said(&guess.against(None).misconception(16, "wrong"));
        assert!(text.contains("measured: —. Inconclusive"), "{text}");
    }

    #[test]
    fn a_busy_machine_judges_no_number_but_names_a_misconception() {
        let unsure = Measured {
            value: 1.3,
            conclusive: false,
        };
        let guess = predict("", 2.0);
        assert!(said(&guess.against(unsure)).contains("Inconclusive"));
        let text = said(
            &guess
                .against(unsure)
                .misconception(2.0, "there is one lock."),
        );
        assert!(
            text.contains("misconception") && text.contains("inconclusive"),
            "{text}"
        );
    }
}
