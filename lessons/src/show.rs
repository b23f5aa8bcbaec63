//! How a lesson's values are shown: HTML with a text alternative, and readable numbers.

use std::fmt::Debug;

use forklore::display::{self, Bundle};
use forklore::figure::Unit;

/// From the Okabe–Ito palette, as in the library's figures.
pub(crate) const BLUE: &str = "#0072B2";
pub(crate) const ORANGE: &str = "#E69F00";
pub(crate) const GREEN: &str = "#009E73";

/// Shows HTML below the cell, and its text where HTML cannot be shown.
pub(crate) fn show(html: String, text: &impl Debug) {
    display::show(&Bundle::html(html).with_text(format!("{text:?}")));
}

/// A box with a coloured edge; its first word says in text what the colour means.
pub(crate) fn boxed(colour: &str, mark: &str, body: &str) -> String {
    format!(
        "<div style=\"border-left:4px solid {colour};padding:.3em .8em;margin:.3em 0\">\
         <strong>{mark}</strong> {body}</div>"
    )
}

/// Turns `` `name` `` into code.
pub(crate) fn code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(index, piece)| match index % 2 {
            1 => format!("<code>{piece}</code>"),
            _ => piece.to_owned(),
        })
        .collect()
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A time with three digits and a suitable unit.
pub(crate) fn time(seconds: f64) -> String {
    Unit::Seconds.format(seconds)
}

/// A number with about three digits.
pub(crate) fn number(value: f64) -> String {
    let times = Unit::Times.format(value);
    times.trim_end_matches('×').to_owned()
}

/// The median; the mean of the two middle values if their number is even.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
