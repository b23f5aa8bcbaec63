//! A strip plot: every run of a few cases.

use super::Figure;
use super::axis::{Axis, Scale};
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, name_column, short};
use super::number::{Unit, median};
use super::table::Table;

const ROW_HEIGHT: f64 = 40.0;

/// A strip plot: a mark for each value of each row, and a bar at the row's median.
///
/// The axis is logarithmic, unless [`linear`](Strip::linear) is called: equal ratios have equal
/// distances.
///
/// # Example
/// ```
/// let figure = forklore::figure::Strip::new("Two ways")
///     .row("slow", &[3.1e-3, 3.0e-3, 3.4e-3])
///     .row("quick", &[71e-6, 70e-6, 90e-6])
///     .figure();
/// assert!(figure.description().contains("slow 3.10 ms"));
/// ```
#[derive(Debug, Clone)]
pub struct Strip {
    title: String,
    axis: String,
    unit: Unit,
    scale: Scale,
    rows: Vec<(String, Vec<f64>)>,
}

impl Strip {
    /// A plot without rows, of times in seconds.
    pub fn new(title: &str) -> Strip {
        Strip {
            title: title.to_owned(),
            axis: "time per call".to_owned(),
            unit: Unit::Seconds,
            scale: Scale::Log,
            rows: Vec::new(),
        }
    }

    /// Sets the name and unit of the values.
    #[must_use]
    pub fn axis(mut self, name: &str, unit: Unit) -> Strip {
        (self.axis, self.unit) = (name.to_owned(), unit);
        self
    }

    /// Makes the axis linear: equal differences have equal lengths.
    #[must_use]
    pub fn linear(mut self) -> Strip {
        self.scale = Scale::Linear;
        self
    }

    /// Adds a row of values.
    #[must_use]
    pub fn row(mut self, name: &str, values: &[f64]) -> Strip {
        self.rows.push((name.to_owned(), values.to_vec()));
        self
    }

    /// Draws the plot.
    pub fn figure(&self) -> Figure {
        let left = name_column(self.rows.iter().map(|row| row.0.as_str()));
        let bottom = 12.0 + ROW_HEIGHT * self.rows.len() as f64;
        let values = self.rows.iter().flat_map(|row| row.1.iter().copied());
        let axis = Axis::over(self.scale, values, (left, WIDTH - RIGHT));
        let mut canvas = Canvas::default();
        canvas.x_axis(&axis, self.unit, (8.0, bottom));
        let middle = f64::midpoint(left, WIDTH - RIGHT);
        canvas.text((middle, bottom + 38.0), Anchor::Middle, &self.axis);
        for (index, (name, values)) in self.rows.iter().enumerate() {
            let y = 12.0 + ROW_HEIGHT * (index as f64 + 0.5);
            canvas.text((left - 12.0, y + 4.5), Anchor::End, &short(name));
            for value in values {
                canvas.mark(index, (axis.at(*value), y), 0.55);
            }
            if !values.is_empty() {
                let x = axis.at(median(values));
                canvas.bold_line((x, y - 14.0), (x, y + 14.0));
            }
        }
        canvas.height = bottom + 48.0;
        Figure::new(&self.title, self.description(), canvas, self.table())
    }

    fn description(&self) -> String {
        let medians: Vec<String> = self
            .rows
            .iter()
            .map(|(name, values)| format!("{name} {}", self.unit.format(median(values))))
            .collect();
        let scale = match self.scale {
            Scale::Log => "a logarithmic axis",
            Scale::Linear => "an axis",
        };
        format!(
            "A strip plot: a mark for every run, a bar at the median, on {scale} of {}. Medians: {}.",
            self.axis,
            medians.join(", ")
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["", "median", "least", "most", "runs"]);
        for (name, values) in &self.rows {
            let extreme = |pick: fn(f64, f64) -> f64| {
                let found = values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
                self.unit.format(found)
            };
            table.push(vec![
                name.clone(),
                self.unit.format(median(values)),
                extreme(f64::min),
                extreme(f64::max),
                values.len().to_string(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_marks_and_its_numbers() {
        let figure = Strip::new("strip")
            .row("map", &[70e-9, 72e-9, 75e-9])
            .row("pool.map", &[2e-6, 3e-6, 2.5e-6])
            .figure();
        let svg = figure.svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polygon").count(), 3);
        assert!(
            figure
                .description()
                .contains("map 72.0 ns, pool.map 2.50 µs")
        );
        assert_eq!(
            figure.table().rows()[1][1..],
            ["2.50 µs", "2.00 µs", "3.00 µs", "3"]
        );
    }

    #[test]
    fn nothing_is_drawn_without_failing() {
        let empty = Strip::new("empty").row("none", &[]).figure();
        assert!(empty.svg().contains("none"));
        assert!(Strip::new("nothing").figure().text().starts_with("nothing"));
    }
}
