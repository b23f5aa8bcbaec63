use std::path::Path;

use super::*;

fn course() -> Course {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Course::of_checkout(root)
}

/// A text without what formatting may change.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

/// The code of all solutions, by exercise.
fn solutions() -> Vec<(String, String)> {
    let mut solutions = Vec::new();
    for lesson in course().lessons().unwrap() {
        let notebook = read_notebook(&lesson.path).unwrap();
        for cell in notebook["cells"].as_array().unwrap() {
            let id = cell["id"].as_str().unwrap();
            if let Some(exercise) = id.strip_prefix(SOLUTION) {
                let text = source(cell);
                let code = text.split("```").nth(1).unwrap();
                let code = code.strip_prefix("rust").unwrap_or(code);
                solutions.push((exercise.replace('-', "."), squeezed(code)));
            }
        }
    }
    solutions
}

fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &all_text(&path);
        } else if path.extension().is_some_and(|ending| ending == "ipynb") {
            let notebook = read_notebook(&path).unwrap();
            let cells = notebook["cells"].as_array().unwrap();
            text.extend(cells.iter().map(|cell| squeezed(&source(cell)) + "\n"));
            text += &squeezed(&notebook.to_string());
        } else {
            text += &squeezed(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

#[test]
fn an_edition_has_no_solution_but_those_that_were_asked_for() {
    let solutions = solutions();
    assert!(solutions.len() >= 38, "{}", solutions.len());
    let folder = tempfile::tempdir().unwrap();
    let n_lessons = course().lessons().unwrap().len();
    let report = write(&course(), folder.path(), &|_| false).unwrap();
    assert!(
        report.n_new >= n_lessons && report.n_updated == 0,
        "{report:?}"
    );
    let text = all_text(folder.path());
    for (exercise, code) in &solutions {
        assert!(!text.contains(code), "the solution of {exercise} is there");
    }
    assert!(!text.contains("\"notes\""), "notes are there");
    assert!(!folder.path().join("answers").exists());

    // The instructor publishes those of a lesson.
    let report = write(&course(), folder.path(), &|exercise| {
        exercise.starts_with("02.")
    })
    .unwrap();
    assert_eq!(
        (report.n_new, report.n_updated),
        (0, n_lessons),
        "{report:?}"
    );
    let text = all_text(folder.path());
    for (exercise, code) in &solutions {
        assert_eq!(
            text.contains(code),
            exercise.starts_with("02."),
            "{exercise}"
        );
    }
}

/// Changes a cell of a notebook in a file.
fn change(path: &Path, id: &str, text: &str) {
    let mut notebook = read_notebook(path).unwrap();
    let cells = notebook["cells"].as_array_mut().unwrap();
    let cell = cells.iter_mut().find(|cell| cell["id"] == id).unwrap();
    cell["source"] = text.into();
    fs::write(path, notebook.to_string()).unwrap();
}

#[test]
fn an_answer_survives_an_update_and_a_lost_notebook_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: &str| {
        let name = course().lesson_named(number).unwrap().name;
        folder.path().join(format!("{name}.ipynb"))
    };
    write(&course(), folder.path(), &|_| false).unwrap();
    change(&path("02"), "exercise-02-1", "my answer");
    fs::remove_file(path("03")).unwrap();
    fs::write(path("04"), "not JSON").unwrap();
    fs::write(folder.path().join("mine.ipynb"), "{}").unwrap();
    let report = write(&course(), folder.path(), &|_| false).unwrap();
    assert_eq!(report.n_new, 1, "{report:?}");
    let [remark] = &report.remarks[..] else {
        panic!("{report:?}");
    };
    assert!(
        remark.contains("04-") && remark.contains("no notebook"),
        "{remark}"
    );
    assert!(all_text_of(&path("02")).contains("my answer"));
    assert!(path("03").exists());
    assert_eq!(fs::read_to_string(path("04")).unwrap(), "not JSON");
    assert_eq!(
        fs::read_to_string(folder.path().join("mine.ipynb")).unwrap(),
        "{}"
    );
}

fn all_text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn an_update_changes_nothing_where_nothing_is_new() {
    let folder = tempfile::tempdir().unwrap();
    write(&course(), folder.path(), &|_| false).unwrap();
    let before = all_text(folder.path());
    write(&course(), folder.path(), &|_| false).unwrap();
    assert_eq!(all_text(folder.path()), before);
}

#[test]
fn a_folder_that_does_not_do_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&course(), &file, &|_| false).unwrap_err().to_string();
    assert!(error.contains("/file"), "{error}");
}
