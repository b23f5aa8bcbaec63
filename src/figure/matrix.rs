//! A matrix: which of a few methods is best for each of a few cases.

use super::Figure;
use super::canvas::{Anchor, Canvas, RIGHT, WIDTH, name_column, short};
use super::number::Unit;
use super::table::Table;

const ROW_HEIGHT: f64 = 38.0;
const CELL_HEIGHT: f64 = 30.0;
/// A value within this factor of the least counts as equally good.
const NEAR: f64 = 1.1;

/// A matrix of values, where less is better: a row for each case, a column for each method. In each
/// row, the least value, and all values within a tenth of it, are filled and have a mark.
///
/// # Example
/// ```
/// use forklore::figure::{Matrix, Unit};
///
/// let figure = Matrix::new("Which wins?", Unit::Seconds, &["serial", "threads", "processes"])
///     .row("tiny tasks", &[50e-6, 61e-6, 52e-6])
///     .row("heavy tasks", &[2.2e-3, 1.2e-3, 1.2e-3])
///     .figure();
/// assert_eq!(figure.table().rows()[0][1], "50.0 µs ✓");
/// assert_eq!(figure.table().rows()[1][1], "2.20 ms");
/// ```
#[derive(Debug, Clone)]
pub struct Matrix {
    title: String,
    unit: Unit,
    columns: Vec<String>,
    rows: Vec<(String, Vec<f64>)>,
}

impl Matrix {
    /// A matrix without rows.
    pub fn new(title: &str, unit: Unit, columns: &[&str]) -> Matrix {
        Matrix {
            title: title.to_owned(),
            unit,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: a value for each column. NaN leaves its cell empty.
    #[must_use]
    pub fn row(mut self, name: &str, values: &[f64]) -> Matrix {
        self.rows.push((name.to_owned(), values.to_vec()));
        self
    }

    /// Draws the matrix.
    pub fn figure(&self) -> Figure {
        let left = name_column(self.rows.iter().map(|row| row.0.as_str()));
        let width = (WIDTH - RIGHT - left) / self.columns.len().max(1) as f64;
        let top = 30.0;
        let mut canvas = Canvas::default();
        for (column, name) in self.columns.iter().enumerate() {
            let x = left + width * (column as f64 + 0.5);
            canvas.text((x, top - 10.0), Anchor::Middle, &short(name));
        }
        for (index, (name, values)) in self.rows.iter().enumerate() {
            let y = top + ROW_HEIGHT * (index as f64 + 0.5);
            canvas.text((left - 12.0, y + 4.5), Anchor::End, &short(name));
            canvas.grid_line(
                (left, y + ROW_HEIGHT / 2.0),
                (WIDTH - RIGHT, y + ROW_HEIGHT / 2.0),
            );
            for (column, value) in values.iter().enumerate().take(self.columns.len()) {
                let x = left + width * column as f64;
                let shown = self.cell(values, *value);
                if is_near(values, *value) {
                    let corner = (x + 4.0, y - CELL_HEIGHT / 2.0);
                    canvas.area(0, corner, (width - 8.0, CELL_HEIGHT), "");
                    canvas.text_on_area(0, (x + width / 2.0, y), width - 8.0, &shown);
                } else {
                    canvas.text((x + width / 2.0, y + 4.5), Anchor::Middle, &shown);
                }
            }
        }
        canvas.height = top + ROW_HEIGHT * self.rows.len() as f64 + 6.0;
        Figure::new(&self.title, self.description(), canvas, self.table())
    }

    fn cell(&self, values: &[f64], value: f64) -> String {
        match (value.is_finite(), is_near(values, value)) {
            (false, _) => String::new(),
            (true, false) => self.unit.format(value),
            (true, true) => format!("{} ✓", self.unit.format(value)),
        }
    }

    fn description(&self) -> String {
        let rows = self.rows.iter().map(|(name, values)| {
            let best: Vec<&str> = self
                .columns
                .iter()
                .zip(values)
                .filter(|(_, value)| is_near(values, **value))
                .map(|(column, _)| column.as_str())
                .collect();
            format!("{name}: {}", best.join(" and "))
        });
        format!(
            "A matrix of {} rows and {} columns. The least of each row, or within a tenth of it: {}.",
            self.rows.len(),
            self.columns.len(),
            rows.collect::<Vec<_>>().join("; ")
        )
    }

    fn table(&self) -> Table {
        let mut heads = vec![""];
        heads.extend(self.columns.iter().map(String::as_str));
        let mut table = Table::new(&heads);
        for (name, values) in &self.rows {
            let mut cells = vec![name.clone()];
            cells.extend(values.iter().map(|value| self.cell(values, *value)));
            cells.resize(heads.len(), String::new());
            table.push(cells);
        }
        table
    }
}

/// Whether no value of the row is smaller by a tenth or more.
fn is_near(values: &[f64], value: f64) -> bool {
    let least = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .fold(f64::INFINITY, f64::min);
    value.is_finite() && value <= least * NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_each_row_is_marked_in_the_drawing_the_words_and_the_table() {
        let figure = Matrix::new("Which?", Unit::Seconds, &["one", "two", "three"])
            .row("a", &[1.0, 1.05, 3.0])
            .row("b", &[5.0, f64::NAN, 2.0])
            .figure();
        assert_eq!(figure.svg().matches("<rect").count(), 3);
        assert!(
            figure.description().ends_with("a: one and two; b: three."),
            "{}",
            figure.description()
        );
        assert_eq!(
            figure.table().rows()[0],
            ["a", "1.00 s ✓", "1.05 s ✓", "3.00 s"]
        );
        assert_eq!(figure.table().rows()[1], ["b", "5.00 s", "", "2.00 s ✓"]);
    }

    #[test]
    fn an_empty_matrix_is_a_figure() {
        let figure = Matrix::new("empty", Unit::Count, &[])
            .row("a", &[1.0])
            .figure();
        assert_eq!(figure.table().rows(), [["a"]]);
    }
}
