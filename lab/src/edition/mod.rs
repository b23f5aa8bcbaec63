//! The learner's edition: the lessons without their solutions and the instructor's notes, in a
//! folder that can be brought up to date without losing what the learner has written.

mod merge;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::course::Course;
use merge::merge;

/// The folder, in the edition's, with the notebooks as they were written last.
const WRITTEN: &str = ".forklore";
/// How the ids of solutions' cells begin: `solution-06-1` is that of exercise 06.1.
const SOLUTION: &str = "solution-";

/// Which solutions an edition has: `has(exercise)` of an exercise such as `06.1`.
pub type Solutions<'s> = &'s dyn Fn(&str) -> bool;

/// What was done with the files of an edition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that are new.
    pub n_new: usize,
    /// Notebooks that were there.
    pub n_updated: usize,
    /// What the learner should know of some.
    pub remarks: Vec<String>,
}

/// Writes the learner's edition of a course, or brings one up to date.
///
/// # Errors
///
/// If the folder is the course's own, or a file cannot be read or written; the others are as they
/// were, or new.
pub fn write(course: &Course, folder: &Path, has_solution: Solutions<'_>) -> Result<Report> {
    let cannot = || format!("cannot write the lessons to {}", folder.display());
    let written = folder.join(WRITTEN);
    if folder
        .canonicalize()
        .is_ok_and(|folder| folder == course.folder())
    {
        bail!(
            "{} has the lessons with their solutions; name another folder for the learner's edition",
            folder.display()
        );
    }
    fs::create_dir_all(&written).with_context(cannot)?;
    let mut report = Report::default();
    for lesson in course.lessons()? {
        let name = format!("{}.ipynb", lesson.name);
        let theirs = edition(&read_notebook(&lesson.path)?, has_solution);
        let (place, base) = (folder.join(&name), written.join(&name));
        bring(&theirs, &place, &base, &mut report).with_context(cannot)?;
    }
    // The notebooks link to it.
    if let Ok(glossary) = fs::read(course.glossary()) {
        let place = folder.join("glossary.md");
        report.n_new += usize::from(!place.exists());
        replace(&place, &glossary).with_context(cannot)?;
    }
    Ok(report)
}

/// A notebook without solutions, and without the notes on its cells, which say what usual answers
/// are.
fn edition(notebook: &Value, has_solution: Solutions<'_>) -> Value {
    let mut edition = notebook.clone();
    let Some(cells) = edition["cells"].as_array_mut() else {
        return edition;
    };
    cells.retain(|cell| {
        let id = cell["id"].as_str().unwrap_or_default();
        let exercise = id.strip_prefix(SOLUTION).map(|id| id.replace('-', "."));
        exercise.is_none_or(|exercise| has_solution(&exercise))
    });
    for cell in cells {
        if let Some(metadata) = cell["metadata"].as_object_mut() {
            metadata.remove("forklore");
        }
    }
    edition
}

/// Writes a notebook, or merges it into the one that is there.
fn bring(theirs: &Value, place: &Path, base: &Path, report: &mut Report) -> Result<()> {
    let name = place.file_name().unwrap_or_default().display();
    let notebook = match fs::read_to_string(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.n_new += 1;
            theirs.clone()
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        Ok(mine) => {
            // Without it, what differs is the learner's.
            let empty = || serde_json::json!({"cells": []});
            let base = read_notebook(base).unwrap_or_else(|_| empty());
            let mine: Option<Value> = serde_json::from_str(&mine).ok();
            let Some(merged) = mine.and_then(|mine| merge(&base, theirs, &mine)) else {
                let remark = format!(
                    "{name} is no notebook, and stays as it is; move it away to get the lesson"
                );
                report.remarks.push(remark);
                return Ok(());
            };
            if merged.n_kept > 0 {
                let cells = if merged.n_kept == 1 { "cell" } else { "cells" };
                report.remarks.push(format!(
                    "{name}: {} {cells} that you have changed stayed as you wrote them, and the lesson has \
                     a newer version",
                    merged.n_kept
                ));
            }
            report.n_updated += 1;
            merged.notebook
        }
    };
    // In this order: if the second is not written, what differs counts as the learner's.
    replace(place, &text_of(&notebook)?)?;
    replace(base, &text_of(theirs)?)
}

fn read_notebook(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no notebook", path.display()))
}

/// As Jupyter writes it.
fn text_of(notebook: &Value) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let one_space = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, one_space);
    serde::Serialize::serialize(notebook, &mut writer)?;
    text.push(b'\n');
    Ok(text)
}

/// Replaces a file by another, so that a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let cannot = || format!("cannot write {}", path.display());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = fs::File::create(&part).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    fs::rename(&part, path).with_context(cannot)
}

#[cfg(test)]
mod tests;
