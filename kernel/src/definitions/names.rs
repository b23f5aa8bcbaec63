//! Different items with the same name: a module, a function and a macro may all be called `a`.
//!
//! evcxr keeps one item per name. So an item that shares another's name without a conflict is kept
//! under a name that the kernel chooses: in a module, from which everything is imported. That is
//! for evcxr and rust-analyzer; the compiled text has the item at the top level (see
//! `rewrite::unwrap`).
//!
//! ```text
//! mod a { … }                    as it is
//! fn a() { … }                   mod forklore_made_fn_a { use super::*; pub(crate) fn a() { … } } use forklore_made_fn_a::*;
//! ```

use std::collections::HashMap;

use ra_ap_syntax::ast::{HasName, HasVisibility};
use ra_ap_syntax::{AstNode, NodeOrToken, ast};

use super::generated::MADE;

/// Rust's namespaces: types, values, macros.
type Spaces = u8;
const TYPE: Spaces = 1;
const VALUE: Spaces = 2;
const MACRO: Spaces = 4;

/// An item that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    spaces: Spaces,
    kind: &'static str,
}

impl Named {
    pub(super) fn of(item: &ast::Item) -> Option<Named> {
        let (name, spaces, kind) = match item {
            ast::Item::Const(item) => (item.name(), VALUE, "const"),
            ast::Item::Enum(item) => (item.name(), TYPE, "enum"),
            ast::Item::Fn(item) => (item.name(), VALUE, "fn"),
            ast::Item::MacroRules(item) => (item.name(), MACRO, "macro"),
            ast::Item::Module(item) => (item.name(), TYPE, "mod"),
            ast::Item::Static(item) => (item.name(), VALUE, "static"),
            ast::Item::Struct(item) => {
                let is_record =
                    matches!(item.field_list(), Some(ast::FieldList::RecordFieldList(_)));
                let spaces = if is_record { TYPE } else { TYPE | VALUE };
                (item.name(), spaces, "struct")
            }
            ast::Item::Trait(item) => (item.name(), TYPE, "trait"),
            ast::Item::TypeAlias(item) => (item.name(), TYPE, "type"),
            ast::Item::Union(item) => (item.name(), TYPE, "union"),
            _ => return None,
        };
        Some(Named {
            name: name?.text().to_string(),
            spaces,
            kind,
        })
    }

    /// The order in which items get a name: macros, types, then values. evcxr must see a macro
    /// itself, and types are tracked by name.
    pub(super) fn rank(&self) -> u8 {
        match self.spaces {
            MACRO => 0,
            VALUE => 2,
            _ => 1,
        }
    }
}

/// What has a name.
#[derive(Debug, Clone)]
struct Holder {
    spaces: Spaces,
    /// The module that the item is in; without one, evcxr itself keeps the item.
    module: Option<String>,
}

/// Which item holds which name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    holders: HashMap<String, Vec<Holder>>,
}

impl Names {
    /// Records an item. Returns the module that it must be in, if evcxr would confuse it with
    /// another one, and adds the modules of the items that it replaces to `emptied`.
    pub(super) fn place(&mut self, item: &Named, emptied: &mut Vec<String>) -> Option<String> {
        let holders = self.holders.entry(item.name.clone()).or_default();
        let is_replaced = |holder: &Holder| holder.spaces & item.spaces != 0;
        let replaced = holders.iter().filter(|holder| is_replaced(holder));
        emptied.extend(replaced.filter_map(|holder| holder.module.clone()));
        // evcxr has only one item per name, and a macro replaces it.
        holders.retain(|holder| {
            !(is_replaced(holder) || item.spaces == MACRO && holder.module.is_none())
        });
        let is_taken = holders.iter().any(|holder| holder.module.is_none());
        let module = is_taken.then(|| format!("{MADE}{}_{}", item.kind, item.name));
        if let Some(module) = &module {
            emptied.retain(|name| name != module);
        }
        holders.push(Holder {
            spaces: item.spaces,
            module: module.clone(),
        });
        module
    }

    /// An import of these names replaces every item that has one of them.
    pub(super) fn import<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        emptied: &mut Vec<String>,
    ) {
        for name in names {
            let holders = self.holders.remove(name).unwrap_or_default();
            emptied.extend(holders.into_iter().filter_map(|holder| holder.module));
        }
    }
}

/// The offset for `pub(crate)` in an item's text, unless the item has its own visibility.
pub(super) fn place_of_visibility(item: &ast::Item) -> Option<ra_ap_syntax::TextSize> {
    let visibility = match item {
        ast::Item::Const(item) => item.visibility(),
        ast::Item::Enum(item) => item.visibility(),
        ast::Item::Fn(item) => item.visibility(),
        ast::Item::Module(item) => item.visibility(),
        ast::Item::Static(item) => item.visibility(),
        ast::Item::Struct(item) => item.visibility(),
        ast::Item::Trait(item) => item.visibility(),
        ast::Item::TypeAlias(item) => item.visibility(),
        ast::Item::Union(item) => item.visibility(),
        _ => None,
    };
    if visibility.is_some() {
        return None;
    }
    let mut parts = item.syntax().children_with_tokens();
    let first = parts.find(|part| match part {
        NodeOrToken::Token(token) => !token.kind().is_trivia(),
        NodeOrToken::Node(node) => !ast::Attr::can_cast(node.kind()),
    })?;
    Some(first.text_range().start())
}

#[cfg(test)]
mod tests {
    use ra_ap_syntax::ast::HasModuleItem;
    use ra_ap_syntax::{Edition, SourceFile};

    use super::*;

    fn item(code: &str) -> ast::Item {
        let file = SourceFile::parse(code, Edition::Edition2024).tree();
        file.items().next().unwrap()
    }

    /// The modules of these items, and the modules that they empty.
    fn placed(items: &[&str]) -> (Vec<Option<String>>, Vec<String>) {
        let (mut names, mut emptied) = (Names::default(), Vec::new());
        let place = |code: &&str| names.place(&Named::of(&item(code)).unwrap(), &mut emptied);
        let modules = items.iter().map(place).collect();
        (modules, emptied)
    }

    #[test]
    fn what_stands_in_nothing_s_way_is_kept_beside_it() {
        let made = |name: &str| Some(format!("forklore_made_{name}"));
        for (items, module) in [
            (["mod a {}", "fn a() {}"], made("fn_a")),
            (["fn S() {}", "struct S { a: u8 }"], made("struct_S")),
            (["macro_rules! m { () => {} }", "fn m() {}"], made("fn_m")),
            (["struct S;", "fn S() {}"], None),
            (["fn a() {}", "const a: u8 = 1;"], None),
            (["fn m() {}", "macro_rules! m { () => {} }"], None),
        ] {
            assert_eq!(placed(&items), (vec![None, module], vec![]), "{items:?}");
        }
    }

    #[test]
    fn what_is_replaced_leaves_an_empty_module() {
        let (modules, emptied) = placed(&["mod a {}", "fn a() {}", "const a: u8 = 1;"]);
        assert_eq!(modules[2].as_deref(), Some("forklore_made_const_a"));
        assert_eq!(emptied, ["forklore_made_fn_a"]);
        // The same item again replaces itself.
        let (modules, emptied) = placed(&["mod a {}", "fn a() {}", "fn a() { }", "mod a { }"]);
        assert_eq!(modules[2].as_deref(), Some("forklore_made_fn_a"));
        assert!(modules[3].is_none() && emptied.is_empty());
    }

    #[test]
    fn an_import_takes_the_place_of_all() {
        let (mut names, mut emptied) = (Names::default(), Vec::new());
        for code in ["mod a {}", "fn a() {}"] {
            names.place(&Named::of(&item(code)).unwrap(), &mut emptied);
        }
        names.import(["a", "b"].into_iter(), &mut emptied);
        assert_eq!(emptied, ["forklore_made_fn_a"]);
        assert_eq!(
            names.place(&Named::of(&item("fn a() {}")).unwrap(), &mut emptied),
            None
        );
    }

    #[test]
    fn a_visibility_stands_behind_attributes() {
        let place = |code: &str| place_of_visibility(&item(code)).map(usize::from);
        assert_eq!(place("#[inline] async fn f() {}"), Some(10));
        assert_eq!(place("/// Doc.\nstruct S;"), Some(9));
        assert_eq!(place("pub fn f() {}"), None);
    }
}
