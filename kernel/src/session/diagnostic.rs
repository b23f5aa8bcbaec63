//! Errors and warnings in the words and colours of rustc, with the lines of the cell.
//!
//! evcxr compiles a generated file in which the cell's statements stand among others, and the items of all earlier
//! cells. rustc's own rendering shows that file; here its line numbers become those of the cell.

use evcxr::CompilationError;
use serde_json::Value;

use super::CellError;
use crate::frame::Place;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// The cell that is compiled, and those before it, whose items are compiled again with it.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) code: &'a str,
    pub(super) earlier: &'a [String],
}

/// The reply for a cell that does not compile. `messages` are rustc's, in colour.
pub(super) fn compile_error(
    errors: &[CompilationError],
    messages: &[Value],
    cells: Cells<'_>,
    shows_warnings: bool,
) -> CellError {
    // Warnings are among them, and may come first; those about earlier cells' items were shown with them.
    let (errors, mut warnings): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| error.level() != "warning");
    let first = errors.first().or(warnings.first());
    let evalue = match first.map(|error| (error.code(), error.message())) {
        Some((Some(number), message)) => format!("{message} [{number}]"),
        Some((None, message)) => message,
        None => "the cell does not compile".to_owned(),
    };
    warnings.retain(|warning| shows_warnings && is_about(&warning.json, cells.code));
    let mut traceback: Vec<String> = Vec::new();
    for error in errors.into_iter().chain(warnings) {
        let text = render(error, messages, cells);
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

/// The warnings that are about the cell's own lines: those about earlier cells' items were shown with them.
pub(super) fn warnings(messages: &[Value], cells: Cells<'_>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let about = messages
        .iter()
        .filter(|message| is_about(message, cells.code));
    for message in about {
        let text = in_the_cell(message["rendered"].as_str().unwrap_or_default(), cells);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// Whether a message is a warning whose primary place is a line of the cell.
fn is_about(message: &Value, code: &str) -> bool {
    let primary = message["spans"].as_array().into_iter().flatten();
    let mut primary = primary.filter(|span| span["is_primary"] == true);
    message["level"] == "warning"
        && primary.any(|span| {
            let line = span["text"][0]["text"].as_str().unwrap_or_default();
            span["file_name"] == "src/lib.rs" && !LineNumbers::of(code).candidates(line).is_empty()
        })
}

fn render(error: &CompilationError, messages: &[Value], cells: Cells<'_>) -> String {
    let is_same = |message: &&Value| {
        ["message", "spans"]
            .iter()
            .all(|part| message[part] == error.json[part])
    };
    let in_color = messages.iter().find(is_same);
    let rendered = match in_color.and_then(|message| message["rendered"].as_str()) {
        Some(text) => text.to_owned(),
        None => error.rendered(),
    };
    let mut text = if rendered.is_empty() {
        plain(error)
    } else {
        in_the_cell(&rendered, cells)
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

/// Rewrites rustc's text, with or without colours, for the reader of the cell.
fn in_the_cell(rendered: &str, cells: Cells<'_>) -> String {
    let plain: Vec<String> = rendered.lines().map(without_colors).collect();
    let mut numbers = LineNumbers::new(&plain, cells);
    let mut text = String::new();
    for (at, (line, plain_line)) in rendered.lines().zip(&plain).enumerate() {
        text.push_str(&rewrite_line(
            line,
            plain_line,
            &plain[at + 1..],
            &mut numbers,
        ));
        text.push('\n');
    }
    text
}

/// The text without escape sequences that colour it.
fn without_colors(text: &str) -> String {
    pieces(text).filter(|piece| !is_color(piece)).collect()
}

/// Text and escape sequences in turns.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.find("\x1b[") {
            Some(0) => rest
                .find(|c: char| c.is_ascii_alphabetic())
                .map(|end| end + 1),
            start => start,
        };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn is_color(piece: &str) -> bool {
    piece.starts_with("\x1b[")
}

/// `12 |     let x = y;` in its parts: the number and the text.
fn source_line(line: &str) -> Option<(u32, &str)> {
    let gutter = line.find(" |")?;
    let number = line[..gutter].trim().parse().ok()?;
    let text = line[gutter + 2..]
        .strip_prefix(' ')
        .unwrap_or(&line[gutter + 2..]);
    Some((number, text))
}

fn rewrite_line(
    line: &str,
    plain: &str,
    following: &[String],
    numbers: &mut LineNumbers<'_>,
) -> String {
    if let Some((number, text)) = source_line(plain) {
        let old = number.to_string();
        let new = numbers.in_cell(number, text);
        let new = new.map(|number| number.to_string()).unwrap_or_default();
        // As wide as before: the gutter below has that width.
        let new = format!("{new:<width$}", width = old.len());
        let is_number = |piece: &&str| !is_color(piece) && piece.contains(&old);
        let first = pieces(line).position(|piece| is_number(&piece));
        let replaced = pieces(line).enumerate().map(|(at, piece)| match first {
            Some(first) if at == first => piece.replacen(&old, &new, 1),
            _ => piece.to_owned(),
        });
        return replaced.collect();
    }
    let trimmed = plain.trim_start();
    let place = trimmed
        .strip_prefix("--> ")
        .or_else(|| trimmed.strip_prefix("::: "));
    match place {
        Some(place) => line.replacen(place, &rewrite_place(place, following, numbers), 1),
        None => line.to_owned(),
    }
}

/// `src/lib.rs:12:5` becomes `cell:2:5`.
fn rewrite_place(place: &str, following: &[String], numbers: &mut LineNumbers<'_>) -> String {
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
        .find(|(shown, _)| *shown == number);
    let text = shown.map(|(_, text)| text.trim()).unwrap_or_default();
    match numbers.in_cell(number, text) {
        Some(number) => format!("cell:{number}:{column}"),
        None if numbers.is_earlier(text) => "an earlier cell".to_owned(),
        None => "code that the kernel generated around the cell".to_owned(),
    }
}

/// Finds a line of the generated file in the cell: by its text, and where that stands several times, by its neighbours.
struct LineNumbers<'a> {
    cell: Vec<&'a str>,
    earlier: &'a [String],
    /// How far the cell's lines are moved in the generated file, as seen at lines that are there once.
    offset: Option<i64>,
}

impl<'a> LineNumbers<'a> {
    fn of(code: &'a str) -> LineNumbers<'a> {
        LineNumbers {
            cell: code.lines().collect(),
            earlier: &[],
            offset: None,
        }
    }

    fn new(rendered: &[String], cells: Cells<'a>) -> LineNumbers<'a> {
        let mut numbers = LineNumbers::of(cells.code);
        numbers.earlier = cells.earlier;
        numbers.offset = rendered
            .iter()
            .filter_map(|line| source_line(line))
            .find_map(|(number, text)| {
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

    /// Whether a line, without its indentation, is one of an earlier cell.
    fn is_earlier(&self, text: &str) -> bool {
        let mut lines = self.earlier.iter().flat_map(|cell| cell.lines());
        !text.is_empty() && lines.any(|line| line.trim() == text)
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
    let mut numbers = LineNumbers::of(code);
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

    fn alone(code: &str) -> Cells<'_> {
        Cells { code, earlier: &[] }
    }

    #[test]
    fn line_numbers_become_those_of_the_cell() {
        let code = "let a = 1;\nlet b: String = a;\nprintln!(\"{b}\");";
        let rendered = "error[E0308]: mismatched types\n   --> src/lib.rs:112:17\n    |\n112 | let b: String = a;\n    |        ------   ^ expected `String`, found integer\n    |        |\n    |        expected due to this\n\n";
        let text = without_colors(&in_the_cell(rendered, alone(code)));
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
        let text = without_colors(&in_the_cell(rendered, alone(code)));
        assert!(text.contains("--> cell:3:3"), "{text}");
        assert!(text.contains("3  | f(x);"), "{text}");
    }

    #[test]
    fn rustc_s_own_colors_stay() {
        let code = "let a = 1;\nlet b: String = a;";
        let blue = "\x1b[1m\x1b[94m";
        let rendered = format!(
            "\x1b[1m\x1b[91merror\x1b[0m\x1b[1m: no\x1b[0m\n {blue}--> \x1b[0msrc/lib.rs:112:17\n{blue}112\x1b[0m {blue}|\x1b[0m let b: String = a;\n"
        );
        let text = in_the_cell(&rendered, alone(code));
        assert_eq!(
            text,
            rendered
                .replace("src/lib.rs:112:17", "cell:2:17")
                .replace("112", "2  ")
        );
    }

    #[test]
    fn warnings_about_the_cell_are_told_from_those_about_others() {
        let warning = |line: &str, file: &str| {
            serde_json::json!({
                "level": "warning",
                "rendered": format!("warning: unused\n --> {file}:9:1\n  |\n9 | {line}\n"),
                "spans": [{"is_primary": true, "file_name": file, "text": [{"text": line}]}],
            })
        };
        let mut messages = vec![
            warning("fn earlier(x: u8) {}", "src/lib.rs"),
            warning("f(x);", "other/lib.rs"),
            warning("f(x);", "src/lib.rs"),
            warning("f(x);", "src/lib.rs"),
            serde_json::json!({"level": "warning", "rendered": "1 warning emitted", "spans": []}),
        ];
        let code = "let x = 1;\nf(x);";
        let shown = "warning: unused\n --> cell:2:1\n  |\n2 | f(x);\n";
        assert_eq!(warnings(&messages, alone(code)), [shown]);
        messages[2]["level"] = "error".into();
        messages.remove(3);
        assert!(warnings(&messages, alone(code)).is_empty());
    }

    #[test]
    fn generated_code_has_no_line_number() {
        let rendered =
            "error: no\n --> src/lib.rs:9:3\n  |\n9 | evcxr_variable_store.put();\n  |   ^ there\n";
        let text = without_colors(&in_the_cell(rendered, alone("let x = 1;")));
        assert!(text.contains("generated around the cell"), "{text}");
        assert!(text.contains("  | evcxr_variable_store"), "{text}");
    }

    #[test]
    fn an_error_in_an_item_of_an_earlier_cell_is_placed_there() {
        let rendered = "error: no\n --> src/lib.rs:9:3\n  |\n9 |     A {}\n  |   ^ there\n";
        let earlier = ["fn f() -> A {\n    A {}\n}".to_owned()];
        let cells = Cells {
            code: "struct A { x: u8 }",
            earlier: &earlier,
        };
        let text = without_colors(&in_the_cell(rendered, cells));
        assert!(text.contains("--> an earlier cell\n"), "{text}");
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
