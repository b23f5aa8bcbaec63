//! Finds the work per item above which one method is faster than another.

use std::fmt;
use std::time::{Duration, Instant};

use forklore::figure::{Figure, Line, Unit};

use crate::compare::{Verdict, verdict_of};
use crate::quiet::{Others, Watch};
use crate::show::{self, GREEN, ORANGE};

const N_ROUNDS: usize = 11;
const LEAST_BATCH: Duration = Duration::from_micros(300);

/// Measures two methods for each amount of work per item, in turns.
///
/// # Example
/// ```
/// use forklore_course::race;
/// use std::time::Duration;
///
/// let mut at_once = |work: Duration| std::thread::sleep(work / 2);
/// let mut one_by_one = |work: Duration| std::thread::sleep(work);
/// let grains = [Duration::from_micros(10), Duration::from_millis(1)];
/// let raced = race("sleeping", &grains, ("one by one", &mut one_by_one), ("at once", &mut at_once));
/// println!("{raced:?}");
/// ```
pub fn race(
    title: &str,
    grains: &[Duration],
    mut one: (&str, &mut dyn FnMut(Duration)),
    mut other: (&str, &mut dyn FnMut(Duration)),
) -> Race {
    let watch = Watch::start();
    let points = grains
        .iter()
        .map(|grain| (*grain, duel(*grain, &mut one.1, &mut other.1)))
        .collect();
    Race {
        title: title.to_owned(),
        names: [one.0.to_owned(), other.0.to_owned()],
        points,
        others: watch.stop(),
    }
}

/// How many times as fast the second method is, once for each round.
fn duel(
    grain: Duration,
    one: &mut dyn FnMut(Duration),
    other: &mut dyn FnMut(Duration),
) -> Vec<f64> {
    let batch = |call: &mut dyn FnMut(Duration), loops: u32| {
        let started = Instant::now();
        for _ in 0..loops {
            call(grain);
        }
        started.elapsed().as_secs_f64() / f64::from(loops)
    };
    let loops_for = |call: &mut dyn FnMut(Duration)| {
        let mut loops = 1;
        while loops < 1 << 20 && batch(call, loops) * f64::from(loops) < LEAST_BATCH.as_secs_f64() {
            loops *= 2;
        }
        loops
    };
    let (loops_one, loops_other) = (loops_for(one), loops_for(other));
    (0..N_ROUNDS)
        .map(|_| batch(one, loops_one) / batch(other, loops_other))
        .collect()
}

/// Two methods, by work per item. As the last expression of a cell, shows a figure.
#[derive(Clone, PartialEq)]
pub struct Race {
    title: String,
    names: [String; 2],
    /// Work per item, and how many times as fast the second method was in each round.
    points: Vec<(Duration, Vec<f64>)>,
    /// The processor time that other programs used.
    others: Others,
}

impl Race {
    /// The interval of work per item in which the second method starts to win: the last amount at
    /// which the first is certainly faster, and the first amount from which on the second is.
    /// `None` if it never wins, always wins, or the machine is too busy to tell.
    pub fn interval(&self) -> Option<(Duration, Duration)> {
        let verdicts: Vec<(Duration, Verdict)> = self
            .points
            .iter()
            .map(|(grain, ratios)| (*grain, verdict_of(ratios, &self.others)))
            .collect();
        // The ratio is the first method's time over the second's: slower means that the second
        // wins.
        let lost = verdicts
            .iter()
            .rposition(|point| point.1 == Verdict::Faster)?;
        let n_won = verdicts
            .iter()
            .rev()
            .take_while(|point| point.1 == Verdict::Slower)
            .count();
        let won = verdicts.len() - n_won;
        (n_won > 0 && lost < won).then(|| (verdicts[lost].0, verdicts[won].0))
    }

    /// How many times as fast the second method is, at the largest amount of work.
    pub fn most(&self) -> f64 {
        self.points
            .last()
            .map_or(f64::NAN, |point| show::median(&point.1))
    }

    fn sentence(&self) -> String {
        let [one, other] = &self.names;
        match self.interval() {
            Some((low, high)) => format!(
                "Up to {} of work per item `{one}` is faster, from {} on `{other}` is.",
                show::time(low.as_secs_f64()),
                show::time(high.as_secs_f64())
            ),
            None if self.others.disturb() => format!(
                "Inconclusive: {}. Run the cell again when the machine is quiet.",
                self.others
            ),
            None if self
                .points
                .iter()
                .all(|(_, ratios)| verdict_of(ratios, &self.others) != Verdict::Slower) =>
            {
                format!(
                    "`{other}` never wins for sure. Does this session have one core only, or is the \
                     machine busy?"
                )
            }
            None => {
                "Inconclusive: no clear point from which on one of them wins. Is the machine busy? \
                     Run the cell again."
                    .into()
            }
        }
    }

    /// Combines another race against the same first method with this one, to show how the point
    /// moves at which the second method starts to pay off.
    ///
    /// # Example
    /// ```
    /// use forklore_course::race;
    /// use std::time::Duration;
    ///
    /// let nap = |times: u32| move |work: Duration| std::thread::sleep(work / times);
    /// let grains = [Duration::from_micros(10), Duration::from_millis(1)];
    /// let halves = race("two", &grains, ("one by one", &mut nap(1)), ("two at once", &mut nap(2)));
    /// let fourths = race("four", &grains, ("one by one", &mut nap(1)), ("four at once", &mut nap(4)));
    /// println!("{:?}", halves.beside(&fourths));
    /// ```
    #[must_use]
    pub fn beside(&self, other: &Race) -> Races {
        Races([self.clone(), other.clone()])
    }

    /// The speed-up of the second method, by work per item.
    pub fn figure(&self) -> Figure {
        let y = format!("{}, times as fast as {}", self.names[1], self.names[0]);
        drawn(&self.title, &y, &[("measured", self)])
    }

    /// Work per item, and the speed-up: the range of the rounds without one at either end, and the
    /// median.
    fn ranges(&self) -> Vec<(f64, f64, f64, f64)> {
        let range = |(grain, ratios): &(Duration, Vec<f64>)| {
            let mut sorted = ratios.clone();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[1], sorted[sorted.len() - 2]);
            (grain.as_secs_f64(), low, show::median(ratios), high)
        };
        self.points.iter().map(range).collect()
    }

    fn boxed_sentence(&self) -> String {
        let (colour, mark) = match self.interval() {
            Some(_) => (GREEN, "Measured:"),
            None => (ORANGE, "Careful:"),
        };
        show::boxed(colour, mark, &show::code(&show::escape(&self.sentence())))
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let found = self.boxed_sentence();
        show::show(format!("{}{found}", self.figure().html()), self);
    }
}

/// Draws a figure with a curve for each race.
fn drawn(title: &str, y: &str, races: &[(&str, &Race)]) -> Figure {
    let grains = races.iter().flat_map(|(_, race)| &race.points);
    let seconds = grains.map(|(grain, _)| grain.as_secs_f64());
    let (least, most) = seconds.fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), x| {
        (least.min(x), most.max(x))
    });
    let chart = Line::new(title)
        .x("work per item", Unit::Seconds)
        .y(y, Unit::Times)
        .log_log();
    let chart = races.iter().fold(chart, |chart, (name, race)| {
        chart.series_between(name, &race.ranges())
    });
    chart
        .reference("equally fast", &[(least, 1.0), (most, 1.0)])
        .figure()
}

/// Two races in one figure, shown if they are the last expression of a cell.
#[derive(Clone, PartialEq)]
pub struct Races([Race; 2]);

impl Races {
    /// How many times as much work per item the second race needs before it pays off, compared with
    /// the first; `None` unless both points are known.
    pub fn moved_by(&self) -> Option<f64> {
        let middle = |race: &Race| {
            let (low, high) = race.interval()?;
            // Halfway on a logarithmic axis.
            Some((low.as_secs_f64() * high.as_secs_f64()).sqrt())
        };
        let [one, other] = &self.0;
        Some(middle(other)? / middle(one)?)
    }

    /// The speed-ups by work per item, with a curve for each race.
    pub fn figure(&self) -> Figure {
        let [one, other] = &self.0;
        let y = format!("times as fast as {}", one.names[0]);
        let curves = [one, other].map(|race| (race.names[1].as_str(), race));
        drawn(&format!("{}, {}", one.title, other.title), &y, &curves)
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let found: String = self.0.iter().map(Race::boxed_sentence).collect();
        show::show(format!("{}{found}", self.figure().html()), self);
    }
}

impl fmt::Debug for Races {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.0;
        write!(f, "{one:?}\n{other:?}")
    }
}

impl fmt::Debug for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (grain, ratios) in &self.points {
            writeln!(
                f,
                "  {} per item: {} is {} times as fast",
                show::time(grain.as_secs_f64()),
                self.names[1],
                show::number(show::median(ratios))
            )?;
        }
        f.write_str(&self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raced(ratios: &[f64]) -> Race {
        let points = ratios.iter().enumerate();
        Race {
            title: "a test".into(),
            names: ["map".into(), "pool.map".into()],
            points: points
                .map(|(i, ratio)| (Duration::from_micros(10u64.pow(i as u32)), vec![*ratio; 7]))
                .collect(),
            others: Others::on_two(0.0),
        }
    }

    #[test]
    fn beside_others_there_is_no_crossover() {
        let found = Race {
            others: Others::on_two(1.0),
            ..raced(&[0.1, 0.5, 1.0, 1.5, 1.9])
        };
        assert_eq!(found.interval(), None);
        assert!(format!("{found:?}").contains("Inconclusive: other programs used 1.0 of the 2"));
    }

    #[test]
    fn the_crossover_lies_between_the_last_loss_and_the_first_win() {
        let micros = Duration::from_micros;
        let found = raced(&[0.1, 0.5, 1.0, 1.5, 1.9]);
        assert_eq!(found.interval(), Some((micros(10), micros(1000))));
        assert!(format!("{found:?}").contains("from 1.00 ms on `pool.map` is"));
        assert!(found.figure().svg().contains("<title"));
    }

    #[test]
    fn who_never_wins_has_no_crossover() {
        let found = raced(&[0.1, 0.5, 1.0, 1.0]);
        assert_eq!(found.interval(), None);
        assert!(format!("{found:?}").contains("one core only"));
        assert_eq!(raced(&[0.1, 1.9, 0.5]).interval(), None);
    }

    #[test]
    fn two_races_show_how_far_the_crossover_moved() {
        let (near, far) = (raced(&[0.1, 1.5, 1.9, 1.9]), raced(&[0.1, 0.5, 0.9, 1.9]));
        let both = near.beside(&far);
        // From between 1 and 10 µs to between 100 µs and 1 ms.
        assert!((both.moved_by().unwrap() - 100.0).abs() < 1e-6);
        assert_eq!(near.beside(&raced(&[0.1, 0.5, 1.0, 1.0])).moved_by(), None);
        let (figure, text) = (both.figure(), format!("{both:?}"));
        let heads = figure.table().heads();
        assert_eq!(heads.len(), 3, "{heads:?}");
        assert!(
            text.contains("from 10.0 µs on") && text.contains("from 1.00 ms on"),
            "{text}"
        );
    }

    #[test]
    fn both_ways_are_measured_at_each_grain() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let grains = [Duration::ZERO, Duration::from_micros(1)];
        let found = race(
            "counted",
            &grains,
            ("one", &mut |grain| one.push(grain)),
            ("other", &mut |grain| other.push(grain)),
        );
        assert_eq!(found.points.len(), 2);
        assert!(
            grains
                .iter()
                .all(|grain| one.contains(grain) && other.contains(grain))
        );
    }
}
