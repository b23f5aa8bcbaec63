//! Pieces of work measured against each other, fairly.
//!
//! The cases take turns, round by round, so that a machine that becomes busy disturbs all of them
//! alike; a ratio is taken within each round; and where the rounds do not agree on who is faster, or
//! others were on the processors and the difference is not plain, the verdict is that it cannot be
//! told.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use forklore::figure::{Figure, Strip};

use crate::predict::Measured;
use crate::quiet::{Others, Watch};
use crate::show::{self, GREEN, ORANGE};

/// A batch shorter than this measures the clock.
const LEAST_BATCH: Duration = Duration::from_micros(500);
const N_ROUNDS_MOST: usize = 101;
const N_ROUNDS_ENOUGH: usize = 21;
const N_ROUNDS_LEAST: usize = 7;
/// All rounds together take about this long, or the least number of rounds.
const BUDGET: Duration = Duration::from_secs(2);
/// In less time the processors, which count in hundredths of a second, cannot tell what others did.
const LEAST_TIME: Duration = Duration::from_millis(200);
/// Rounds that may disagree with the rest, as a share: one interrupt is not a result.
const OUTLIERS: f64 = 0.15;
/// Closer than this is no difference to speak of.
const SAME: f64 = 1.03;
/// Rounds that all stay within this factor of each other show that there is none.
const ALIKE: f64 = 1.1;

/// Starts a comparison; add its cases, then run it.
pub fn compare<'a>(title: &str) -> Cases<'a> {
    Cases {
        title: title.to_owned(),
        cases: Vec::new(),
        baseline: None,
    }
}

/// The cases of a comparison that has not run yet.
pub struct Cases<'a> {
    title: String,
    cases: Vec<Case<'a>>,
    /// The name of the case that the others are set against; the first, if none is named.
    baseline: Option<String>,
}

struct Case<'a> {
    name: String,
    /// How many cores it needs at the same time; none said means all.
    n_cores: Option<usize>,
    /// Does the work this many times, and says how long that took.
    batch: Box<dyn FnMut(u32) -> Duration + 'a>,
}

impl<'a> Cases<'a> {
    /// Adds a case. What it returns is kept from being optimised away.
    #[must_use]
    pub fn case<T>(self, name: &str, mut work: impl FnMut() -> T + 'a) -> Self {
        self.batches(name, move |loops| {
            let started = Instant::now();
            for _ in 0..loops {
                black_box(work());
            }
            started.elapsed()
        })
    }

    /// Adds a case that says itself how long it took: another program that has looked at its own
    /// clock, or the part of the work that is asked about.
    #[must_use]
    pub fn timed(self, name: &str, mut work: impl FnMut() -> Duration + 'a) -> Self {
        self.batches(name, move |loops| (0..loops).map(|_| work()).sum())
    }

    fn batches(mut self, name: &str, batch: impl FnMut(u32) -> Duration + 'a) -> Self {
        self.cases.push(Case {
            name: name.to_owned(),
            n_cores: None,
            batch: Box::new(batch),
        });
        self
    }

    /// Says how many cores the case before needs at the same time, if not all of them: 1 for a loop, 0 for what sleeps.
    /// Other programs disturb it the less, the fewer that are.
    ///
    /// # Example
    /// ```
    /// use forklore_course::compare;
    ///
    /// let compared = compare("two sums")
    ///     .case("short", || (0..1_000u64).map(std::hint::black_box).sum::<u64>())
    ///     .needs(1)
    ///     .case("long", || (0..9_000u64).map(std::hint::black_box).sum::<u64>())
    ///     .needs(1)
    ///     .run();
    /// assert!(compared.ratio("long", "short") > 1.0);
    /// ```
    #[must_use]
    pub fn needs(mut self, n_cores: usize) -> Self {
        if let Some(case) = self.cases.last_mut() {
            case.n_cores = Some(n_cores);
        }
        self
    }

    /// Sets all cases against this one, and not against the first: so cases that have an order keep it in the figure.
    ///
    /// # Example
    /// ```
    /// use forklore_course::compare;
    ///
    /// let sum = |n: u64| (0..n).map(std::hint::black_box).sum::<u64>();
    /// let compared = compare("sums")
    ///     .case("100", || sum(100))
    ///     .case("1,000", || sum(1_000))
    ///     .case("10,000", || sum(10_000))
    ///     .baseline("1,000")
    ///     .run();
    /// assert!(format!("{compared:?}").find("  100:") < format!("{compared:?}").find("  1,000:"));
    /// ```
    #[must_use]
    pub fn baseline(mut self, name: &str) -> Self {
        self.baseline = Some(name.to_owned());
        self
    }

    /// Measures: each case once to warm up, then in turns.
    ///
    /// # Panics
    ///
    /// When there is no case of the baseline's name.
    pub fn run(mut self) -> Comparison {
        let loops: Vec<u32> = self.cases.iter_mut().map(Case::loops).collect();
        let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); self.cases.len()];
        let (watch, started) = (Watch::start(), Instant::now());
        for round in 0..N_ROUNDS_MOST {
            let elapsed = started.elapsed();
            if (round >= N_ROUNDS_LEAST && elapsed > BUDGET)
                || (round >= N_ROUNDS_ENOUGH && elapsed > LEAST_TIME)
            {
                break;
            }
            for (case, (seconds, loops)) in self.cases.iter_mut().zip(rounds.iter_mut().zip(&loops))
            {
                seconds.push((case.batch)(*loops).as_secs_f64() / f64::from(*loops));
            }
        }
        let others = watch.stop();
        let cases = self.cases.into_iter();
        let (names, n_cores) = cases.map(|case| (case.name, case.n_cores)).unzip();
        let mut comparison = Comparison {
            title: self.title,
            names,
            n_cores,
            rounds,
            others,
            baseline: 0,
        };
        if let Some(name) = self.baseline {
            comparison.baseline = comparison.index(&name);
        }
        comparison
    }
}

impl Case<'_> {
    /// How many calls make a batch long enough to measure.
    fn loops(&mut self) -> u32 {
        (self.batch)(1);
        let mut loops = 1;
        while loops < 1 << 24 && (self.batch)(loops) < LEAST_BATCH {
            loops *= 2;
        }
        loops
    }
}

/// Which of two cases takes longer, as far as the measurement can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first takes longer.
    Slower,
    /// The first takes less time.
    Faster,
    /// They take equally long, within a tenth.
    Alike,
    /// The rounds do not agree, or others were on the processors: the machine is busy.
    Inconclusive,
}

/// Cases and their times. The last expression of a cell: shows a figure and its numbers.
#[derive(Clone, PartialEq)]
pub struct Comparison {
    title: String,
    names: Vec<String>,
    /// How many cores each case needs at the same time; none said means all.
    n_cores: Vec<Option<usize>>,
    /// Seconds per call: a list for each case, in which the places with the same index were
    /// measured one after another.
    rounds: Vec<Vec<f64>>,
    /// Who else was on the processors.
    others: Others,
    /// The index of the case that the others are set against.
    baseline: usize,
}

impl Comparison {
    /// The median time of one call.
    ///
    /// # Panics
    ///
    /// When there is no case of that name.
    pub fn median(&self, name: &str) -> Duration {
        Duration::from_secs_f64(show::median(&self.rounds[self.index(name)]))
    }

    /// How many times longer `one` takes than `other`: the median of the ratios in each round.
    ///
    /// # Panics
    ///
    /// When there is no case of one of these names.
    pub fn ratio(&self, one: &str, other: &str) -> f64 {
        show::median(&self.ratios(one, other))
    }

    /// [`ratio`](Self::ratio), and whether it is more than noise; for [`Prediction::against`].
    ///
    /// [`Prediction::against`]: crate::Prediction::against
    ///
    /// # Panics
    ///
    /// When there is no case of one of these names.
    pub fn times(&self, one: &str, other: &str) -> Measured {
        Measured {
            value: self.ratio(one, other),
            conclusive: self.verdict(one, other) != Verdict::Inconclusive,
        }
    }

    /// Whether `one` is slower or faster than `other`, or alike, or cannot be told.
    ///
    /// # Panics
    ///
    /// When there is no case of one of these names.
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

    fn index(&self, name: &str) -> usize {
        self.names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                panic!(
                    "no case `{name}` was compared; there are: {}",
                    self.names.join(", ")
                )
            })
    }

    /// The baseline's name, and those of the cases that are set against it.
    fn against(&self) -> (&String, impl Iterator<Item = &String>) {
        let others = self.names.iter().enumerate();
        let others = others.filter(|(index, _)| *index != self.baseline);
        (&self.names[self.baseline], others.map(|(_, name)| name))
    }

    /// Each case against the baseline, in a sentence, and once for all why some cannot be told.
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

    /// Which cases cannot be told from the baseline, and why; `None` where all can be told.
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

    /// The title of a figure that is drawn from these times: where they tell nothing, it says so.
    pub fn title_for(&self, title: &str) -> String {
        match self.is_conclusive() {
            true => title.to_owned(),
            false => format!("{title} (inconclusive: do not rely on it)"),
        }
    }

    /// Every round of every case.
    pub fn figure(&self) -> Figure {
        let rows = self.names.iter().zip(&self.rounds);
        rows.fold(Strip::new(&self.title), |chart, (name, seconds)| {
            chart.row(name, seconds)
        })
        .figure()
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

/// What the ratios of some rounds say of work that needs all cores.
pub(crate) fn verdict_of(ratios: &[f64], others: &Others) -> Verdict {
    verdict_between(ratios, others, [None, None])
}

/// What the ratios of some rounds say, but for a few outliers. Where others were in the way, only a
/// difference that they cannot have made is one.
fn verdict_between(ratios: &[f64], others: &Others, needs: [Option<usize>; 2]) -> Verdict {
    let n_cores = needs.map(|needed| needed.unwrap_or(usize::MAX));
    let is_disturbed = others.disturb_on(n_cores[0].max(n_cores[1]));
    let least = |slower, faster| match is_disturbed {
        true => others.least_ratio(slower, faster),
        false => SAME,
    };
    let [one, other] = needs;
    let mut ratios = ratios.to_vec();
    ratios.sort_by(f64::total_cmp);
    let n_outliers = (ratios.len() as f64 * OUTLIERS) as usize;
    let (low, high) = (ratios[n_outliers], ratios[ratios.len() - 1 - n_outliers]);
    if low > least(one, other) {
        Verdict::Slower
    } else if high < 1.0 / least(other, one) {
        Verdict::Faster
    } else if !is_disturbed && low > 1.0 / ALIKE && high < ALIKE {
        Verdict::Alike
    } else {
        Verdict::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(one: &[f64], other: &[f64]) -> Comparison {
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
    fn beside_loops(one: &[f64], other: &[f64]) -> Comparison {
        Comparison {
            others: Others::on_two(1.2),
            ..comparison(one, other)
        }
    }

    #[test]
    fn rounds_that_agree_are_a_verdict_and_one_outlier_does_not_matter() {
        let one = [1.0, 1.1, 1.0, 1.2, 1.0, 1.0, 1.0];
        let other = [2.0, 2.1, 2.0, 2.2, 0.9, 2.0, 2.0];
        let compared = comparison(&one, &other);
        assert_eq!(compared.verdict("other", "one"), Verdict::Slower);
        assert_eq!(compared.verdict("one", "other"), Verdict::Faster);
        assert!((compared.ratio("other", "one") - 2.0).abs() < 1e-9);
        assert_eq!(compared.median("one"), Duration::from_secs(1));
        assert!(format!("{compared:?}").contains("`other` takes 2.00 times as long as `one`"));
        assert_eq!(compared.title_for("Speed-up"), "Speed-up");
    }

    #[test]
    fn rounds_that_disagree_are_inconclusive() {
        let one = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0];
        let other = [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
        let compared = comparison(&one, &other);
        assert_eq!(compared.verdict("other", "one"), Verdict::Inconclusive);
        assert!(!compared.times("other", "one").conclusive);
        assert!(format!("{compared:?}").contains("the machine is busy"));
    }

    #[test]
    fn rounds_close_together_are_alike() {
        let compared = comparison(&[1.0; 7], &[1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.05]);
        assert_eq!(compared.verdict("other", "one"), Verdict::Alike);
        assert!(compared.times("other", "one").conclusive);
        assert!(format!("{compared:?}").contains("about equally long"));
    }

    #[test]
    fn rounds_that_agree_beside_others_are_a_verdict_only_if_it_is_plain() {
        // Measured under load: two threads with a GIL, in every round faster than one.
        let (one, two) = ([0.517; 9], [0.374; 9]);
        let wrong = beside_loops(&one, &two);
        assert_eq!(wrong.verdict("other", "one"), Verdict::Inconclusive);
        assert_eq!(wrong.verdict("one", "other"), Verdict::Inconclusive);
        assert!(!wrong.times("other", "one").conclusive);
        let text = format!("{wrong:?}");
        assert!(
            text.contains("other programs used 1.2 of the 2 processors"),
            "{text}"
        );
        assert!(!wrong.is_conclusive());
        assert!(wrong.title_for("Speed-up").contains("do not rely on it"));
        // Nothing is alike for sure, either.
        assert_eq!(
            beside_loops(&one, &one).verdict("one", "other"),
            Verdict::Inconclusive
        );
        // A thousand times as long is not the others' doing.
        let plain = beside_loops(&[1e-6; 9], &[1e-3; 9]);
        assert_eq!(plain.verdict("other", "one"), Verdict::Slower);
        assert_eq!(plain.verdict("one", "other"), Verdict::Faster);
    }

    #[test]
    fn work_on_few_cores_is_trusted_where_load_cannot_have_made_the_difference() {
        let needing = |n_cores: [usize; 2], one: f64, other: f64| Comparison {
            n_cores: n_cores.map(Some).into(),
            ..beside_loops(&[one; 9], &[other; 9])
        };
        // Four threads that sleep, one after another or side by side.
        let asleep = needing([0, 0], 0.080, 0.021);
        assert_eq!(asleep.verdict("one", "other"), Verdict::Slower);
        // A copy of the memory against a fork.
        assert_eq!(
            needing([1, 1], 1.0, 9.4).verdict("other", "one"),
            Verdict::Slower
        );
        assert_eq!(
            needing([1, 1], 1.0, 1.2).verdict("other", "one"),
            Verdict::Inconclusive
        );
        // Two threads may look faster than one by what the system gives them more.
        let gil = needing([1, 2], 0.517, 0.374);
        assert_eq!(gil.verdict("other", "one"), Verdict::Inconclusive);
        assert_eq!(
            needing([1, 2], 3.0, 1.0).verdict("other", "one"),
            Verdict::Faster
        );
        // And slower by any amount.
        assert_eq!(
            needing([1, 2], 1.0, 5.6).verdict("other", "one"),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn a_program_on_the_other_core_does_not_disturb_what_needs_one() {
        let beside_one = Comparison {
            n_cores: vec![Some(1), Some(1)],
            others: Others::on_two(1.0),
            ..comparison(&[1.0; 9], &[1.1; 9])
        };
        assert_eq!(beside_one.verdict("other", "one"), Verdict::Slower);
        let needs_both = Comparison {
            n_cores: vec![Some(1), None],
            ..beside_one
        };
        assert_eq!(needs_both.verdict("other", "one"), Verdict::Inconclusive);
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
    fn a_comparison_lasts_long_enough_to_look_at_the_processors() {
        let started = Instant::now();
        let compared = compare("quick").case("a", || 1).case("b", || 2).run();
        assert!(started.elapsed() >= LEAST_TIME || compared.rounds[0].len() == N_ROUNDS_MOST);
        assert!(compared.rounds[0].len() >= N_ROUNDS_LEAST);
    }

    #[test]
    fn cases_take_turns() {
        let order = std::cell::RefCell::new(Vec::new());
        let until = |end: Instant| while Instant::now() < end {};
        let work = |name: u8| {
            order.borrow_mut().push(name);
            until(Instant::now() + LEAST_BATCH);
        };
        let compared = compare("turns")
            .case("a", || work(b'a'))
            .case("b", || work(b'b'))
            .run();
        assert_eq!(compared.rounds[0].len(), compared.rounds[1].len());
        let order = order.into_inner();
        let measured = &order[order.len() - 2 * N_ROUNDS_LEAST..];
        assert!(measured.chunks(2).all(|pair| pair == b"ab"), "{measured:?}");
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
    fn a_case_may_say_itself_how_long_it_took() {
        let told = |millis| move || Duration::from_millis(millis);
        let compared = compare("told")
            .timed("one", told(10))
            .timed("other", told(30))
            .run();
        assert_eq!(compared.median("one"), Duration::from_millis(10));
        assert!((compared.ratio("other", "one") - 3.0).abs() < 1e-9);
    }

    #[test]
    #[should_panic(expected = "no case `three` was compared; there are: one, other")]
    fn an_unknown_case_is_named() {
        comparison(&[1.0], &[1.0]).median("three");
    }
}
