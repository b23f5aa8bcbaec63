//! Where progress is shown, and how: in a notebook, in a terminal, or at the end.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::display::{Bundle, Listener, Live};
use crate::figure::{Unit, escape};
use crate::units::number;

/// The width of a bar, in characters.
const BAR_WIDTH: f64 = 25.0;

/// One line of progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) done: u64,
    /// The number of items, if known.
    pub(crate) total: Option<u64>,
    /// An additional note, such as what is running now.
    pub(crate) note: String,
}

impl Line {
    pub(crate) fn new(label: &str, total: Option<u64>) -> Line {
        Line {
            label: label.to_owned(),
            total,
            ..Line::default()
        }
    }

    fn share(&self) -> Option<f64> {
        let total = self.total?;
        Some((self.done as f64 / total.max(1) as f64).min(1.0))
    }

    /// `12 of 40, 0:03, 0:07 left, 4.00/s`
    fn counts(&self, elapsed: Duration) -> String {
        let count = |n: u64| Unit::Count.format(n as f64);
        let mut told = count(self.done);
        if let Some(total) = self.total {
            let _ = write!(told, " of {}", count(total));
        }
        let _ = write!(told, ", {}", clock(elapsed));
        let seconds = elapsed.as_secs_f64();
        if self.done > 0 && seconds > 0.0 {
            let rate = self.done as f64 / seconds;
            if let Some(total) = self.total.filter(|&total| total > self.done) {
                let left = Duration::from_secs_f64((total - self.done) as f64 / rate);
                let _ = write!(told, ", {} left", clock(left));
            }
            let _ = match rate {
                rate if rate >= 1.0 => write!(told, ", {}/s", number(rate)),
                rate => write!(told, ", {} s each", number(1.0 / rate)),
            };
        }
        if !self.note.is_empty() {
            let _ = write!(told, ", {}", self.note);
        }
        told
    }

    fn text(&self, elapsed: Duration) -> String {
        let mut text = String::new();
        if !self.label.is_empty() {
            let _ = write!(text, "{}: ", self.label);
        }
        if let Some(share) = self.share() {
            let length = (share * BAR_WIDTH).floor() as usize;
            let rest = BAR_WIDTH as usize - length;
            let _ = write!(
                text,
                "{:>3.0} % |{}{}| ",
                (100.0 * share).floor(),
                "█".repeat(length),
                " ".repeat(rest)
            );
        }
        text + &self.counts(elapsed)
    }

    /// Without a total there is no bar: an indeterminate one would keep moving even after the end.
    fn html(&self, elapsed: Duration) -> String {
        let label = escape(&self.label);
        let spoken = if label.is_empty() { "progress" } else { &label };
        let bar = self.total.map(|total| {
            format!(
                "<progress aria-label=\"{spoken}\" value=\"{}\" max=\"{}\" \
                 style=\"width:12em;vertical-align:middle\"></progress> ",
                self.done.min(total),
                total.max(1)
            )
        });
        let counts = escape(&self.counts(elapsed));
        format!("<div>{label} {}{counts}</div>", bar.unwrap_or_default())
    }
}

/// Lines as text, one below the other.
pub(crate) fn text(lines: &[Line], elapsed: Duration) -> String {
    let lines: Vec<String> = lines.iter().map(|line| line.text(elapsed)).collect();
    lines.join("\n")
}

fn bundle(lines: &[Line], elapsed: Duration) -> Bundle {
    let html: String = lines.iter().map(|line| line.html(elapsed)).collect();
    Bundle::html(html).with_text(text(lines, elapsed))
}

/// `0:03`, `1:02:03`
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Where progress is shown.
#[derive(Debug)]
pub(crate) enum Screen {
    /// The forklore kernel, whose output can change in place.
    Notebook(Option<Live>),
    /// A terminal on standard error. None of its bars ticks by itself: that would need a thread.
    Terminal(MultiProgress, Vec<ProgressBar>),
    /// Anything else: only the end is shown. Standard output is a program's own, except where a
    /// notebook reads it.
    AtTheEnd { on_stdout: bool },
}

impl Screen {
    pub(crate) fn detect() -> Screen {
        match Listener::detect() {
            Listener::Forklore => Screen::Notebook(None),
            Listener::Evcxr => Screen::AtTheEnd { on_stdout: true },
            Listener::Other if io::stderr().is_terminal() => {
                Screen::Terminal(MultiProgress::new(), Vec::new())
            }
            Listener::Other => Screen::AtTheEnd { on_stdout: false },
        }
    }

    /// Whether what is drawn before the end is seen.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self, Screen::AtTheEnd { .. })
    }

    /// Shows the lines in the place of those that were shown before.
    pub(crate) fn draw(&mut self, lines: &[Line], elapsed: Duration) {
        match self {
            Screen::Notebook(live) => {
                let bundle = bundle(lines, elapsed);
                match live {
                    Some(live) => live.update(&bundle),
                    None => *live = Some(Live::new(&bundle)),
                }
            }
            Screen::Terminal(terminal, bars) => {
                for (index, line) in lines.iter().enumerate() {
                    if bars.len() == index {
                        bars.push(terminal.add(bar(line)));
                    }
                    let bar = &bars[index];
                    bar.set_position(line.done);
                    bar.set_message(line.counts(elapsed));
                }
            }
            Screen::AtTheEnd { .. } => {}
        }
    }

    /// Shows the last state.
    pub(crate) fn finish(&mut self, lines: &[Line], elapsed: Duration) {
        self.draw(lines, elapsed);
        match self {
            Screen::Notebook(_) => {}
            Screen::Terminal(_, bars) => bars.iter().for_each(ProgressBar::abandon),
            Screen::AtTheEnd { on_stdout } => print(*on_stdout, &text(lines, elapsed)),
        }
    }
}

/// Prints a line. The output may be a broken pipe, which must not end the work itself.
fn print(on_stdout: bool, line: &str) {
    let _ = match on_stdout {
        true => writeln!(io::stdout(), "{line}"),
        false => writeln!(io::stderr(), "{line}"),
    };
}

/// A terminal's bar. Its message holds our own counts, formatted as everywhere else.
fn bar(line: &Line) -> ProgressBar {
    let (bar, template) = match line.total {
        Some(total) => (
            ProgressBar::new(total),
            "{prefix}{percent:>3} % |{bar:25}| {msg}",
        ),
        None => (ProgressBar::no_length(), "{prefix}{msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    if !line.label.is_empty() {
        bar.set_prefix(format!("{}: ", line.label));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            done: 12,
            ..Line::new("a <map>", Some(40))
        }
    }

    #[test]
    fn a_line_tells_count_rate_and_time_left() {
        let text = line().text(Duration::from_secs(3));
        assert_eq!(
            text,
            "a <map>:  30 % |███████                  | 12 of 40, 0:03, 0:07 left, 4.00/s"
        );
        let html = line().html(Duration::from_secs(3));
        assert!(html.contains("a &lt;map&gt; <progress"), "{html}");
        assert!(html.contains("value=\"12\" max=\"40\""), "{html}");
    }

    #[test]
    fn unknown_totals_are_not_shown() {
        let endless = Line {
            done: 1_234,
            ..Line::new("", None)
        };
        assert_eq!(endless.text(Duration::from_secs(1)), "1,234, 0:01, 1234/s");
        let slow = Line {
            done: 1,
            ..Line::new("", None)
        };
        assert_eq!(slow.text(Duration::from_secs(5)), "1, 0:05, 5.00 s each");
        assert_eq!(
            Line::new("", Some(0)).text(Duration::ZERO),
            "  0 % |                         | 0 of 0, 0:00"
        );
        assert!(!endless.html(Duration::ZERO).contains("<progress"));
    }

    #[test]
    fn clocks() {
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(clock(Duration::from_millis(61_900)), "1:01");
    }
}
