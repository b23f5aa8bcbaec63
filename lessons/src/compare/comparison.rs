//! A comparison's measurements, as numbers, as sentences and as a figure.

use std::fmt;
use std::time::Duration;

use forklore::figure::{Figure, Strip};

use super::verdict::{Verdict, verdict_between};
use crate::predict::Measured;
use crate::quiet::Others;
use crate::show::{self, GREEN, ORANGE};

/// Cases and their times. As the last expression of a cell, shows a figure and its numbers.
#[derive(Clone, PartialEq)]
pub struct Comparison {
    pub(super) title: String,
    pub(super) names: Vec<String>,
    /// The number of cores that each case needs at the same time; `None` means all.
    pub(super) n_cores: Vec<Option<usize>>,
    /// Seconds per call: a list for each case. Times with the same index were measured one after
    /// another.
    pub(super) rounds: Vec<Vec<f64>>,
    /// The processor time that other programs used.
    pub(super) others: Others,
    /// The index of the case with which the others are compared.
    pub(super) baseline: usize,
}

impl Comparison {
    /// The median time of one call.
    ///
    /// # Panics
    ///
    /// If there is no case with that name.
    pub fn median(&self, name: &str) -> Duration {
        Duration::from_secs_f64(show::median(&self.rounds[self.index(name)]))
    }

    /// How many times longer `one` takes than `other`: the median of the ratios of all rounds.
    ///
    /// # Panics
    ///
    /// If there is no case with one of these names.
    pub fn ratio(&self, one: &str, other: &str) -> f64 {
        show::median(&self.ratios(one, other))
    }

    /// [`ratio`](Self::ratio), and whether the difference is more than noise; for
    /// [`Prediction::against`].
    ///
    /// [`Prediction::against`]: crate::Prediction::against
    ///
    /// # Panics
    ///
    /// If there is no case with one of these names.
    pub fn times(&self, one: &str, other: &str) -> Measured {
        Measured {
            value: self.ratio(one, other),
            conclusive: self.verdict(one, other) != Verdict::Inconclusive,
        }
    }

    /// Whether `one` is slower or faster than `other`, or alike, or the measurement cannot tell.
    ///
    /// # Panics
    ///
    /// If there is no case with one of these names.
    pub fn verdict(&self, one: &str, other: &str) -> Verdict {
        let needs = [one, other].map(|name| self.n_cores[self.index(name)]);
        verdict_between(&self.ratios(one, other), &self.others, needs)
    }

    fn ratios(&self, one: &str, other: &str) -> Vec<f64> {
        let (one, other) = (self.index(one), self.index(other));
        self.rounds[one]
            .iter()
            .zip(&self.rounds[other])
            .map(|(a, b)| a / b)
            .collect()
    }

    pub(super) fn index(&self, name: &str) -> usize {
        self.known(name).unwrap_or_else(|| {
            panic!(
                "no case `{name}` was compared; there are: {}",
                self.names.join(", ")
            )
        })
    }

    fn known(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The baseline's name, and the names of the cases that are compared with it.
    fn against(&self) -> (&String, impl Iterator<Item = &String>) {
        let others = self.names.iter().enumerate();
        let others = others.filter(|(index, _)| *index != self.baseline);
        (&self.names[self.baseline], others.map(|(_, name)| name))
    }

    /// A sentence for each case compared with the baseline, and one that says why some cannot be
    /// compared.
    fn sentences(&self) -> Vec<String> {
        let (baseline, others) = self.against();
        let sentence = |other: &String| match self.verdict(other, baseline) {
            Verdict::Slower => {
                let ratio = show::number(self.ratio(other, baseline));
                Some(format!(
                    "`{other}` takes {ratio} times as long as `{baseline}`."
                ))
            }
            Verdict::Faster => {
                let ratio = show::number(self.ratio(baseline, other));
                Some(format!(
                    "`{other}` is {ratio} times as fast as `{baseline}`."
                ))
            }
            Verdict::Alike => Some(format!(
                "`{other}` and `{baseline}` take about equally long."
            )),
            Verdict::Inconclusive => None,
        };
        others.filter_map(sentence).chain(self.doubt()).collect()
    }

    /// The cases for which the measurement cannot tell, and why; `None` if there are none.
    pub fn doubt(&self) -> Option<String> {
        let (baseline, others) = self.against();
        let doubtful =
            others.filter(|other| self.verdict(other, baseline) == Verdict::Inconclusive);
        let doubtful: Vec<String> = doubtful.map(|name| format!("`{name}`")).collect();
        let (last, before) = doubtful.split_last()?;
        let names = match before {
            [] => last.clone(),
            before => format!("{} or {last}", before.join(", ")),
        };
        Some(match self.others.disturb() {
            true => format!(
                "Inconclusive for {names} against `{baseline}`: {}. Run the cell again when the machine is quiet.",
                self.others
            ),
            false => format!(
                "Inconclusive for {names} against `{baseline}`: the runs differ too much to tell, as they do where \
                 the machine is busy with something else. Run the cell again."
            ),
        })
    }

    fn is_conclusive(&self) -> bool {
        self.doubt().is_none()
    }

    /// The title of a figure of these times: if they are inconclusive, the title says so.
    pub fn title_for(&self, title: &str) -> String {
        match self.is_conclusive() {
            true => title.to_owned(),
            false => format!("{title} (inconclusive: do not rely on it)"),
        }
    }

    /// Every round of every case.
    pub fn figure(&self) -> Figure {
        self.chart().figure()
    }

    pub(crate) fn chart(&self) -> Strip {
        let rows = self.names.iter().zip(&self.rounds);
        rows.fold(Strip::new(&self.title), |chart, (name, seconds)| {
            chart.row(name, seconds)
        })
    }

    /// The median time of one call of a case, if there is one with this name.
    pub(crate) fn known_median(&self, name: &str) -> Option<Duration> {
        let index = self.known(name)?;
        Some(Duration::from_secs_f64(show::median(&self.rounds[index])))
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let (baseline, mut others) = self.against();
        let is_told = |name: &String| self.verdict(name, baseline) != Verdict::Inconclusive;
        let (colour, mark) = match self.is_conclusive() {
            true => (GREEN, "Measured:"),
            false if others.any(is_told) => (ORANGE, "Measured, in part:"),
            false => (ORANGE, "Careful:"),
        };
        let sentences = show::escape(&self.sentences().join(" "));
        let body = show::boxed(colour, mark, &show::code(&sentences));
        show::show(format!("{}{body}", self.figure().html()), self);
    }
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (name, seconds) in self.names.iter().zip(&self.rounds) {
            let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
            let (median, best) = (show::time(show::median(seconds)), show::time(best));
            writeln!(f, "  {name}: median {median}, best {best}")?;
        }
        f.write_str(&self.sentences().join("\n"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::compare) fn comparison(one: &[f64], other: &[f64]) -> Comparison {
        Comparison {
            title: "a test".into(),
            names: vec!["one".into(), "other".into()],
            n_cores: vec![None, None],
            rounds: vec![one.to_vec(), other.to_vec()],
            others: Others::on_two(0.1),
            baseline: 0,
        }
    }

    /// The same, measured beside a busy loop on each of two cores.
    pub(in crate::compare) fn beside_loops(one: &[f64], other: &[f64]) -> Comparison {
        Comparison {
            others: Others::on_two(1.2),
            ..comparison(one, other)
        }
    }

    #[test]
    fn the_reason_for_a_doubt_is_given_once() {
        let mut many = beside_loops(&[1.0; 9], &[1.1; 9]);
        many.names.extend(["third".to_owned(), "fourth".to_owned()]);
        many.rounds.extend([vec![1.2; 9], vec![100.0; 9]]);
        many.n_cores.extend([None, None]);
        let text = format!("{many:?}");
        assert_eq!(text.matches("other programs used").count(), 1, "{text}");
        assert!(
            text.contains("Inconclusive for `other` or `third` against `one`"),
            "{text}"
        );
        assert!(text.contains("`fourth` takes 100 times as long"), "{text}");
    }

    #[test]
    fn cases_in_order_are_set_against_any_of_them() {
        let mut compared = comparison(&[40.0; 9], &[10.0; 9]);
        compared.names = ["1", "10", "100"].map(str::to_owned).into();
        compared.rounds.push(vec![20.0; 9]);
        compared.n_cores.push(None);
        compared.baseline = 1;
        let text = format!("{compared:?}");
        assert!(
            text.contains("`1` takes 4.00 times as long as `10`"),
            "{text}"
        );
        assert!(
            text.contains("`100` takes 2.00 times as long as `10`"),
            "{text}"
        );
        assert!(text.find("  1:") < text.find("  10:"), "{text}");
        assert_eq!(compared.doubt(), None);
    }

    #[test]
    #[should_panic(expected = "no case `three` was compared; there are: one, other")]
    fn an_unknown_case_is_named() {
        comparison(&[1.0], &[1.0]).median("three");
    }
}
