//! How a series is drawn: a line and its marks, clipped at the edges of the plot.

use super::Series;
use crate::figure::axis::Axis;
use crate::figure::canvas::Canvas;

/// Minimum horizontal distance between the marks of one series.
const MARK_APART: f64 = 11.0;

/// The area in which lines are drawn: everything outside it is clipped.
pub(super) struct Plot<'a> {
    pub(super) axes: [&'a Axis; 2],
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
}

impl Plot<'_> {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.axes[0].at(x), self.axes[1].at(y))
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let within = |value: f64, low: f64, high: f64| (low - 0.5..=high + 0.5).contains(&value);
        within(x, self.from.0, self.to.0) && within(y, self.from.1, self.to.1)
    }

    /// Clips a straight line to the area (Liang and Barsky).
    fn cut(&self, one: (f64, f64), other: (f64, f64)) -> Option<[(f64, f64); 2]> {
        let (dx, dy) = (other.0 - one.0, other.1 - one.1);
        let edges = [
            (-dx, one.0 - self.from.0),
            (dx, self.to.0 - one.0),
            (-dy, one.1 - self.from.1),
            (dy, self.to.1 - one.1),
        ];
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for (step, room) in edges {
            if step == 0.0 && room < -0.5 {
                return None;
            } else if step < 0.0 {
                enters = enters.max(room / step);
            } else if step > 0.0 {
                leaves = leaves.min(room / step);
            }
        }
        let at = |share: f64| (one.0 + share * dx, one.1 + share * dy);
        (enters < leaves).then(|| [at(enters), at(leaves)])
    }

    /// The pieces inside the area of a line through points.
    fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        for pair in points.windows(2) {
            let Some([from, to]) = self.cut(pair[0], pair[1]) else {
                continue;
            };
            match pieces.last_mut() {
                Some(piece) if piece.last() == Some(&from) => piece.push(to),
                _ => pieces.push(vec![from, to]),
            }
        }
        pieces
    }
}

impl Series {
    /// Draws the line, and the marks of measured points.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        index: usize,
        dashes: Option<&str>,
        plot: &Plot,
    ) {
        let points = self.points.iter();
        let places: Vec<(f64, f64)> = points.map(|point| plot.at((point.x, point.y))).collect();
        for piece in plot.pieces(&places) {
            canvas.path(index, dashes, &piece);
        }
        if self.is_reference {
            return;
        }
        let mut marked_until = f64::NEG_INFINITY;
        for (point, place) in self.points.iter().zip(places) {
            if let Some((low, high)) = point.spread {
                let [low, high] = [low, high].map(|y| plot.at((point.x, y)));
                if let Some([low, high]) = plot.cut(low, high) {
                    canvas.whisker(low, high);
                }
            }
            if !plot.holds(place) {
                continue;
            }
            // Marks that cover each other would look like a thick line.
            if place.0 >= marked_until || place.0 < marked_until - 2.0 * MARK_APART {
                canvas.mark(index, place, 1.0);
                marked_until = place.0 + MARK_APART;
            }
        }
    }
}
