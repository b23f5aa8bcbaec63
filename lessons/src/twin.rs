//! Times that a cell in another language printed, beside those measured here.
//!
//! Both clocks are Linux's monotonic clock (`time.perf_counter` in Python, `Instant` in Rust), so
//! their times are in the same figure. The two were not measured in turns, so a figure of both
//! says how many times longer one takes, and no [`Verdict`](crate::Verdict).

use std::fmt;
use std::time::Duration;

use forklore::figure::{Figure, Line, Strip};

use crate::compare::Comparison;
use crate::show::{self, BLUE, GREEN};
use crate::sweep::Sweep;

/// Reads the times that a script printed: a line `NAME SECONDS` for each run, in any order.
///
/// `language` is the script's, as the figures name it. A script that could not be started has
/// printed nothing; then there are no times, and what is shown says so.
///
/// ```
/// use forklore_course::{Timings, timings};
/// use std::time::Duration;
///
/// let python: Timings = timings("Python", "fork 0.25\nfork 0.5\nfork 1.0\n");
/// assert_eq!(python.median("fork"), Some(Duration::from_millis(500)));
/// assert_eq!(python.median("thread"), None);
/// ```
///
/// # Panics
///
/// If a line is not a name and a number of seconds.
pub fn timings(language: &str, printed: &str) -> Timings {
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        let parsed = line.trim().rsplit_once(' ');
        let parsed = parsed.and_then(|(name, time)| Some((name.trim(), time.parse().ok()?)));
        let Some((name, seconds)) = parsed.filter(|(_, seconds): &(_, f64)| *seconds >= 0.0) else {
            panic!("the script printed `{line}`, which is not a name and a number of seconds");
        };
        match rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(seconds),
            None => rows.push((name.to_owned(), vec![seconds])),
        }
    }
    Timings {
        language: language.to_owned(),
        rows,
    }
}

/// Times of a script, by the name of what it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    language: String,
    /// Each name, and the seconds of its runs.
    rows: Vec<(String, Vec<f64>)>,
}

impl Timings {
    /// The median time of what has this name; `None` if the script printed no such time.
    pub fn median(&self, name: &str) -> Option<Duration> {
        let (_, seconds) = self.rows.iter().find(|(known, _)| known == name)?;
        Some(Duration::from_secs_f64(show::median(seconds)))
    }

    /// Says how a row compares with the median of the same name here.
    fn sentence(&self, name: &str, seconds: &[f64], here: Option<f64>) -> String {
        let (there, language) = (show::median(seconds), &self.language);
        let time = show::time(there);
        match here.filter(|here| *here > 0.0).map(|here| there / here) {
            Some(ratio) if ratio >= 1.0 => format!(
                "`{name}` takes {time} in {language}, {} times as long as here.",
                show::number(ratio)
            ),
            Some(ratio) => format!(
                "`{name}` takes {time} in {language}, which is {} times as fast as here.",
                show::number(1.0 / ratio)
            ),
            None => format!("`{name}` takes {time} in {language}."),
        }
    }

    fn none(&self) -> String {
        format!(
            "There are no times of {} to set beside these: the cell above was not run, or could not \
             run it.",
            self.language
        )
    }
}

/// Two languages' times in one figure. As the last expression of a cell, shows it and its numbers.
#[derive(Clone, PartialEq)]
pub struct Beside {
    figure: Figure,
    sentences: Vec<String>,
    is_empty: bool,
}

impl Comparison {
    /// Draws the script's times below those of this comparison.
    pub fn beside(&self, script: &Timings) -> Beside {
        let rows = script.rows.iter();
        let chart = rows.fold(self.chart(), |chart: Strip, (name, seconds)| {
            chart.row(&format!("{}: {name}", script.language), seconds)
        });
        Beside::new(chart.figure(), script, |name| {
            Some(self.known_median(name)?.as_secs_f64())
        })
    }
}

impl Sweep {
    /// Draws the script's times, whose names are numbers of items, beside those of this sweep.
    ///
    /// # Panics
    ///
    /// If a name of the script's is not a number.
    pub fn beside(&self, script: &Timings) -> Beside {
        let number = |name: &str| -> u64 {
            let number = name.parse();
            number.unwrap_or_else(|_| panic!("the script's `{name}` is not a number of items"))
        };
        let points: Vec<(f64, f64)> = script
            .rows
            .iter()
            .map(|(name, seconds)| (number(name) as f64, show::median(seconds)))
            .collect();
        let mut chart: Line = self.chart();
        if !points.is_empty() {
            chart = chart.series(&script.language, &points);
        }
        Beside::new(chart.figure(), script, |name| self.median_of(number(name)))
    }
}

impl Beside {
    /// `here` returns the median seconds of what has the same name in the comparison or sweep.
    fn new(figure: Figure, script: &Timings, here: impl Fn(&str) -> Option<f64>) -> Beside {
        let is_empty = script.rows.is_empty();
        let rows = script.rows.iter();
        let sentences = rows.map(|(name, seconds)| script.sentence(name, seconds, here(name)));
        Beside {
            figure,
            sentences: match is_empty {
                true => vec![script.none()],
                false => sentences.collect(),
            },
            is_empty,
        }
    }

    /// The figure.
    pub fn figure(&self) -> Figure {
        self.figure.clone()
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let (colour, mark) = match self.is_empty {
            true => (BLUE, "Skipped:"),
            false => (GREEN, "Measured one after the other:"),
        };
        let sentences = show::code(&show::escape(&self.sentences.join(" ")));
        let body = show::boxed(colour, mark, &sentences);
        show::show(format!("{}{body}", self.figure.html()), self);
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::sweep::sweep;

    #[test]
    fn a_scripts_times_are_read_by_name() {
        let script = timings(
            "Python",
            "pool.map, 24 0.5\nfork 1e-3\n\npool.map, 24 0.1\nfork 3e-3\n",
        );
        assert_eq!(script.median("fork"), Some(Duration::from_millis(2)));
        assert_eq!(
            script.median("pool.map, 24"),
            Some(Duration::from_millis(300))
        );
    }

    #[test]
    #[should_panic(expected = "the script printed `fork soon`")]
    fn a_line_without_a_time_is_named() {
        timings("Python", "fork soon");
    }

    #[test]
    #[should_panic(expected = "the script printed `fork -1`")]
    fn a_time_is_not_negative() {
        timings("Python", "fork -1");
    }

    #[test]
    fn a_comparison_says_how_many_times_longer_the_script_takes() {
        let compared = compare("a test")
            .timed("nap", || Duration::from_millis(1))
            .run();
        let beside = compared.beside(&timings("Python", "nap 0.003\nother 0.5"));
        let text = format!("{beside:?}");
        assert!(
            text.contains("`nap` takes 3.00 ms in Python, 3.00 times as long as here."),
            "{text}"
        );
        assert!(text.contains("`other` takes 500 ms in Python."), "{text}");
        let drawn = beside.figure().html();
        assert!(
            drawn.contains("Python: nap") && drawn.contains("Python: other"),
            "{drawn}"
        );
    }

    #[test]
    fn a_sweep_has_the_script_as_a_second_series() {
        let here = sweep("a test", &[1, 10], |_| std::thread::yield_now());
        let drawn = here
            .beside(&timings("Python", "1 0.5\n10 0.7"))
            .figure()
            .html();
        assert!(drawn.contains("Python"), "{drawn}");
    }

    #[test]
    fn without_the_script_the_figure_is_there_and_says_so() {
        let compared = compare("a test")
            .timed("nap", || Duration::from_millis(1))
            .run();
        let beside = compared.beside(&timings("Python", ""));
        assert!(format!("{beside:?}").contains("no times of Python"));
        assert_eq!(beside.figure(), compared.figure());
    }
}
