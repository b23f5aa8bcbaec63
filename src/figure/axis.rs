//! Maps values to positions, and chooses the values that an axis names.

use super::number::Unit;

/// How a value is mapped to a position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scale {
    #[default]
    Linear,
    /// Equal ratios have equal lengths. Only positive values have a position.
    Log,
}

/// An axis from `low` to `high`, drawn between two positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    scale: Scale,
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
}

/// About how many ticks a linear axis has.
const N_TICKS: f64 = 6.0;

impl Axis {
    /// Covers the values with a little margin: on a logarithmic axis, at least a factor of 2.5.
    pub(super) fn over(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        (from, to): (f64, f64),
    ) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let has_place = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        for value in values.filter(has_place) {
            low = low.min(value);
            high = high.max(value);
        }
        if !low.is_finite() {
            (low, high) = (1.0, 10.0);
        }
        let (low, high) = match scale {
            Scale::Log => {
                let room = (2.5 / (high / low)).max(1.0).sqrt() * 1.15;
                (low / room, high * room)
            }
            Scale::Linear if high > low => {
                let room = 0.04 * (high - low);
                (low - room, high + room)
            }
            Scale::Linear => (low - 0.5, high + 0.5),
        };
        Axis {
            scale,
            low,
            high,
            from,
            to,
        }
    }

    /// As [`over`](Axis::over), but a linear axis begins at zero if no value is below it, because
    /// readers compare lengths on it.
    pub(super) fn from_zero(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        places: (f64, f64),
    ) -> Axis {
        let zero = (scale == Scale::Linear).then_some(0.0);
        let mut axis = Axis::over(scale, values.chain(zero), places);
        match scale {
            Scale::Linear if axis.low >= -0.04 / 1.08 * (axis.high - axis.low) * 1.001 => {
                axis.low = 0.0;
            }
            Scale::Linear => {}
            // A bar on a logarithmic axis must have some length.
            Scale::Log => axis.low /= 2.0,
        }
        if axis.high <= axis.low {
            axis.high = axis.low + 1.0;
        }
        axis
    }

    /// As [`from_zero`](Axis::from_zero) if linear, as [`over`](Axis::over) if logarithmic.
    pub(super) fn over_or_zero(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        places: (f64, f64),
    ) -> Axis {
        match scale {
            Scale::Linear => Axis::from_zero(scale, values, places),
            Scale::Log => Axis::over(scale, values, places),
        }
    }

    /// An axis with given ends.
    pub(super) fn between(low: f64, high: f64, (from, to): (f64, f64)) -> Axis {
        let high = if high > low { high } else { low + 1e-9 };
        Axis {
            scale: Scale::Linear,
            low,
            high,
            from,
            to,
        }
    }

    /// The position of a value. A value without a position is put at the axis' low end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => 0.0,
        };
        self.from + share * (self.to - self.from)
    }

    /// The values to name: powers of ten, with 2 and 5 between them if the axis is short; or
    /// multiples of 1, 2 or 5 of a power of ten. Quantities that are counted in twos (bytes, and
    /// small numbers on a logarithmic axis, such as workers) are named in powers of two. `whole`
    /// leaves out fractions.
    pub(super) fn ticks(&self, unit: Unit, whole: bool) -> Vec<f64> {
        let is_short = self.high / self.low < 200.0;
        let ticks = match (self.scale, unit) {
            (Scale::Log, Unit::Bytes) => self.log_twos(),
            (Scale::Log, Unit::Count) if is_short && self.low >= 0.5 && self.high > 4.0 => {
                self.log_twos()
            }
            (Scale::Log, _) => self.log_ticks(),
            (Scale::Linear, Unit::Bytes) => {
                let step = ((self.high - self.low) / N_TICKS).log2().ceil().exp2();
                self.multiples(step)
            }
            (Scale::Linear, _) => self.linear_ticks(whole),
        };
        ticks
            .into_iter()
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }

    /// If the axis is so short that it would have only one or two powers of ten, or halves of them:
    /// every step, or the values that a linear axis would name.
    fn log_ticks(&self) -> Vec<f64> {
        const STEPS: [&[f64]; 3] = [
            &[1.0],
            &[1.0, 2.0, 5.0],
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        ];
        let is_inside = |tick: &f64| (self.low..=self.high).contains(tick);
        STEPS
            .iter()
            .map(|steps| self.steps_of_ten(steps))
            .find(|ticks| ticks.iter().filter(|tick| is_inside(tick)).count() >= 3)
            .unwrap_or_else(|| self.linear_ticks(false))
    }

    fn steps_of_ten(&self, steps: &[f64]) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let every = (decades / 8.0).ceil().max(1.0) as usize;
        (first..=last)
            .step_by(every)
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .collect()
    }

    fn linear_ticks(&self, whole: bool) -> Vec<f64> {
        let rough = (self.high - self.low) / N_TICKS;
        let power = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= rough);
        let mut step = factor.unwrap_or(10.0) * power;
        if whole {
            step = step.max(1.0);
        }
        self.multiples(step)
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// Powers of two: only some of them if there are many, and also 1.5 times each if there are
    /// few.
    fn log_twos(&self) -> Vec<f64> {
        let first = self.low.log2().floor() as i32;
        let last = self.high.log2().ceil() as i32;
        let every = (f64::from(last - first) / 8.0).ceil().max(1.0) as usize;
        let between: &[f64] = if last - first <= 3 {
            &[1.0, 1.5]
        } else {
            &[1.0]
        };
        (first..=last)
            .step_by(every)
            .flat_map(|power| {
                between
                    .iter()
                    .map(move |step| step * f64::from(power).exp2())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_inside() {
        let values = || [70e-9, 3e-6].into_iter();
        let axis = Axis::over(Scale::Log, values(), (100.0, 600.0));
        assert!(axis.at(70e-9) > 100.0 && axis.at(3e-6) < 600.0);
        let n_ticks = axis.ticks(Unit::Seconds, false).len();
        assert!((2..12).contains(&n_ticks), "{n_ticks}");
        for (low, high) in [(1.0, 1.001), (17e-3, 23e-3), (9e-6, 31e-6), (40e-6, 120e-6)] {
            let narrow = Axis::over(Scale::Log, [low, high].into_iter(), (0.0, 1.0));
            let n_ticks = narrow.ticks(Unit::Seconds, false).len();
            assert!(
                (3..10).contains(&n_ticks),
                "{low} to {high}: {n_ticks} ticks"
            );
        }
    }

    #[test]
    fn lengths_begin_at_zero() {
        let axis = Axis::from_zero(Scale::Linear, [3.0, 4.0].into_iter(), (0.0, 100.0));
        assert_eq!(axis.at(0.0), 0.0);
        assert!(axis.at(4.0) < 100.0);
        assert_eq!(axis.ticks(Unit::Count, true), [0.0, 1.0, 2.0, 3.0, 4.0]);
        let below = Axis::from_zero(Scale::Linear, [-3.0, 4.0].into_iter(), (0.0, 100.0));
        assert!(below.at(-3.0) > 0.0);
    }

    #[test]
    fn what_is_counted_in_twos_is_named_in_twos() {
        let mib = |n: f64| n * 1_048_576.0;
        let named = |scale, values: [f64; 2], unit: Unit| -> Vec<String> {
            let axis = Axis::over_or_zero(scale, values.into_iter(), (0.0, 1.0));
            axis.ticks(unit, true)
                .into_iter()
                .map(|tick| unit.tick(tick))
                .collect()
        };
        let memory = named(Scale::Linear, [mib(69.0), mib(344.0)], Unit::Bytes);
        assert_eq!(
            memory,
            ["0 B", "64 MiB", "128 MiB", "192 MiB", "256 MiB", "320 MiB"]
        );
        let resident = named(Scale::Log, [mib(129.0), mib(256.0)], Unit::Bytes);
        assert_eq!(resident, ["128 MiB", "192 MiB", "256 MiB"]);
        let workers = named(Scale::Log, [1.0, 16.0], Unit::Count);
        assert_eq!(workers, ["1", "2", "4", "8", "16"]);
        let items = named(Scale::Log, [1.0, 10_000.0], Unit::Count);
        assert_eq!(items, ["1", "10", "100", "1,000", "10,000"]);
    }

    #[test]
    fn hostile_values_have_some_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [
                vec![],
                vec![0.0],
                vec![f64::NAN, f64::INFINITY],
                vec![-1.0],
                vec![5.0; 3],
            ] {
                let axis = Axis::from_zero(scale, values.iter().copied(), (0.0, 100.0));
                assert!(axis.high > axis.low, "{axis:?}");
                assert!(axis.at(1.0).is_finite());
                assert!(axis.ticks(Unit::Seconds, false).len() < 30);
            }
        }
    }
}
