//! `%export`: the cells of a notebook as a cargo project.
//!
//! Items go to the top of `main.rs`, each name once, in the version of its last cell; statements go
//! into `main`, in the order in which they ran. The library's sources are copied, so that the
//! project builds on a machine without the kernel.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ra_ap_syntax::ast::{self, HasName};
use ra_ap_syntax::{AstNode, SyntaxNode};

use crate::cell::{Body, PRELUDE, is_command};

/// Writes the project into a folder that is new or empty.
///
/// # Errors
///
/// If the folder holds something else, or cannot be written to.
pub fn write(folder: &Path, cells: &[String], library: Option<&Path>, lock: &Path) -> Result<()> {
    let is_ours =
        fs::read_to_string(folder.join("src/main.rs")).is_ok_and(|text| text.starts_with(HEADER));
    let holds_something = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if holds_something && !is_ours {
        bail!("{} is not empty: export to a new folder", folder.display());
    }
    let library = library.filter(|_| uses_library(cells));
    let mut program = program(cells, library.is_some());
    if library.is_some() {
        // Last: a path that a cell gives for them, for the stock kernel, is not valid here.
        program.dependencies.extend(own_crates(cells));
    }
    let manifest = manifest(&package_name(folder), &program.dependencies);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(folder.join("src"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    write("Cargo.toml", &manifest)?;
    write("src/main.rs", &program.text)?;
    if let Some(library) = library {
        copy(library, &folder.join("forklore")).context("cannot copy the library")?;
    }
    // The versions that the cells ran with; without them cargo chooses.
    let _ = fs::copy(lock, folder.join("Cargo.lock"));
    Ok(())
}

const HEADER: &str = "//! Exported from a notebook by `%export`.\n";

/// Whether the project needs the library: a notebook that does not use it gets a project without
/// dependencies.
fn uses_library(cells: &[String]) -> bool {
    let marks = ["forklore", "_t!(", "_ti!(", "evcxr_display"];
    cells
        .iter()
        .any(|cell| marks.iter().any(|mark| cell.contains(mark)))
}

/// The manifest's lines for the library, and for the course if cells use it; both are copied into
/// the project.
fn own_crates(cells: &[String]) -> Vec<String> {
    let mut lines = vec!["forklore = { path = \"forklore\" }".to_owned()];
    if cells.iter().any(|cell| cell.contains("forklore_course")) {
        lines.push("forklore-course = { path = \"forklore/lessons\" }".to_owned());
    }
    lines
}

struct Program {
    text: String,
    /// Lines for the manifest.
    dependencies: Vec<String>,
}

fn program(cells: &[String], has_library: bool) -> Program {
    let mut items = Items::default();
    let (mut body, mut dependencies) = (String::new(), Vec::new());
    for (index, cell) in cells.iter().enumerate() {
        dependencies.extend(cell.lines().filter_map(dependency));
        let mut statements = String::new();
        let rust = with_main_renamed(&rust_of(cell));
        take_cell(&rust, has_library, &mut items, &mut statements);
        if !statements.is_empty() {
            body.push_str(&format!("\n    // Cell {}\n{statements}", index + 1));
        }
    }
    let mut text = format!("{HEADER}\n#![allow(unused)]\n\n");
    if has_library {
        text.push_str(&format!("{PRELUDE}\n\n"));
    }
    for item in items.texts() {
        text.push_str(&item);
        text.push_str("\n\n");
    }
    text.push_str("fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {");
    text.push_str(&body);
    text.push_str("    Ok(())\n}\n");
    Program { text, dependencies }
}

/// The cell with evcxr's commands blanked.
fn rust_of(cell: &str) -> String {
    let mut leading = true;
    let lines = cell.lines().map(|line| {
        leading &= is_command(line) || line.trim().is_empty() || line.starts_with("//");
        if leading && is_command(line) {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The cell with its own `main`, and calls of it, renamed: the project has a `main` too.
fn with_main_renamed(cell: &str) -> String {
    let body = Body::parse(cell);
    let mut new = cell.to_owned();
    let tokens: Vec<_> = body
        .tokens()
        .filter(|token| !token.kind().is_trivia())
        .collect();
    for at in (1..tokens.len()).rev() {
        let [name, after] = [at - 1, at].map(|at| tokens[at].text());
        let before = at.checked_sub(2).map_or("", |at| tokens[at].text());
        if name == "main" && after == "(" && !matches!(before, ":" | "::" | ".") {
            let start = body.offset(tokens[at - 1].text_range().start());
            new.replace_range(start..start + name.len(), "main_of_the_cell");
        }
    }
    new
}

/// A `:dep` as a line of a manifest.
fn dependency(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(":dep ")?.trim();
    Some(if rest.contains('=') {
        rest.to_owned()
    } else {
        format!("{rest} = \"*\"")
    })
}

/// Separates one cell's statements into items and the rest.
fn take_cell(cell: &str, has_library: bool, items: &mut Items, statements: &mut String) {
    let body = Body::parse(cell);
    let nodes: Vec<SyntaxNode> = body.statements().collect();
    let mut from = 0;
    for (index, node) in nodes.iter().enumerate() {
        let range = node.text_range();
        let (start, end) = (body.offset(range.start()), body.offset(range.end()));
        // Including the comments before it.
        let text = cell[from..end].trim();
        from = end;
        if let Some(item) =
            ast::Item::cast(node.clone()).filter(|item| !matches!(item, ast::Item::MacroCall(_)))
        {
            items.add(&item, text);
            continue;
        }
        let is_last = index + 1 == nodes.len();
        let shown =
            ast::Expr::cast(node.clone()).filter(|expression| is_last && has_value(expression));
        let text = match shown {
            Some(_) => {
                let value = &cell[start..end];
                let comments = text.strip_suffix(value).unwrap_or_default().trim();
                let shown = match has_library {
                    true => format!("({value}).evcxr_display();"),
                    false => format!("println!(\"{{:?}}\", {value});"),
                };
                format!("{comments}\n{shown}").trim().to_owned()
            }
            None if ast::Expr::can_cast(node.kind()) && !text.ends_with('}') => format!("{text};"),
            None => text.to_owned(),
        };
        for line in text.lines() {
            statements.push_str(if line.is_empty() { "" } else { "    " });
            statements.push_str(line);
            statements.push('\n');
        }
    }
}

/// Whether a last expression may have a value to show.
fn has_value(expression: &ast::Expr) -> bool {
    match expression {
        ast::Expr::ForExpr(_) | ast::Expr::WhileExpr(_) => false,
        ast::Expr::MacroExpr(call) => {
            let name = call
                .macro_call()
                .and_then(|call| call.path())
                .map(|path| path.syntax().to_string());
            !name.is_some_and(|name| {
                [
                    "print",
                    "println",
                    "eprint",
                    "eprintln",
                    "assert",
                    "assert_eq",
                ]
                .contains(&&*name)
            })
        }
        _ => true,
    }
}

/// Items by name, in the order of their last definitions.
#[derive(Default)]
struct Items {
    /// The name, and the text.
    list: Vec<(String, String)>,
}

impl Items {
    fn add(&mut self, item: &ast::Item, text: &str) {
        if let ast::Item::Use(import) = item {
            let mut imports = HashMap::new();
            if let Some(tree) = import.use_tree() {
                flatten(&tree, "", &mut imports);
            }
            let mut imports: Vec<_> = imports.into_iter().collect();
            imports.sort();
            for (name, path) in imports {
                self.put(format!("use {name}"), format!("use {path};"));
            }
            return;
        }
        let name = match item {
            ast::Item::Fn(item) => item.name(),
            ast::Item::Struct(item) => item.name(),
            ast::Item::Enum(item) => item.name(),
            ast::Item::Union(item) => item.name(),
            ast::Item::Trait(item) => item.name(),
            ast::Item::TypeAlias(item) => item.name(),
            ast::Item::Const(item) => item.name(),
            ast::Item::Static(item) => item.name(),
            ast::Item::Module(item) => item.name(),
            ast::Item::MacroRules(item) => item.name(),
            _ => None,
        };
        // An item without a name (an `impl`) is identified by its first line.
        let key = match name {
            Some(name) => name.to_string(),
            None => item
                .syntax()
                .to_string()
                .split('{')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        self.put(key, text.to_owned());
    }

    fn put(&mut self, key: String, text: String) {
        self.list.retain(|(known, _)| *known != key);
        self.list.push((key, text));
    }

    /// Imports first, as is usual.
    fn texts(self) -> impl Iterator<Item = String> {
        let (imports, others): (Vec<_>, Vec<_>) = self
            .list
            .into_iter()
            .partition(|(key, _)| key.starts_with("use "));
        let imports = imports
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
            .join("\n");
        let imports = (!imports.is_empty()).then_some(imports);
        imports
            .into_iter()
            .chain(others.into_iter().map(|(_, text)| text))
    }
}

/// Each name of an import, with its whole path: two cells may import the same name.
fn flatten(tree: &ast::UseTree, prefix: &str, imports: &mut HashMap<String, String>) {
    let own = tree
        .path()
        .map(|path| path.syntax().to_string())
        .unwrap_or_default();
    let path = match (prefix, own.as_str()) {
        ("", own) => own.to_owned(),
        (prefix, "" | "self") => prefix.to_owned(),
        (prefix, own) => format!("{prefix}::{own}"),
    };
    if let Some(list) = tree.use_tree_list() {
        for tree in list.use_trees() {
            flatten(&tree, &path, imports);
        }
    } else if tree.star_token().is_some() {
        imports.insert(format!("{path}::*"), format!("{path}::*"));
    } else if let Some(rename) = tree.rename() {
        let rename = rename.syntax().to_string();
        let bound = rename.trim_start_matches("as").trim();
        let name = if bound == "_" {
            format!("{path} as _")
        } else {
            bound.to_owned()
        };
        imports.insert(name, format!("{path} {rename}"));
    } else {
        let name = path.rsplit("::").next().unwrap_or_default().to_owned();
        imports.insert(name, path);
    }
}

fn manifest(name: &str, dependencies: &[String]) -> String {
    let mut text = format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n"
    );
    let mut by_name = HashMap::new();
    for (index, line) in dependencies.iter().enumerate() {
        let crate_name = line.split('=').next().unwrap_or_default().trim();
        by_name.insert(crate_name, (index, line));
    }
    let mut lines: Vec<_> = by_name.into_values().collect();
    lines.sort();
    for (_, line) in lines {
        text.push_str(line);
        text.push('\n');
    }
    // Compiled as the cells were; and no `Cargo.toml` in a parent folder applies.
    text.push_str("\n[profile.dev]\nopt-level = 2\ndebug-assertions = false\noverflow-checks = false\n\n[workspace]\nexclude = [\"forklore\"]\n");
    text
}

/// A package name that cargo accepts, derived from the folder's.
fn package_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_matches('-');
    match name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true if name != "forklore" => name.to_owned(),
        _ => format!("notebook-{name}").trim_end_matches('-').to_owned(),
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main_of(cells: &[&str]) -> String {
        let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        program(&cells, false).text
    }

    #[test]
    fn items_stand_once_and_statements_in_order() {
        let text = main_of(&[
            "/// Twice.\nfn f(x: i32) -> i32 { 2 * x }\nlet a = f(1);",
            "fn f(x: i32) -> i32 { 3 * x }\n// Why.\nlet a = f(a); // here\nif a > 1 { println!(\"{a}\"); }\na + 1",
            "struct P;\nimpl P { fn one() {} }\nprintln!(\"end\")",
            "impl P { fn two() {} }",
        ]);
        let expected = "\
fn f(x: i32) -> i32 { 3 * x }

struct P;

impl P { fn two() {} }

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Cell 1
    let a = f(1);

    // Cell 2
    // Why.
    let a = f(a);
    // here
    if a > 1 { println!(\"{a}\"); }
    println!(\"{:?}\", a + 1);

    // Cell 3
    println!(\"end\");
    Ok(())
}
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_program_in_a_cell_has_another_name_in_the_project() {
        let text = main_of(&["fn main() { main::f(); a.main(); }\nmain();"]);
        assert_eq!(text.matches("fn main(").count(), 1, "{text}");
        assert!(
            text.contains("fn main_of_the_cell() { main::f(); a.main(); }"),
            "{text}"
        );
        assert!(text.contains("    main_of_the_cell();"), "{text}");
    }

    #[test]
    fn imports_stand_once() {
        let text = main_of(&[
            "use std::collections::{HashMap, self}; use std::fmt::Write as _;",
            "use std::collections::HashMap; use std::io::*; use std::fmt as f;",
        ]);
        assert_eq!(text.matches("HashMap").count(), 1, "{text}");
        for line in [
            "use std::collections;",
            "use std::fmt::Write as _;",
            "use std::io::*;",
            "use std::fmt as f;",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn dependencies_stand_once() {
        let cells = [
            ":dep rand\n1",
            ":dep rand = \"0.9\"\n:dep x = { path = \"y\" }\nlet a = 1;",
        ]
        .map(str::to_owned);
        let program = program(&cells, true);
        let text = manifest("a", &program.dependencies);
        let expected = "rand = \"0.9\"\nx = { path = \"y\" }\n";
        assert!(text.contains(expected), "{text}");
        assert!(
            program.text.contains("(1).evcxr_display();"),
            "{}",
            program.text
        );
    }

    #[test]
    fn the_course_goes_along_where_it_is_used() {
        let lines = |cell: &str| own_crates(&[cell.to_owned()]).join("\n");
        assert_eq!(
            lines("use forklore::*;"),
            "forklore = { path = \"forklore\" }"
        );
        assert!(
            lines("use forklore_course::*;")
                .ends_with("\nforklore-course = { path = \"forklore/lessons\" }")
        );
    }

    #[test]
    fn names_are_such_that_cargo_takes_them() {
        for (folder, name) in [
            ("/a/My Notebook", "my-notebook"),
            ("/a/06", "notebook-06"),
            ("forklore", "notebook-forklore"),
            ("/", "notebook"),
        ] {
            assert_eq!(package_name(Path::new(folder)), name);
        }
    }
}
