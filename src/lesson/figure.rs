//! Figures as SVG: readable on light and dark pages, without colours, and without eyes.
//!
//! Lines and letters take the page's own text colour, data the Okabe–Ito palette with a marker
//! shape per row. Each figure has a title and a description, and its numbers as a table.

use std::fmt::Write;

use super::show::{escape, median, number, time};

pub(super) const BLUE: &str = "#0072B2";
pub(super) const ORANGE: &str = "#E69F00";
pub(super) const GREEN: &str = "#009E73";
const VERMILION: &str = "#D55E00";
const PURPLE: &str = "#CC79A7";
/// For rows of data, in the order in which they differ most.
const PALETTE: [&str; 5] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE];

const WIDTH: f64 = 640.0;
const RIGHT: f64 = 24.0;
const ROW_HEIGHT: f64 = 40.0;

/// One row of a strip plot.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) seconds: Vec<f64>,
}

/// A logarithmic axis from `low` to `high`, drawn between two positions.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Covers the values with a little room; at least a factor of two and a half.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if !low.is_finite() {
            (low, high) = (1.0, 10.0);
        }
        let room = (2.5 / (high / low)).max(1.0).sqrt() * 1.15;
        Axis {
            low: low / room,
            high: high * room,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }

    /// Powers of ten, with 2 and 5 between them where the axis is short.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades < 2.5 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let every = (decades / 8.0).ceil().max(1.0) as usize;
        (first..=last)
            .step_by(every)
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// Every run of every row as a mark on a logarithmic time axis, with the medians.
pub(super) fn strip(title: &str, rows: &[Row]) -> String {
    let left = 24.0
        + 7.5
            * rows
                .iter()
                .map(|row| row.name.chars().count())
                .max()
                .unwrap_or(0) as f64;
    let bottom = 12.0 + ROW_HEIGHT * rows.len() as f64;
    let axis = Axis::over(
        rows.iter().flat_map(|row| row.seconds.iter().copied()),
        left,
        WIDTH - RIGHT,
    );
    let mut body = String::new();
    for tick in axis.ticks() {
        let x = axis.at(tick);
        grid_line(&mut body, (x, 8.0), (x, bottom));
        text(&mut body, (x, bottom + 18.0), "middle", &plain_time(tick));
    }
    for (index, row) in rows.iter().enumerate() {
        let y = 12.0 + ROW_HEIGHT * (index as f64 + 0.5);
        text(&mut body, (left - 12.0, y + 4.5), "end", &row.name);
        for seconds in &row.seconds {
            mark(&mut body, index, (axis.at(*seconds), y), 0.55);
        }
        let x = axis.at(median(&row.seconds));
        let _ = write!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"currentColor\" \
             stroke-width=\"2.5\"/>",
            y - 14.0,
            y + 14.0
        );
    }
    let medians: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.name, time(median(&row.seconds))))
        .collect();
    let description = format!(
        "A strip plot: a mark for every run, a bar at the median, on a logarithmic axis of time \
         per call. Medians: {}.",
        medians.join(", ")
    );
    let cells = rows.iter().map(|row| {
        let extreme = |pick: fn(f64, f64) -> f64| {
            time(row.seconds.iter().copied().reduce(pick).unwrap_or(f64::NAN))
        };
        vec![
            row.name.clone(),
            time(median(&row.seconds)),
            extreme(f64::min),
            extreme(f64::max),
            row.seconds.len().to_string(),
        ]
    });
    let table = table(&["", "median", "fastest", "slowest", "runs"], cells);
    framed(title, &description, bottom + 30.0, &body, &table)
}

/// Times by number of items, both logarithmic, with the line that was fitted.
pub(super) fn growth(
    title: &str,
    points: &[(u64, f64)],
    (per_call, per_item): (f64, f64),
) -> String {
    const HEIGHT: f64 = 240.0;
    let x_axis = Axis::over(
        points.iter().map(|point| point.0 as f64),
        70.0,
        WIDTH - RIGHT,
    );
    let y_axis = Axis::over(points.iter().map(|point| point.1), HEIGHT, 14.0);
    let mut body = String::new();
    for tick in x_axis.ticks() {
        let x = x_axis.at(tick);
        grid_line(&mut body, (x, 14.0), (x, HEIGHT));
        text(&mut body, (x, HEIGHT + 18.0), "middle", &format!("{tick}"));
    }
    for tick in y_axis.ticks() {
        let y = y_axis.at(tick);
        grid_line(&mut body, (70.0, y), (WIDTH - RIGHT, y));
        text(&mut body, (62.0, y + 4.5), "end", &plain_time(tick));
    }
    text(
        &mut body,
        ((70.0 + WIDTH - RIGHT) / 2.0, HEIGHT + 38.0),
        "middle",
        "items in the call",
    );
    let fitted: Vec<String> = (0..=60)
        .map(|step| x_axis.low * (x_axis.high / x_axis.low).powf(f64::from(step) / 60.0))
        .map(|n| (n, per_call + per_item * n))
        .filter(|(_, seconds)| (y_axis.low..=y_axis.high).contains(seconds))
        .map(|(n, seconds)| format!("{:.1},{:.1}", x_axis.at(n), y_axis.at(seconds)))
        .collect();
    let _ = write!(
        body,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{VERMILION}\" stroke-width=\"2\" \
         stroke-dasharray=\"6 4\"/>",
        fitted.join(" ")
    );
    for (size, seconds) in points {
        mark(
            &mut body,
            0,
            (x_axis.at(*size as f64), y_axis.at(*seconds)),
            1.0,
        );
    }
    let description = format!(
        "Time of a call against its number of items, both logarithmic: circles are medians, the \
         dashed line is {} for the call and {} for each item.",
        time(per_call),
        time(per_item)
    );
    let cells = points.iter().map(|(size, seconds)| {
        let each = seconds / (*size).max(1) as f64;
        vec![size.to_string(), time(*seconds), time(each)]
    });
    let table = table(&["items", "time of a call", "per item"], cells);
    framed(title, &description, HEIGHT + 50.0, &body, &table)
}

/// One bar, as long as all parts together, each part as long as its share.
pub(super) fn shares(title: &str, parts: &[(String, f64)]) -> String {
    const BAR_HEIGHT: f64 = 34.0;
    const LEGEND_ROW: f64 = 24.0;
    let total: f64 = parts.iter().map(|part| part.1).sum();
    let share = |seconds: f64| seconds / total.max(f64::MIN_POSITIVE);
    let mut body = String::new();
    let mut left = RIGHT;
    for (index, (name, seconds)) in parts.iter().enumerate() {
        let width = share(*seconds) * (WIDTH - 2.0 * RIGHT);
        let colour = PALETTE[index % PALETTE.len()];
        let _ = write!(
            body,
            "<rect x=\"{left:.1}\" y=\"10\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" \
             fill=\"{colour}\" stroke=\"currentColor\" stroke-width=\"1\"/>"
        );
        left += width;
        let y = BAR_HEIGHT + 32.0 + LEGEND_ROW * index as f64;
        mark(&mut body, index, (RIGHT + 8.0, y), 1.0);
        let percent = number(100.0 * share(*seconds));
        let label = format!("{name}: {}, {percent} %", time(*seconds));
        text(&mut body, (RIGHT + 24.0, y + 4.5), "start", &label);
    }
    let told: Vec<String> = parts
        .iter()
        .map(|(name, seconds)| format!("{name} {}", time(*seconds)))
        .collect();
    let description = format!(
        "One bar of {}, in this order from the left: {}.",
        time(total),
        told.join(", ")
    );
    let cells = parts.iter().map(|(name, seconds)| {
        let percent = format!("{} %", number(100.0 * share(*seconds)));
        vec![name.clone(), time(*seconds), percent]
    });
    let table = table(&["part", "time", "share"], cells);
    let height = BAR_HEIGHT + 24.0 + LEGEND_ROW * parts.len() as f64;
    framed(title, &description, height, &body, &table)
}

/// Turns `` `name` `` into code.
pub(super) fn code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(index, piece)| match index % 2 {
            1 => format!("<code>{piece}</code>"),
            _ => piece.to_owned(),
        })
        .collect()
}

fn framed(title: &str, description: &str, height: f64, body: &str, table: &str) -> String {
    let (title, description) = (escape(title), escape(description));
    format!(
        "<figure style=\"margin:.5em 0;max-width:{WIDTH}px\"><figcaption><strong>{title}</strong>\
         </figcaption><svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         aria-label=\"{title}. {description}\" viewBox=\"0 0 {WIDTH} {height}\" \
         style=\"width:100%;height:auto;color:inherit\" font-family=\"sans-serif\" \
         font-size=\"13\"><title>{title}</title><desc>{description}</desc>{body}</svg>\
         <details><summary>The numbers</summary>{table}</details></figure>"
    )
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, row: &[String]| {
        row.iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)))
            .collect::<String>()
    };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let body: String = rows
        .map(|row| format!("<tr>{}</tr>", cells("td", &row)))
        .collect();
    format!("<table><tr>{}</tr>{body}</table>", cells("th", &heads))
}

fn grid_line(body: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = write!(
        body,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"currentColor\" \
         stroke-opacity=\".2\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(body: &mut String, at: (f64, f64), anchor: &str, content: &str) {
    let _ = write!(
        body,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{}</text>",
        at.0,
        at.1,
        escape(content)
    );
}

/// A mark whose shape says which row it belongs to, as its colour does.
fn mark(body: &mut String, row: usize, (x, y): (f64, f64), opacity: f64) {
    let colour = PALETTE[row % PALETTE.len()];
    let style = format!("fill=\"{colour}\" fill-opacity=\"{opacity}\" stroke=\"{colour}\"");
    let polygon = |corners: [(f64, f64); 4]| {
        let points: Vec<String> = corners
            .iter()
            .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy))
            .collect();
        format!("<polygon points=\"{}\" {style}/>", points.join(" "))
    };
    body.push_str(&match row % 4 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" {style}/>"),
        1 => polygon([(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)]),
        2 => polygon([(0.0, -6.0), (5.5, 4.5), (0.0, 4.5), (-5.5, 4.5)]),
        _ => polygon([(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)]),
    });
}

/// A time on an axis: without the zeros that a measured one would have.
fn plain_time(seconds: f64) -> String {
    let shown = time(seconds);
    let (value, unit) = shown.split_once(' ').unwrap_or((&shown, ""));
    let value: f64 = value.parse().unwrap_or(seconds);
    let short = format!("{value}");
    format!(
        "{} {unit}",
        if short.len() > 5 {
            number(value)
        } else {
            short
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row {
                name: "map".into(),
                seconds: vec![70e-9, 72e-9, 75e-9],
            },
            Row {
                name: "pool.map".into(),
                seconds: vec![2e-6, 3e-6, 2.5e-6],
            },
        ]
    }

    #[test]
    fn a_figure_has_a_title_a_description_and_its_numbers() {
        let html = strip("x^10 & <24>", &rows());
        for part in [
            "<title>x^10 &amp; &lt;24&gt;</title>",
            "<desc>",
            "role=\"img\"",
            "<table>",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(html.contains("2.50 µs") && html.contains("72.0 ns"));
        assert!(
            html.contains("<circle") && html.contains("<polygon"),
            "shapes differ"
        );
    }

    #[test]
    fn marks_stay_inside() {
        let axis = Axis::over([70e-9, 3e-6].into_iter(), 100.0, 600.0);
        assert!(axis.at(70e-9) > 100.0 && axis.at(3e-6) < 600.0);
        assert!((2..12).contains(&axis.ticks().len()), "{:?}", axis.ticks());
        let narrow = Axis::over([1.0, 1.001].into_iter(), 0.0, 1.0);
        assert!(!narrow.ticks().is_empty());
    }

    #[test]
    fn shares_add_up() {
        let html = shares("parts", &[("a".into(), 3e-6), ("b".into(), 1e-6)]);
        assert!(html.contains("a: 3.00 µs, 75.0 %") && html.contains("b: 1.00 µs, 25.0 %"));
        assert!(html.contains("One bar of 4.00 µs"));
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(plain_time(1e-6), "1 µs");
        assert_eq!(plain_time(5e-8), "50 ns");
        assert_eq!(plain_time(0.2), "200 ms");
    }
}
