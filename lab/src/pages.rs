//! The course as pages: the links between lessons' pages, and the index.
//!
//! A lesson's page is written when the lesson runs (`lab/python/page.py`). The other pages are
//! known only later, so the links to them are filled into the page's marks then, whenever a page is
//! added.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::course::Lesson;

/// Light and dark, as on the lessons' pages.
const STYLE: &str = include_str!("../python/templates/forklore-page/static/course.css");
const END: &str = "<!-- course: end -->";
/// The name of the index page.
pub const INDEX: &str = "index.html";
/// The glossary page, which is written with each lesson's page.
const GLOSSARY: &str = "glossary.html";

/// A lesson's page in a folder.
struct Entry<'a> {
    lesson: &'a Lesson,
    page: &'a Path,
    /// Its title with its number.
    title: String,
}

impl Entry<'_> {
    /// The page's file name, for links within the folder.
    fn file(&self) -> String {
        let name = self.page.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Writes the index of the lessons' pages, and into each of these the links to the previous one,
/// the next one, and the index.
///
/// # Errors
///
/// If a page cannot be read or written, or a notebook has no metadata about its lesson.
pub fn write_index(folder: &Path, lessons: &[Lesson], pages: &[PathBuf]) -> Result<PathBuf> {
    let mut entries = Vec::new();
    let mut rows = String::new();
    for (lesson, page) in lessons.iter().zip(pages) {
        let about = lesson.about()?;
        let title = format!("{} · {}", lesson.number, escape(&about.title));
        let entry = Entry {
            lesson,
            page,
            title,
        };
        let cores = if about.needs.cores == 1 {
            "core"
        } else {
            "cores"
        };
        let _ = write!(
            rows,
            "<li><a href=\"{}\">{}</a><span class=\"about\">{} minutes, {} {cores}</span></li>",
            entry.file(),
            entry.title,
            about.minutes,
            about.needs.cores
        );
        entries.push(entry);
    }
    for (index, entry) in entries.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &entries[before]);
        let text = std::fs::read_to_string(entry.page)
            .with_context(|| format!("cannot read {}", entry.page.display()))?;
        let text = lead(text, before, entries.get(index + 1));
        let text = link_lessons(text, &entries);
        std::fs::write(entry.page, text)
            .with_context(|| format!("cannot write {}", entry.page.display()))?;
    }
    let glossary = folder.join(GLOSSARY);
    if let Ok(text) = std::fs::read_to_string(&glossary) {
        std::fs::write(&glossary, link_lessons(lead(text, None, None), &entries))
            .with_context(|| format!("cannot write {}", glossary.display()))?;
    }
    let index = folder.join(INDEX);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>The course</title><style>{STYLE}</style></head><body>\
         <main class=\"index\"><h1>The course</h1><ul>{rows}</ul></main></body></html>\n"
    );
    std::fs::write(&index, page).with_context(|| format!("cannot write {}", index.display()))?;
    Ok(index)
}

/// The same for all existing pages of these lessons in a folder.
///
/// # Errors
///
/// As [`write_index`].
pub fn lead_to_each_other(folder: &Path, lessons: &[Lesson]) -> Result<PathBuf> {
    let page = |lesson: &Lesson| folder.join(format!("{}.html", lesson.name));
    let there: Vec<Lesson> = lessons
        .iter()
        .filter(|lesson| page(lesson).is_file())
        .cloned()
        .collect();
    let pages: Vec<PathBuf> = there.iter().map(page).collect();
    write_index(folder, &there, &pages)
}

/// Fills a page's marks. A page without marks stays unchanged.
fn lead(text: String, before: Option<&Entry>, behind: Option<&Entry>) -> String {
    let link = |entry: Option<&Entry>, rel: &str, left: &str, right: &str| match entry {
        Some(entry) => format!(
            "<a rel=\"{rel}\" href=\"{}\">{left}{}{right}</a>",
            entry.file(),
            entry.title
        ),
        // Keeps the layout of the other links.
        None => "<span></span>".to_owned(),
    };
    let links = format!(
        "{}<a href=\"{INDEX}\">All lessons</a>{}",
        link(before, "prev", "← ", ""),
        link(behind, "next", "", " →")
    );
    let mut text = text;
    for (place, label) in [("top", "Course"), ("bottom", "Go on")] {
        let mark = format!("<!-- course: {place} -->");
        let Some((head, rest)) = text.split_once(&mark) else {
            continue;
        };
        let Some((_, tail)) = rest.split_once(END) else {
            continue;
        };
        text = format!(
            "{head}{mark}<nav class=\"course {place}\" aria-label=\"{label}\">{links}</nav>{END}{tail}"
        );
    }
    text
}

/// Links to other notebooks become links to their pages, if these exist.
fn link_lessons(text: String, entries: &[Entry]) -> String {
    entries.iter().fold(text, |text, entry| {
        let notebook = format!("href=\"{}.ipynb", entry.lesson.name);
        text.replace(&notebook, &format!("href=\"{}", entry.file()))
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::course::Course;

    const EMPTY: &str = "<!-- course: top --><!-- course: end --><main>\
        <a href=\"02-processes-and-fork.ipynb#fork\">02</a></main>\
        <!-- course: bottom --><!-- course: end -->";

    #[test]
    fn pages_lead_to_those_that_are_there_and_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let course = Course::of_checkout(root);
        let lessons: Vec<Lesson> = ["00", "02", "04"]
            .iter()
            .map(|number| course.lesson_named(number).unwrap())
            .collect();
        let page = |lesson: &Lesson| folder.path().join(format!("{}.html", lesson.name));
        let read = |lesson: &Lesson| fs::read_to_string(page(lesson)).unwrap();
        let [first, second, third] = &lessons[..] else {
            unreachable!("three lessons");
        };
        for lesson in [first, third] {
            fs::write(page(lesson), EMPTY).unwrap();
        }
        let glossary = folder.path().join(GLOSSARY);
        fs::write(&glossary, EMPTY).unwrap();
        lead_to_each_other(folder.path(), &course.lessons().unwrap()).unwrap();
        let text = read(first);
        assert_eq!(text.matches("rel=\"next\" href=\"04-").count(), 2, "{text}");
        assert!(!text.contains("rel=\"prev\""), "{text}");
        assert!(text.contains("02-processes-and-fork.ipynb"), "{text}");

        // One more page, between them.
        fs::write(page(second), EMPTY).unwrap();
        let index = lead_to_each_other(folder.path(), &course.lessons().unwrap()).unwrap();
        let text = read(first);
        assert_eq!(text.matches("rel=\"next\" href=\"02-").count(), 2, "{text}");
        assert_eq!(text.matches("<nav").count(), 2, "{text}");
        assert!(
            text.contains("href=\"02-processes-and-fork.html#fork\""),
            "{text}"
        );
        let text = fs::read_to_string(glossary).unwrap();
        assert!(
            text.contains("href=\"02-processes-and-fork.html#fork\""),
            "{text}"
        );
        assert_eq!(text.matches("href=\"index.html\"").count(), 2, "{text}");
        let text = read(third);
        assert_eq!(text.matches("rel=\"prev\" href=\"02-").count(), 2, "{text}");
        assert_eq!(text.matches("href=\"index.html\"").count(), 2, "{text}");
        let index = fs::read_to_string(index).unwrap();
        assert_eq!(index.matches("<li>").count(), 3, "{index}");
    }
}
