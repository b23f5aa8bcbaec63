//! Compares pieces of work, fairly.
//!
//! The cases take turns, round by round, so a machine that becomes busy disturbs all of them alike.
//! Each round gives a ratio. If the rounds disagree on which case is faster, or if other programs
//! used the processors and the difference is small, the verdict is that the measurement cannot
//! tell.
//!
//! ```text
//!  compare ─▶ Cases::run ─▶ Comparison: seconds by case and round ─▶ ratios ─▶ Verdict ─▶ sentences, figure
//! ```

mod comparison;
mod verdict;

use std::hint::black_box;
use std::time::{Duration, Instant};

pub use comparison::Comparison;
pub use verdict::Verdict;
pub(crate) use verdict::verdict_of;

use crate::quiet::Watch;

/// A shorter batch measures the clock.
const LEAST_BATCH: Duration = Duration::from_micros(500);
const N_ROUNDS_MOST: usize = 101;
const N_ROUNDS_ENOUGH: usize = 21;
const N_ROUNDS_LEAST: usize = 7;
/// All rounds together take about this long, unless the minimum number of rounds takes longer.
const BUDGET: Duration = Duration::from_secs(2);
/// Linux counts processor time in hundredths of a second: in a shorter time it cannot report what
/// other programs used.
const LEAST_TIME: Duration = Duration::from_millis(200);

/// Starts a comparison; add its cases, then run it.
pub fn compare<'a>(title: &str) -> Cases<'a> {
    Cases {
        title: title.to_owned(),
        cases: Vec::new(),
        baseline: None,
    }
}

/// The cases of a comparison that has not run yet.
#[must_use = "a comparison measures nothing until it is run"]
pub struct Cases<'a> {
    title: String,
    cases: Vec<Case<'a>>,
    /// The name of the case with which the others are compared; by default the first.
    baseline: Option<String>,
}

struct Case<'a> {
    name: String,
    /// The number of cores that it needs at the same time; `None` means all.
    n_cores: Option<usize>,
    /// Does the work this many times, and returns how long that took.
    batch: Box<dyn FnMut(u32) -> Duration + 'a>,
}

impl<'a> Cases<'a> {
    /// Adds a case. The compiler cannot optimise its result away.
    pub fn case<T>(self, name: &str, mut work: impl FnMut() -> T + 'a) -> Self {
        self.batches(name, move |loops| {
            let started = Instant::now();
            for _ in 0..loops {
                black_box(work());
            }
            started.elapsed()
        })
    }

    /// Adds a case that reports its own time: that of another program with its own clock, or that
    /// of a part of the work.
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

    /// Sets how many cores the last case needs at the same time, if not all of them: 1 for a loop,
    /// 0 for a sleep. The fewer cores it needs, the less other programs disturb it.
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
    pub fn needs(mut self, n_cores: usize) -> Self {
        if let Some(case) = self.cases.last_mut() {
            case.n_cores = Some(n_cores);
        }
        self
    }

    /// Compares all cases with this one instead of the first, so that cases with a natural order
    /// keep it in the figure.
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
    pub fn baseline(mut self, name: &str) -> Self {
        self.baseline = Some(name.to_owned());
        self
    }

    /// Measures: each case once to warm up, then in turns.
    ///
    /// # Panics
    ///
    /// If there is no case with the baseline's name.
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
    /// The number of calls that make a batch long enough to measure.
    fn loops(&mut self) -> u32 {
        (self.batch)(1);
        let mut loops = 1;
        while loops < 1 << 24 && (self.batch)(loops) < LEAST_BATCH {
            loops *= 2;
        }
        loops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_case_may_say_itself_how_long_it_took() {
        let told = |millis| move || Duration::from_millis(millis);
        let compared = compare("told")
            .timed("one", told(10))
            .timed("other", told(30))
            .run();
        assert_eq!(compared.median("one"), Duration::from_millis(10));
        assert!((compared.ratio("other", "one") - 3.0).abs() < 1e-9);
    }
}
