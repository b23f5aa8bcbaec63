//! Where a cell panicked, and the calls in cells that led to it.

use std::collections::HashMap;

use super::source::Sources;
use super::{BLUE, BOLD, Cells, RED, RESET, words};
use crate::evcxr::retrace::{Call, Traced};
use crate::protocol::{Frame, Place};

/// The number of calls shown from each end of a long traceback.
const ENDS: usize = 10;

/// A line of the traceback: one call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// The name, such as `cell:2:5`, without the column.
    name: String,
    column: usize,
    number: usize,
    text: String,
    function: Option<String>,
}

impl Line {
    fn is_same_line(&self, other: &Line) -> bool {
        (&self.name, self.number) == (&other.name, other.number)
    }

    fn arrow(&self) -> String {
        let function = self.function.as_ref();
        let function = function
            .map(|name| format!(", in `{name}`"))
            .unwrap_or_default();
        format!(" {BLUE}-->{RESET} {}:{}{function}", self.name, self.column)
    }

    fn source(&self) -> String {
        format!("{BLUE}{} |{RESET} {}", self.number, self.text)
    }

    /// The line, with a mark where it panicked.
    fn marked(&self) -> [String; 2] {
        let margin = " ".repeat(self.number.to_string().len());
        let before: String = self.text.chars().take(self.column - 1).collect();
        // The front end decides how wide a tab is.
        let before: String = before
            .chars()
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        [
            format!("{BLUE}{} |{RESET} {BOLD}{}{RESET}", self.number, self.text),
            format!("{BLUE}{margin} |{RESET} {before}{RED}^{RESET}"),
        ]
    }
}

/// A cell's program that was running when a cell failed; it locates each call.
pub(in crate::session) struct Program<'a> {
    sources: Sources<'a>,
    calls: HashMap<u32, Vec<Call>>,
}

impl<'a> Program<'a> {
    /// The program of the cell that failed, or of an earlier one.
    pub(in crate::session) fn new(traced: Traced, cells: Cells<'a>, last: &str) -> Program<'a> {
        let cells = match traced.program == last {
            true => cells,
            // Of the cells it was compiled from, only the text is known.
            false => Cells {
                code: "",
                written: "",
                ..cells
            },
        };
        Program {
            sources: Sources::new(cells, traced.program),
            calls: traced.calls,
        }
    }

    fn lines(&self, offset: u32) -> impl Iterator<Item = Line> {
        let calls = self.calls.get(&offset).into_iter().flatten();
        calls.filter_map(|call| {
            let (mut line, mut column) = (call.line as usize, call.column as usize);
            // evcxr puts the last expression between lines with parentheses, which the compiler
            // considers part of it.
            if self.sources.generated_line(line) == Some("(") {
                (line, column) = (line + 1, 1);
            }
            let is_own = !self.sources.is_around(line, column);
            let line = line_of(&self.sources, line, column).filter(|_| is_own)?;
            let function = call.function.clone();
            Some(Line { function, ..line })
        })
    }
}

fn line_of(sources: &Sources<'_>, line: usize, column: usize) -> Option<Line> {
    let found = sources.position(line, column)?;
    Some(Line {
        name: format!("{}:{}", found.name, found.line),
        column: found.column,
        number: found.line,
        text: found.text.trim_end().to_owned(),
        function: None,
    })
}

/// The lines that show where a cell panicked. `frames` are the calls that led there, innermost
/// first, and `programs` has the known programs.
pub(in crate::session) fn traceback(
    place: Option<&Place>,
    frames: &[Frame],
    programs: &HashMap<u32, Program<'_>>,
    cells: Cells<'_>,
    generated: String,
) -> Vec<String> {
    let known = frames.iter().filter_map(|frame| {
        let program = programs.get(&frame.object)?;
        Some(program.lines(frame.offset))
    });
    let mut lines: Vec<Line> = known.flatten().collect();
    lines.reverse();
    let place = place.filter(|place| !place.file.is_empty());
    let is_cell_s = place.is_some_and(|place| place.file == "src/lib.rs");
    let mut elsewhere = None;
    if let Some(place) = place.filter(|_| is_cell_s) {
        let sources = Sources::new(cells, generated);
        let (line, column) = (place.line as usize, place.column as usize);
        if let Some(line) = line_of(&sources, line, column) {
            // The panic's position is exact, while the calls may lack a last one that never
            // returns.
            match lines.last_mut() {
                Some(last) if last.is_same_line(&line) => last.column = line.column,
                _ => lines.push(line),
            }
        }
    } else if let Some(place) = place {
        let file = words::crate_file(&place.file);
        elsewhere = Some(format!(
            " {BLUE}-->{RESET} {file}:{}:{}",
            place.line, place.column
        ));
    }
    shown(&lines).into_iter().chain(elsewhere).collect()
}

/// The calls as lines, outermost first. Repeated calls are shown once.
fn shown(lines: &[Line]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut runs: Vec<&[Line]> = lines.chunk_by(|a, b| a == b).collect();
    if let [.., _, _] = lines {
        shown.push("Traceback (innermost call last):".to_owned());
    }
    let n_left_out: usize = match runs.len() > 2 * ENDS {
        true => runs.drain(ENDS..runs.len() - ENDS).map(<[Line]>::len).sum(),
        false => 0,
    };
    let n_runs = runs.len();
    for (at, run) in runs.into_iter().enumerate() {
        if at == ENDS && n_left_out > 0 {
            shown.push(format!("     … {n_left_out} more calls"));
        }
        shown.push(run[0].arrow());
        match at + 1 == n_runs {
            true => shown.extend(run[0].marked()),
            false => shown.push(run[0].source()),
        }
        if run.len() > 1 {
            shown.push(format!("     … {} more calls in this line", run.len() - 1));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::diagnostic::message::without_colors;

    fn line(number: usize, column: usize, text: &str) -> Line {
        Line {
            name: format!("cell:{number}"),
            column,
            number,
            text: text.to_owned(),
            function: None,
        }
    }

    fn plain(lines: &[Line]) -> String {
        without_colors(&shown(lines).join("\n"))
    }

    #[test]
    fn one_line_is_marked() {
        let text = plain(&[line(12, 5, "    panic!()")]);
        assert_eq!(text, " --> cell:12:5\n12 |     panic!()\n   |     ^");
        assert_eq!(plain(&[]), "");
    }

    #[test]
    fn calls_come_before_what_they_call_and_repeated_ones_once() {
        let function = Some("f".to_owned());
        let recursion = Line {
            function,
            ..line(2, 3, "  f(n - 1)")
        };
        let text = plain(&[
            line(9, 1, "f(5)"),
            recursion.clone(),
            recursion.clone(),
            recursion,
            line(3, 1, "g()"),
        ]);
        let wanted = "Traceback (innermost call last):\n --> cell:9:1\n9 | f(5)\n --> cell:2:3, in `f`\n2 |   f(n - 1)\n     … 2 more calls in this line\n --> cell:3:1\n3 | g()\n  | ^";
        assert_eq!(text, wanted);
    }

    #[test]
    fn of_many_calls_the_first_and_the_last_are_shown() {
        let many: Vec<Line> = (1..=30).map(|n| line(n, 1, "f()")).collect();
        let text = plain(&many);
        assert!(
            text.contains("cell:10:1") && text.contains("cell:21:1"),
            "{text}"
        );
        assert!(
            !text.contains("cell:11:1") && text.contains("… 10 more calls"),
            "{text}"
        );
    }
}
