//! A number for each of a few things.

use super::Figure;
use super::axis::{Axis, Scale};
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, name_column, short, text_width};
use super::number::Unit;
use super::table::Table;

const ROW_HEIGHT: f64 = 34.0;
const BAR_HEIGHT: f64 = 22.0;
/// Maximum length of a bar in the sketch, in letters.
const SKETCH_WIDTH: f64 = 40.0;

/// A bar chart: horizontal bars, each with its number.
///
/// # Example
/// ```
/// use forklore::figure::{Bar, Unit};
///
/// let figure = Bar::new("What starting costs")
///     .axis("time until the first task runs", Unit::Seconds)
///     .log()
///     .bar("thread", 30e-6)
///     .bar_between("fork", 0.15e-3, 0.16e-3, 0.22e-3)
///     .figure();
/// println!("{figure}");
/// ```
#[derive(Debug, Clone)]
pub struct Bar {
    title: String,
    axis: String,
    unit: Unit,
    scale: Scale,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    value: f64,
    spread: Option<(f64, f64)>,
}

impl Bar {
    /// A chart without bars, on a linear axis of counts.
    pub fn new(title: &str) -> Bar {
        Bar {
            title: title.to_owned(),
            axis: String::new(),
            unit: Unit::Count,
            scale: Scale::Linear,
            rows: Vec::new(),
        }
    }

    /// Sets the name and unit of the values.
    #[must_use]
    pub fn axis(mut self, name: &str, unit: Unit) -> Bar {
        (self.axis, self.unit) = (name.to_owned(), unit);
        self
    }

    /// Makes the axis logarithmic: readers compare where the bars end, not how long they are.
    #[must_use]
    pub fn log(mut self) -> Bar {
        self.scale = Scale::Log;
        self
    }

    /// Adds a bar.
    #[must_use]
    pub fn bar(self, name: &str, value: f64) -> Bar {
        self.push(name, value, None)
    }

    /// Adds a bar and the range of the runs.
    #[must_use]
    pub fn bar_between(self, name: &str, least: f64, value: f64, most: f64) -> Bar {
        self.push(name, value, Some((least, most)))
    }

    fn push(mut self, name: &str, value: f64, spread: Option<(f64, f64)>) -> Bar {
        self.rows.push(Row {
            name: name.to_owned(),
            value,
            spread,
        });
        self
    }

    /// Draws the chart.
    pub fn figure(&self) -> Figure {
        let left = name_column(self.rows.iter().map(|row| row.name.as_str()));
        let numbers = self
            .rows
            .iter()
            .map(|row| text_width(&self.unit.format(row.value)));
        // The numbers stand to the right of the bars.
        let right = WIDTH - RIGHT - numbers.fold(0.0, f64::max);
        let bottom = 8.0 + ROW_HEIGHT * self.rows.len() as f64;
        let ends = self.rows.iter().flat_map(|row| {
            let (low, high) = row.spread.unwrap_or((row.value, row.value));
            [low, row.value, high]
        });
        let axis = Axis::from_zero(self.scale, ends, (left, right));
        let mut canvas = Canvas::default();
        canvas.x_axis(&axis, self.unit, (8.0, bottom));
        if !self.axis.is_empty() {
            let middle = f64::midpoint(left, right);
            canvas.text((middle, bottom + 38.0), Anchor::Middle, &self.axis);
        }
        let zero = axis.at(0.0_f64.max(axis.low));
        for (index, row) in self.rows.iter().enumerate() {
            let y = 8.0 + ROW_HEIGHT * (index as f64 + 0.5);
            canvas.text((left - 12.0, y + 4.5), Anchor::End, &short(&row.name));
            let x = axis.at(row.value);
            let from = (zero.min(x), y - BAR_HEIGHT / 2.0);
            canvas.area(0, from, ((x - zero).abs(), BAR_HEIGHT), "");
            let mut end = x.max(zero);
            if let Some((low, high)) = row.spread {
                canvas.whisker((axis.at(low), y), (axis.at(high), y));
                end = end.max(axis.at(high));
            }
            let number = self.unit.format(row.value);
            canvas.text((end + 8.0, y + 4.5), Anchor::Start, &number);
        }
        canvas.height = bottom + if self.axis.is_empty() { 28.0 } else { 48.0 };
        let figure = Figure::new(&self.title, self.description(), canvas, self.table());
        figure.with_sketch(self.sketch())
    }

    fn description(&self) -> String {
        let values: Vec<String> = self
            .rows
            .iter()
            .map(|row| format!("{} {}", row.name, self.unit.format(row.value)))
            .collect();
        let of = match self.axis.as_str() {
            "" => String::new(),
            axis => format!(" of {axis}"),
        };
        let scale = match self.scale {
            Scale::Log => ", on a logarithmic axis",
            Scale::Linear => "",
        };
        format!("A bar chart{of}{scale}: {}.", values.join(", "))
    }

    /// Bars of letters, if lengths mean something.
    fn sketch(&self) -> String {
        let most = self.rows.iter().map(|row| row.value).fold(0.0, f64::max);
        if self.scale == Scale::Log || most <= 0.0 {
            return String::new();
        }
        let width = self
            .rows
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0);
        let line = |row: &Row| {
            let length = (row.value / most * SKETCH_WIDTH).round().max(0.0) as usize;
            format!("{:>width$} |{}\n", row.name, "#".repeat(length))
        };
        self.rows.iter().map(line).collect()
    }

    fn table(&self) -> Table {
        let has_spread = self.rows.iter().any(|row| row.spread.is_some());
        let value = match self.axis.as_str() {
            "" => "value",
            axis => axis,
        };
        let mut table = match has_spread {
            true => Table::new(&["", value, "least", "most"]),
            false => Table::new(&["", value]),
        };
        for row in &self.rows {
            let mut cells = vec![row.name.clone(), self.unit.format(row.value)];
            if has_spread {
                let (low, high) = row.spread.unwrap_or((row.value, row.value));
                cells.extend([self.unit.format(low), self.unit.format(high)]);
            }
            table.push(cells);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_lengths_numbers_and_a_sketch() {
        let figure = Bar::new("CPUs")
            .bar("online", 8.0)
            .bar("mine", 2.0)
            .figure();
        assert!(
            figure
                .text()
                .contains(&format!("online |{}\n", "#".repeat(40)))
        );
        assert!(
            figure
                .text()
                .contains(&format!("  mine |{}\n", "#".repeat(10)))
        );
        assert_eq!(figure.svg().matches("<rect").count(), 2);
        assert_eq!(figure.table().rows(), [["online", "8"], ["mine", "2"]]);
    }

    #[test]
    fn a_spread_has_whiskers_and_columns() {
        let chart = Bar::new("t").axis("time", Unit::Seconds).log();
        let figure = chart
            .bar_between("a", 1e-6, 2e-6, 4e-6)
            .bar("b", 1e-3)
            .figure();
        assert_eq!(
            figure.table().rows()[0],
            ["a", "2.00 µs", "1.00 µs", "4.00 µs"]
        );
        assert!(figure.description().contains("logarithmic"));
        assert!(!figure.text().contains('#'));
    }

    #[test]
    fn no_bars_and_negative_ones() {
        assert!(Bar::new("none").figure().text().contains("none"));
        let svg = Bar::new("t")
            .bar("down", -3.0)
            .bar("up", 2.0)
            .figure()
            .svg();
        assert!(!svg.contains("width=\"-"), "{svg}");
    }
}
