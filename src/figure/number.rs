//! Numbers for human readers, and text that is safe in a page.

use crate::units::{number, time};

/// What a chart's numbers measure, which decides their format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things: `24`, `1,000,000`, `2.5`.
    #[default]
    Count,
    /// Seconds, written with the unit that fits: `71.3 ns`, `1.73 ms`.
    Seconds,
    /// Bytes: `512 B`, `1.50 MiB`.
    Bytes,
    /// Percentages, given as a fraction: 0.25 is `25.0 %`.
    Share,
    /// A ratio: `1.93×`.
    Times,
}

impl Unit {
    /// A value with about three digits and its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Unit::Count => count(value),
            Unit::Seconds => time(value),
            Unit::Bytes => bytes(value),
            Unit::Share => format!("{} %", number(100.0 * value)),
            Unit::Times => format!("{}×", number(value)),
        }
    }

    /// A value on an axis: without the trailing zeros that a measured one has.
    pub(super) fn tick(self, value: f64) -> String {
        let shown = self.format(value);
        let end = shown
            .find(|c: char| !(c.is_ascii_digit() || ".,-".contains(c)))
            .unwrap_or(shown.len());
        let (digits, unit) = shown.split_at(end);
        match digits.contains('.') {
            true => format!(
                "{}{unit}",
                digits.trim_end_matches('0').trim_end_matches('.')
            ),
            false => shown,
        }
    }
}

/// Formats a count: whole numbers without a fraction, in groups of three digits.
fn count(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 100.0 {
        return number(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0} B"),
        _ => format!("{} {}", number(scaled), UNITS[unit]),
    }
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

/// Escapes text for HTML or SVG. Control characters, which XML forbids, are left out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
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
    fn other_units_too() {
        assert_eq!(Unit::Count.format(24.0), "24");
        assert_eq!(Unit::Count.format(1_234_567.0), "1,234,567");
        assert_eq!(Unit::Count.format(2.5), "2.50");
        assert_eq!(Unit::Bytes.format(1.5 * 1024.0 * 1024.0), "1.50 MiB");
        assert_eq!(Unit::Bytes.format(512.0), "512 B");
        assert_eq!(Unit::Share.format(0.125), "12.5 %");
        assert_eq!(Unit::Times.format(1.934), "1.93×");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(Unit::Seconds.tick(1e-6), "1 µs");
        assert_eq!(Unit::Seconds.tick(5e-8), "50 ns");
        assert_eq!(Unit::Seconds.tick(0.2), "200 ms");
        assert_eq!(Unit::Times.tick(2.5), "2.5×");
        assert_eq!(Unit::Count.tick(1000.0), "1,000");
        assert_eq!(Unit::Share.tick(0.2), "20 %");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn pages_are_escaped() {
        assert_eq!(
            escape("Vec<u64> & \"x\"\u{1}"),
            "Vec&lt;u64&gt; &amp; &quot;x&quot;"
        );
    }
}
