//! A stacked bar chart: the parts of a few totals.

use super::Figure;
use super::axis::{Axis, Scale};
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, name_column, short};
use super::number::Unit;
use super::table::Table;

const ROW_HEIGHT: f64 = 46.0;
const BAR_HEIGHT: f64 = 34.0;
const KEY_HEIGHT: f64 = 24.0;
/// Maximum length of a bar in the sketch, and the letters of the parts.
const SKETCH_WIDTH: f64 = 60.0;
const LETTERS: [char; 7] = ['#', '=', '.', '+', 'o', '-', ':'];

/// A stacked bar chart: each bar is as long as the sum of its parts.
///
/// # Example
/// ```
/// use forklore::figure::{Stacked, Unit};
///
/// let figure = Stacked::new("Where the time of a map goes")
///     .axis("time", Unit::Seconds)
///     .bar("24 items", &[("encode", 0.2e-6), ("wake", 30e-6), ("run", 4e-6)])
///     .bar("24,000 items", &[("encode", 20e-6), ("wake", 30e-6), ("run", 4e-3)])
///     .figure();
/// assert_eq!(figure.table().heads(), ["", "encode", "wake", "run", "total"]);
/// ```
#[derive(Debug, Clone)]
pub struct Stacked {
    title: String,
    axis: String,
    unit: Unit,
    bars: Vec<(String, Vec<(String, f64)>)>,
}

impl Stacked {
    /// A chart without bars, of counts.
    pub fn new(title: &str) -> Stacked {
        Stacked {
            title: title.to_owned(),
            axis: String::new(),
            unit: Unit::Count,
            bars: Vec::new(),
        }
    }

    /// Sets the name and unit of the values.
    #[must_use]
    pub fn axis(mut self, name: &str, unit: Unit) -> Stacked {
        (self.axis, self.unit) = (name.to_owned(), unit);
        self
    }

    /// Adds a bar of parts, from left to right. Parts with the same name in other bars look alike.
    #[must_use]
    pub fn bar(mut self, name: &str, parts: &[(&str, f64)]) -> Stacked {
        let parts = parts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.max(0.0)));
        self.bars.push((name.to_owned(), parts.collect()));
        self
    }

    /// Draws the chart.
    pub fn figure(&self) -> Figure {
        let kinds = self.kinds();
        let mut canvas = Canvas::default();
        let top = self.draw_legend(&mut canvas, &kinds) + 6.0;
        let is_named = self.bars.iter().any(|bar| !bar.0.is_empty());
        let left = match is_named {
            true => name_column(self.bars.iter().map(|bar| bar.0.as_str())),
            false => RIGHT,
        };
        let bottom = top + ROW_HEIGHT * self.bars.len() as f64;
        let totals = self.bars.iter().map(|bar| total(&bar.1));
        let axis = Axis::from_zero(Scale::Linear, totals, (left, WIDTH - RIGHT));
        canvas.x_axis(&axis, self.unit, (top, bottom));
        if !self.axis.is_empty() {
            let middle = f64::midpoint(left, WIDTH - RIGHT);
            canvas.text((middle, bottom + 38.0), Anchor::Middle, &self.axis);
        }
        for (index, (name, parts)) in self.bars.iter().enumerate() {
            let y = top + ROW_HEIGHT * (index as f64 + 0.5);
            canvas.text((left - 12.0, y + 4.5), Anchor::End, &short(name));
            let mut end = 0.0;
            for (part, value) in parts {
                let kind = kinds.iter().position(|kind| kind == part).unwrap_or(0);
                let (x, next) = (axis.at(end), axis.at(end + value));
                let hint = format!("{part}: {}", self.unit.format(*value));
                let corner = (x, y - BAR_HEIGHT / 2.0);
                canvas.area(kind, corner, (next - x, BAR_HEIGHT), &hint);
                canvas.text_on_area(kind, (f64::midpoint(x, next), y), next - x, part);
                end += value;
            }
        }
        canvas.height = bottom + if self.axis.is_empty() { 28.0 } else { 48.0 };
        let figure = Figure::new(&self.title, self.description(), canvas, self.table(&kinds));
        figure.with_sketch(self.sketch(&kinds))
    }

    /// The names of the parts, in the order in which they first occur.
    fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = Vec::new();
        for (name, _) in self.bars.iter().flat_map(|bar| &bar.1) {
            if !kinds.contains(&name.as_str()) {
                kinds.push(name);
            }
        }
        kinds
    }

    /// The names of the parts; if there is only one bar, with their numbers, one per line.
    fn draw_legend(&self, canvas: &mut Canvas, kinds: &[&str]) -> f64 {
        let key = |canvas: &mut Canvas, index: usize, (x, y): (f64, f64)| {
            canvas.area(index, (x - 9.0, y - 8.0), (18.0, 16.0), "");
        };
        let [(_, parts)] = self.bars.as_slice() else {
            return canvas.legend(4.0, kinds, key);
        };
        let mut top = 4.0;
        for (index, kind) in kinds.iter().enumerate() {
            let value = parts
                .iter()
                .filter(|part| part.0 == *kind)
                .map(|part| part.1)
                .sum();
            let y = top + KEY_HEIGHT / 2.0;
            key(canvas, index, (RIGHT + 9.0, y));
            let label = format!("{kind}: {}", self.with_share(value, total(parts)));
            canvas.text((RIGHT + 26.0, y + 4.5), Anchor::Start, &label);
            top += KEY_HEIGHT;
        }
        top
    }

    fn with_share(&self, value: f64, total: f64) -> String {
        let share = Unit::Share.format(value / total.max(f64::MIN_POSITIVE));
        format!("{}, {share}", self.unit.format(value))
    }

    fn description(&self) -> String {
        let mut told = match self.bars.len() {
            1 => "One bar".to_owned(),
            n => format!("{n} stacked bars"),
        };
        if !self.axis.is_empty() {
            told.push_str(&format!(" of {}", self.axis));
        }
        for (name, parts) in &self.bars {
            let parts_told: Vec<String> = parts
                .iter()
                .map(|(part, value)| format!("{part} {}", self.unit.format(*value)))
                .collect();
            let name = if name.is_empty() { "in all" } else { name };
            told.push_str(&format!(
                "; {name} {}, from the left: {}",
                self.unit.format(total(parts)),
                parts_told.join(", ")
            ));
        }
        told.push('.');
        told
    }

    fn table(&self, kinds: &[&str]) -> Table {
        if let [(_, parts)] = self.bars.as_slice() {
            let mut table = Table::new(&["part", "value", "share"]);
            for (name, value) in parts {
                let share = Unit::Share.format(value / total(parts).max(f64::MIN_POSITIVE));
                table.push(vec![name.clone(), self.unit.format(*value), share]);
            }
            return table;
        }
        let mut heads = vec![""];
        heads.extend(kinds);
        heads.push("total");
        let mut table = Table::new(&heads);
        for (name, parts) in &self.bars {
            let mut row = vec![name.clone()];
            row.extend(kinds.iter().map(|kind| {
                let values: Vec<f64> = parts
                    .iter()
                    .filter(|part| part.0 == *kind)
                    .map(|part| part.1)
                    .collect();
                match values.is_empty() {
                    true => String::new(),
                    false => self.unit.format(values.iter().sum()),
                }
            }));
            row.push(self.unit.format(total(parts)));
            table.push(row);
        }
        table
    }

    fn sketch(&self, kinds: &[&str]) -> String {
        let most = self
            .bars
            .iter()
            .map(|bar| total(&bar.1))
            .fold(0.0, f64::max);
        if most <= 0.0 {
            return String::new();
        }
        let width = self
            .bars
            .iter()
            .map(|bar| bar.0.chars().count())
            .max()
            .unwrap_or(0);
        let letter = |kind: usize| LETTERS[kind % LETTERS.len()];
        let mut sketch = String::new();
        for (name, parts) in &self.bars {
            sketch.push_str(&format!("{name:>width$} |"));
            let (mut end, mut drawn) = (0.0, 0);
            for (part, value) in parts {
                end += value;
                let until = (end / most * SKETCH_WIDTH).round() as usize;
                let kind = kinds.iter().position(|kind| kind == part).unwrap_or(0);
                sketch.extend(std::iter::repeat_n(letter(kind), until - drawn));
                drawn = until;
            }
            sketch.push_str("|\n");
        }
        let keys = kinds
            .iter()
            .enumerate()
            .map(|(kind, name)| format!("{} {name}", letter(kind)));
        sketch.push_str(&keys.collect::<Vec<_>>().join("   "));
        sketch
    }
}

fn total(parts: &[(String, f64)]) -> f64 {
    parts.iter().map(|part| part.1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let chart = Stacked::new("parts").axis("time", Unit::Seconds);
        let figure = chart.bar("", &[("a", 3e-6), ("b", 1e-6)]).figure();
        let svg = figure.svg();
        assert!(svg.contains("a: 3.00 µs, 75.0 %") && svg.contains("b: 1.00 µs, 25.0 %"));
        assert!(figure.description().contains("in all 4.00 µs"));
        assert!(
            figure
                .text()
                .contains(&format!("|{}{}|", "#".repeat(45), "=".repeat(15)))
        );
    }

    #[test]
    fn the_same_part_looks_the_same_in_every_bar() {
        let chart = Stacked::new("parts").bar("one", &[("run", 1.0), ("wait", 2.0)]);
        let figure = chart.bar("two", &[("wait", 3.0)]).figure();
        assert_eq!(
            figure.table().rows(),
            [["one", "1", "2", "3"], ["two", "", "3", "3"]]
        );
        // Two in the bars, one in the legend.
        assert_eq!(figure.svg().matches("p1)\"").count(), 3);
    }

    #[test]
    fn nothing_is_a_chart_too() {
        assert!(Stacked::new("t").figure().text().starts_with('t'));
        assert!(Stacked::new("t").bar("x", &[]).figure().svg().contains("x"));
        assert!(
            Stacked::new("t")
                .bar("x", &[("a", 0.0)])
                .figure()
                .svg()
                .contains("0")
        );
    }
}
