//! Documents cannot lie: what they link to and what they name exists, and they use the house's words.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::tests;

tests![
    every_link_leads_somewhere,
    every_path_that_is_named_exists,
    every_item_that_is_named_exists,
    words_are_those_of_the_glossary,
    the_front_page_is_short,
    the_repository_has_one_address,
    one_module_knows_the_format_of_values
];

/// Names that look like files and are none of the repository's: what programs make, and other people's.
const FOREIGN_FILES: &[&str] = &[
    "forklore/progress.tsv",
    "package.json",
    "main.rs",
    "jupyter_kernel_test",
];

/// Types and modules of other crates, by the first word of their path.
const FOREIGN_ITEMS: &[&str] = &[
    "std", "core", "tokio", "serde", "nix", "libc", "StdRng", "TypeId",
];

/// The house's words, and what not to write in their place.
const SYNONYMS: &[(&str, &str)] = &[
    ("somebody", "the actor's name, or \"another user\""),
    ("nobody", "\"no one else\", or say who cannot"),
    ("whoever", "the actor's name"),
    ("anew", "again"),
    ("for ever", "forever"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("shall", "must, or will"),
    ("how-manieth", "sequence number"),
];

fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        for target in links(&prose(&text)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            if !file.exists() {
                wrong.push(format!("{}: no file {target}", name(&document)));
            } else if !heading.is_empty() && !anchors(&read(&file)).contains(heading) {
                wrong.push(format!("{}: no heading {target}", name(&document)));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "links that lead nowhere:\n{}",
        wrong.join("\n")
    );
}

fn every_path_that_is_named_exists() {
    let files = files();
    let tops: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.split('/').next())
        .collect();
    let mut wrong = Vec::new();
    for document in documents().iter().filter(|document| !is_history(document)) {
        let text = read(document);
        let words: Vec<&str> = code(&text)
            .into_iter()
            .flat_map(str::split_whitespace)
            .filter(|word| names_a_file(word, &tops))
            .collect();
        for word in words {
            let path = word
                .trim_start_matches("./")
                .trim_end_matches(['/', ',', '.']);
            let is_there = files.iter().any(|file| ends_with_path(file, path))
                || tops.contains(path.split('/').next().unwrap()) && root().join(path).exists();
            if !is_there && !FOREIGN_FILES.contains(&path) {
                wrong.push(format!("{}: {word}", name(document)));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "files that do not exist:\n{}",
        wrong.join("\n")
    );
}

fn every_item_that_is_named_exists() {
    let sources: Vec<String> = files()
        .iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| read(&root().join(file)))
        .collect();
    let mut wrong = Vec::new();
    for document in documents().iter().filter(|document| !is_history(document)) {
        let text = read(document);
        for item in code(&text).into_iter().filter(|span| names_an_item(span)) {
            let path = item.split(['(', '<', '!']).next().unwrap();
            let words: Vec<&str> = path.split("::").collect();
            if FOREIGN_ITEMS.contains(&words[0]) {
                continue;
            }
            let (owner, member) = (words[words.len() - 2], words[words.len() - 1]);
            let is_there = ["crate", "forklore"].contains(&owner)
                || sources.iter().any(|text| has_item(text, owner, member));
            if !is_there {
                wrong.push(format!("{}: {item}", name(document)));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "items that do not exist:\n{}",
        wrong.join("\n")
    );
}

fn words_are_those_of_the_glossary() {
    let mut wrong = Vec::new();
    for document in documents() {
        for (index, line) in prose(&read(&document)).lines().enumerate() {
            let line = line.to_lowercase();
            for (synonym, word) in SYNONYMS {
                if has_word(&line, synonym) {
                    let place = format!("{}:{}", name(&document), index + 1);
                    wrong.push(format!("{place}: not `{synonym}`, but {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "words to avoid:\n{}", wrong.join("\n"));
}

/// A reader decides within a screen or two; a picture is loaded before the text below it is placed.
fn the_front_page_is_short() {
    let n_lines = read(&root().join("README.md")).lines().count();
    assert!(n_lines <= 90, "README.md has {n_lines} lines");
    let images = root().join(".github/images");
    for image in fs::read_dir(images).unwrap() {
        let image = image.unwrap();
        let n_bytes = image.metadata().unwrap().len();
        assert!(
            n_bytes <= 150_000,
            "{} has {n_bytes} bytes",
            image.path().display()
        );
    }
}

/// The manifest says where the repository is; what repeats it agrees, so that a move is one search.
fn the_repository_has_one_address() {
    let manifest = read(&root().join("Cargo.toml"));
    let address = value(&manifest, "repository = \"").expect("the workspace has a repository");
    let version = value(&manifest, "version = \"").expect("the workspace has a version");
    let citation = read(&root().join("CITATION.cff"));
    assert!(citation.contains(&format!("repository-code: {address}\n")));
    assert!(citation.contains(&format!("version: {version}\n")));
    let owner = address.rsplit_once('/').unwrap().0;
    for file in files() {
        if file.ends_with(".md") || file.ends_with(".yml") || file.ends_with("Cargo.toml") {
            for (at, _) in read(&root().join(&file)).match_indices(&format!("{owner}/")) {
                let found = &read(&root().join(&file))[at..];
                assert!(
                    found.starts_with(address),
                    "{file} has another address than Cargo.toml"
                );
            }
        }
    }
}

/// bincode is no longer maintained. As long as one file knows it, it can be replaced there; `deny.toml` says so.
fn one_module_knows_the_format_of_values() {
    for file in files() {
        if !file.starts_with("src/") || file == "src/wire.rs" {
            continue;
        }
        let text = read(&root().join(&file));
        let mut lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        assert!(
            !lines.any(|line| line.contains("bincode")),
            "{file} knows bincode: only src/wire.rs may"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name(file: &Path) -> &str {
    file.strip_prefix(root()).unwrap().to_str().unwrap()
}

/// A change log also names what is gone.
fn is_history(document: &Path) -> bool {
    document.ends_with("CHANGELOG.md")
}

fn documents() -> Vec<PathBuf> {
    let documents = files().into_iter().filter(|file| file.ends_with(".md"));
    documents.map(|file| root().join(file)).collect()
}

/// All files of the repository, and no file that a program has made.
fn files() -> Vec<String> {
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
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if MADE.iter().any(|made| path.ends_with(made)) {
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

/// The text with every character of code replaced, so that lines keep their numbers.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_fenced = false;
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence || is_fenced {
            is_fenced ^= is_fence;
        } else {
            // Every second piece is code; the last may be text although it is one of them.
            let pieces: Vec<&str> = line.split('`').collect();
            let n_code = pieces.len() - 1 - (pieces.len() - 1) % 2;
            for (index, piece) in pieces.iter().enumerate() {
                prose.push_str(if index % 2 == 1 && index < n_code {
                    "code"
                } else {
                    piece
                });
            }
        }
        prose.push('\n');
    }
    prose
}

/// What is set as code: spans between backticks, and lines of blocks for a shell.
fn code(text: &str) -> Vec<&str> {
    let mut code = Vec::new();
    let mut block = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some("sh")) => code.push(line.split(" # ").next().unwrap()),
            (None, Some(_)) => {}
            (None, None) => code.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    code
}

fn links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
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

/// Whether a word of code is the path of a file, or of a folder at the top of the repository. A path that a user makes or
/// has (`~/…`, `/opt/…`, `FOLDER/…`, `target/…`) is not ours, and neither is a pattern.
fn names_a_file(word: &str, tops: &BTreeSet<&str>) -> bool {
    const ENDINGS: &[&str] = &[
        ".rs", ".md", ".py", ".toml", ".txt", ".in", ".yml", ".json", ".ipynb", ".cff", ".sh",
        ".def",
    ];
    let is_plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = word.split('/').next().unwrap();
    is_plain
        && word.chars().any(char::is_alphabetic)
        && !word.starts_with(['/', '-', '.'])
        && !word.contains("NN")
        && !(first.len() > 1 && first.chars().all(char::is_uppercase))
        && (ENDINGS
            .iter()
            .any(|ending| word.len() > ending.len() && word.ends_with(ending))
            || word.contains('/') && tops.contains(first))
}

/// Whether the file's path, or that of a folder it is in, ends with `path`.
fn ends_with_path(file: &str, path: &str) -> bool {
    let file = format!("/{file}/");
    file.contains(&format!("/{path}/"))
}

/// Whether a span of code is the path of an item, such as `Type::method` or `module::function()`.
fn names_an_item(span: &str) -> bool {
    let path = span.split(['(', '<', '!']).next().unwrap();
    let words: Vec<&str> = path.split("::").collect();
    let is_name = |word: &&str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    };
    words.len() > 1 && words.iter().all(is_name)
}

/// Whether a file has something called `member`, and defines, implements or is in `owner`.
fn has_item(text: &str, owner: &str, member: &str) -> bool {
    has_word(text, owner)
        && [
            "fn ",
            "struct ",
            "enum ",
            "trait ",
            "type ",
            "const ",
            "mod ",
            "macro_rules! ",
        ]
        .iter()
        .any(|kind| {
            text.match_indices(&format!("{kind}{member}"))
                .any(|(at, found)| {
                    !text[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
        })
        || text.contains(&format!("enum {owner}")) && has_word(text, member)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// What stands between `key` and the next quotation mark.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    Some(text.split_once(key)?.1.split_once('"')?.0)
}
