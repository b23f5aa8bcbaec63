//! Draws messages as rustc does, with the learner's own text as the source.

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Patch, Renderer, Snippet,
};

use super::message::{Label, Message, Place};
use super::source::{Sources, Text};

/// The message's text, in colour, ending with a newline.
pub(super) fn render(message: &Message, sources: &Sources<'_>) -> String {
    let mut title = level(&message.level).primary_title(message.title.clone());
    // A lint's name is not a code to look up.
    if let Some(code) = message.code.as_ref().filter(|code| is_number(code)) {
        title = title.id(code.clone());
    }
    let mut groups = vec![title.elements(causes(&message.labels, sources))];
    for child in &message.children {
        let level = level(&child.level);
        if child.labels.is_empty() && child.suggestions.is_empty() {
            let note = level.message(child.title.clone());
            groups = with_note(groups, note);
            continue;
        }
        let title = level.secondary_title(child.title.clone());
        let causes = causes(&child.labels, sources);
        let patches = child
            .suggestions
            .iter()
            .map(|patches| patched(patches, sources));
        groups.push(title.elements(causes).elements(patches));
    }
    let mut text = Renderer::styled().render(&groups);
    text.push('\n');
    text
}

/// A note without a position belongs to the message before it.
fn with_note<'a>(
    mut groups: Vec<Group<'a>>,
    note: annotate_snippets::Message<'a>,
) -> Vec<Group<'a>> {
    if let Some(last) = groups.pop() {
        groups.push(last.element(note));
    }
    groups
}

pub(super) fn is_number(code: &str) -> bool {
    code.strip_prefix('E')
        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn level(name: &str) -> Level<'static> {
    match name {
        "error" => Level::ERROR,
        "warning" => Level::WARNING,
        "help" => Level::HELP,
        _ => Level::NOTE,
    }
}

/// A snippet for each text that has labels, the one with the main label first.
fn causes(labels: &[Label], sources: &Sources<'_>) -> Vec<Element<'static>> {
    let mut sorted: Vec<&Label> = labels.iter().collect();
    sorted.sort_by_key(|label| !label.is_primary);
    let mut elements = Vec::new();
    let mut done: Vec<Text> = Vec::new();
    for label in sorted {
        match &label.place {
            Place::Cell(spot) if done.contains(&spot.text) => {}
            Place::Cell(spot) => {
                done.push(spot.text);
                let text = sources.text(spot.text).to_owned();
                let here = labels
                    .iter()
                    .filter_map(|label| annotation(label, spot.text, text.len()));
                let snippet = Snippet::source(text.clone()).path(sources.name(spot.text));
                elements.push(snippet.annotations(here).into());
            }
            Place::Crate {
                file,
                line,
                text,
                bytes,
            } if text.is_empty() => {
                let origin = Origin::path(file.clone()).line(*line);
                elements.push(origin.char_column(bytes.start + 1).into());
            }
            Place::Crate {
                file,
                line,
                text,
                bytes,
            } => {
                let snippet = Snippet::source(text.clone()).path(file.clone());
                let annotation = kind(label).span(bytes.clone()).label(label.text.clone());
                elements.push(snippet.line_start(*line).annotation(annotation).into());
            }
        }
    }
    elements
}

fn annotation(label: &Label, text: Text, len: usize) -> Option<Annotation<'static>> {
    match &label.place {
        Place::Cell(spot) if spot.text == text => {
            let span = spot.bytes.start.min(len)..spot.bytes.end.min(len);
            Some(kind(label).span(span).label(label.text.clone()))
        }
        _ => None,
    }
}

fn kind(label: &Label) -> AnnotationKind {
    match label.is_primary {
        true => AnnotationKind::Primary,
        false => AnnotationKind::Context,
    }
}

fn patched(patches: &[super::message::Patch], sources: &Sources<'_>) -> Element<'static> {
    let text = patches.first().map_or(Text::Cell, |patch| patch.spot.text);
    let snippet = Snippet::source(sources.text(text).to_owned()).path(match text {
        Text::Cell => None,
        Text::Earlier(_) => Some(sources.name(text)),
    });
    let patches = patches.iter().filter(|patch| patch.spot.text == text);
    let patches =
        patches.map(|patch| Patch::new(patch.spot.bytes.clone(), patch.replacement.clone()));
    snippet.patches(patches).into()
}
