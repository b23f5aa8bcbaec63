//! A line plot: how one number grows with another.

mod plot;

use std::collections::BTreeSet;

use super::Figure;
use super::axis::{Axis, Scale};
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, text_width};
use super::number::Unit;
use super::table::Table;

use plot::Plot;

const PLOT_HEIGHT: f64 = 230.0;

/// A line plot: series of points with marks, on linear or logarithmic axes.
///
/// # Example
/// ```
/// use forklore::figure::{Line, Unit};
///
/// let figure = Line::new("Time of a map")
///     .x("items", Unit::Count)
///     .y("time of a call", Unit::Seconds)
///     .log_log()
///     .series("measured", &[(1.0, 31e-6), (1e3, 33e-6), (1e6, 1.2e-3)])
///     .figure();
/// assert_eq!(figure.table().rows()[1], ["1,000", "33.0 µs"]);
/// ```
#[derive(Debug, Clone)]
pub struct Line {
    title: String,
    x: Label,
    y: Label,
    series: Vec<Series>,
    /// Vertical lines.
    marks: Vec<(f64, String)>,
}

#[derive(Debug, Clone, Default)]
struct Label {
    name: String,
    unit: Unit,
    scale: Scale,
    /// Ends that the axis covers at least, whatever the values are.
    ends: Option<(f64, f64)>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    points: Vec<Point>,
    /// Drawn dashed and without marks: it was computed, not measured.
    is_reference: bool,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    /// The range of most of the runs.
    spread: Option<(f64, f64)>,
}

impl Line {
    /// A plot without series, on linear axes of counts.
    pub fn new(title: &str) -> Line {
        Line {
            title: title.to_owned(),
            x: Label::default(),
            y: Label::default(),
            series: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Sets the name and unit of the horizontal axis.
    #[must_use]
    pub fn x(mut self, name: &str, unit: Unit) -> Line {
        (self.x.name, self.x.unit) = (name.to_owned(), unit);
        self
    }

    /// Sets the name and unit of the vertical axis.
    #[must_use]
    pub fn y(mut self, name: &str, unit: Unit) -> Line {
        (self.y.name, self.y.unit) = (name.to_owned(), unit);
        self
    }

    /// Makes the horizontal axis logarithmic.
    #[must_use]
    pub fn log_x(mut self) -> Line {
        self.x.scale = Scale::Log;
        self
    }

    /// Makes the vertical axis logarithmic.
    #[must_use]
    pub fn log_y(mut self) -> Line {
        self.y.scale = Scale::Log;
        self
    }

    /// Makes both axes logarithmic: a power law is then a straight line.
    #[must_use]
    pub fn log_log(self) -> Line {
        self.log_x().log_y()
    }

    /// Makes the vertical axis cover at least these values, so that plots to be compared have the
    /// same axis.
    #[must_use]
    pub fn y_between(mut self, low: f64, high: f64) -> Line {
        self.y.ends = Some((low, high));
        self
    }

    /// Adds measured points, joined by a line.
    #[must_use]
    pub fn series(self, name: &str, points: &[(f64, f64)]) -> Line {
        let points = points.iter().map(|&(x, y)| Point { x, y, spread: None });
        self.push(name, points.collect(), false)
    }

    /// Adds measured points with the range of their runs: `(x, least, middle, most)`.
    #[must_use]
    pub fn series_between(self, name: &str, points: &[(f64, f64, f64, f64)]) -> Line {
        let points = points.iter().map(|&(x, low, y, high)| Point {
            x,
            y,
            spread: Some((low, high)),
        });
        self.push(name, points.collect(), false)
    }

    /// Adds a dashed line through computed points: a fit, a model, the ideal. It does not widen the
    /// axes, unless there is nothing else.
    #[must_use]
    pub fn reference(self, name: &str, points: &[(f64, f64)]) -> Line {
        let points = points.iter().map(|&(x, y)| Point { x, y, spread: None });
        self.push(name, points.collect(), true)
    }

    /// Marks a value on the horizontal axis: a crossover, a prediction.
    #[must_use]
    pub fn mark_x(mut self, x: f64, name: &str) -> Line {
        self.marks.push((x, name.to_owned()));
        self
    }

    fn push(mut self, name: &str, points: Vec<Point>, is_reference: bool) -> Line {
        self.series.push(Series {
            name: name.to_owned(),
            points,
            is_reference,
        });
        self
    }

    /// Draws the plot.
    pub fn figure(&self) -> Figure {
        let mut canvas = Canvas::default();
        let names: Vec<&str> = self
            .series
            .iter()
            .map(|series| series.name.as_str())
            .collect();
        let mut top = 6.0;
        if names.len() > 1 || names.iter().any(|name| !name.is_empty()) {
            top = canvas.legend(top, &names, |canvas, index, (x, y)| {
                let dashes = self.dashes(index);
                canvas.path(index, dashes, &[(x - 11.0, y), (x + 11.0, y)]);
                if dashes.is_none() {
                    canvas.mark(index, (x, y), 1.0);
                }
            });
        }
        if !self.y.name.is_empty() {
            canvas.text(
                (8.0, top + 14.0),
                Anchor::Start,
                &format!("↑ {}", self.y.name),
            );
            top += 22.0;
        }
        if !self.marks.is_empty() {
            top += 18.0;
        }
        let bottom = top + PLOT_HEIGHT;
        let ends = self.y.ends.map(|(low, high)| [low, high]);
        let values = self.values_of_y().chain(ends.into_iter().flatten());
        let y_axis = Axis::over_or_zero(self.y.scale, values, (bottom, top));
        let widest = y_axis
            .ticks(self.y.unit, false)
            .into_iter()
            .map(|tick| text_width(&self.y.unit.tick(tick)));
        let left = 18.0 + widest.fold(20.0, f64::max);
        let right = WIDTH - RIGHT;
        let x_axis = Axis::over(self.x.scale, self.values(|p| p.x), (left, right));
        canvas.y_axis(&y_axis, self.y.unit, (left, right));
        canvas.x_axis(&x_axis, self.x.unit, (top, bottom));
        let middle = f64::midpoint(left, right);
        canvas.text((middle, bottom + 38.0), Anchor::Middle, &self.x.name);
        self.draw_marks(&mut canvas, &x_axis, (top, bottom));
        let plot = Plot {
            axes: [&x_axis, &y_axis],
            from: (left, top),
            to: (right, bottom),
        };
        for (index, series) in self.series.iter().enumerate() {
            series.draw(&mut canvas, index, self.dashes(index), &plot);
        }
        canvas.height = bottom + 48.0;
        Figure::new(&self.title, self.description(), canvas, self.table())
    }

    fn draw_marks(&self, canvas: &mut Canvas, axis: &Axis, (top, bottom): (f64, f64)) {
        for (value, name) in &self.marks {
            if (axis.low..=axis.high).contains(value) {
                let x = axis.at(*value);
                canvas.mark_line((x, top - 4.0), (x, bottom));
                let half = text_width(name) / 2.0;
                let x = x.clamp(half + 4.0, (WIDTH - half - 4.0).max(half + 4.0));
                canvas.text((x, top - 8.0), Anchor::Middle, name);
            }
        }
    }

    /// The dashes that distinguish a reference from the others without its colour: the first has
    /// other dashes than the second.
    fn dashes(&self, index: usize) -> Option<&'static str> {
        const DASHES: [&str; 3] = ["7 4", "2 4", "12 4 2 4"];
        let n_before = self.series[..index]
            .iter()
            .filter(|s| s.is_reference)
            .count();
        self.series[index]
            .is_reference
            .then(|| DASHES[n_before % DASHES.len()])
    }

    /// The values that the axis must cover: the measured values with their ranges, and the
    /// references beside them.
    fn values_of_y(&self) -> impl Iterator<Item = f64> {
        let xs: Vec<f64> = self.values(|p| p.x).collect();
        let first = xs.iter().copied().fold(f64::INFINITY, f64::min);
        let last = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let beside = move |point: &&Point| (first..=last).contains(&point.x);
        let references = self.series.iter().filter(|series| series.is_reference);
        let references = references.flat_map(move |series| series.points.iter().filter(beside));
        let points = self.series.iter().flat_map(|series| &series.points);
        let spreads = points.filter_map(|point| point.spread);
        let spreads = spreads.flat_map(|(low, high)| [low, high]);
        let values: Vec<f64> = self.values(|p| p.y).collect();
        values
            .into_iter()
            .chain(references.map(|point| point.y))
            .chain(spreads)
    }

    /// The values that the axes must cover.
    fn values(&self, of: impl Fn(&Point) -> f64) -> impl Iterator<Item = f64> {
        let has_measured = self.series.iter().any(|series| !series.is_reference);
        let mut values = Vec::new();
        for series in self
            .series
            .iter()
            .filter(|s| !(s.is_reference && has_measured))
        {
            values.extend(series.points.iter().map(&of));
        }
        values.into_iter()
    }

    fn description(&self) -> String {
        let scale = match (self.x.scale, self.y.scale) {
            (Scale::Log, Scale::Log) => ", both logarithmic",
            (Scale::Log, Scale::Linear) => ", the former linear and the latter logarithmic",
            (Scale::Linear, Scale::Log) => ", the former logarithmic and the latter linear",
            (Scale::Linear, Scale::Linear) => "",
        };
        let (x, y) = (&self.x, &self.y);
        let or = |name: &str, other: &str| match name {
            "" => other.to_owned(),
            name => name.to_owned(),
        };
        let mut told = format!(
            "A line plot of {} against {}{scale}.",
            or(&y.name, "values"),
            or(&x.name, "values")
        );
        for series in self.series.iter().filter(|series| !series.is_reference) {
            if let (Some(first), Some(last)) = (series.points.first(), series.points.last()) {
                told.push_str(&format!(
                    " {}: from {} at {} to {} at {}.",
                    or(&series.name, "The line"),
                    y.unit.format(first.y),
                    x.unit.format(first.x),
                    y.unit.format(last.y),
                    x.unit.format(last.x)
                ));
            }
        }
        for series in self.series.iter().filter(|series| series.is_reference) {
            told.push_str(&format!(" Dashed: {}.", series.name));
        }
        for (value, name) in &self.marks {
            told.push_str(&format!(" Marked at {}: {name}.", x.unit.format(*value)));
        }
        told
    }

    /// A row for each measured x, a column for each series.
    fn table(&self) -> Table {
        let or = |name: &'_ str, other: &'static str| match name {
            "" => other.to_owned(),
            name => name.to_owned(),
        };
        let measured: Vec<&Series> = self.series.iter().filter(|s| !s.is_reference).collect();
        let mut heads = vec![or(&self.x.name, "x")];
        heads.extend(measured.iter().map(|series| or(&series.name, "y")));
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let mut table = Table::new(&heads);
        // Positive finite numbers sort as their bits do; the few others may come anywhere.
        let xs: BTreeSet<u64> = measured
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.x.to_bits()))
            .collect();
        for x in xs {
            let mut row = vec![self.x.unit.format(f64::from_bits(x))];
            row.extend(measured.iter().map(|series| {
                let point = series.points.iter().find(|point| point.x.to_bits() == x);
                point.map_or_else(String::new, |point| self.cell(point))
            }));
            table.push(row);
        }
        table
    }

    fn cell(&self, point: &Point) -> String {
        let unit = self.y.unit;
        let value = unit.format(point.y);
        match point.spread {
            Some((low, high)) => format!("{value} ({} to {})", unit.format(low), unit.format(high)),
            None => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed_up() -> Line {
        Line::new("Speed-up")
            .x("workers", Unit::Count)
            .y("speed-up", Unit::Times)
            .series("processes", &[(1.0, 1.0), (2.0, 1.93)])
            .series_between("threads", &[(1.0, 0.9, 1.0, 1.1), (4.0, 2.0, 3.0, 3.5)])
            .reference("ideal", &[(1.0, 1.0), (100.0, 100.0)])
            .mark_x(2.0, "this machine")
    }

    #[test]
    fn measured_points_are_marked_and_references_dashed() {
        let svg = speed_up().figure().svg();
        // Once in the legend, and the others in the plot.
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("stroke-dasharray=\"7 4\"").count(), 2);
    }

    /// The numbers of all attributes of this name.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let mark = format!(" {attribute}=\"");
        let parts = svg.split(&mark).skip(1);
        let values = parts.filter_map(|part| part.split('"').next());
        let words = values.flat_map(|value| value.split([' ', ',']));
        words.flat_map(str::parse).collect()
    }

    #[test]
    fn nothing_leaves_the_plot() {
        let flat = Line::new("a lock")
            .series("on", &[(1.0, 1.0), (2.0, 0.98), (4.0, 1.01)])
            .reference("a core each", &[(1.0, 1.0), (2.0, 2.0)])
            .figure();
        assert!(flat.svg().contains(">2<"), "{}", flat.svg());
        let steep = Line::new("beyond the axis")
            .y_between(0.0, 4.0)
            .series_between("m", &[(1.0, 1.0, 2.0, 90.0), (2.0, 3.0, 50.0, 90.0)])
            .reference("r", &[(0.5, -40.0), (9.0, 900.0)])
            .figure()
            .svg();
        for points in steep.split("<polyline points=\"").skip(1) {
            let points = points.split('"').next().unwrap_or_default();
            for y in points
                .split(' ')
                .filter_map(|point| point.split(',').nth(1)?.parse::<f64>().ok())
            {
                assert!((0.0..=PLOT_HEIGHT + 80.0).contains(&y), "{y} in {points}");
            }
        }
        assert!(
            numbers(&steep, "y2")
                .iter()
                .all(|y| (0.0..=PLOT_HEIGHT + 80.0).contains(y))
        );
    }

    #[test]
    fn references_are_told_apart_without_colours() {
        let svg = speed_up()
            .reference("half", &[(1.0, 0.5), (4.0, 0.5)])
            .figure()
            .svg();
        assert!(
            svg.contains("stroke-dasharray=\"7 4\"") && svg.contains("stroke-dasharray=\"2 4\"")
        );
    }

    #[test]
    fn the_table_has_a_column_for_each_measured_series() {
        let figure = speed_up().figure();
        assert_eq!(figure.table().heads(), ["workers", "processes", "threads"]);
        assert_eq!(
            figure.table().rows(),
            [
                ["1", "1.00×", "1.00× (0.90× to 1.10×)"],
                ["2", "1.93×", ""],
                ["4", "", "3.00× (2.00× to 3.50×)"]
            ]
        );
    }

    #[test]
    fn the_description_tells_what_is_to_be_seen() {
        let told = speed_up().figure().description().to_owned();
        for part in [
            "processes: from 1.00× at 1 to 1.93× at 2",
            "Dashed: ideal",
            "this machine",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }

    #[test]
    fn many_points_have_a_few_marks_and_all_their_numbers() {
        let points: Vec<(f64, f64)> = (0..1_000).map(|n| (f64::from(n), 1.0)).collect();
        let figure = Line::new("many").series("", &points).figure();
        let n_marks = figure.svg().matches("<circle").count();
        assert!((20..80).contains(&n_marks), "{n_marks}");
        assert_eq!(figure.table().rows().len(), 1_000);
    }

    #[test]
    fn plots_to_be_compared_have_the_same_axis() {
        let low = |y: f64| {
            let plot = Line::new("t").series("", &[(1.0, y), (2.0, y)]);
            plot.y_between(0.0, 64.0).figure().svg()
        };
        assert!(low(1.0).contains(">60<") && low(2.0).contains(">60<"));
    }

    #[test]
    fn a_plot_without_points_is_a_plot() {
        assert!(
            Line::new("empty")
                .log_log()
                .figure()
                .svg()
                .contains("empty")
        );
        let only = Line::new("t")
            .reference("model", &[(1.0, 2.0), (3.0, 4.0)])
            .figure();
        assert!(only.svg().contains("polyline"));
    }
}
