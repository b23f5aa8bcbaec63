//! Rewrites items that evcxr would mistake for statements, or keep twice.
//!
//! evcxr keeps an item under its name, and another with that name replaces it. It keeps an item
//! without a name forever, so a cell with an `impl` could not run twice; and it treats a macro that
//! makes items as a statement, whose items are lost after the cell. So the cell's text is
//! rewritten, without moving lines:
//!
//! | in the cell | for evcxr |
//! | --- | --- |
//! | `impl S { … }`, `extern "C" { … }` | an empty module in front, which gives it a name |
//! | `mod a { … } fn a() { … }` | an item that shares its name with another, in a separate module (see `names`) |
//! | `thread_local! { static X: T = e; }` | `static X: Key<T> = { thread_local! { static X: T = e; } Key::new(X) };` |
//! | `lazy_static! { static ref X: T = e; }` | `static X: LazyLock<T> = LazyLock::new(\|\| e);` |
//! | `make!(Widget);` | a module with the call, and `use` of the items that it may make, for rust-analyzer. The compiled text has the call at the top level ([`unwrap`]) |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use ra_ap_syntax::ast::{HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile, TextRange, ast};

use super::generated::{MADE, PREFIX, tokens};
use super::macros::{self, Macros};
use super::names::{self, Named, Names};
use crate::cell::Body;

/// What the rewriting of the next cell needs from earlier cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    names: Names,
    /// Items without their own name, by the name that the kernel gave them.
    unnamed: HashMap<String, Unnamed>,
    /// Given names that now belong to empty modules.
    free: Vec<String>,
    /// The modules that the last cell has filled or emptied.
    pub(super) used: Vec<String>,
    /// What the last cell has replaced without redefining it: a block's header, and a name in it.
    pub(super) dropped: Vec<(String, String)>,
    macros: Macros,
    n_named: u64,
}

/// An `impl` or a block of foreign items.
#[derive(Debug, Clone)]
struct Unnamed {
    /// The block's header: blocks with different headers are independent.
    header: String,
    names: BTreeSet<String>,
    /// Whether a second block with this header conflicts whatever it contains.
    is_whole: bool,
    /// The items of its own cell that it belongs to: redefining one of them removes the block.
    owners: Vec<String>,
}

impl Unnamed {
    fn of(item: &ast::Item) -> Option<Unnamed> {
        let (body, names, is_whole) = match item {
            ast::Item::Impl(item) => {
                let list = item.assoc_item_list()?;
                let names = list.assoc_items().filter_map(|item| match item {
                    ast::AssocItem::Fn(item) => item.name(),
                    ast::AssocItem::Const(item) => item.name(),
                    ast::AssocItem::TypeAlias(item) => item.name(),
                    ast::AssocItem::MacroCall(_) => None,
                });
                let names = names.map(|name| name.text().to_string()).collect();
                (list.syntax().clone(), names, item.trait_().is_some())
            }
            ast::Item::ExternBlock(block) => {
                let list = block.extern_item_list()?;
                let names = list.extern_items().filter_map(|item| match item {
                    ast::ExternItem::Fn(item) => item.name(),
                    ast::ExternItem::Static(item) => item.name(),
                    ast::ExternItem::TypeAlias(item) => item.name(),
                    ast::ExternItem::MacroCall(_) => None,
                });
                let names = names.map(|name| name.text().to_string()).collect();
                (list.syntax().clone(), names, false)
            }
            _ => return None,
        };
        let end = body.text_range().start();
        let tokens = tokens(item.syntax()).filter(|token| token.text_range().start() < end);
        let header = tokens.map(|token| token.text().to_owned() + " ").collect();
        Some(Unnamed {
            header,
            names,
            is_whole,
            owners: Vec::new(),
        })
    }

    fn conflicts_with(&self, other: &Unnamed) -> bool {
        self.header == other.header && (self.is_whole || !self.names.is_disjoint(&other.names))
    }
}

/// The code for evcxr; `None` if it is unchanged. `defined` are the names of all earlier items.
pub(super) fn rewrite(table: &mut Table, code: &str, defined: &HashSet<String>) -> Option<String> {
    table.dropped.clear();
    table.used.clear();
    let body = Body::parse(code);
    let (statements, items) = body.statements_and_items();
    let mut emptied = Vec::new();
    let modules = table.place(&items, &mut emptied);
    let own: Vec<&str> = modules.iter().map(|(item, _)| &*item.name).collect();
    let mut edits = Vec::new();
    let place = |range: TextRange| body.offset(range.start())..body.offset(range.end());
    for statement in &statements {
        let Range { start, end } = place(statement.text_range());
        let first = tokens(statement)
            .next()
            .map_or(start, |token| body.offset(token.text_range().start()));
        if let Some(item) = ast::Item::cast(statement.clone()) {
            if let ast::Item::MacroRules(rules) = &item {
                table.macros.note(rules);
            }
            if let Some(unnamed) = Unnamed::of(&item) {
                edits.push((first..first, table.name(unnamed, &own)));
            }
            let module = Named::of(&item).and_then(|named| {
                let (_, module) = modules.iter().find(|(item, _)| *item == named)?;
                module.clone()
            });
            if let Some(module) = module {
                edits.push((first..first, format!("mod {module} {{ use super::*; ")));
                if let Some(at) = names::place_of_visibility(&item) {
                    let at = body.offset(at);
                    edits.push((at..at, "pub(crate) ".to_owned()));
                }
                edits.push((end..end, format!(" }} use {module}::*;")));
            }
        } else if let Some(call) = macros::call(statement)
            && let Some(new) = table.macros.items_of(&call, &code[start..end], defined)
        {
            edits.push((start..end, new));
        }
    }
    emptied.extend(table.free.iter().cloned());
    let filled = modules.into_iter().filter_map(|(_, module)| module);
    table.used.extend(emptied.iter().cloned().chain(filled));
    if let Some(first) = items.first().filter(|_| !emptied.is_empty()) {
        let modules: String = emptied
            .iter()
            .map(|name| format!("mod {name} {{}} "))
            .collect();
        let first = tokens(first.syntax()).next()?;
        let at = body.offset(first.text_range().start());
        edits.insert(0, (at..at, modules));
        edits.sort_by_key(|(range, _)| range.start);
    }
    if edits.is_empty() {
        return None;
    }
    let mut code = code.to_owned();
    for (range, new) in edits.into_iter().rev() {
        code.replace_range(range, &new);
    }
    Some(code)
}

impl Table {
    /// Records a cell's named items. Returns them with the modules that some of them must be in.
    fn place(
        &mut self,
        items: &[ast::Item],
        emptied: &mut Vec<String>,
    ) -> Vec<(Named, Option<String>)> {
        for item in items {
            if let ast::Item::Use(import) = item {
                let words = macros::words(import.syntax());
                self.names.import(words.iter().map(String::as_str), emptied);
            }
        }
        let mut named: Vec<Named> = items.iter().filter_map(Named::of).collect();
        named.sort_by_key(Named::rank);
        for item in &named {
            self.disown(&item.name);
        }
        named
            .into_iter()
            .map(|item| {
                let module = self.names.place(&item, emptied);
                (item, module)
            })
            .collect()
    }

    /// Removes the blocks that belong to a redefined item.
    fn disown(&mut self, name: &str) {
        let is_its = |unnamed: &Unnamed| unnamed.owners.iter().any(|owner| owner == name);
        let gone = self.unnamed.extract_if(|_, unnamed| is_its(unnamed));
        self.free.extend(gone.map(|(name, _)| name));
        self.free.sort();
    }

    /// Names a block, and replaces those that it conflicts with. `own` are the items of its cell.
    fn name(&mut self, mut unnamed: Unnamed, own: &[&str]) -> String {
        let is_in_header = |name: &&str| unnamed.header.split(' ').any(|word| word == *name);
        unnamed.owners = own
            .iter()
            .copied()
            .filter(is_in_header)
            .map(str::to_owned)
            .collect();
        let mut old: Vec<String> = self
            .unnamed
            .iter()
            .filter(|(_, known)| known.conflicts_with(&unnamed))
            .map(|(name, _)| name.clone())
            .collect();
        old.sort();
        for known in old.iter().map(|name| &self.unnamed[name]) {
            let names = known.names.difference(&unnamed.names);
            let header = known.header.trim().to_owned();
            let dropped = names.map(|name| (header.clone(), name.clone()));
            self.dropped.extend(dropped);
        }
        let name = old.pop().or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.n_named += 1;
            format!("{PREFIX}unnamed_{}", self.n_named)
        });
        let mut text = String::new();
        for name in old {
            self.unnamed.remove(&name);
            text += &format!("mod {name} {{}} ");
            self.used.push(name);
        }
        text += &format!("mod {name} {{}} ");
        self.used.push(name.clone());
        self.unnamed.insert(name, unnamed);
        text
    }
}

/// The compiled text: macros that make items are at the top level, where all code can see the
/// items.
pub(crate) fn unwrap(text: &str) -> Option<String> {
    if !text.contains(MADE) {
        return None;
    }
    let file = SourceFile::parse(text, Edition::Edition2024);
    let mut edits = Vec::new();
    for item in file.tree().items() {
        match &item {
            ast::Item::Module(module) => {
                let name = module
                    .name()
                    .map(|name| name.text().to_string())
                    .unwrap_or_default();
                let Some(list) = module.item_list().filter(|_| name.starts_with(MADE)) else {
                    continue;
                };
                let mut items = list.items();
                // A module whose item was replaced.
                let Some(first) = items.next() else { continue };
                let mut own = first.syntax().text_range();
                if let Some(maker @ ast::Item::MacroRules(_)) = items.next() {
                    own = maker.syntax().text_range();
                }
                let (open, close) = (
                    list.syntax().text_range().start(),
                    list.syntax().text_range().end(),
                );
                edits.push((
                    usize::from(open)..usize::from(own.end()),
                    "{ pub(crate) use super::*; }".to_owned(),
                ));
                edits.push((usize::from(close) - 1..usize::from(close), " ".to_owned()));
            }
            ast::Item::Use(import)
                if import
                    .use_tree()
                    .is_some_and(|tree| tree.syntax().text().to_string().starts_with(MADE)) =>
            {
                let range = import.syntax().text_range();
                edits.push((
                    usize::from(range.start())..usize::from(range.end()),
                    String::new(),
                ));
            }
            _ => {}
        }
    }
    let mut text = text.to_owned();
    edits.sort_by_key(|(range, _)| range.start);
    for (range, new) in edits.iter().rev() {
        text.replace_range(range.clone(), new);
    }
    (!edits.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(table: &mut Table, code: &str) -> String {
        rewrite(table, code, &HashSet::new()).unwrap_or_else(|| code.to_owned())
    }

    #[test]
    fn what_has_no_name_gets_one_and_the_place_of_what_it_conflicts_with() {
        let mut table = Table::default();
        let mut run = |code: &str| rewritten(&mut table, code);
        let impls = [
            "impl S { fn a(&self) {} }",
            "impl S { fn b(&self) {} }",
            "impl Debug for S { }",
        ];
        for (code, n) in impls.iter().zip(1..) {
            let expected = format!("mod forklore_unnamed_{n} {{}} {code}");
            assert_eq!(run(code), expected);
            assert_eq!(run(code), expected, "run again");
        }
        let both = "impl S { fn a(&self) {}\nfn b(&self) {} }";
        assert_eq!(
            run(both),
            format!("mod forklore_unnamed_1 {{}} mod forklore_unnamed_2 {{}} {both}")
        );
        // Together with its struct, whose cell it belongs to from now on.
        let cell = "struct S; impl S { fn a(&self) {} }";
        let named = "struct S; mod forklore_unnamed_2 {} impl S { fn a(&self) {} }";
        assert_eq!(run(cell), named);
        assert_eq!(run("// Why.\n#[inert] impl T { }").lines().count(), 2);
    }

    #[test]
    fn what_is_compiled_has_the_calls_at_the_top() {
        let text = "use forklore_made_make_W::W;\nmod forklore_made_make_W { use super::*; macro_rules! make { () => {} } make!(W);\n}\nmacro_rules! make { () => {} }\n";
        let new = unwrap(text).unwrap();
        assert_eq!(
            new,
            "\nmod forklore_made_make_W { pub(crate) use super::*; } make!(W);\n \nmacro_rules! make { () => {} }\n"
        );
        assert!(unwrap("fn f() {}").is_none());
    }
}
