//! What a time is made of.

use std::fmt;
use std::time::Duration;

use crate::figure::{Figure, Stacked, Unit};

use super::show;

/// Puts the parts of a time side by side.
pub fn shares(title: &str, parts: &[(&str, Duration)]) -> Shares {
    let parts = parts
        .iter()
        .map(|(name, time)| ((*name).to_owned(), time.as_secs_f64()));
    Shares {
        title: title.to_owned(),
        parts: parts.collect(),
    }
}

/// The parts of a time. The last expression of a cell: shows a bar and its numbers.
#[derive(Clone, PartialEq)]
pub struct Shares {
    title: String,
    /// Names and seconds.
    parts: Vec<(String, f64)>,
}

impl Shares {
    /// The parts as one bar.
    pub fn figure(&self) -> Figure {
        let parts: Vec<(&str, f64)> = self.parts.iter().map(|(name, s)| (&**name, *s)).collect();
        let chart = Stacked::new(&self.title).axis("time", Unit::Seconds);
        chart.bar("", &parts).figure()
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        show::show(self.figure().html(), self);
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        for (name, seconds) in &self.parts {
            write!(f, "\n  {name}: {}", show::time(*seconds))?;
        }
        Ok(())
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
}
