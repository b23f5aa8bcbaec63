//! rustc's messages, with the positions that a learner can read: those in cells, and in the sources
//! of crates.

use std::ops::Range;

use serde_json::Value;

use super::source::{Generated, Sources, Spot, Text};
use super::words;

/// The file that evcxr compiled.
pub(super) const GENERATED: &str = "src/lib.rs";

/// A message, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// `error`, `warning`, `note` or `help`.
    pub(super) level: String,
    /// `E0308`, or the name of a lint.
    pub(super) code: Option<String>,
    pub(super) title: String,
    pub(super) labels: Vec<Label>,
    /// Suggested replacements: any one of them would fix the error.
    pub(super) suggestions: Vec<Vec<Patch>>,
    pub(super) children: Vec<Message>,
}

/// A position, and rustc's text about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) place: Place,
    pub(super) is_primary: bool,
    pub(super) text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a cell.
    Cell(Spot),
    /// In a crate: its file, in words; the lines; and the position in them, in bytes.
    Crate {
        file: String,
        line: usize,
        text: String,
        bytes: Range<usize>,
    },
}

/// A suggestion: the text to put at a position in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) spot: Spot,
    pub(super) replacement: String,
}

/// The part of the code that a message is about, most relevant to the learner first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    Cell,
    EarlierCell,
    Elsewhere,
}

impl Message {
    /// A message of our own, without a position.
    pub(super) fn new(level: &str, title: impl Into<String>) -> Message {
        Message {
            level: level.to_owned(),
            code: None,
            title: title.into(),
            labels: Vec::new(),
            suggestions: Vec::new(),
            children: Vec::new(),
        }
    }

    /// The readable part of one of rustc's messages.
    pub(super) fn read(json: &Value, sources: &Sources<'_>) -> Message {
        let rendered = without_colors(json["rendered"].as_str().unwrap_or_default());
        let mut message = read_part(json, sources);
        for child in array(&json["children"]) {
            if !is_shown(child, &rendered) {
                continue;
            }
            let had_place = !array(&child["spans"]).is_empty();
            let child = read_part(child, sources);
            let has_place = !child.labels.is_empty() || !child.suggestions.is_empty();
            let is_known = !words::is_generated(&child.title) && !words::is_about_store(&child);
            if had_place == has_place && is_known {
                message.children.push(child);
            }
        }
        words::reword(&mut message, json, sources);
        // The main position may be in generated code.
        if message.labels.iter().all(|label| !label.is_primary)
            && let Some(first) = message.labels.first_mut()
        {
            first.is_primary = true;
        }
        message
    }

    pub(super) fn concern(&self) -> Concern {
        let own = self.labels.iter().map(|label| match &label.place {
            Place::Cell(spot) => concern_of(spot.text),
            Place::Crate { .. } => Concern::Elsewhere,
        });
        let patches = self.suggestions.iter().flatten();
        let patches = patches.map(|patch| concern_of(patch.spot.text));
        let children = self.children.iter().map(Message::concern);
        let all = own.chain(patches).chain(children);
        all.min().unwrap_or(Concern::Elsewhere)
    }

    /// Whether its main position is in the cell.
    pub(super) fn is_about_cell(&self) -> bool {
        self.labels.iter().any(|label| {
            label.is_primary && matches!(&label.place, Place::Cell(spot) if spot.text == Text::Cell)
        })
    }
}

fn concern_of(text: Text) -> Concern {
    match text {
        Text::Cell => Concern::Cell,
        Text::Earlier(_) => Concern::EarlierCell,
    }
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a part of a message is shown: some parts are for programs only, and rustc's own text
/// omits them.
fn is_shown(child: &Value, rendered: &str) -> bool {
    let title = child["message"].as_str().unwrap_or_default();
    let first = title.lines().next().unwrap_or_default();
    rendered.is_empty() || rendered.contains(first.trim())
}

/// The text without escape sequences for colours.
pub(super) fn without_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| {
        part.find(|c: char| c.is_ascii_alphabetic())
            .map_or("", |end| &part[end + 1..])
    });
    rest.fold(first, |text, part| text + part)
}

fn read_part(json: &Value, sources: &Sources<'_>) -> Message {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut message = Message::new(
        json["level"].as_str().unwrap_or("error"),
        text(&json["message"]).unwrap_or_default(),
    );
    // An error of the compiler itself.
    if message.level.starts_with("error") {
        message.level = "error".to_owned();
    }
    message.code = text(&json["code"]["code"]);
    let spans = array(&json["spans"]);
    if spans
        .iter()
        .any(|span| span["suggested_replacement"].is_string())
    {
        message.suggestions = suggestions(spans, sources);
        return message;
    }
    for span in spans {
        let Some(place) = place(span, sources) else {
            continue;
        };
        let label = Label {
            place,
            is_primary: span["is_primary"] == true,
            text: text(&span["label"]).and_then(|text| words::in_words(&text)),
        };
        if !message.labels.contains(&label) {
            message.labels.push(label);
        }
        message.labels.extend(invocation(span, sources));
    }
    message
}

/// The position at which a cell's macro was called, for a position inside the macro.
fn invocation(span: &Value, sources: &Sources<'_>) -> Option<Label> {
    let expansion = &span["expansion"];
    // The expansion of a `for` also counts as an expansion.
    let is_macro = expansion["macro_decl_name"]
        .as_str()
        .is_some_and(|name| name.ends_with('!'));
    let is_own_macro = span["file_name"] == GENERATED && is_macro;
    let call = place(&expansion["span"], sources).filter(|_| is_own_macro)?;
    let in_macro = place(span, sources)?;
    let text = "in this macro invocation".to_owned();
    (call != in_macro && matches!(call, Place::Cell(_))).then_some(Label {
        place: call,
        is_primary: false,
        text: Some(text),
    })
}

/// The position of a span, or of what contains it: a span inside a macro is where the macro was
/// called, unless a cell defines the macro.
pub(super) fn place(span: &Value, sources: &Sources<'_>) -> Option<Place> {
    if let Some(spot) = spot(span, sources) {
        return Some(Place::Cell(spot));
    }
    let is_generated = span["file_name"] == GENERATED;
    if span["expansion"].is_object() {
        return place(&span["expansion"]["span"], sources);
    }
    (!is_generated && span.is_object()).then(|| in_crate(span))
}

/// The position in a cell of a span of the generated file.
pub(super) fn spot(span: &Value, sources: &Sources<'_>) -> Option<Spot> {
    if span["file_name"] != GENERATED {
        return None;
    }
    sources.find(&generated(span)?)
}

/// Whether a message is about the code around the cell's statements.
pub(super) fn is_about_generated(json: &Value, sources: &Sources<'_>) -> bool {
    let mut primary = array(&json["spans"])
        .iter()
        .filter(|span| span["is_primary"] == true);
    primary.any(|span| {
        let is_here = span["file_name"] == GENERATED;
        is_here && generated(span).is_some_and(|place| sources.is_generated(&place))
    })
}

fn generated(span: &Value) -> Option<Generated<'_>> {
    let number = |name: &str| usize::try_from(span[name].as_u64()?).ok();
    let lines = array(&span["text"])
        .iter()
        .filter_map(|line| line["text"].as_str());
    Some(Generated {
        line: number("line_start")?,
        columns: number("column_start")?.checked_sub(1)?..number("column_end")?.checked_sub(1)?,
        lines: lines.collect(),
    })
}

fn in_crate(span: &Value) -> Place {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(1)).unwrap_or(1);
    let lines = array(&span["text"]).iter();
    let lines: Vec<&str> = lines.filter_map(|line| line["text"].as_str()).collect();
    let text = lines.join("\n");
    let last = text.rfind('\n').map_or(0, |newline| newline + 1);
    let byte = |line: &str, column: &Value| {
        let column = number(column) - 1;
        line.char_indices()
            .nth(column)
            .map_or(line.len(), |(at, _)| at)
    };
    let start = byte(lines.first().unwrap_or(&""), &span["column_start"]);
    let end = last + byte(&text[last..], &span["column_end"]);
    Place::Crate {
        file: words::crate_file(span["file_name"].as_str().unwrap_or_default()),
        line: number(&span["line_start"]),
        bytes: start..end.max(start),
        text,
    }
}

/// Alternatives of one or more replacements each. rustc lists the positions of all of them in
/// sequence, so a position that has occurred before starts the next alternative. Changes to
/// generated code are omitted.
fn suggestions(spans: &[Value], sources: &Sources<'_>) -> Vec<Vec<Patch>> {
    let mut alternatives: Vec<Vec<Option<Patch>>> = Vec::new();
    let mut seen: Vec<(&Value, &Value)> = Vec::new();
    for span in spans {
        let here = (&span["byte_start"], &span["byte_end"]);
        if alternatives.is_empty() || seen.contains(&here) {
            alternatives.push(Vec::new());
            seen.clear();
        }
        seen.push(here);
        let replacement = span["suggested_replacement"].as_str().unwrap_or_default();
        let patch = patch(span, replacement, sources);
        if let Some(alternative) = alternatives.last_mut() {
            alternative.push(patch);
        }
    }
    let whole = alternatives.into_iter();
    whole
        .filter_map(|parts| parts.into_iter().collect())
        .collect()
}

fn patch(span: &Value, replacement: &str, sources: &Sources<'_>) -> Option<Patch> {
    if words::is_generated(replacement) {
        return None;
    }
    let replacement = replacement.to_owned();
    // An import at the beginning of the generated file works at the cell's beginning too.
    let is_import = replacement.starts_with("use ") && span["byte_start"] == span["byte_end"];
    let spot = match spot(span, sources) {
        None if is_import => sources.beginning(),
        spot => spot?,
    };
    Some(Patch { spot, replacement })
}
