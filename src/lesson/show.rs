//! How a lesson's things reach the page: HTML with its text, and numbers a person can read.

use std::fmt::Debug;

use crate::display::{self, Bundle};

/// Shows a piece of HTML below the cell, and its text where no HTML can be shown.
pub(super) fn show(html: String, text: &impl Debug) {
    display::show(&Bundle::html(html).with_text(format!("{text:?}")));
}

/// A box with a coloured edge and a first word that says in text what the colour says.
pub(super) fn boxed(colour: &str, mark: &str, body: &str) -> String {
    format!(
        "<div style=\"border-left:4px solid {colour};padding:.3em .8em;margin:.3em 0\">\
         <strong>{mark}</strong> {body}</div>"
    )
}

/// Text that is to stand in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A time with three digits and the unit that fits: `71.3 ns`, `1.73 ms`.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", number(value))
}

/// A number with about three digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle one of some values; the mean of the two middle ones where their number is even.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        assert_eq!(time(71.34e-9), "71.3 ns");
        assert_eq!(time(1.729e-3), "1.73 ms");
        assert_eq!(time(250.0e-6), "250 µs");
        assert_eq!(time(2.0), "2.00 s");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(
            escape("Vec<u64> & \"x\""),
            "Vec&lt;u64&gt; &amp; &quot;x&quot;"
        );
    }
}
