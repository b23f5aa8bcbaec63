//! The parts of a time.

use std::fmt;
use std::time::Duration;

use forklore::figure::{Figure, Stacked, Unit};

use crate::show::{self, ORANGE};

/// Puts the parts of a time side by side.
///
/// # Example
/// ```
/// use forklore_course::shares;
/// use std::time::Duration;
///
/// let parts = [("call", Duration::from_micros(30)), ("work", Duration::from_micros(2))];
/// let told = shares("A call", &parts).doubt(Some("Do not rely on it: the machine was busy.".to_owned()));
/// assert!(format!("{told:?}").contains("the machine was busy"));
/// ```
pub fn shares(title: &str, parts: &[(&str, Duration)]) -> Shares {
    let parts = parts
        .iter()
        .map(|(name, time)| ((*name).to_owned(), time.as_secs_f64()));
    Shares {
        title: title.to_owned(),
        parts: parts.collect(),
        doubt: None,
    }
}

/// The parts of a time. As the last expression of a cell, shows a bar and its numbers.
#[derive(Clone, PartialEq)]
pub struct Shares {
    title: String,
    /// Names and seconds.
    parts: Vec<(String, f64)>,
    /// Why the underlying measurements cannot be trusted.
    doubt: Option<String>,
}

impl Shares {
    /// Passes on a measurement's doubt, as [`Sweep::doubt`] and [`Comparison::doubt`] return it:
    /// the parts are only as reliable as their measurements. Only the first doubt is kept, because
    /// one reason is enough.
    ///
    /// [`Sweep::doubt`]: crate::Sweep::doubt
    /// [`Comparison::doubt`]: crate::Comparison::doubt
    #[must_use]
    pub fn doubt(mut self, doubt: Option<String>) -> Shares {
        self.doubt = self.doubt.or(doubt);
        self
    }

    /// The parts as one bar.
    pub fn figure(&self) -> Figure {
        let parts: Vec<(&str, f64)> = self.parts.iter().map(|(name, s)| (&**name, *s)).collect();
        let chart = Stacked::new(&self.title).axis("time", Unit::Seconds);
        chart.bar("", &parts).figure()
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let doubt = self.doubt.as_deref().map(show::escape);
        let doubt = doubt.map(|doubt| show::boxed(ORANGE, "Careful:", &show::code(&doubt)));
        show::show(
            format!("{}{}", self.figure().html(), doubt.unwrap_or_default()),
            self,
        );
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        for (name, seconds) in &self.parts {
            write!(f, "\n  {name}: {}", show::time(*seconds))?;
        }
        match &self.doubt {
            Some(doubt) => write!(f, "\n{doubt}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_as_text_too() {
        let parts = shares("a call", &[("waking", Duration::from_micros(30))]);
        assert_eq!(format!("{parts:?}"), "a call\n  waking: 30.0 µs");
    }

    #[test]
    fn parts_are_no_better_than_what_they_were_measured_with() {
        let parts = || shares("a call", &[("waking", Duration::from_micros(30))]);
        let doubts = ["the first", "the second"].map(|doubt| Some(doubt.to_owned()));
        let [first, second] = doubts;
        let told = format!("{:?}", parts().doubt(None).doubt(first).doubt(second));
        assert!(told.ends_with("30.0 µs\nthe first"), "{told}");
    }
}
