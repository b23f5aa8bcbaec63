//! A cell's items as a separate file, to find the errors that evcxr keeps rustc from seeing.
//!
//! evcxr keeps only the last item of each name in a cell, takes `extern crate` for a request to add
//! a dependency, and splits each `use` into its names. So an item that is defined twice, or an
//! invalid import, is lost without a message.

use std::collections::HashMap;

use ra_ap_syntax::ast::{self, HasName};
use ra_ap_syntax::{AstNode, SyntaxKind};

use super::code::{Body, EPILOGUE};
use super::lines::{blank, commands_end};

/// Crates that come with the compiler and are not dependencies.
const OF_THE_COMPILER: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];
/// Those whose names are known without `extern crate`.
const KNOWN: [&str; 2] = ["core", "std"];

/// The errors that evcxr hides from rustc.
pub(crate) const HIDDEN_ERRORS: [&str; 11] = [
    "E0252", "E0254", "E0255", "E0259", "E0260", "E0428", "E0429", "E0466", "E0468", "E0469",
    "E0758",
];

/// The cell's items, with everything else blanked, if they may contain one of those errors.
pub(crate) fn doubtful_items(code: &str) -> Option<String> {
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let mut file = code.to_owned();
    if has_open_comment(&body) {
        return Some(file);
    }
    let (statements, items) = body.statements_and_items();
    if !is_doubtful(&items) {
        return None;
    }
    blank(&mut file, 0, from);
    for statement in &statements {
        if !ast::Item::can_cast(statement.kind()) {
            let range = statement.text_range();
            blank(
                &mut file,
                from + body.offset(range.start()),
                from + body.offset(range.end()),
            );
        }
    }
    Some(file)
}

/// Whether the cell ends inside a comment.
fn has_open_comment(body: &Body) -> bool {
    // Such a comment swallows the end of the function around the cell.
    let is_open = |text: &str| text.starts_with("/*") && text.ends_with(EPILOGUE);
    let last = body.tokens().last();
    last.is_some_and(|token| token.kind() == SyntaxKind::COMMENT && is_open(token.text()))
}

fn is_doubtful(items: &[ast::Item]) -> bool {
    let mut known: HashMap<String, String> = HashMap::new();
    for item in items {
        if imports_macros(item) || has_loose_self(item) {
            return true;
        }
        for (name, path) in names(item) {
            let is_other = |known: &String| path.is_empty() || *known != path;
            if known.get(&name).is_some_and(is_other) {
                return true;
            }
            known.insert(name, path);
        }
    }
    false
}

/// The names that an item defines or imports, and the path of each that is imported.
fn names(item: &ast::Item) -> Vec<(String, String)> {
    match item {
        ast::Item::Use(item) => {
            let mut names = Vec::new();
            if let Some(tree) = item.use_tree() {
                collect_imports(&tree, "", &mut names);
            }
            names
        }
        ast::Item::ExternCrate(item) => {
            let name = extern_name(item);
            name.map(|name| (name, String::new())).into_iter().collect()
        }
        // A later macro replaces an earlier one.
        ast::Item::MacroRules(_) | ast::Item::MacroCall(_) | ast::Item::Impl(_) => Vec::new(),
        item => {
            let name = item.syntax().children().find_map(ast::Name::cast);
            let name = name.map(|name| (name.text().to_string(), String::new()));
            name.into_iter().collect()
        }
    }
}

fn collect_imports(tree: &ast::UseTree, prefix: &str, names: &mut Vec<(String, String)>) {
    let path = tree.path().map(|path| path.syntax().to_string());
    let full = match &path {
        Some(path) if prefix.is_empty() => path.clone(),
        Some(path) => format!("{prefix}::{path}"),
        None => prefix.to_owned(),
    };
    if let Some(list) = tree.use_tree_list() {
        for tree in list.use_trees() {
            collect_imports(&tree, &full, names);
        }
        return;
    }
    if tree.star_token().is_some() {
        return;
    }
    let full = full.strip_suffix("::self").unwrap_or(&full);
    let name = match tree.rename() {
        Some(rename) => rename.name().map(|name| name.text().to_string()),
        None => full.rsplit("::").next().map(str::to_owned),
    };
    names.extend(name.map(|name| (name, full.to_owned())));
}

/// Whether a crate comes with the compiler.
fn is_own(item: &ast::ExternCrate) -> bool {
    let name = item.name_ref().map(|name| name.text().to_string());
    name.is_some_and(|name| OF_THE_COMPILER.contains(&&*name))
}

/// The name under which a crate is known, if any.
fn extern_name(item: &ast::ExternCrate) -> Option<String> {
    match item.rename() {
        Some(rename) => rename.name().map(|name| name.text().to_string()),
        None => item.name_ref().map(|name| name.text().to_string()),
    }
}

/// Whether the item is like `#[macro_use(name)] extern crate std;`.
fn imports_macros(item: &ast::Item) -> bool {
    let ast::Item::ExternCrate(item) = item else {
        return false;
    };
    is_own(item) && item.syntax().text().to_string().contains("macro_use")
}

/// Whether the item is like `use std::fmt::self;`.
fn has_loose_self(item: &ast::Item) -> bool {
    let ast::Item::Use(item) = item else {
        return false;
    };
    let trees = item.syntax().descendants().filter_map(ast::UseTree::cast);
    let mut paths = trees.filter_map(|tree| tree.path());
    paths.any(|path| {
        let ends_with_self = path
            .segment()
            .is_some_and(|last| last.self_token().is_some());
        ends_with_self && path.qualifier().is_some()
    })
}

/// The cell without `extern crate` for crates that come with the compiler: evcxr would search for a
/// package of that name, in this cell and in all later ones. If a name needs the `extern crate`, it
/// is defined in another way.
pub(crate) fn without_own_crates(code: &str) -> Option<String> {
    if !code.contains("extern") {
        return None;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let items = body.statements().filter_map(ast::ExternCrate::cast);
    let own: Vec<_> = items.filter(is_own).collect();
    let mut changed = code.to_owned();
    for item in own.iter().rev() {
        let range = item.syntax().text_range();
        let (start, end) = (
            from + body.offset(range.start()),
            from + body.offset(range.end()),
        );
        blank(&mut changed, start, end);
        if let Some(other) = in_a_module(item) {
            changed.insert_str(end, &other);
        }
    }
    (!own.is_empty()).then_some(changed)
}

/// Defines the crate's name through a module, in which evcxr does not search for crates.
fn in_a_module(item: &ast::ExternCrate) -> Option<String> {
    let krate = item.name_ref()?.text().to_string();
    let name = extern_name(item)?;
    let is_known = name == krate && KNOWN.contains(&&*krate);
    (!is_known && name != "_").then(|| {
        format!("mod forklore_crate_{name} {{ pub extern crate {krate} as {name}; }} use forklore_crate_{name}::{name};")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_twice_is_doubtful_and_an_import_twice_is_not() {
        for code in [
            "struct Bar;\nstruct Bar;",
            "use a::x;\nfn x() {}",
            "use a::{x, y};\nuse b::c as y;",
            "extern crate core;\nstruct core;",
            "use std::fmt::self;",
            "#[macro_use(m)] extern crate alloc;",
            "/* never closed",
            "let a = 1; /* a /* b */",
        ] {
            assert!(doubtful_items(code).is_some(), "{code}");
        }
        for code in [
            "struct Bar; impl Bar {} impl Bar {}",
            "use std::fmt;\nuse std::fmt::{self, Debug};",
            "use a::*; use b::*;",
            "fn a() {} a() /* closed */",
            "let a = 1; let a = 2;",
            "use std::io::{self as b};",
            "macro_rules! m { () => {} } macro_rules! m { (1) => {} }",
        ] {
            assert_eq!(doubtful_items(code), None, "{code}");
        }
    }

    #[test]
    fn only_items_are_left_of_a_doubtful_cell() {
        let file = doubtful_items(":dep x\nlet a = 1;\nfn b() {}\na;\nfn b() {}").unwrap();
        assert_eq!(file.trim(), "fn b() {}\n  \nfn b() {}");
        assert_eq!(file.lines().count(), 5);
    }

    #[test]
    fn crates_of_the_compiler_are_no_dependencies() {
        assert_eq!(without_own_crates("extern crate rand; let a = 1;"), None);
        let code = without_own_crates("extern crate std;\nextern crate alloc;").unwrap();
        let (first, second) = code.split_once('\n').unwrap();
        assert_eq!(first.trim(), "");
        assert!(
            second.contains("{ pub extern crate alloc as alloc; } use"),
            "{second}"
        );
    }
}
