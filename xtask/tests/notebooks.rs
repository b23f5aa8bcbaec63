//! Every notebook of the course keeps to the course's pattern, as it is committed.

use std::collections::{HashMap, HashSet};
use std::fs;

use forklore_lab::course::Lesson;
use forklore_lab::timetable::{FULL_DAY, HALF_DAY};
use serde_json::Value;
use xtask::course;

fn lessons() -> Vec<(Lesson, Value)> {
    let lessons = course().lessons().unwrap();
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

/// A learner who works in the folder of the lessons does not come across answers, and a copy of its
/// notebooks has none.
#[test]
fn the_answers_are_not_beside_the_notebooks() {
    for entry in fs::read_dir(course().folder()).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        assert_ne!(ending, Some("json"), "{} holds answers", path.display());
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
fn the_stock_kernel_is_told_where_the_library_and_the_course_are() {
    for (lesson, notebook) in lessons() {
        let n = cells(&notebook)
            .iter()
            .filter(|cell| cell["cell_type"] == "raw" && tags(cell).contains(&"stock-kernel"))
            .filter(|cell| {
                source(cell).starts_with(":dep forklore = ")
                    && source(cell).contains("\n:dep forklore-course = ")
            })
            .count();
        assert_eq!(n, 1, "{}", lesson.name);
    }
}

#[test]
fn a_lesson_asks_for_predictions_and_meets_them() {
    for (lesson, notebook) in lessons() {
        let code: Vec<String> = cells(&notebook)
            .iter()
            .filter(|cell| cell["cell_type"] == "code")
            .map(source)
            .collect();
        let asked = code.iter().filter(|text| text.contains("predict(")).count();
        let met = code
            .iter()
            .filter(|text| text.contains(".against("))
            .count();
        assert!(
            asked >= 1 && asked == met,
            "{}: {asked} asked, {met} met",
            lesson.name
        );
        for text in code.iter().filter(|text| text.contains(".against(")) {
            assert!(
                text.contains(".misconception("),
                "{}: no misconception is named: {text}",
                lesson.name
            );
        }
    }
}

/// JupyterLab on a tablet, 800 points wide, shows some 45 columns beside its file browser.
#[test]
fn the_number_to_change_is_on_the_screen() {
    const COLUMNS: usize = 45;
    for (lesson, notebook) in lessons() {
        for cell in cells(&notebook) {
            let text = source(cell);
            let Some((_, asking)) = text.split_once("predict(\n") else {
                assert!(!text.contains("predict("), "{}: {text}", lesson.name);
                continue;
            };
            // What is predicted, and the number, on a line of its own.
            for line in asking.lines().take(2) {
                let n_columns = line.chars().count();
                assert!(
                    n_columns <= COLUMNS && line.ends_with(','),
                    "{}: {n_columns} columns: {line}",
                    lesson.name
                );
            }
        }
    }
}

/// Dozens of lines that only draw keep a beginner, and a class before a slide, from what they draw.
#[test]
fn long_cells_that_draw_are_folded() {
    for (lesson, notebook) in lessons() {
        for cell in cells(&notebook) {
            let (text, id) = (source(cell), cell["id"].as_str().unwrap_or_default());
            let draws = text.contains(".figure()") || text.contains(".figures(");
            let is_long = text.lines().count() >= 10;
            if cell["cell_type"] == "code" && draws && is_long {
                let is_folded = &cell["metadata"]["jupyter"]["source_hidden"];
                assert_eq!(is_folded, true, "{}: {id} is not folded", lesson.name);
            }
        }
    }
}

/// The targets of a text's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    targets.filter_map(|rest| rest.split(')').next())
}

/// A learner finds the words, the Rust that is presupposed, the sources and the next lesson.
#[test]
fn a_lesson_leads_on() {
    let lessons = lessons();
    let glossary = fs::read_to_string(course().folder().join("glossary.md")).unwrap();
    for (index, (lesson, notebook)) in lessons.iter().enumerate() {
        let name = &lesson.name;
        let cells = cells(notebook);
        let (header, last) = (source(&cells[0]), source(cells.last().unwrap()));
        assert!(header.contains("](glossary.md)"), "{name}: no glossary");
        let rust = header
            .lines()
            .find(|line| line.contains("**Rust in this lesson**"));
        let rust = rust.unwrap_or_else(|| panic!("{name}: which Rust does it presuppose?"));
        assert!(links(rust).next().is_some(), "{name}: no link in {rust}");
        let (_, read_on) = last
            .split_once("### Read on")
            .unwrap_or_else(|| panic!("{name}: no sources"));
        let n_sources = links(read_on).filter(|link| link.contains("://")).count();
        assert!(n_sources >= 2, "{name}: {n_sources} sources");
        if let Some((next, _)) = lessons.get(index + 1) {
            let link = format!("]({}.ipynb)", next.name);
            assert!(last.contains(&link), "{name}: no link to {}", next.name);
        }
        assert!(
            glossary.contains(&format!("]({name}.ipynb)")),
            "{name}: no word of it is in the glossary"
        );
    }
}

/// A link to a file that is not there is found by a learner, otherwise.
#[test]
fn links_between_lessons_lead_somewhere() {
    let mut texts = vec![fs::read_to_string(course().folder().join("glossary.md")).unwrap()];
    for (_, notebook) in lessons() {
        let cells = cells(&notebook).iter();
        texts.extend(
            cells
                .filter(|cell| cell["cell_type"] == "markdown")
                .map(source),
        );
    }
    for link in texts.iter().flat_map(|text| links(text)) {
        let file = link.split('#').next().unwrap_or_default();
        let is_ours = file.ends_with(".ipynb") || file.ends_with(".md");
        assert!(
            !is_ours || file.contains("://") || course().folder().join(file).exists(),
            "{link} leads nowhere"
        );
    }
}

#[test]
fn the_metadata_says_what_a_timetable_needs() {
    for (lesson, notebook) in lessons() {
        let metadata = &notebook["metadata"]["forklore"];
        let header = source(&cells(&notebook)[0]);
        let title = metadata["title"].as_str().expect("a title");
        assert!(
            header.starts_with(&format!("# {} · {title}\n", lesson.number)),
            "{}: another title in its metadata",
            lesson.name
        );
        for need in ["cores", "memory_mb"] {
            assert!(
                metadata["needs"][need].as_u64().is_some(),
                "{}",
                lesson.name
            );
        }
        for order in ["builds_on", "leads_to"] {
            let others = metadata[order].as_array().expect("a list of lessons");
            for other in others.iter().filter_map(Value::as_str) {
                assert!(
                    other != lesson.number && other.len() == 2,
                    "{}",
                    lesson.name
                );
            }
        }
        let readme = fs::read_to_string(course().folder().join("README.md")).unwrap();
        let row = format!("({}.ipynb) | {} |", lesson.name, metadata["minutes"]);
        assert!(
            readme.contains(&row),
            "{}: not in the table of README.md",
            lesson.name
        );
    }
}

#[test]
fn exercises_have_their_cells_and_their_folded_help() {
    for (lesson, notebook) in lessons() {
        let name = &lesson.name;
        let by_id: HashMap<&str, String> = cells(&notebook)
            .iter()
            .filter_map(|cell| Some((cell["id"].as_str()?, source(cell))))
            .collect();
        let text = fs::read_to_string(&lesson.exercises).expect("a lesson has exercises");
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["lesson"], lesson.number.as_str());
        let exercises = file["exercises"].as_array().unwrap();
        let is_core = lesson.number.as_str() <= "07";
        let wanted = if is_core { 3..=6 } else { 2..=6 };
        assert!(
            wanted.contains(&exercises.len()),
            "{name}: {} exercises",
            exercises.len()
        );
        for (index, exercise) in exercises.iter().enumerate() {
            let id = format!("{}.{}", lesson.number, index + 1);
            assert_eq!(exercise["id"], id.as_str(), "{name}");
            let cell = |key: &str| {
                let id = exercise[key].as_str().unwrap_or_default();
                by_id
                    .get(id)
                    .unwrap_or_else(|| panic!("{name}: {key}: no cell `{id}`"))
            };
            cell("starter");
            assert!(
                cell("check").contains(&format!("check(\"{id}\"")),
                "{name}: {id}"
            );
            let solution = cell("solution_cell");
            assert!(
                solution.starts_with("<details><summary>Solution</summary>"),
                "{name}: {id}"
            );
            let hints = by_id.get(format!("hints-{}", id.replace('.', "-")).as_str());
            let hints = hints.unwrap_or_else(|| panic!("{name}: no hints for {id}"));
            assert_eq!(
                hints.matches("<summary>Hint").count(),
                2,
                "{name}: hints for {id}"
            );
            let says: HashSet<&str> = exercise["wrong"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|wrong| wrong["says"].as_str())
                .collect();
            assert!(
                says.len() >= 3,
                "{name}: {id}: three wrong answers, each with its message"
            );
        }
    }
}

#[test]
fn the_timetables_follow_from_the_minutes() {
    let readme = fs::read_to_string(course().folder().join("README.md")).unwrap();
    for day in [&HALF_DAY[..], &FULL_DAY[..]] {
        let table = course().timetable(day).unwrap();
        assert!(
            readme.contains(&table),
            "lessons/README.md has another timetable than `forklore lessons timetable`:\n{table}"
        );
    }
}

/// The table of README.md says what each notebook's header says, and nothing else.
#[test]
fn the_table_of_lessons_says_what_they_need_and_build_on() {
    let readme = fs::read_to_string(course().folder().join("README.md")).unwrap();
    let lessons = lessons();
    for (lesson, notebook) in &lessons {
        let about = &notebook["metadata"]["forklore"];
        let cores = about["needs"]["cores"].as_u64().unwrap();
        let memory_mb = about["needs"]["memory_mb"].as_u64().unwrap();
        let list = |order: &str| -> Vec<&str> {
            let numbers = about[order].as_array().into_iter().flatten();
            numbers.filter_map(Value::as_str).collect()
        };
        let row = format!(
            "| [{} · {}]({}.ipynb) | {} | {cores} {}, {} |",
            lesson.number,
            about["title"].as_str().unwrap(),
            lesson.name,
            about["minutes"],
            if cores == 1 { "core" } else { "cores" },
            if memory_mb.is_multiple_of(1024) {
                format!("{} GB", memory_mb / 1024)
            } else {
                format!("{memory_mb} MB")
            },
        );
        assert!(readme.contains(&row), "README.md has no row `{row}`");
        for other in list("builds_on") {
            let number = lessons
                .iter()
                .position(|(lesson, _)| lesson.number == other);
            assert!(number.is_some(), "{}: no lesson {other}", lesson.name);
            assert!(
                other < lesson.number.as_str(),
                "{}: not in order",
                lesson.name
            );
        }
    }
    let n_rows = readme.matches(".ipynb) |").count();
    assert_eq!(n_rows, lessons.len(), "a row for each lesson");
}

/// An instructor finds, for each lesson, how long its parts take and what to ask before the cells
/// that matter.
#[test]
fn lessons_have_notes_for_the_speaker() {
    for (lesson, notebook) in lessons() {
        let notes: Vec<(&str, &str)> = cells(&notebook)
            .iter()
            .filter_map(|cell| {
                let notes = cell["metadata"]["forklore"]["notes"].as_str()?;
                Some((cell["id"].as_str()?, notes))
            })
            .collect();
        let name = &lesson.name;
        assert!(notes.len() >= 5, "{name}: only {} notes", notes.len());
        assert_eq!(notes[0].0, "header", "{name}: how is the time spent?");
        let minutes = &notebook["metadata"]["forklore"]["minutes"];
        assert!(
            notes[0].1.starts_with(&format!("{minutes} minutes")),
            "{name}: other minutes in the notes than in the header"
        );
        for cell in cells(&notebook) {
            let id = cell["id"].as_str().unwrap_or_default();
            if id.starts_with("prediction") {
                let has =
                    notes.iter().any(|(noted, _)| *noted == id) || near(&notebook, id, &notes);
                assert!(has, "{name}: no note says what to ask before {id}");
            }
        }
    }
}

/// Whether the text cell in front of a prediction has a note.
fn near(notebook: &Value, id: &str, notes: &[(&str, &str)]) -> bool {
    let cells = cells(notebook);
    let place = cells.iter().position(|cell| cell["id"] == id).unwrap();
    let before = cells[place.saturating_sub(1)]["id"].as_str();
    notes.iter().any(|(noted, _)| Some(*noted) == before)
}
