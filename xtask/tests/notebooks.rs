//! Every notebook of the course keeps to the course's pattern, as it is committed.

use std::collections::HashSet;
use std::fs;

use serde_json::Value;
use xtask::lesson::{self, Lesson};

fn lessons() -> Vec<(Lesson, Value)> {
    let lessons = lesson::all().unwrap();
    assert!(!lessons.is_empty(), "no lesson was found");
    lessons
        .into_iter()
        .map(|lesson| {
            let text = fs::read_to_string(&lesson.path).unwrap();
            let notebook = serde_json::from_str(&text).unwrap();
            (lesson, notebook)
        })
        .collect()
}

fn cells(notebook: &Value) -> &Vec<Value> {
    notebook["cells"].as_array().expect("a notebook has cells")
}

fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn tags(cell: &Value) -> Vec<&str> {
    let tags = cell["metadata"]["tags"].as_array();
    tags.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[test]
fn no_outputs_are_committed() {
    for (lesson, notebook) in lessons() {
        for cell in cells(&notebook)
            .iter()
            .filter(|cell| cell["cell_type"] == "code")
        {
            let (name, id) = (&lesson.name, &cell["id"]);
            assert_eq!(
                cell["outputs"],
                Value::Array(vec![]),
                "{name}: outputs in cell {id}"
            );
            assert_eq!(
                cell["execution_count"],
                Value::Null,
                "{name}: a count in cell {id}"
            );
        }
    }
}

#[test]
fn cells_have_stable_ids() {
    for (lesson, notebook) in lessons() {
        assert_eq!(notebook["nbformat"], 4);
        let mut seen = HashSet::new();
        for cell in cells(&notebook) {
            let id = cell["id"]
                .as_str()
                .expect("every cell has an id")
                .to_owned();
            // One that a program made up would change with the next program.
            let readable = id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            assert!(
                readable && id.starts_with(|c: char| c.is_ascii_lowercase()),
                "id `{id}`"
            );
            assert!(seen.insert(id.clone()), "{}: two cells `{id}`", lesson.name);
        }
    }
}

#[test]
fn headers_say_what_a_learner_must_know() {
    const FIELDS: [&str; 6] = [
        "Minutes",
        "Questions",
        "Objectives",
        "Needs",
        "Builds on",
        "Leads to",
    ];
    for (lesson, notebook) in lessons() {
        let header = source(&cells(&notebook)[0]);
        assert!(
            header.starts_with(&format!("# {} · ", lesson.number)),
            "{}",
            lesson.name
        );
        for field in FIELDS {
            assert!(
                header.contains(&format!("**{field}** |")),
                "{}: no {field}",
                lesson.name
            );
        }
        let metadata = &notebook["metadata"]["forklore"];
        assert_eq!(metadata["lesson"], lesson.number.as_str());
        let minutes = metadata["minutes"].as_u64().expect("minutes are a number");
        assert!(
            header.contains(&format!("| **Minutes** | {minutes} |")),
            "{}",
            lesson.name
        );
        assert_eq!(notebook["metadata"]["kernelspec"]["name"], "forklore");
        let last = source(cells(&notebook).last().unwrap());
        assert!(
            last.contains("## Key points"),
            "{}: it ends without key points",
            lesson.name
        );
    }
}

#[test]
fn what_a_lesson_says_holds_on_every_machine() {
    for (lesson, notebook) in lessons() {
        for cell in cells(&notebook) {
            let (text, id) = (source(cell), &cell["id"]);
            for place in ["/home/", "/root/", "/work/", "/tmp/", "/Users/"] {
                assert!(
                    !text.contains(place),
                    "{}: {place} in cell {id}",
                    lesson.name
                );
            }
            assert!(
                !text.contains("![]("),
                "{}: no text for an image in {id}",
                lesson.name
            );
            for image in text.split("<img").skip(1) {
                let tag = image.split('>').next().unwrap_or_default();
                assert!(
                    tag.contains("alt=\""),
                    "{}: no text for an image in {id}",
                    lesson.name
                );
            }
            let has_magic = text.lines().any(|line| line.starts_with('%'));
            if cell["cell_type"] == "code" && has_magic {
                let ours = tags(cell).contains(&"forklore-only");
                assert!(ours, "{}: a magic in cell {id}, untagged", lesson.name);
            }
        }
    }
}

/// Without rust-src the type of a variable that outlives its cell cannot be inferred.
#[test]
fn variables_that_persist_have_types() {
    for (lesson, notebook) in lessons() {
        for cell in cells(&notebook)
            .iter()
            .filter(|cell| cell["cell_type"] == "code")
        {
            for line in source(cell).lines().filter(|line| line.starts_with("let ")) {
                let pattern = line.split('=').next().unwrap_or_default();
                assert!(pattern.contains(':'), "{}: no type: {line}", lesson.name);
            }
        }
    }
}

#[test]
fn the_stock_kernel_is_told_where_the_library_is() {
    for (lesson, notebook) in lessons() {
        let n = cells(&notebook)
            .iter()
            .filter(|cell| cell["cell_type"] == "raw" && tags(cell).contains(&"stock-kernel"))
            .filter(|cell| source(cell).starts_with(":dep forklore"))
            .count();
        assert_eq!(n, 1, "{}", lesson.name);
    }
}

#[test]
fn exercises_name_cells_that_exist() {
    for (lesson, notebook) in lessons() {
        let ids: HashSet<&str> = cells(&notebook)
            .iter()
            .filter_map(|cell| cell["id"].as_str())
            .collect();
        let text = fs::read_to_string(lesson.exercises()).expect("a lesson has exercises");
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["lesson"], lesson.number.as_str());
        let exercises = file["exercises"].as_array().unwrap();
        assert!(!exercises.is_empty());
        for exercise in exercises {
            let needs = exercise["needs"].as_array().unwrap().iter();
            let places = ["starter", "check", "solution_cell"]
                .iter()
                .map(|key| &exercise[*key]);
            for id in needs.chain(places) {
                assert!(
                    ids.contains(id.as_str().unwrap()),
                    "{}: no cell {id}",
                    lesson.name
                );
            }
            assert!(exercise["wrong"].as_array().unwrap().len() >= 3);
        }
    }
}
