//! The answers beside the notebooks and the judges in the crate belong together. A run of all
//! lessons shows it in minutes, this in milliseconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Stands where a message has a value.
const VALUE: char = '#';

#[test]
fn every_exercise_that_is_judged_has_answers() {
    let unknown = format!("{:?}", forklore_course::check("none", &()));
    let judged: BTreeSet<&str> = unknown.split('`').skip(3).step_by(2).collect();
    let answers = answers();
    let answered: BTreeSet<&str> = answers
        .iter()
        .flat_map(|(_, answers)| list(&answers["exercises"]))
        .map(|exercise| exercise["id"].as_str().unwrap())
        .collect();
    assert_eq!(judged, answered);
}

#[test]
fn every_message_that_a_wrong_answer_must_get_is_a_judges() {
    let shared = ["judges/mod.rs", "judges/finding.rs", "calls.rs"].map(messages_of);
    let mut unknown = Vec::new();
    for (number, answers) in answers() {
        let own = messages_of(&format!("judges/lesson_{number}.rs"));
        for exercise in list(&answers["exercises"]) {
            for wrong in list(&exercise["wrong"]) {
                let says = wrong["says"].as_str().unwrap();
                let wanted = without_values(&without_call(says));
                let wanted = wanted.trim_matches([VALUE, ' ']);
                assert!(!wanted.is_empty(), "`{says}` is nothing but values");
                let mut sources = shared.iter().chain([&own]);
                if !sources.any(|source| source.contains(wanted)) {
                    unknown.push(format!("{}: {says}", exercise["id"]));
                }
            }
        }
    }
    let unknown = unknown.join("\n");
    assert!(unknown.is_empty(), "no judge says:\n{unknown}");
}

#[test]
fn values_and_calls_are_left_out_of_messages() {
    let shown = "`f(1_000, 2)` gave 2.5, expected 3";
    let in_the_source = "`f({n}, {p})` gave {:.1}, expected {}";
    assert_eq!(without_values(shown), "`f(#, #)` gave #, expected #");
    assert_eq!(without_values(shown), without_values(in_the_source));
    let panicked = without_values(&without_call("`plan(0, 3)` panicked"));
    assert_eq!(panicked, without_values("`{}` panicked"));
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Each file of answers, with the number of its lesson.
fn answers() -> Vec<(String, Value)> {
    let files = fs::read_dir(here("answers")).unwrap();
    let answers: Vec<(String, Value)> = files
        .map(|file| {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let answers: Value = serde_json::from_str(&text).unwrap();
            (answers["lesson"].as_str().unwrap().to_owned(), answers)
        })
        .collect();
    assert!(!answers.is_empty());
    answers
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The code of one of the crate's files without its tests: each message on one line, without
/// values.
fn messages_of(file: &str) -> String {
    let text = fs::read_to_string(here("src").join(file)).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let mut lines = String::new();
    let mut goes_on = false;
    for line in code.lines() {
        let line = if goes_on { line.trim_start() } else { line };
        let continued = line.strip_suffix('\\');
        goes_on = continued.is_some();
        lines.push_str(continued.unwrap_or(line));
        if !goes_on {
            lines.push('\n');
        }
    }
    without_values(&lines.replace("\\\"", "\""))
}

/// A message about a panic names the call as the learner's check cell has it.
fn without_call(says: &str) -> String {
    match says.split_once("` panicked") {
        Some((_, rest)) => format!("`{VALUE}` panicked{rest}"),
        None => says.to_owned(),
    }
}

/// The text with `#` in the place of each number, and of each `{}` of a format.
fn without_values(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let n_bytes = match c {
            '0'..='9' => number_bytes(rest),
            '{' => rest.find(['}', '\n']).map_or(0, |end| match &rest[end..] {
                closed if closed.starts_with('}') => end + 1,
                _ => 0,
            }),
            _ => 0,
        };
        plain.push(if n_bytes > 0 { VALUE } else { c });
        rest = &rest[n_bytes.max(c.len_utf8())..];
    }
    plain
}

/// How long the number is with which the text begins: `1_000`, `2.5`, `1,500`.
fn number_bytes(text: &str) -> usize {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let goes_on = |at: &usize| {
        is_digit(*at) || (text[*at..].starts_with(['_', '.', ',']) && is_digit(at + 1))
    };
    (0..text.len()).take_while(goes_on).count()
}
