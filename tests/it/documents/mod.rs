//! Documents cannot lie: what they link to and what they name exists, and they use the house's
//! words.

mod reading;

use std::collections::BTreeSet;
use std::fs;

use crate::support::tests;
use reading::{
    anchors, comments, documents, files, has_word, is_identifier, named, read, root, sources,
};

tests![
    links_lead_somewhere,
    paths_exist,
    items_exist,
    names_are_in_the_sources,
    commands_have_their_targets,
    words_are_those_of_the_glossary,
    the_front_page_is_short,
    the_repository_has_one_address,
    one_module_knows_the_format_of_values
];

/// Crates that are not ours, identified by the first word of an item's path.
const FOREIGN_CRATES: &[&str] = &["std", "core", "tokio", "serde"];

/// Names in programs that an administrator or a user configures.
const FOREIGN_NAMES: &[&str] = &["req_prologue", "LIBCLANG_PATH"];

/// Words to avoid, and the words to use instead.
const SYNONYMS: &[(&str, &str)] = &[
    ("somebody", "the actor's name, or \"another user\""),
    ("nobody", "\"no other\", or say who cannot"),
    ("whoever", "the actor's name"),
    ("anew", "again"),
    ("for ever", "forever"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("shall", "must, or will"),
    ("how-manieth", "sequence number"),
];

/// The endings of a path in a document.
const ENDINGS: &[&str] = &[
    ".rs", ".md", ".py", ".toml", ".txt", ".in", ".yml", ".json", ".ipynb", ".cff", ".sh", ".def",
];

fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        for target in document.links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => document.path.clone(),
                file => document.path.parent().unwrap().join(file),
            };
            let is_there = match heading {
                "" => file.exists(),
                heading => {
                    fs::read_to_string(file).is_ok_and(|text| anchors(&text).contains(heading))
                }
            };
            if !is_there {
                wrong.push(format!("{}: {target}", document.name()));
            }
        }
    }
    expect_none("links that lead nowhere", &wrong);
}

fn paths_exist() {
    let files = files();
    let tops: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.split('/').next())
        .collect();
    let mut wrong = Vec::new();
    for (document, span) in named() {
        for word in span
            .split_whitespace()
            .filter(|word| names_a_file(word, &tops))
        {
            let path = word.trim_end_matches(['/', ',', '.']);
            // A document may name a file by the end of its path.
            let is_end = |file: &String| format!("/{file}/").contains(&format!("/{path}/"));
            if !files.iter().any(is_end) && !root().join(path).exists() {
                wrong.push(format!("{document}: {word}"));
            }
        }
    }
    expect_none("files that do not exist", &wrong);
}

/// `Type::method`, `module::function()`, `Enum::Variant`.
fn items_exist() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (document, span) in named() {
        let path = span.split(['(', '<', '!']).next().unwrap();
        let words: Vec<&str> = path.split("::").collect();
        let [.., owner, member] = words[..] else {
            continue;
        };
        if !words.iter().all(|word| is_identifier(word)) || FOREIGN_CRATES.contains(&words[0]) {
            continue;
        }
        let is_there = sources.iter().any(|text| has_item(text, owner, member));
        if !is_there {
            wrong.push(format!("{document}: {span}"));
        }
    }
    expect_none("items that do not exist", &wrong);
}

/// A type, function or variable that was renamed everywhere is no longer in any source.
fn names_are_in_the_sources() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (document, span) in named() {
        let word = span.trim_end_matches("()");
        let is_type = word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
        let is_name = is_type || word.trim_end_matches('_').contains('_');
        if !is_name || !is_identifier(word) || FOREIGN_NAMES.contains(&word) {
            continue;
        }
        if !sources.iter().any(|text| has_word(text, word)) {
            wrong.push(format!("{document}: {span}"));
        }
    }
    expect_none("names that no source has", &wrong);
}

/// Every bench, example, test, package or option in a cargo command exists.
fn commands_have_their_targets() {
    const TARGETS: &[&str] = &["--bench", "--example", "--test", "-p", "--package"];
    let (files, sources) = (files(), sources());
    let is_target = |target: &str| {
        let in_manifest = format!("name = \"{target}\"");
        let in_folder = |file: &String| {
            let mut folders = ["benches", "examples", "tests"].iter();
            folders.any(|folder| file.contains(&format!("{folder}/{target}")))
        };
        sources.iter().any(|text| text.contains(&in_manifest)) || files.iter().any(in_folder)
    };
    // clap makes an option of a field.
    let is_option = |option: &str| {
        let field = format!(" {}: ", option.replace('-', "_"));
        let mut options = sources.iter().filter(|text| text.contains("#[arg("));
        option == "help" || options.any(|text| text.contains(&field))
    };
    // A filter that matches nothing runs no test, and does not fail.
    let is_module = |path: &str| {
        let file = format!("src/{}", path.trim_end_matches("::").replace("::", "/"));
        files.contains(&format!("{file}.rs")) || files.contains(&format!("{file}/mod.rs"))
    };
    let is_test = |test: &str| sources.iter().any(|text| text.contains(test));
    let mut wrong = Vec::new();
    for (document, command) in named() {
        // Before cargo there may be variables.
        let words = command
            .split_whitespace()
            .skip_while(|word| *word != "cargo");
        let words: Vec<&str> = words.collect();
        if words.len() < 2 {
            continue;
        }
        let end = words
            .iter()
            .position(|word| *word == "--")
            .unwrap_or(words.len());
        let (given, filters) = words.split_at(end);
        let targets = given
            .windows(2)
            .filter(|pair| TARGETS.contains(&pair[0]))
            .map(|pair| pair[1]);
        let options = given.iter().filter_map(|word| word.strip_prefix("--"));
        let tests = filters.iter().filter(|word| word.contains('_')).copied();
        let modules = filters.iter().filter(|word| word.contains("::")).copied();
        let unknown = targets
            .filter(|target| !is_target(target))
            .chain(modules.filter(|path| given.contains(&"--lib") && !is_module(path)))
            .chain(options.filter(|option| words[1] == "lab" && !is_option(option)))
            .chain(tests.filter(|test| words[1] == "test" && !is_test(test)));
        wrong.extend(unknown.map(|word| format!("{document}: no {word} for `{command}`")));
    }
    expect_none("commands that cannot be run", &wrong);
}

fn words_are_those_of_the_glossary() {
    let documents = documents();
    let prose = documents
        .iter()
        .map(|document| (document.name().to_owned(), document.prose()));
    let is_code = |file: &&String| file.ends_with(".rs") || file.ends_with(".py");
    // This file has them all.
    let is_other = |file: &&String| !file.starts_with("tests/it/documents/");
    let code = files()
        .into_iter()
        .filter(|file| is_code(&file) && is_other(&file));
    let comments = code.map(|file| {
        let text = read(&file);
        (file, comments(&text))
    });
    let mut wrong = Vec::new();
    for (name, text) in prose.chain(comments) {
        for (index, line) in text.to_lowercase().lines().enumerate() {
            let found = SYNONYMS
                .iter()
                .filter(|(synonym, _)| has_word(line, synonym));
            wrong.extend(found.map(|(synonym, word)| {
                format!("{name}:{}: not `{synonym}`, but {word}", index + 1)
            }));
        }
    }
    expect_none("words to avoid", &wrong);
}

/// A reader decides within a screen or two, and does not wait for images.
fn the_front_page_is_short() {
    let n_lines = read("README.md").lines().count();
    assert!(n_lines <= 90, "README.md has {n_lines} lines");
    for file in files()
        .iter()
        .filter(|file| file.starts_with(".github/images/"))
    {
        let n_bytes = fs::metadata(root().join(file)).unwrap().len();
        assert!(n_bytes <= 150_000, "{file} has {n_bytes} bytes");
    }
}

/// The manifest has the repository's address. Every other mention agrees with it, so that a move is
/// a single search and replace.
fn the_repository_has_one_address() {
    let manifest = read("Cargo.toml");
    let value = |key: &str| {
        manifest
            .split_once(key)
            .unwrap()
            .1
            .split_once('"')
            .unwrap()
            .0
    };
    let (address, version) = (value("\nrepository = \""), value("\nversion = \""));
    let citation = read("CITATION.cff");
    assert!(citation.contains(&format!("\nrepository-code: {address}\n")));
    assert!(citation.contains(&format!("\nversion: {version}\n")));
    let host_and_owner = &address[..=address.rfind('/').unwrap()];
    for file in files() {
        if [".md", ".yml", ".toml"]
            .iter()
            .any(|ending| file.ends_with(ending))
        {
            let text = read(&file);
            let mut found = text
                .match_indices(host_and_owner)
                .map(|(at, _)| &text[at..]);
            assert!(
                found.all(|found| found.starts_with(address)),
                "{file}: not {address}"
            );
        }
    }
}

/// bincode is no longer maintained. As long as only one file uses it, it can be replaced there;
/// `deny.toml` says so.
fn one_module_knows_the_format_of_values() {
    let others = files()
        .into_iter()
        .filter(|file| file.starts_with("src/") && file != "src/wire/mod.rs");
    let knows = |file: &String| {
        let text = read(file);
        let mut code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| line.contains("bincode"))
    };
    expect_none(
        "files that know bincode",
        &others.filter(knows).collect::<Vec<_>>(),
    );
}

fn expect_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

/// Whether a word of code is the path of a file, or of something below a top-level folder. Paths
/// that a user creates or has (`~/…`, `/opt/…`, `FOLDER/…`, `target/…`) are not ours, and neither
/// are patterns.
fn names_a_file(word: &str, tops: &BTreeSet<&str>) -> bool {
    let is_plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = word.split('/').next().unwrap();
    let is_placeholder =
        word.contains("NN") || first.len() > 1 && first.chars().all(char::is_uppercase);
    let has_ending = ENDINGS
        .iter()
        .any(|ending| word.len() > ending.len() && word.ends_with(ending));
    let is_below_a_top = word.contains('/') && tops.contains(first);
    is_plain
        && !is_placeholder
        && !word.starts_with(['/', '-', '.'])
        && (has_ending || is_below_a_top)
}

/// Whether a file has an item `member`, and also names `owner`.
fn has_item(text: &str, owner: &str, member: &str) -> bool {
    const KINDS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "mod",
        "macro_rules!",
    ];
    let is_defined = || {
        KINDS
            .iter()
            .any(|kind| has_word(text, &format!("{kind} {member}")))
    };
    let is_variant = || text.contains(&format!("enum {owner} ")) && has_word(text, member);
    // The root of the library has its modules and what it exports.
    let is_exported =
        || owner == "forklore" && text.contains("mod pool;") && has_word(text, member);
    has_word(text, owner) && (is_defined() || is_variant()) || is_exported()
}
