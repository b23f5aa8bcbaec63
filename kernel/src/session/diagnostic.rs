//! Errors in the words of rustc, with the lines of the cell.
//!
//! evcxr compiles a generated file in which the cell's statements stand among others. rustc's own rendering shows that
//! file; here its line numbers become those of the cell, and it gets its colours back (cargo's JSON has none).

use evcxr::CompilationError;

use super::CellError;
use crate::frame::Place;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const YELLOW: &str = "\x1b[1;33m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// The reply for a cell that does not compile.
pub(super) fn compile_error(errors: &[CompilationError], code: &str) -> CellError {
    let first = errors.first();
    let evalue = match first.map(|error| (error.code(), error.message())) {
        Some((Some(number), message)) => format!("{message} [{number}]"),
        Some((None, message)) => message,
        None => "the cell does not compile".to_owned(),
    };
    let mut traceback: Vec<String> = Vec::new();
    for error in errors {
        let text = render(error, code);
        if !traceback.contains(&text) {
            traceback.push(text);
        }
    }
    CellError {
        ename: "CompileError".to_owned(),
        evalue,
        traceback,
    }
}

fn render(error: &CompilationError, code: &str) -> String {
    let rendered = error.rendered();
    let mut text = if rendered.is_empty() {
        plain(error)
    } else {
        in_the_cell(&rendered, code)
    };
    if let Some(hint) = error.evcxr_extra_hint() {
        text.push_str(&format!("{BOLD}help{RESET}: {hint}\n"));
    }
    text
}

/// For errors that do not come from rustc: a wrong `:command`, a variable that cannot be kept.
fn plain(error: &CompilationError) -> String {
    let mut text = format!("{RED}error{RESET}{BOLD}: {}{RESET}\n", error.message());
    for message in error.spanned_messages() {
        let Some(span) = &message.span else { continue };
        text.push_str(&format!(
            " {BLUE}-->{RESET} cell:{}:{}\n",
            span.start_line, span.start_column
        ));
        for line in &message.lines {
            text.push_str(&format!("  {BLUE}|{RESET} {line}\n"));
        }
    }
    text
}

/// Rewrites rustc's text for the reader of the cell.
fn in_the_cell(rendered: &str, code: &str) -> String {
    let lines: Vec<&str> = rendered.lines().collect();
    let mut numbers = LineNumbers::new(&lines, code);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        text.push_str(&rewrite_line(line, &lines[at + 1..], &mut numbers));
        text.push('\n');
    }
    text
}

/// `12 |     let x = y;` in its parts: the number, the gutter's width, the text.
fn source_line(line: &str) -> Option<(u32, usize, &str)> {
    let gutter = line.find(" |")?;
    let number = line[..gutter].trim().parse().ok()?;
    let text = line[gutter + 2..]
        .strip_prefix(' ')
        .unwrap_or(&line[gutter + 2..]);
    Some((number, gutter, text))
}

fn rewrite_line(line: &str, following: &[&str], numbers: &mut LineNumbers<'_>) -> String {
    if let Some((number, width, text)) = source_line(line) {
        let number = numbers
            .in_cell(number, text)
            .map(|number| number.to_string())
            .unwrap_or_default();
        return format!("{BLUE}{number:<width$} |{RESET} {text}");
    }
    let trimmed = line.trim_start();
    if let Some(place) = trimmed
        .strip_prefix("--> ")
        .or_else(|| trimmed.strip_prefix("::: "))
    {
        let indent = &line[..line.len() - trimmed.len()];
        let arrow = &trimmed[..3];
        return format!(
            "{indent}{BLUE}{arrow}{RESET} {}",
            rewrite_place(place, following, numbers)
        );
    }
    if let Some(marks) = trimmed
        .strip_prefix("| ")
        .or_else(|| (trimmed == "|").then_some(""))
    {
        let gutter = &line[..line.len() - trimmed.len()];
        return format!("{gutter}{BLUE}|{RESET} {}", color_marks(marks));
    }
    for (word, color) in [("error", RED), ("warning", YELLOW)] {
        if line.starts_with(word) {
            let (head, message) = line.split_once(':').unwrap_or((line, ""));
            return format!("{color}{head}{RESET}{BOLD}:{message}{RESET}");
        }
    }
    for word in ["= note", "= help", "note", "help"] {
        if let Some(rest) = trimmed.strip_prefix(word) {
            let indent = &line[..line.len() - trimmed.len()];
            let word = word.replace("= ", &format!("{BLUE}={RESET}{BOLD} "));
            return format!("{indent}{BOLD}{word}{RESET}{rest}");
        }
    }
    line.to_owned()
}

/// `src/lib.rs:12:5` becomes `cell:2:5`.
fn rewrite_place(place: &str, following: &[&str], numbers: &mut LineNumbers<'_>) -> String {
    let Some(position) = place.strip_prefix("src/lib.rs:") else {
        return place.to_owned();
    };
    let Some((number, column)) = position.split_once(':') else {
        return place.to_owned();
    };
    let Ok(number) = number.parse::<u32>() else {
        return place.to_owned();
    };
    let shown = following
        .iter()
        .filter_map(|line| source_line(line))
        .find(|(shown, ..)| *shown == number);
    match shown.and_then(|(_, _, text)| numbers.in_cell(number, text)) {
        Some(number) => format!("cell:{number}:{column}"),
        None => "code that the kernel generated around the cell".to_owned(),
    }
}

fn color_marks(marks: &str) -> String {
    let color = if marks.contains('^') { RED } else { BLUE };
    if marks
        .trim_start()
        .starts_with(['^', '-', '_', '|', '~', '+'])
    {
        format!("{color}{marks}{RESET}")
    } else {
        marks.to_owned()
    }
}

/// Finds a line of the generated file in the cell: by its text, and where that stands several times, by its neighbours.
struct LineNumbers<'a> {
    cell: Vec<&'a str>,
    /// How far the cell's lines are moved in the generated file, as seen at lines that are there once.
    offset: Option<i64>,
}

impl<'a> LineNumbers<'a> {
    fn new(rendered: &[&str], code: &'a str) -> LineNumbers<'a> {
        let mut numbers = LineNumbers {
            cell: code.lines().collect(),
            offset: None,
        };
        numbers.offset = rendered
            .iter()
            .filter_map(|line| source_line(line))
            .find_map(|(number, _, text)| {
                let found = numbers.candidates(text);
                (found.len() == 1).then(|| i64::from(number) - i64::from(found[0]))
            });
        numbers
    }

    fn candidates(&self, text: &str) -> Vec<u32> {
        let text = text.trim();
        let is_same = |line: &&str| line.trim() == text || (text.len() > 3 && line.contains(text));
        let numbered = (1..).zip(&self.cell);
        if text.is_empty() {
            return Vec::new();
        }
        numbered
            .filter(|(_, line)| is_same(line))
            .map(|(number, _)| number)
            .collect()
    }

    fn in_cell(&mut self, number: u32, text: &str) -> Option<u32> {
        let found = self.candidates(text);
        let expected = self.offset.map(|offset| i64::from(number) - offset);
        found
            .into_iter()
            .min_by_key(|line| expected.map_or(0, |expected| (i64::from(*line) - expected).abs()))
    }
}

/// Where a panic happened, for the traceback: the cell's own line if it was there.
pub(super) fn place(place: &Place, source: &str, code: &str) -> Vec<String> {
    if place.file != "src/lib.rs" {
        return vec![format!(
            " {BLUE}-->{RESET} {}:{}:{}",
            place.file, place.line, place.column
        )];
    }
    let Some(text) = source.lines().nth((place.line as usize).saturating_sub(1)) else {
        return Vec::new();
    };
    let mut numbers = LineNumbers {
        cell: code.lines().collect(),
        offset: None,
    };
    let found = numbers.candidates(text);
    // Several: the generated file keeps the cell's order, so count which of the same lines it is.
    let n_before = source
        .lines()
        .take(place.line as usize - 1)
        .filter(|line| line.trim() == text.trim())
        .count();
    let number = found
        .get(n_before)
        .copied()
        .or_else(|| numbers.in_cell(place.line, text));
    match number {
        Some(number) => vec![
            format!(" {BLUE}-->{RESET} cell:{number}"),
            format!("{BLUE}{number} |{RESET} {}", text.trim_end()),
        ],
        // An item of an earlier cell.
        None => vec![
            format!(" {BLUE}-->{RESET} an earlier cell"),
            format!("  {BLUE}|{RESET} {}", text.trim_end()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_colors(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("\x1b[") {
            plain.push_str(&rest[..start]);
            let end = rest[start..].find('m').unwrap() + start + 1;
            rest = &rest[end..];
        }
        plain + rest
    }

    #[test]
    fn line_numbers_become_those_of_the_cell() {
        let code = "let a = 1;\nlet b: String = a;\nprintln!(\"{b}\");";
        let rendered = "error[E0308]: mismatched types\n   --> src/lib.rs:112:17\n    |\n112 | let b: String = a;\n    |        ------   ^ expected `String`, found integer\n    |        |\n    |        expected due to this\n\n";
        let text = without_colors(&in_the_cell(rendered, code));
        assert!(
            text.contains("error[E0308]: mismatched types\n   --> cell:2:17\n"),
            "{text}"
        );
        assert!(text.contains("2   | let b: String = a;\n"), "{text}");
        assert!(
            text.contains("    |        ------   ^ expected `String`, found integer\n"),
            "{text}"
        );
    }

    #[test]
    fn equal_lines_are_told_apart_by_their_neighbours() {
        let code = "f(x);\nlet only = 1;\nf(x);";
        let rendered = "error: no\n --> src/lib.rs:52:3\n  |\n51 | let only = 1;\n   |     ---- here\n52 | f(x);\n   |   ^ there\n";
        let text = without_colors(&in_the_cell(rendered, code));
        assert!(text.contains("--> cell:3:3"), "{text}");
        assert!(text.contains("3  | f(x);"), "{text}");
    }

    #[test]
    fn generated_code_has_no_line_number() {
        let rendered =
            "error: no\n --> src/lib.rs:9:3\n  |\n9 | evcxr_variable_store.put();\n  |   ^ there\n";
        let text = without_colors(&in_the_cell(rendered, "let x = 1;"));
        assert!(text.contains("generated around the cell"), "{text}");
        assert!(text.contains("  | evcxr_variable_store"), "{text}");
    }

    #[test]
    fn a_panic_is_placed_in_the_cell() {
        let source = "mod generated {}\nfn run() {\nlet v: Vec<i32> = Vec::new();\nv[3];\nv[3];\n}";
        let at = |line| Place {
            file: "src/lib.rs".to_owned(),
            line,
            column: 1,
        };
        let code = "let v: Vec<i32> = Vec::new();\nv[3];\nv[3];";
        assert!(without_colors(&place(&at(4), source, code)[0]).contains("cell:2"));
        assert!(without_colors(&place(&at(5), source, code)[0]).contains("cell:3"));
        assert!(without_colors(&place(&at(5), source, "f()")[0]).contains("an earlier cell"));
        assert!(place(&at(99), source, code).is_empty());
    }
}
