//! A crate's modules, and which of them import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path: `["pool", "call", "run"]`.
pub(super) type Module = Vec<String>;

pub(super) fn module(path: &str) -> Module {
    path.split("::").map(str::to_owned).collect()
}

/// A crate's files, without their unit tests.
pub(super) struct Sources {
    /// Unchanged, by their path in the crate's folder.
    texts: BTreeMap<String, String>,
    /// Each module's code, without comments.
    pub(super) code: BTreeMap<Module, String>,
    /// The modules that each one imports, except itself and modules that it only re-exports.
    pub(super) imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Sources {
    /// Reads the crate with this folder of sources.
    pub(super) fn of(folder: &str) -> Sources {
        let src = root().join(folder);
        let mut texts = BTreeMap::new();
        let mut folders = vec![src.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&src).unwrap().display().to_string();
                    texts.insert(name, fs::read_to_string(path).unwrap());
                }
            }
        }
        let code: BTreeMap<Module, String> = texts
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "lib.rs" | "main.rs"))
            .map(|(name, text)| (module_of(name), without_tests(text)))
            .filter(|(module, _)| !is_test(module, &texts))
            .collect();
        let imports = code
            .iter()
            .map(|(module, text)| {
                let paths = imported_paths(text).into_iter();
                let used = paths.filter_map(|path| resolve(&path, module, &code));
                (module.clone(), used.filter(|used| used != module).collect())
            })
            .collect();
        Sources {
            texts,
            code,
            imports,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&String, &String)> {
        self.texts.iter()
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.code.keys()
    }

    pub(super) fn reached_from<'s>(&'s self, module: &'s Module) -> BTreeSet<&'s Module> {
        let mut reached = BTreeSet::new();
        let mut left = vec![module];
        while let Some(next) = left.pop() {
            for used in &self.imports[next] {
                if reached.insert(used) {
                    left.push(used);
                }
            }
        }
        reached
    }
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The modules of a table in `ARCHITECTURE.md`, from the bottom up; those of one row are together.
pub(super) fn table(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once(&format!("{heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let names = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    })
    .collect()
}

/// Imports within a module that lead from a lower row of a table to a higher one.
pub(super) fn upward_imports(
    sources: &Sources,
    rows: &[Vec<String>],
    within: Option<&str>,
) -> Vec<String> {
    let rank = |module: &Module| {
        let name = match within {
            Some(folder) if module[0] != folder => return None,
            // A folder's own file is what the world outside sees of it.
            Some(_) => module.get(1).map_or("mod", String::as_str),
            None => module[0].as_str(),
        };
        let rank = rows.iter().position(|row| row.iter().any(|of| of == name));
        Some(rank.unwrap_or_else(|| panic!("{name} is in no row of the table")))
    };
    let mut upward = Vec::new();
    for (module, imports) in &sources.imports {
        for used in imports {
            if rank(module) < rank(used) && rank(module).is_some() {
                upward.push(format!("{} uses {}", module.join("::"), used.join("::")));
            }
        }
    }
    upward
}

fn module_of(name: &str) -> Module {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// Whether a module, or a parent of it, is declared only for unit tests.
fn is_test(module: &Module, texts: &BTreeMap<String, String>) -> bool {
    (1..module.len()).any(|depth| {
        let [file, folder] = [".rs", "/mod.rs"].map(|end| module[..depth].join("/") + end);
        let declared_in = texts.get(&file).or_else(|| texts.get(&folder));
        let declaration = format!("#[cfg(test)]\nmod {};", module[depth]);
        declared_in.is_some_and(|text| text.contains(&declaration))
    })
}

fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or(text).lines();
    let code: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    code.join("\n")
}

/// The paths that code names: its imports, and paths that begin with `crate`, `super` or `self`.
/// Re-exports (`pub use`) do not count.
pub(super) fn imported_paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for statement in code.split_inclusive(';') {
        let line_start = statement.trim_start();
        if line_start.starts_with("pub") && line_start.contains(" use ") {
            continue;
        }
        if let Some((before, tree)) = statement.rsplit_once("use ")
            && before
                .rsplit('\n')
                .next()
                .is_some_and(|line| line.trim().is_empty())
        {
            take_apart("", tree.trim_end_matches(';'), &mut paths);
        }
        for root in ["crate::", "super::", "self::"] {
            for (at, _) in statement.match_indices(root) {
                let before = &statement[..at];
                let is_visibility = before.ends_with("pub(in ");
                if is_visibility
                    || before.ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c))
                {
                    continue;
                }
                let path =
                    statement[at..].split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
                let path = path.take(1).collect::<String>();
                paths.insert(path.trim_end_matches(':').to_owned());
            }
        }
    }
    paths
}

/// Adds the paths of a `use` tree: `a::{b, c::D}` is `a::b` and `a::c::D`.
fn take_apart(prefix: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = format!("{prefix}{name}");
        paths.insert(path.trim_end_matches("::self").to_owned());
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    take_apart(&prefix, part, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The module that a path in a module points into, if it is one of the crate's.
fn resolve(path: &str, from: &Module, code: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = path.split("::").peekable();
    let mut at: Module = match parts.peek() {
        Some(&"crate") => Vec::new(),
        _ => from.clone(),
    };
    let is_relative = !matches!(parts.peek(), Some(&("crate" | "super" | "self")));
    while let Some(step) = parts.next_if(|part| matches!(*part, "crate" | "super" | "self")) {
        if step == "super" {
            at.pop();
        }
    }
    parts.peek()?;
    let n_before = at.len();
    for part in parts {
        at.push(part.to_owned());
        if !code.contains_key(&at) {
            at.pop();
            break;
        }
    }
    let leads_somewhere = at.len() > n_before || !is_relative;
    (leads_somewhere && code.contains_key(&at)).then_some(at)
}
