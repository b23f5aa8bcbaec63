//! A prediction, and how far it was from what was measured.

use std::fmt;

use super::show::{self, BLUE, ORANGE};

/// Notes what you expect, before you measure it.
pub fn predict(question: &str, value: f64) -> Prediction {
    Prediction {
        question: question.to_owned(),
        value,
    }
}

/// What was expected. The last expression of a cell: shows it.
#[derive(Clone, PartialEq)]
pub struct Prediction {
    question: String,
    value: f64,
}

impl Prediction {
    /// Puts the prediction beside what was measured: a number, or [`Comparison::times`], which
    /// also knows whether it can be trusted.
    ///
    /// [`Comparison::times`]: super::Comparison::times
    pub fn against(&self, measured: impl Into<Measured>) -> Judged {
        Judged {
            prediction: self.clone(),
            measured: measured.into(),
        }
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let body = format!(
            "{} <em>{}</em>",
            show::escape(&self.question),
            show::number(self.value)
        );
        show::show(show::boxed(BLUE, "Your prediction:", &body), self);
    }
}

impl fmt::Debug for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "prediction: {} {}",
            self.question,
            show::number(self.value)
        )
    }
}

/// A measured number, and whether the measurement was quiet enough to believe it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Whether it tells more than that the machine was busy.
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

/// A prediction beside its measurement. The last expression of a cell: shows both.
#[derive(Clone, PartialEq)]
pub struct Judged {
    prediction: Prediction,
    measured: Measured,
}

impl Judged {
    /// How far off it was, as a factor of at least 1; infinite where that makes no sense.
    pub fn factor(&self) -> f64 {
        let (expected, measured) = (self.prediction.value, self.measured.value);
        if expected > 0.0 && measured > 0.0 {
            (expected / measured).max(measured / expected)
        } else {
            f64::INFINITY
        }
    }

    fn comment(&self) -> &'static str {
        if !self.measured.conclusive {
            return "Inconclusive: what was measured cannot judge the prediction. Is the machine \
                    busy? Run both cells again.";
        }
        match self.factor() {
            factor if factor <= 1.25 => "Well predicted.",
            factor if factor <= 2.0 => "Close: within a factor of two.",
            factor if factor <= 10.0 => "The right order of magnitude.",
            _ if self.prediction.value < self.measured.value => {
                "Far more than predicted: read on to see where it comes from."
            }
            _ => "Far less than predicted: read on to see why.",
        }
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let body = format!(
            "{}<table><tr><th scope=\"col\">you \
             predicted</th><th scope=\"col\">measured here, now</th></tr><tr><td>{}</td><td>{}\
             </td></tr></table>{}",
            show::escape(&self.prediction.question),
            show::number(self.prediction.value),
            show::number(self.measured.value),
            self.comment()
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
            show::number(self.measured.value),
            self.comment()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgement_says_how_far_off_it_was() {
        let guess = predict("times?", 10.0);
        assert!((guess.against(40.0).factor() - 4.0).abs() < 1e-12);
        assert!((guess.against(2.5).factor() - 4.0).abs() < 1e-12);
        assert!(guess.against(0.0).factor().is_infinite());
        let unsure = Measured {
            value: 9.0,
            conclusive: false,
        };
        assert!(format!("{:?}", guess.against(unsure)).contains("Inconclusive"));
        let text = format!("{:?}", guess.against(400.0));
        assert!(text.contains("10.0") && text.contains("400") && text.contains("Far more"));
    }
}
