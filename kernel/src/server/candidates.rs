//! Candidates for the completion at a cursor.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cell::{self, Place, cursor};
use crate::library::registry;
use crate::session::{Completions, Session};

/// If the cursor is in a magic's line: where the word at it begins, and its candidates.
pub(super) fn complete_magic(code: &str, at: usize) -> Option<(usize, Vec<String>)> {
    let line = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let magic = code[line..at].trim_start();
    if !magic.starts_with('%') {
        return None;
    }
    let Some((name, _)) = magic.split_once(|c: char| c.is_whitespace()) else {
        let matches = cell::magics_with_prefix(magic).map(str::to_owned);
        return Some((at - magic.len(), matches.collect()));
    };
    let start = cursor::word_start(code, at);
    let words = cell::words_for(name)?.into_iter();
    let matches = words.filter(|word| word.starts_with(&code[start..at]));
    Some((start, matches.map(str::to_owned).collect()))
}

/// The candidates for a place, from cargo's home and the cells' folder.
pub(super) fn complete_place(place: Place<'_>, folder: &Path) -> Vec<String> {
    let mut matches = match place {
        Place::Crate(prefix) => registry::crates_with_prefix(prefix),
        Place::Version(name, _) => registry::versions(name),
        Place::Feature(name, _) => registry::features(name),
        Place::Path(path) => files(path, folder),
    };
    matches.retain(|text| text.starts_with(place.word()));
    matches
}

/// The files in the folder of an incomplete path, folders with a trailing slash.
fn files(path: &str, folder: &Path) -> Vec<String> {
    let (parent, word) = match path.rsplit_once('/') {
        Some((parent, word)) => (format!("{parent}/"), word),
        None => (String::new(), path),
    };
    let parent = match (parent.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => folder.join(parent),
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let slash = if entry.path().is_dir() { "/" } else { "" };
            Some(name + slash)
        })
        // As in a shell.
        .filter(|name| !name.starts_with('.') || word.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Completes the word before byte `at`. If analysis takes the word for something else, as it does
/// for `enum` in `list.enum`, the word is left out, and the candidates are those that begin with
/// it.
pub(super) fn complete_word(session: &mut Session, code: &str, at: usize) -> Completions {
    let start = cursor::word_start(code, at);
    let word = &code[start..at];
    if !cursor::is_keyword(word) {
        let found = session.complete(code, at).unwrap_or_default();
        if word.is_empty() || !found.candidates.is_empty() {
            return found;
        }
    }
    let without_word = format!("{}{}", &code[..start], &code[at..]);
    let mut found = session.complete(&without_word, start).unwrap_or_default();
    found
        .candidates
        .retain(|candidate| candidate.text.starts_with(word));
    Completions {
        start_bytes: start,
        end_bytes: at,
        ..found
    }
}

pub(super) fn is_internal(name: &str) -> bool {
    let is_macro = ["_t!", "_ti!", "_l!"]
        .iter()
        .any(|macro_name| name.starts_with(macro_name));
    name.starts_with("evcxr_") || name == "_clock" || is_macro
}

pub(super) fn completed(matches: &[String], start: usize, end: usize, types: Value) -> Value {
    json!({
        "status": "ok",
        "matches": matches,
        "cursor_start": start,
        "cursor_end": end,
        "metadata": {"_jupyter_types_experimental": types},
    })
}
