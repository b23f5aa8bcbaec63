//! The content of an `svg` element, piece by piece.
//!
//! Everything that is not data is drawn in `currentColor`, which a page sets. Each row of data has
//! a colour of the Okabe–Ito palette (M. Okabe, K. Ito, "Color Universal Design", 2008) and, for
//! readers who do not see it, a marker's shape or a pattern. Areas have an outline in the text's
//! colour, so that a pale area has a visible edge on a pale page.

use std::fmt::Write;

use super::axis::Axis;
use super::number::{Unit, escape};

const BLUE: &str = "#0072B2";
const ORANGE: &str = "#E69F00";
const GREEN: &str = "#009E73";
const VERMILION: &str = "#D55E00";
const PURPLE: &str = "#CC79A7";
const SKY: &str = "#56B4E9";
const YELLOW: &str = "#F0E442";
/// Colours for rows of data, most distinct first.
const PALETTE: [&str; 7] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW];

/// The width of a figure, in its own units.
pub(super) const WIDTH: f64 = 640.0;
/// The height of its letters, in the same units.
pub(super) const LETTER_HEIGHT: f64 = 13.0;
/// The margin at the right.
pub(super) const RIGHT: f64 = 24.0;
/// The approximate width of a letter.
const LETTER: f64 = 7.2;
/// A longer name is shortened in the drawing, but not in the table.
const LONGEST_NAME: usize = 28;
const LEGEND_ROW: f64 = 24.0;

/// Stands for the figure's own id until it is known. XML forbids this character, so it occurs in no
/// text.
const ID: char = '\u{1}';

/// A drawing in progress.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
    /// The indices of the patterns in use.
    patterns: Vec<usize>,
    pub(super) height: f64,
}

/// A path of an image, in SVG's syntax.
pub(super) struct Stroke {
    pub(super) colour: &'static str,
    /// In the image's points.
    pub(super) width: usize,
    pub(super) path: String,
}

/// How text is aligned to its position.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    /// The drawing, and its height. `tell_apart` distinguishes this figure from others on a page;
    /// its id is made from that.
    pub(super) fn finish(self, tell_apart: &[&str]) -> (String, f64) {
        let mut parts = tell_apart.to_vec();
        parts.push(&self.body);
        let id = id(&parts);
        let patterns: String = self.patterns.iter().map(|&index| pattern(index)).collect();
        let body = match patterns.is_empty() {
            true => self.body,
            false => format!("<defs>{patterns}</defs>{}", self.body),
        };
        (body.replace(ID, &id), self.height)
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{}\
             </text>",
            escape(content)
        );
    }

    /// A thin line that guides the eye.
    pub(super) fn grid_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.line(from, to, "stroke=\"currentColor\" stroke-opacity=\".2\"");
    }

    /// A bold line that carries information.
    pub(super) fn bold_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.line(from, to, "stroke=\"currentColor\" stroke-width=\"2.5\"");
    }

    /// A dashed line across the plot.
    pub(super) fn mark_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let style = "stroke=\"currentColor\" stroke-width=\"1.5\" stroke-dasharray=\"2 3\"";
        self.line(from, to, style);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let _ = write!(
            self.body,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {style}/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points in a row's colour, solid or with these dashes.
    pub(super) fn path(&mut self, row: usize, dashes: Option<&str>, points: &[(f64, f64)]) {
        let points: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = dashes.map_or(String::new(), |dashes| {
            format!(" stroke-dasharray=\"{dashes}\"")
        });
        let _ = write!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dashes}/>",
            points.join(" "),
            colour(row)
        );
    }

    /// An area in a row's colour and pattern; `hint` appears under the pointer.
    pub(super) fn area(&mut self, row: usize, from: (f64, f64), size: (f64, f64), hint: &str) {
        let index = row % PALETTE.len();
        let fill = match index {
            0 => BLUE.to_owned(),
            _ => {
                if !self.patterns.contains(&index) {
                    self.patterns.push(index);
                }
                format!("url(#{ID}p{index})")
            }
        };
        let outline = if size.0 < 3.0 { 0.0 } else { 1.0 };
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" \
             stroke=\"currentColor\" stroke-width=\"{outline}\"",
            from.0,
            from.1,
            size.0.max(0.5),
            size.1
        );
        match hint {
            "" => self.body.push_str("/>"),
            hint => {
                let _ = write!(self.body, "><title>{}</title></rect>", escape(hint));
            }
        }
    }

    /// An area in one colour, with an outline.
    pub(super) fn swatch(&mut self, colour: &str, from: (f64, f64), size: (f64, f64)) {
        self.rect(colour, from, size);
    }

    /// An empty outline.
    pub(super) fn frame(&mut self, from: (f64, f64), size: (f64, f64)) {
        self.rect("none", from, size);
    }

    fn rect(&mut self, fill: &str, from: (f64, f64), size: (f64, f64)) {
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" \
             stroke=\"currentColor\"/>",
            from.0, from.1, size.0, size.1
        );
    }

    /// Strokes in plain colours, on a grid; `scale` is the width and the height of a point.
    pub(super) fn image(&mut self, (x, y): (f64, f64), scale: (f64, f64), strokes: &[Stroke]) {
        let _ = write!(
            self.body,
            "<g transform=\"translate({x:.1} {y:.1}) scale({:.4} {:.4})\" fill=\"none\" \
             shape-rendering=\"crispEdges\">",
            scale.0, scale.1
        );
        for stroke in strokes {
            let _ = write!(
                self.body,
                "<path stroke=\"{}\" stroke-width=\"{}\" d=\"{}\"/>",
                stroke.colour, stroke.width, stroke.path
            );
        }
        self.body.push_str("</g>");
    }

    /// A line with a head at its end.
    pub(super) fn arrow(&mut self, from: (f64, f64), to: (f64, f64), is_dashed: bool) {
        const HEAD: f64 = 9.0;
        let dashes = if is_dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        let style = format!("stroke=\"currentColor\" stroke-width=\"1.5\"{dashes}");
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1e-9);
        let (ux, uy) = (HEAD * dx / length, HEAD * dy / length);
        self.line(from, (to.0 - ux, to.1 - uy), &style);
        let (left, right) = ((-uy / 2.5, ux / 2.5), (uy / 2.5, -ux / 2.5));
        let corner = |side: (f64, f64)| (to.0 - ux + side.0, to.1 - uy + side.1);
        let (left, right) = (corner(left), corner(right));
        let _ = write!(
            self.body,
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" fill=\"currentColor\"/>",
            to.0, to.1, left.0, left.1, right.0, right.1
        );
    }

    /// Text on an area of a row's colour, if it fits.
    pub(super) fn text_on_area(&mut self, row: usize, centre: (f64, f64), width: f64, text: &str) {
        if text.is_empty() || text_width(text) + 4.0 > width {
            return;
        }
        // Black has a contrast of more than 4.5 on every colour but blue. The pattern is covered
        // under the letters.
        let fill = if row.is_multiple_of(PALETTE.len()) {
            "#fff"
        } else {
            "#000"
        };
        let _ = write!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{fill}\" stroke=\"{}\" \
             stroke-width=\"4\" paint-order=\"stroke\" pointer-events=\"none\">{}</text>",
            centre.0,
            centre.1 + 4.5,
            colour(row),
            escape(text)
        );
    }

    /// A mark whose shape and colour say which row it belongs to.
    pub(super) fn mark(&mut self, row: usize, (x, y): (f64, f64), opacity: f64) {
        let colour = colour(row);
        let style = format!("fill=\"{colour}\" fill-opacity=\"{opacity}\" stroke=\"{colour}\"");
        let polygon = |corners: &[(f64, f64)]| {
            let points: Vec<String> = corners
                .iter()
                .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy))
                .collect();
            format!("<polygon points=\"{}\" {style}/>", points.join(" "))
        };
        self.body.push_str(&match row % PALETTE.len() {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" {style}/>"),
            1 => polygon(&[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)]),
            2 => polygon(&[(0.0, -6.0), (5.5, 4.5), (-5.5, 4.5)]),
            3 => polygon(&[(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)]),
            4 => polygon(&[(0.0, 6.0), (5.5, -4.5), (-5.5, -4.5)]),
            5 => polygon(&[(-6.0, 0.0), (4.5, -5.5), (4.5, 5.5)]),
            _ => polygon(&[(6.0, 0.0), (-4.5, -5.5), (-4.5, 5.5)]),
        });
    }

    /// A bar between two values, with short strokes at its ends.
    pub(super) fn whisker(&mut self, from: (f64, f64), to: (f64, f64)) {
        let style = "stroke=\"currentColor\" stroke-width=\"1.5\"";
        self.line(from, to, style);
        let is_flat = (from.1 - to.1).abs() < f64::EPSILON;
        let (dx, dy) = if is_flat { (0.0, 5.0) } else { (5.0, 0.0) };
        for (x, y) in [from, to] {
            self.line((x - dx, y - dy), (x + dx, y + dy), style);
        }
    }

    /// Vertical grid lines, with their values below the plot.
    pub(super) fn x_axis(&mut self, axis: &Axis, unit: Unit, (top, bottom): (f64, f64)) {
        let mut free_from = f64::NEG_INFINITY;
        for tick in axis.ticks(unit, unit == Unit::Count) {
            let x = axis.at(tick);
            self.grid_line((x, top), (x, bottom));
            let label = unit.tick(tick);
            let half = text_width(&label) / 2.0;
            if x - half > free_from {
                let x = x.min(WIDTH - half);
                self.text((x, bottom + 18.0), Anchor::Middle, &label);
                free_from = x + half + 6.0;
            }
        }
    }

    /// Horizontal grid lines, with their values to the left of the plot.
    pub(super) fn y_axis(&mut self, axis: &Axis, unit: Unit, (left, right): (f64, f64)) {
        for tick in axis.ticks(unit, false) {
            let y = axis.at(tick);
            self.grid_line((left, y), (right, y));
            self.text((left - 8.0, y + 4.5), Anchor::End, &unit.tick(tick));
        }
    }

    /// Names beside their keys, on as many lines as they need; returns the position below them.
    pub(super) fn legend(
        &mut self,
        top: f64,
        names: &[&str],
        mut key: impl FnMut(&mut Canvas, usize, (f64, f64)),
    ) -> f64 {
        let (mut x, mut y) = (RIGHT, top + LEGEND_ROW / 2.0);
        for (index, name) in names.iter().enumerate() {
            let width = 28.0 + text_width(name) + 22.0;
            if x > RIGHT && x + width > WIDTH {
                (x, y) = (RIGHT, y + LEGEND_ROW);
            }
            key(self, index, (x + 9.0, y));
            self.text((x + 26.0, y + 4.5), Anchor::Start, name);
            x += width;
        }
        y + LEGEND_ROW / 2.0
    }
}

/// The width that names need to the left of a plot.
pub(super) fn name_column<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let widest = names
        .map(|name| text_width(&short(name)))
        .fold(0.0, f64::max);
    24.0 + widest
}

/// A name, shortened if it is too long to draw.
pub(super) fn short(name: &str) -> String {
    match name.chars().count() > LONGEST_NAME {
        true => {
            let kept: String = name.chars().take(LONGEST_NAME - 1).collect();
            format!("{kept}…")
        }
        false => name.to_owned(),
    }
}

/// The approximate width of a text: the reader's font is not known.
pub(super) fn text_width(text: &str) -> f64 {
    LETTER * text.chars().count() as f64
}

pub(super) fn colour(row: usize) -> &'static str {
    PALETTE[row % PALETTE.len()]
}

/// A tile in a row's colour, with lines or dots that distinguish it from the others.
fn pattern(index: usize) -> String {
    let light = "stroke=\"#fff\" stroke-opacity=\".8\" stroke-width=\"2\"";
    let dark = "stroke=\"#000\" stroke-opacity=\".45\" stroke-width=\"2\"";
    let figure = match index {
        1 => format!("<path d=\"M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4\" {light}/>"),
        2 => "<circle cx=\"4\" cy=\"4\" r=\"1.8\" fill=\"#fff\" fill-opacity=\".85\"/>".to_owned(),
        3 => format!("<path d=\"M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4\" {dark}/>"),
        4 => format!("<path d=\"M0,4 h8\" {dark}/>"),
        5 => format!("<path d=\"M4,0 v8\" {dark}/>"),
        _ => format!("<path d=\"M0,4 h8 M4,0 v8\" {dark}/>"),
    };
    format!(
        "<pattern id=\"{ID}p{index}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
         <rect width=\"8\" height=\"8\" fill=\"{}\"/>{figure}</pattern>",
        PALETTE[index]
    )
}

/// An id that two figures share only if they are the same (FNV-1a).
pub(super) fn id(parts: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("fl{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_defined_once_under_the_id_that_uses_it() {
        let mut canvas = Canvas::default();
        canvas.area(1, (0.0, 0.0), (10.0, 10.0), "a hint");
        canvas.area(1, (10.0, 0.0), (10.0, 10.0), "");
        let (body, _) = canvas.finish(&["t"]);
        assert_eq!(body.matches("<pattern").count(), 1);
        let (_, rest) = body.split_once("url(#").unwrap();
        let used = rest.split_once(')').unwrap().0;
        assert!(body.contains(&format!("<pattern id=\"{used}\"")), "{body}");
        assert!(body.contains("<title>a hint</title>") && !body.contains(ID));
    }

    #[test]
    fn every_row_has_a_shape_of_its_own() {
        let shape = |row| {
            let mut canvas = Canvas::default();
            canvas.mark(row, (0.0, 0.0), 1.0);
            canvas.body.replace(colour(row), "")
        };
        let shapes: std::collections::BTreeSet<String> = (0..PALETTE.len()).map(shape).collect();
        assert_eq!(shapes.len(), PALETTE.len());
    }

    #[test]
    fn a_legend_breaks_its_lines() {
        let mut canvas = Canvas::default();
        let names = ["a rather long name of a series"; 4];
        let mut n_keys = 0;
        let bottom = canvas.legend(0.0, &names, |_, _, _| n_keys += 1);
        assert_eq!(n_keys, 4);
        assert!(bottom > LEGEND_ROW, "{bottom}");
    }
}
