//! Reads the repository's files, and separates code from prose in its documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that programs create.
const MADE: &[&str] = &[
    ".git",
    ".lab",
    ".ipynb_checkpoints",
    "__pycache__",
    "artifacts",
    "corpus",
    "coverage",
    "node_modules",
    "target",
];

/// A document and its text.
pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Document {
    pub(super) fn name(&self) -> &str {
        name(&self.path)
    }

    /// The text with each piece of code replaced, so that lines keep their numbers.
    pub(super) fn prose(&self) -> String {
        let mut prose = String::new();
        let mut is_fenced = false;
        for line in self.text.lines() {
            let is_fence = line.trim_start().starts_with("```");
            if is_fence || is_fenced {
                is_fenced ^= is_fence;
            } else {
                // Every second piece is code. A backtick without a partner begins none.
                let pieces: Vec<&str> = line.split('`').collect();
                let n_paired = pieces.len() - 1 - (pieces.len() - 1) % 2;
                for (index, piece) in pieces.iter().enumerate() {
                    let is_code = index % 2 == 1 && index < n_paired;
                    prose.push_str(if is_code { "code" } else { piece });
                }
            }
            prose.push('\n');
        }
        prose
    }

    /// Text that is set as code: spans between backticks, and commands in shell blocks.
    pub(super) fn code(&self) -> Vec<&str> {
        let mut code = Vec::new();
        let mut block = None;
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), block) {
                (Some(language), None) => block = Some(language),
                (Some(_), Some(_)) => block = None,
                (None, Some("sh")) => code.push(line.split(" # ").next().unwrap().trim()),
                (None, Some(_)) => {}
                (None, None) => code.extend(line.split('`').skip(1).step_by(2)),
            }
        }
        code
    }

    /// The targets of its links.
    pub(super) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1);
        let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
        targets.collect()
    }
}

/// All documents.
pub(super) fn documents() -> Vec<Document> {
    let documents = files().into_iter().filter(|file| file.ends_with(".md"));
    documents
        .map(|file| Document {
            path: root().join(&file),
            text: read(&file),
        })
        .collect()
}

/// Every piece of code in a document, and every line of a workflow, with the file's name. The
/// change log is left out, because it also names removed items.
pub(super) fn named() -> Vec<(String, String)> {
    let mut named = Vec::new();
    for document in documents()
        .iter()
        .filter(|document| document.name() != "CHANGELOG.md")
    {
        let spans = document.code().into_iter();
        named.extend(spans.map(|span| (document.name().to_owned(), span.to_owned())));
    }
    for file in files()
        .into_iter()
        .filter(|file| file.starts_with(".github/workflows/"))
    {
        for line in read(&file).replace("\\\n", "").lines() {
            let line = line
                .trim()
                .trim_start_matches("- ")
                .trim_start_matches("run: ");
            named.push((file.clone(), line.to_owned()));
        }
    }
    named
}

/// All text that is compiled, run or read by a program, except the lists of words in these checks.
pub(super) fn sources() -> Vec<String> {
    let files = files().into_iter().filter(|file| {
        !file.ends_with(".md")
            && !file.ends_with(".png")
            && !file.starts_with("tests/it/documents/")
    });
    files.map(|file| read(&file)).collect()
}

/// All files of the repository, and none that a program has created.
pub(super) fn files() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The wheel's links to the lessons are no files of their own.
            if path.is_symlink() || MADE.iter().any(|made| path.ends_with(made)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(name(&path).to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The anchors of a document's headings, in GitHub's form.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// A program's text with only its comments; other lines are empty.
pub(super) fn comments(text: &str) -> String {
    let is_comment = |line: &str| line.starts_with("//") || line.starts_with('#');
    let lines = text.lines();
    let comments = lines.map(|line| {
        if is_comment(line.trim_start()) {
            line
        } else {
            ""
        }
    });
    comments.collect::<Vec<_>>().join("\n")
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text, by its path in the repository.
pub(super) fn read(file: &str) -> String {
    let bytes = fs::read(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name(file: &Path) -> &str {
    file.strip_prefix(root()).unwrap().to_str().unwrap()
}

/// Whether `word` occurs in the text as a whole word.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

pub(super) fn is_identifier(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}
