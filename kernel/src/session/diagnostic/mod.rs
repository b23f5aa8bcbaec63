//! Errors and warnings in rustc's words and colours, with only the cell's lines.
//!
//! ```text
//!  rustc's JSON ── message: places in the cells ── words: about the cell ── render: the cell's text ──▶ traceback
//!                     ▲ source: generated file → cells
//! ```
//!
//! evcxr compiles a generated file, in which the cell's statements stand among others, and the
//! items of all earlier cells. rustc's own text shows that file, so it is not used: each position
//! is looked up in the cells, positions that are in no cell are dropped, and the message is drawn
//! again with the cells as its sources.

mod cells;
mod hidden;
mod main_function;
mod message;
mod refused;
mod render;
mod source;
mod traceback;
mod types;
mod words;
mod written;

use ra_ap_syntax::SyntaxKind;
use serde_json::Value;

pub(super) use self::cells::Cells;
pub(super) use self::hidden::hidden;
pub(super) use self::main_function::wrong_main;
use self::message::{Label, Message, array};
pub(super) use self::refused::refused;
use self::source::Sources;
pub(super) use self::traceback::{Program, traceback};
pub(super) use self::types::with_types;
use crate::evcxr::CompilationError;
use crate::session::outcome::CellError;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// The reply for a cell that does not compile. `said` are rustc's messages, `generated` is the file
/// that it compiled.
pub(super) fn compile_error(
    errors: &[CompilationError],
    said: &[Value],
    cells: Cells<'_>,
    generated: String,
    shows_warnings: bool,
) -> CellError {
    let sources = Sources::new(cells, generated);
    let mut messages = errors_of(errors, said, &sources);
    if let Some(unbalanced) = unbalanced(&messages, &sources) {
        messages = vec![unbalanced];
    }
    let nearest = messages.iter().map(Message::concern).min();
    messages.retain(|message| Some(message.concern()) == nearest);
    let own = errors
        .iter()
        .filter(|error| messages.is_empty() && is_own(error));
    let mut traceback: Vec<String> = own.clone().map(plain).collect();
    let evalue = match messages.first() {
        Some(message) => in_a_line(message),
        None => own
            .map(|error| without_level(&error.message()).to_owned())
            .next()
            .unwrap_or_else(|| "the cell does not compile".to_owned()),
    };
    if shows_warnings {
        let is_new = |warning: &Message| {
            let is_other = |error: &Message| {
                error.labels.first().map(|label| &label.place)
                    != warning.labels.first().map(|label| &label.place)
            };
            messages.iter().all(is_other)
        };
        let new: Vec<Message> = warnings_of(said, &sources)
            .into_iter()
            .filter(is_new)
            .collect();
        messages.extend(new);
    }
    for message in &messages {
        let text = render::render(message, &sources);
        if !traceback.contains(&text) {
            traceback.push(text);
        }
    }
    traceback.extend(explanations(&messages));
    CellError {
        ename: "CompileError".to_owned(),
        evalue,
        traceback,
    }
}

/// How to read more about errors that have a code. Front ends turn addresses into links.
fn explanations(messages: &[Message]) -> Vec<String> {
    let errors = messages.iter().filter(|message| message.level == "error");
    let mut numbers: Vec<&String> = errors.filter_map(|message| message.code.as_ref()).collect();
    numbers.retain(|code| render::is_number(code));
    numbers.sort();
    numbers.dedup();
    let line = |number: &&String| {
        format!(
            "`%explain {number}` says more, as does https://doc.rust-lang.org/error_codes/{number}.html"
        )
    };
    numbers.iter().map(line).collect()
}

/// rustc's errors in its own words, because evcxr replaces some by one of their notes.
fn errors_of(errors: &[CompilationError], said: &[Value], sources: &Sources<'_>) -> Vec<Message> {
    let read = |json| Message::read(json, sources);
    let is_real = |json: &&Value| !words::is_due_to_keeping(json, sources);
    let all = || said.iter().filter(is_error);
    // If all errors follow from others, one is better than none.
    let n_real = all().filter(is_real).count();
    let said: Vec<Message> = all()
        .filter(|json| n_real == 0 || is_real(json))
        .map(read)
        .collect();
    if !said.is_empty() {
        return said;
    }
    let known = errors.iter().map(|error| &error.json);
    known.filter(is_error).map(read).collect()
}

/// What is wrong with a cell's delimiters, if rustc complains about some: it may have met generated
/// ones first.
fn unbalanced(messages: &[Message], sources: &Sources<'_>) -> Option<Message> {
    let is_about =
        |message: &Message| message.code.is_none() && message.title.contains("delimiter");
    let (spot, kind) = sources
        .unbalanced()
        .filter(|_| messages.iter().any(is_about))?;
    let (title, text) = match kind {
        SyntaxKind::R_CURLY => ("unexpected closing delimiter: `}`", "nothing is open here"),
        SyntaxKind::R_PAREN => ("unexpected closing delimiter: `)`", "nothing is open here"),
        SyntaxKind::R_BRACK => ("unexpected closing delimiter: `]`", "nothing is open here"),
        _ => (
            "the cell contains an unclosed delimiter",
            "unclosed delimiter",
        ),
    };
    let mut message = Message::new("error", title);
    message.labels.push(Label {
        place: message::Place::Cell(spot),
        is_primary: true,
        text: Some(text.to_owned()),
    });
    Some(message)
}

/// Whether a message is an error, and not the line that counts errors.
fn is_error(json: &&Value) -> bool {
    let text = json["message"].as_str().unwrap_or_default();
    let is_summary = text.starts_with("aborting due to") || text.starts_with("Some errors have");
    json["level"]
        .as_str()
        .is_some_and(|level| level.starts_with("error"))
        && !is_summary
}

/// Whether an error comes from evcxr: a wrong `:command`, a variable that cannot be kept.
fn is_own(error: &CompilationError) -> bool {
    error.json.is_null() && error.level() != "warning"
}

fn in_a_line(message: &Message) -> String {
    match message.code.as_ref().filter(|code| render::is_number(code)) {
        Some(number) => format!("{} [{number}]", message.title),
        None => message.title.clone(),
    }
}

/// The compiler's warnings about a cell, as texts.
pub(super) fn warnings(
    said: &[Value],
    cells: Cells<'_>,
    generated: impl FnOnce() -> String,
) -> Vec<String> {
    // Most cells have none, and then the file need not be read.
    if !said.iter().any(|json| is_wanted_warning(&json)) {
        return Vec::new();
    }
    let sources = Sources::new(cells, generated());
    let mut texts: Vec<String> = Vec::new();
    for message in warnings_of(said, &sources) {
        let text = render::render(&message, &sources);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// Lints about unused definitions: later cells may use them.
const FOR_LATER: [&str; 4] = [
    "dead_code",
    "unused_imports",
    "unused_macros",
    "unused_macro_rules",
];

/// The warnings about the cell's own lines: those about earlier cells' items were shown with those
/// cells.
fn warnings_of(said: &[Value], sources: &Sources<'_>) -> Vec<Message> {
    let is_own = |json: &&Value| !message::is_about_generated(json, sources);
    let wanted = said.iter().filter(is_wanted_warning).filter(is_own);
    let messages = wanted.map(|json| Message::read(json, sources));
    messages.filter(Message::is_about_cell).collect()
}

fn is_wanted_warning(json: &&Value) -> bool {
    let lint = json["code"]["code"].as_str().unwrap_or_default();
    let has_place = !array(&json["spans"]).is_empty();
    json["level"] == "warning" && has_place && !FOR_LATER.contains(&lint)
}

/// For errors that do not come from rustc.
fn plain(error: &CompilationError) -> String {
    let mut text = format!(
        "{RED}error{RESET}{BOLD}: {}{RESET}\n",
        without_level(&error.message())
    );
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

/// The prefix with which cargo's own messages begin, and ours.
pub(super) fn without_level(message: &str) -> &str {
    message.trim_start().trim_start_matches("error: ")
}

/// The name of a position that a program prints, such as `cell:2:5`.
pub(super) fn name(cells: Cells<'_>, generated: String, line: u32, column: u32) -> Option<String> {
    let sources = Sources::new(cells, generated);
    let found = sources.position(line as usize, column as usize)?;
    Some(format!("{}:{}:{}", found.name, found.line, found.column))
}

#[cfg(test)]
mod message_tests;
