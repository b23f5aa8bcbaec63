//! A learner's progress: reads the file that the lessons' `check` appends to.
//!
//! A line per check: seconds since 1970, the exercise, `solved` or `tried`, separated by tabs (see
//! `lessons/src/progress.rs`). Other lines are skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The course's own file: this package does not depend on the course's crate, and must use the same
/// path.
#[path = "../../lessons/src/place.rs"]
mod place;

/// The record of one exercise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// The number of wrong answers.
    pub n_tried: usize,
    /// Whether an answer was right.
    pub is_solved: bool,
}

/// The file's path, whether or not it exists; none if no progress should be kept.
pub fn place() -> Option<PathBuf> {
    place::place(|name| std::env::var_os(name))
}

/// All records of a file, by exercise. A missing file has none.
///
/// # Errors
///
/// If the file exists and cannot be read.
pub fn read(path: &Path) -> Result<BTreeMap<String, Record>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the progress in {}", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> BTreeMap<String, Record> {
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    for line in text.lines() {
        let [_, exercise, outcome] = line.split('\t').collect::<Vec<_>>()[..] else {
            continue;
        };
        match outcome {
            "solved" => records.entry(exercise.to_owned()).or_default().is_solved = true,
            "tried" => records.entry(exercise.to_owned()).or_default().n_tried += 1,
            _ => {}
        }
    }
    records
}

/// Removes the records of one lesson, or all of them. Keeps the old file beside it, with the ending
/// `.old`, and returns its path.
///
/// # Errors
///
/// If the files cannot be written.
pub fn reset(path: &Path, lesson: Option<&str>) -> Result<PathBuf> {
    let old = path.with_extension("tsv.old");
    std::fs::copy(path, &old)
        .with_context(|| format!("cannot keep the old progress in {}", old.display()))?;
    let text = std::fs::read_to_string(path)?;
    let of_lesson = |line: &str| {
        let exercise = line.split('\t').nth(1).unwrap_or_default();
        lesson.is_none_or(|number| exercise.starts_with(&format!("{number}.")))
    };
    let kept: String = text
        .lines()
        .filter(|line| !of_lesson(line))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(path, kept)
        .with_context(|| format!("cannot write the progress in {}", path.display()))?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1\t06.1\ttried\n2\t06.1\tsolved\n3\t07.2\ttried\nsomething else\n";

    #[test]
    fn solved_once_is_solved() {
        let records = parse(TEXT);
        let solved = Record {
            n_tried: 1,
            is_solved: true,
        };
        assert_eq!(records["06.1"], solved);
        assert!(!records["07.2"].is_solved && records.len() == 2);
    }

    #[test]
    fn a_lesson_is_forgotten_and_the_old_file_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.tsv");
        std::fs::write(&path, TEXT).unwrap();
        let old = reset(&path, Some("06")).unwrap();
        assert_eq!(read(&path).unwrap().keys().collect::<Vec<_>>(), ["07.2"]);
        assert_eq!(std::fs::read_to_string(old).unwrap(), TEXT);
        reset(&path, None).unwrap();
        assert!(read(&path).unwrap().is_empty());
    }
}
