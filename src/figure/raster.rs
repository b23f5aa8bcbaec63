//! A grid of numbers as an image: a shade for each point.

use std::fmt::Write;

use super::Figure;
use super::canvas::{Canvas, Stroke, WIDTH};
use super::number::Unit;
use super::table::Table;

/// From dark to bright, each shade visibly brighter than the previous, so that readers without
/// colour vision can distinguish them (viridis: S. van der Walt, N. Smith, 2015).
const SHADES: [&str; 9] = [
    "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30",
    "#fde725",
];
/// The sketch's letters, from light to dense.
const LETTERS: [char; 9] = [' ', '.', ':', '-', '+', '*', 'o', '%', '#'];
/// Maximum width of the sketch in letters. A letter is about twice as high as wide.
const SKETCH_WIDTH: usize = 72;

/// A grid of numbers as an image: a point for each, in the shade of its level.
///
/// # Example
/// ```
/// use forklore::figure::{Raster, Unit};
///
/// let slope: Vec<Vec<u32>> = (0..20).map(|y| (0..30).map(|x| x * y).collect()).collect();
/// let figure = Raster::new("Products", &slope).levels("product", Unit::Count, &[50.0, 200.0]).figure();
/// assert_eq!(figure.table().rows().len(), 3); // below 50, from 50 to 200, and above
/// ```
#[derive(Debug, Clone)]
pub struct Raster {
    title: String,
    /// From top to bottom.
    rows: Vec<Vec<f64>>,
    quantity: String,
    unit: Unit,
    /// The bounds between the levels, ascending.
    bounds: Vec<f64>,
    /// The height of a point whose width is 1.
    height: f64,
}

impl Raster {
    /// An image of these rows, the first at the top.
    pub fn new<T: Into<f64> + Copy>(title: &str, rows: &[Vec<T>]) -> Raster {
        let numbers = |row: &Vec<T>| row.iter().map(|&value| value.into()).collect();
        Raster {
            title: title.to_owned(),
            rows: rows.iter().map(numbers).collect(),
            quantity: "value".to_owned(),
            unit: Unit::Count,
            bounds: vec![0.0],
            height: 1.0,
        }
    }

    /// Sets the shape of a point: the distances between columns and between rows, in the same unit.
    /// By default, points are square.
    ///
    /// # Panics
    /// If one of them is not a positive number.
    #[must_use]
    pub fn point(mut self, width: f64, height: f64) -> Raster {
        self.height = height / width;
        assert!(
            self.height.is_finite() && self.height > 0.0,
            "a point is {width} wide and {height} high: give two positive numbers"
        );
        self
    }

    /// Sets what the numbers are, and the bounds at which the next shade begins: at most eight,
    /// ascending.
    ///
    /// # Panics
    /// If there are more bounds than distinct shades, or if they do not ascend.
    #[must_use]
    pub fn levels(mut self, quantity: &str, unit: Unit, bounds: &[f64]) -> Raster {
        assert!(
            bounds.len() < SHADES.len() && bounds.is_sorted(),
            "a raster has at most {} bounds, in ascending order, and not {bounds:?}",
            SHADES.len() - 1
        );
        (self.quantity, self.unit) = (quantity.to_owned(), unit);
        self.bounds = bounds.to_vec();
        self
    }

    /// Draws the image.
    pub fn figure(&self) -> Figure {
        let mut canvas = Canvas::default();
        let names: Vec<String> = (0..=self.bounds.len()).map(|n| self.name(n)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let top = canvas.legend(6.0, &names, |canvas, level, (x, y)| {
            canvas.swatch(self.shade(level), (x - 9.0, y - 8.0), (18.0, 16.0));
        });
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let scale = WIDTH / n_columns as f64;
        let scale = (scale, scale * self.height);
        canvas.image((0.0, top + 6.0), scale, &self.strokes(n_columns));
        canvas.height = top + 12.0 + scale.1 * self.rows.len() as f64;
        let figure = Figure::new(&self.title, self.description(), canvas, self.table());
        figure.with_sketch(self.sketch(n_columns))
    }

    /// The ground, and on it the runs of points in a row, for each level.
    fn strokes(&self, n_columns: usize) -> Vec<Stroke> {
        let mut paths = vec![String::new(); self.bounds.len() + 1];
        for (y, row) in self.rows.iter().enumerate() {
            let levels: Vec<usize> = row.iter().map(|value| self.level(*value)).collect();
            let mut x = 0;
            for run in levels.chunk_by(|one, next| one == next) {
                let _ = write!(paths[run[0]], "M{x} {y}.5h{}", run.len());
                x += run.len();
            }
        }
        // The level with the most runs becomes the ground, which is a single stroke.
        let ground = (0..paths.len()).max_by_key(|level| paths[*level].len());
        let ground = ground.unwrap_or(0);
        let height = self.rows.len();
        let mut strokes = vec![Stroke {
            colour: self.shade(ground),
            width: height,
            path: format!("M0 {}h{n_columns}", height as f64 / 2.0),
        }];
        let others = paths.into_iter().enumerate();
        let others = others.filter(|(level, path)| *level != ground && !path.is_empty());
        strokes.extend(others.map(|(level, path)| Stroke {
            colour: self.shade(level),
            width: 1,
            path,
        }));
        strokes
    }

    fn level(&self, value: f64) -> usize {
        self.bounds.iter().filter(|bound| value >= **bound).count()
    }

    /// The index of a level's shade: the levels are spread over all shades.
    fn index(&self, level: usize) -> usize {
        level * (SHADES.len() - 1) / self.bounds.len().max(1)
    }

    fn shade(&self, level: usize) -> &'static str {
        SHADES[self.index(level)]
    }

    /// The values of a level, in words.
    fn name(&self, level: usize) -> String {
        let shown = |bound: f64| self.unit.tick(bound);
        match (
            level.checked_sub(1).map(|below| self.bounds[below]),
            self.bounds.get(level),
        ) {
            (None, Some(end)) => format!("below {}", shown(*end)),
            (Some(start), None) => format!("{} and more", shown(start)),
            (Some(start), Some(end)) => format!("{} to {}", shown(start), shown(*end)),
            (None, None) => "all".to_owned(),
        }
    }

    /// The number of points of each level.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.bounds.len() + 1];
        for value in self.rows.iter().flatten() {
            counts[self.level(*value)] += 1;
        }
        counts
    }

    fn description(&self) -> String {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let counts = self.counts();
        let most = (0..counts.len()).max_by_key(|level| counts[*level]);
        let most = most.map_or(String::new(), |level| self.name(level));
        format!(
            "An image of {} rows with {n_columns} points each: the darker a point, the smaller the value ({}). Most points \
             have {most}.",
            self.rows.len(),
            self.quantity
        )
    }

    fn table(&self) -> Table {
        let counts = self.counts();
        let n_points = counts.iter().sum::<usize>().max(1) as f64;
        let mut table = Table::new(&[self.quantity.as_str(), "points", "share"]);
        for (level, count) in counts.into_iter().enumerate() {
            let share = Unit::Share.format(count as f64 / n_points);
            table.push(vec![
                self.name(level),
                Unit::Count.format(count as f64),
                share,
            ]);
        }
        table
    }

    fn sketch(&self, n_columns: usize) -> String {
        let step = n_columns.div_ceil(SKETCH_WIDTH);
        let letters = |row: &Vec<f64>| -> String {
            let letter = |value: &f64| LETTERS[self.index(self.level(*value))];
            row.iter().step_by(step).map(letter).collect()
        };
        let every = (2.0 * step as f64 / self.height).round().max(1.0) as usize;
        let rows = self.rows.iter().step_by(every).map(letters);
        rows.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Raster {
        let rows = [vec![0, 0, 9], vec![5, 5, 5], vec![0, 9, 9]];
        Raster::new("Steps", &rows).levels("steps", Unit::Count, &[1.0, 6.0])
    }

    #[test]
    fn every_point_is_painted_in_the_shade_of_its_level() {
        let svg = steps().figure().svg();
        // The last of the levels with the most runs is the ground under the others.
        let ground = "stroke-width=\"3\" d=\"M0 1.5h3\"";
        for path in ["M0 0.5h2M0 2.5h1", "\"M0 1.5h3\"", ground] {
            assert!(svg.contains(path), "{path} is not in {svg}");
        }
        for shade in [SHADES[0], SHADES[4], SHADES[8]] {
            // Once in the legend and once in the image.
            assert_eq!(svg.matches(shade).count(), 2, "{shade}");
        }
    }

    #[test]
    fn its_levels_are_told_and_counted() {
        let figure = steps().figure();
        assert_eq!(
            figure.table().rows(),
            [
                ["below 1", "3", "33.3 %"],
                ["1 to 6", "3", "33.3 %"],
                ["6 and more", "3", "33.3 %"]
            ]
        );
        assert!(figure.description().contains("3 rows with 3 points each"));
        assert!(figure.text().contains("  #\n ##"), "{}", figure.text());
    }

    #[test]
    fn an_empty_image_is_a_figure() {
        let none: [Vec<f64>; 0] = [];
        assert!(Raster::new("empty", &none).figure().svg().contains("empty"));
        assert!(
            Raster::new("empty", &[Vec::<f64>::new()])
                .figure()
                .svg()
                .contains("empty")
        );
    }

    #[test]
    #[should_panic(expected = "in ascending order")]
    fn bounds_that_do_not_ascend_are_refused() {
        let _ = Raster::new("t", &[vec![1.0]]).levels("n", Unit::Count, &[2.0, 1.0]);
    }
}
