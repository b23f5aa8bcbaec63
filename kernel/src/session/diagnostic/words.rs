//! Rewrites messages for readers who see only the cell.

use std::ops::Range;

use serde_json::Value;

use super::message::{Concern, Label, Message, Place, array};
use super::source::{Sources, Spot, Text};

/// Texts that only generated code contains.
const GENERATED: [&str; 10] = [
    "evcxr",
    "Evcxr",
    "run_user_code_",
    "catch_unwind",
    "forklore::store::",
    "AssertUnwindSafe",
    "_ti!(",
    "_t!(",
    "_l!(",
    "forklore::display::cell",
];
/// How rustc names the code after the cell.
const AFTER: [&str; 3] = ["`evcxr_variable_store`", "`)`", "`}`"];
/// The file in which the library keeps a session's variables.
const STORE: &str = "forklore/src/store.rs";
const END: &str = "the end of the cell";

/// The beginnings of rustc's notes about files that it wrote or read, none of which are the
/// learner's.
const ABOUT_FILES: [&str; 4] = [
    "the full name for the type has been written to",
    "consider using `--verbose` to print the full type name",
    "first definition in `",
    "second definition in the local crate",
];
/// The crate of the cells, in rustc's words.
const CRATE: &str = "your crate (`ctx`)";

/// Whether a text mentions generated code.
pub(super) fn is_generated(text: &str) -> bool {
    GENERATED.iter().any(|word| text.contains(word))
        || ABOUT_FILES.iter().any(|words| text.starts_with(words))
}

/// A text without details that the learner cannot know; `None` if nothing would be left.
pub(super) fn in_words(text: &str) -> Option<String> {
    let text = text.replace("`evcxr_variable_store`", END);
    (!is_generated(&text)).then_some(text)
}

/// The path of a crate's file without the folders of this machine.
pub(super) fn crate_file(path: &str) -> String {
    // A dependency in cargo's folder, the standard library, and the library in its cache.
    for (before, n_folders) in [
        ("/registry/src/", 1),
        ("/library/", 0),
        ("/git/checkouts/", 0),
    ] {
        if let Some((_, rest)) = path.split_once(before) {
            return rest
                .splitn(n_folders + 1, '/')
                .last()
                .unwrap_or(rest)
                .to_owned();
        }
    }
    match path.rsplit_once("/src/") {
        Some((folder, file)) if folder.contains("forklore") => match folder.ends_with("/lessons") {
            true => format!("forklore-course/src/{file}"),
            false => format!("forklore/src/{file}"),
        },
        _ => path.to_owned(),
    }
}

/// Whether a note shows where the variables are kept.
pub(super) fn is_about_store(message: &Message) -> bool {
    let mut labels = message.labels.iter();
    labels.any(|label| matches!(&label.place, Place::Crate { file, .. } if file == STORE))
}

/// Whether an error exists only because variables are kept: it complains about generated code.
pub(super) fn is_due_to_keeping(json: &Value, sources: &Sources<'_>) -> bool {
    let mut primary = array(&json["spans"])
        .iter()
        .filter(|span| span["is_primary"] == true);
    let is_move = json["code"]["code"] == "E0505";
    is_move && primary.any(|span| line_of(span, sources).and_then(stored_variable).is_some())
}

fn line_of<'s>(span: &Value, sources: &'s Sources<'_>) -> Option<&'s str> {
    let line = usize::try_from(span["line_start"].as_u64()?).ok()?;
    sources
        .generated_line(line)
        .filter(|_| span["file_name"] == "src/lib.rs")
}

/// Rewords rustc's messages about generated code as messages about the cell.
pub(super) fn reword(message: &mut Message, json: &Value, sources: &Sources<'_>) {
    name_the_end(message, json, sources);
    explain_variables(message, json, sources);
    explain_gone(message, sources);
    explain_question_mark(message);
    advise_dep(message);
    name_the_course(message);
    advise_first_line(message, sources);
    for child in &mut message.children {
        child.title = child.title.replace(CRATE, "the cell");
    }
    message.title = in_words(&message.title).unwrap_or_else(|| match message.concern() {
        Concern::Elsewhere => "the cell does not fit into the code around it".to_owned(),
        _ => "this does not fit into a cell".to_owned(),
    });
}

/// To the reader, the code that rustc finds after the cell is the cell's end.
fn name_the_end(message: &mut Message, json: &Value, sources: &Sources<'_>) {
    if message.level != "error" || message.labels.iter().any(|label| label.is_primary) {
        return;
    }
    let primary = array(&json["spans"])
        .iter()
        .find(|span| span["is_primary"] == true);
    let line = primary.and_then(|span| usize::try_from(span["line_start"].as_u64()?).ok());
    let is_syntax = message.code.is_none();
    let is_cut = is_syntax || is_generated(&message.title);
    let Some(spot) = line
        .and_then(|line| sources.end_before(line))
        .filter(|_| is_cut)
    else {
        return;
    };
    message.title = message
        .title
        .replace("this file contains", "the cell contains");
    if let Some((expected, found)) = message.title.split_once("found ")
        && AFTER.contains(&found)
    {
        message.title = format!("{expected}found {END}");
    }
    if is_generated(&message.title) {
        message.title = "the cell ends where more is expected".to_owned();
        message.code = None;
        message.children.clear();
    }
    let text = (message.labels.is_empty()).then(|| "the cell ends here".to_owned());
    message.labels.push(Label {
        place: Place::Cell(spot),
        is_primary: true,
        text,
    });
}

/// A variable is loaded from the store, and goes back there at the end: rustc's text about these
/// lines becomes notes.
fn explain_variables(message: &mut Message, json: &Value, sources: &Sources<'_>) {
    let borrows = matches!(
        message.code.as_deref(),
        Some("E0597" | "E0499" | "E0502" | "E0505" | "E0716")
    );
    let mut notes = Vec::new();
    for span in array(&json["spans"]) {
        let Some(line) = line_of(span, sources) else {
            continue;
        };
        let label = span["label"].as_str().unwrap_or_default();
        if loaded_variable(line).is_some() && label.contains("because") {
            notes.extend(in_words(label));
        } else if let Some(name) = stored_variable(line) {
            if borrows {
                notes.push(format!("`{name}` is kept for later cells, so it may not borrow from another variable: give it a value of its own, or put the code into a block `{{ … }}`"));
            } else if message.code.as_deref() == Some("E0381") {
                notes.push(format!(
                    "`{name}` is kept for later cells at the end of this one"
                ));
            }
        }
    }
    for note in notes {
        let note = Message::new("note", note);
        if !message.children.contains(&note) {
            message.children.push(note);
        }
    }
    let asks_for_mut = |child: &&Value| {
        let spans = array(&child["spans"]).iter();
        let mut insertions = spans.filter(|span| span["suggested_replacement"] == "mut ");
        insertions.any(|span| line_of(span, sources).and_then(loaded_variable).is_some())
    };
    let child = array(&json["children"]).iter().find(asks_for_mut);
    let line = child.and_then(|child| line_of(&child["spans"][0], sources));
    if let Some(name) = line.and_then(loaded_variable) {
        let help = format!("to change `{name}`, make it mutable first: `let mut {name} = {name};`");
        message.children.push(Message::new("help", help));
        point_to_definition(message, name, format!("`{name}` is defined here"), sources);
    }
    name_the_moved(message, sources);
}

/// If a variable's `let` is in an earlier cell, the reason for its move is shown there.
fn name_the_moved(message: &mut Message, sources: &Sources<'_>) {
    let children = std::mem::take(&mut message.children);
    for child in children {
        let name = child.title.strip_prefix("move occurs because `");
        let name = name.and_then(|rest| rest.split('`').next());
        let is_moved = name
            .is_some_and(|name| point_to_definition(message, name, child.title.clone(), sources));
        if !is_moved {
            message.children.push(child);
        }
    }
}

/// Adds a label to the `let` of an earlier cell's variable, if it is known.
fn point_to_definition(
    message: &mut Message,
    name: &str,
    text: String,
    sources: &Sources<'_>,
) -> bool {
    let definition = sources.definition(name);
    message.labels.extend(definition.iter().map(|spot| Label {
        place: Place::Cell(spot.clone()),
        is_primary: false,
        text: Some(text.clone()),
    }));
    definition.is_some()
}

/// The variable that a generated line loads from the store.
fn loaded_variable(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix("let ")?;
    let (name, value) = name.split_once(" = ")?;
    let is_load = value.starts_with("evcxr_variable_store.take_variable");
    is_load.then(|| name.strip_prefix("mut ").unwrap_or(name))
}

/// The variable that a generated line stores.
pub(super) fn stored_variable(line: &str) -> Option<&str> {
    if !line
        .trim_start()
        .starts_with("evcxr_variable_store.put_variable")
    {
        return None;
    }
    let (_, rest) = line.split_once("(stringify!(")?;
    rest.split_once(')').map(|(name, _)| name)
}

/// Explains a variable that an earlier cell moved.
fn explain_gone(message: &mut Message, sources: &Sources<'_>) {
    let name = message.title.strip_prefix("cannot find value `");
    let name = name.and_then(|rest| rest.split('`').next());
    let Some((name, cell)) = name.and_then(|name| sources.gone(name)) else {
        return;
    };
    let code = sources.text(Text::Earlier(cell));
    let by = sources.name(Text::Earlier(cell));
    let (title, bytes) = match last_word(code, name) {
        Some(bytes) => (format!("`{name}` was moved by {by}"), bytes),
        None => (
            format!("`{name}` was lost when {by} defined its type again"),
            0..0,
        ),
    };
    let mut note = Message::new("note", title);
    let text = Text::Earlier(cell);
    note.labels.push(Label {
        place: Place::Cell(Spot { text, bytes }),
        is_primary: true,
        text: None,
    });
    // rustc's suggestions of similar names do not apply.
    message.children = vec![note];
}

/// The position of the last occurrence of a name in a text.
fn last_word(text: &str, name: &str) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let is_word = |at: &usize| {
        !text[..*at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part)
    };
    let found = text
        .match_indices(name)
        .map(|(at, _)| at)
        .filter(is_word)
        .last();
    found.map(|at| at..at + name.len())
}

/// Explains when a cell may end with `?`: if the error can be shown.
fn explain_question_mark(message: &mut Message) {
    if message.code.as_deref() != Some("E0277") || !message.title.contains("EvcxrUserCodeError") {
        return;
    }
    message.title = "`?` in a cell needs an error that can be shown".to_owned();
}

/// The library is available without `:dep`, unless it could not be compiled when the session
/// started.
const WITHOUT_LIBRARY: &str = "this session could not prepare the library, as it said when it started: `forklore doctor` in a terminal says what to do";

/// In a cell, a command adds crates.
fn advise_dep(message: &mut Message) {
    for child in &mut message.children {
        let Some((_, rest)) = child.title.split_once("`cargo add ") else {
            continue;
        };
        if let Some((krate, _)) = rest.split_once('`') {
            if krate == "forklore" || krate == "forklore_course" {
                child.title = WITHOUT_LIBRARY.to_owned();
                continue;
            }
            child.title = format!(
                "if you wanted to use a crate named `{krate}`, add it with `:dep {krate}` in a cell of its own"
            );
        }
    }
}

/// Notebooks from before the course was a crate look for it in the library.
fn name_the_course(message: &mut Message) {
    let labels = message
        .labels
        .iter()
        .filter_map(|label| label.text.as_deref());
    let is_meant =
        |text: &str| text.contains("`forklore::lesson") || text.contains("`lesson` in `forklore`");
    if labels.chain([message.title.as_str()]).any(is_meant) {
        let help = "the course is a crate of its own: write `use forklore_course::*;`";
        message.children.push(Message::new("help", help.to_owned()));
    }
}

/// Commands come before a cell's Rust.
fn advise_first_line(message: &mut Message, sources: &Sources<'_>) {
    if message.level != "error" || message.code.is_some() {
        return;
    }
    let text = sources.text(Text::Cell);
    let command = message.labels.iter().find_map(|label| match &label.place {
        Place::Cell(spot) if label.is_primary && spot.text == Text::Cell => {
            let begin = text[..spot.bytes.start]
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
            let line = text[begin..].lines().next()?.trim_start();
            let word = line.strip_prefix(':')?.split_whitespace().next()?;
            word.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                .then_some(word)
        }
        _ => None,
    });
    if let Some(command) = command {
        let help = format!(
            "commands stand before a cell's Rust: put the line with `:{command}` first, or into a cell of its own"
        );
        message.children.push(Message::new("help", help));
    }
}
