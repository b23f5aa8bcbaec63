//! How the time of a call grows with its number of items: a cost per call and a cost per item.

use std::fmt;
use std::time::{Duration, Instant};

use forklore::figure::{Figure, Line, Unit};

use crate::quiet::{Others, Watch};
use crate::show::{self, GREEN, ORANGE};

const N_ROUNDS: usize = 9;
/// Number of pieces of the drawn line.
const N_CURVE: u32 = 60;
const LEAST_BATCH: Duration = Duration::from_micros(300);

/// Measures `call` for each number of items, in turns.
pub fn sweep(title: &str, sizes: &[u64], mut call: impl FnMut(u64)) -> Sweep {
    measure(title, sizes, &mut call)
}

fn measure(title: &str, sizes: &[u64], call: &mut dyn FnMut(u64)) -> Sweep {
    let mut batch = |n_items: u64, loops: u32| {
        let started = Instant::now();
        for _ in 0..loops {
            call(n_items);
        }
        started.elapsed()
    };
    let mut loops_for = |n_items: u64| {
        batch(n_items, 1);
        let mut loops = 1;
        while loops < 1 << 20 && batch(n_items, loops) < LEAST_BATCH {
            loops *= 2;
        }
        loops
    };
    let loops: Vec<u32> = sizes.iter().map(|size| loops_for(*size)).collect();
    let mut rounds = vec![Vec::new(); sizes.len()];
    let watch = Watch::start();
    for _ in 0..N_ROUNDS {
        for ((size, loops), seconds) in sizes.iter().zip(&loops).zip(&mut rounds) {
            seconds.push(batch(*size, *loops).as_secs_f64() / f64::from(*loops));
        }
    }
    let points = sizes
        .iter()
        .zip(&rounds)
        .map(|(size, seconds)| (*size, show::median(seconds)));
    Sweep {
        title: title.to_owned(),
        thing: "item".to_owned(),
        points: points.collect(),
        others: watch.stop(),
    }
}

/// Times by number of items. As the last expression of a cell, shows a figure and its numbers.
#[derive(Clone, PartialEq)]
pub struct Sweep {
    title: String,
    /// What the numbers count, in the singular.
    thing: String,
    /// Number of items, and the median seconds of a call.
    points: Vec<(u64, f64)>,
    /// The processor time that other programs used.
    others: Others,
}

impl Sweep {
    /// Sets what the numbers count, in the singular: `page`. By default, items.
    #[must_use]
    pub fn per(mut self, thing: &str) -> Sweep {
        self.thing = thing.to_owned();
        self
    }

    /// What a call costs before its first item.
    pub fn per_call(&self) -> Duration {
        Duration::from_secs_f64(self.fit().0)
    }

    /// What each item adds.
    pub fn per_item(&self) -> Duration {
        Duration::from_secs_f64(self.fit().1)
    }

    /// The line `per call + n × per item` with the least squares of *relative* errors: the times
    /// span orders of magnitude, and plain squares would weigh only the largest.
    fn fit(&self) -> (f64, f64) {
        let (mut w, mut wx, mut wxx, mut wy, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (size, seconds) in &self.points {
            let (x, y) = (*size as f64, *seconds);
            let weight = 1.0 / (y * y).max(f64::MIN_POSITIVE);
            w += weight;
            wx += weight * x;
            wxx += weight * x * x;
            wy += weight * y;
            wxy += weight * x * y;
        }
        let slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
        let slope = if slope.is_finite() {
            slope.max(0.0)
        } else {
            0.0
        };
        (((wy - slope * wx) / w).max(0.0), slope)
    }

    fn sentence(&self) -> String {
        let (per_call, per_item) = self.fit();
        let found = format!(
            "About {} for the call, and {} for each {}.",
            show::time(per_call),
            show::time(per_item),
            self.thing
        );
        match self.doubt() {
            Some(doubt) => format!("{found} {doubt}"),
            None => found,
        }
    }

    /// Why these numbers, and results computed from them, cannot be trusted; `None` if they can.
    pub fn doubt(&self) -> Option<String> {
        self.others.disturb().then(|| {
            format!(
                "Do not rely on it: {}. Run the cell again when the machine is quiet.",
                self.others
            )
        })
    }

    /// The times by number of items, and the fitted line.
    pub fn figure(&self) -> Figure {
        self.chart().figure()
    }

    /// The median seconds of a call with that many items, if it was measured.
    pub(crate) fn median_of(&self, n_items: u64) -> Option<f64> {
        let point = self.points.iter().find(|(size, _)| *size == n_items);
        point.map(|(_, seconds)| *seconds)
    }

    pub(crate) fn chart(&self) -> Line {
        let measured: Vec<(f64, f64)> = self.points.iter().map(|(n, s)| (*n as f64, *s)).collect();
        let (per_call, per_item) = self.fit();
        let least = measured
            .iter()
            .map(|point| point.0)
            .fold(f64::INFINITY, f64::min);
        let most = measured.iter().map(|point| point.0).fold(0.0, f64::max);
        // With both axes logarithmic, a straight line is drawn as a curve.
        let fitted: Vec<(f64, f64)> = (0..=N_CURVE)
            .map(|step| least * (most / least).powf(f64::from(step) / f64::from(N_CURVE)))
            .map(|n| (n, per_call + per_item * n))
            .collect();
        let found = format!(
            "{} + {} for each {}",
            show::time(per_call),
            show::time(per_item),
            self.thing
        );
        Line::new(&self.title)
            .x(&format!("number of {}s", self.thing), Unit::Count)
            .y("time of a call", Unit::Seconds)
            .log_log()
            .series("median", &measured)
            .reference(&found, &fitted)
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        let figure = self.figure().html();
        let (colour, mark) = match self.doubt() {
            Some(_) => (ORANGE, "Careful:"),
            None => (GREEN, "Measured:"),
        };
        let found = show::boxed(colour, mark, &self.sentence());
        show::show(format!("{figure}{found}"), self);
    }
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (size, seconds) in &self.points {
            writeln!(f, "  {size} {}s: {}", self.thing, show::time(*seconds))?;
        }
        f.write_str(&self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let points = [1, 10, 100, 1000]
            .map(|n| (n, 5e-6 + 2e-8 * n as f64))
            .to_vec();
        let sweep = Sweep {
            title: "line".into(),
            thing: "item".into(),
            points,
            others: Others::on_two(0.0),
        };
        assert!(!sweep.sentence().contains("rely"));
        let beside_loops = Sweep {
            others: Others::on_two(1.1),
            ..sweep.clone()
        };
        assert!(
            beside_loops
                .sentence()
                .contains("Do not rely on it: other programs used 1.1")
        );
        let (per_call, per_item) = sweep.fit();
        assert!((per_call - 5e-6).abs() < 1e-9, "{per_call}");
        assert!((per_item - 2e-8).abs() < 1e-12, "{per_item}");
        assert_eq!(sweep.per_call(), Duration::from_micros(5));
    }

    #[test]
    fn every_size_is_measured() {
        let mut asked = Vec::new();
        let measured = sweep("sizes", &[1, 7], |n| asked.push(n));
        assert_eq!(
            measured
                .points
                .iter()
                .map(|point| point.0)
                .collect::<Vec<_>>(),
            [1, 7]
        );
        assert!(asked.contains(&1) && asked.contains(&7));
    }
}
