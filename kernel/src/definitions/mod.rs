//! The definitions of the session's cells: every later cell is compiled with a copy of them.
//!
//! evcxr keeps items as text and compiles them again with each cell. That causes three problems,
//! which this module fixes:
//!
//! - **A type that changes.** To the compiler a type's identity is its path and the names of its
//!   fields, so a variable made before `struct S { a: u8 }` became `struct S { a: String }` would
//!   be misread. Before the cell runs, the definitions' text shows which variables have a type that
//!   the cell changes (`changed_types`); the cell itself reports them ([`lost`]).
//! - **A static** would be initialised again in every cell. Each is exported under a name that
//!   stays the same until its cell runs again, and the loader binds all cells to the first one
//!   loaded ([`statics`]).
//! - **An item without a name**, or made by a macro, would be kept twice or not at all
//!   ([`rewrite`]).
//!
//! [`Definitions::prepare`] returns what a cell changes. That takes effect once the cell has
//! succeeded.

mod changed_types;
pub(crate) mod generated;
pub(crate) mod lost;
mod macros;
mod names;
pub(crate) mod rewrite;
pub(crate) mod statics;

use std::collections::{HashMap, HashSet};

use ra_ap_syntax::{AstNode, SyntaxNode, ast};

use crate::cell::Body;
use changed_types::Type;
use lost::Lost;
use statics::Numbered;

/// The items of a session, as far as later cells depend on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    /// By name: types, and items that types consist of.
    types: HashMap<String, Type>,
    statics: Vec<Numbered>,
    /// Numbers are never reused: the object of a failed cell may still be loaded.
    n_numbered: u64,
    table: rewrite::Table,
}

/// A cell, and what it changes.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The cell's text for evcxr, if it differs from what the user wrote.
    pub(crate) rewritten: Option<String>,
    /// The definitions once the cell has succeeded.
    pub(crate) after: Definitions,
    /// The variables that the cell loses.
    pub(crate) lost: Vec<Lost>,
    /// Earlier cells' statics that are initialised again, each with the item that causes it.
    pub(crate) restarted: Vec<(String, String)>,
    /// Whether the cell only defines items and runs nothing.
    pub(crate) only_defines: bool,
}

impl Definitions {
    /// What `code`, without leading commands, changes, given these variables with these types, and
    /// items with these names.
    pub(crate) fn prepare(
        &mut self,
        code: &str,
        variables: &[(String, String)],
        defined: &HashSet<String>,
    ) -> Prepared {
        let mut after = self.clone();
        let rewritten = rewrite::rewrite(&mut after.table, code, defined);
        let body = Body::parse(rewritten.as_deref().unwrap_or(code));
        let statements: Vec<SyntaxNode> = body.statements().collect();
        let items: Vec<ast::Item> = statements
            .iter()
            .filter_map(|node| ast::Item::cast(node.clone()))
            .collect();
        let changed = changed_types::define(&mut after.types, &items);
        let mut lost: Vec<Lost> = variables
            .iter()
            .filter_map(|(variable, type_name)| {
                let because_of = changed_types::first_of(&changed, type_name)?;
                Some(Lost {
                    variable: variable.clone(),
                    because_of,
                })
            })
            .collect();
        lost.sort_by(|a, b| a.variable.cmp(&b.variable));
        let restarted = after.restart_statics(&changed);
        after.number_statics(&items);
        self.n_numbered = after.n_numbered;
        Prepared {
            rewritten,
            after,
            lost,
            restarted,
            only_defines: items.len() == statements.len(),
        }
    }

    /// What the last cell has replaced without redefining it: the header of an `impl`, and a name
    /// in it.
    pub(crate) fn dropped(&self) -> &[(String, String)] {
        &self.table.dropped
    }

    /// Text to append to the last cell in its original form, so that no item exists twice.
    pub(crate) fn clearing(&self) -> String {
        let modules = self
            .table
            .used
            .iter()
            .map(|name| format!("mod {name} {{}} "));
        std::iter::once("\n".to_owned()).chain(modules).collect()
    }

    /// Forgets how the last cell was rewritten, because it succeeded unchanged.
    pub(crate) fn written_after(mut self, before: &Definitions) -> Definitions {
        self.table = before.table.clone();
        self
    }

    /// The statics with the numbers in their exported names.
    pub(crate) fn statics(&self) -> &[Numbered] {
        &self.statics
    }

    /// Statics of a changed type cannot be shared with earlier cells.
    fn restart_statics(&mut self, changed: &changed_types::Changed) -> Vec<(String, String)> {
        let mut restarted = Vec::new();
        for item in &mut self.statics {
            if let Some(because_of) = changed_types::first_of(changed, &item.text) {
                self.n_numbered += 1;
                item.number = self.n_numbered;
                let names = item.names.iter().cloned();
                restarted.extend(names.map(|name| (name, because_of.clone())));
            }
        }
        restarted.sort();
        restarted
    }

    /// Running a cell again makes new statics.
    fn number_statics(&mut self, items: &[ast::Item]) {
        for item in items {
            let names = statics::names(item.syntax());
            if names.is_empty() {
                continue;
            }
            let text = statics::text(item.syntax());
            let name = changed_types::name(item);
            let replaces = |known: &Numbered| name.is_some() && known.item == name;
            self.statics
                .retain(|known| known.text != text && !replaces(known));
            self.n_numbered += 1;
            self.statics.push(Numbered {
                text,
                item: name,
                names,
                number: self.n_numbered,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, of): &(&str, &str)| ((*name).to_owned(), (*of).to_owned());
        list.iter().map(own).collect()
    }

    /// The variables that the last of these cells loses.
    fn lost(cells: &[&str], existing: &[(&str, &str)]) -> Vec<String> {
        let mut definitions = Definitions::default();
        let mut lost = Vec::new();
        for cell in cells {
            let prepared = definitions.prepare(cell, &variables(existing), &HashSet::new());
            lost = prepared
                .lost
                .into_iter()
                .map(|lost| lost.variable)
                .collect();
            definitions = prepared.after;
        }
        lost
    }

    #[test]
    fn a_type_that_changes_takes_along_whatever_holds_it_and_nothing_else() {
        let first =
            "struct S { a: u8 } struct Outer(Vec<S>); type Alias = Outer; trait T { fn f(&self); }";
        let existing = [
            ("s", "S"),
            ("list", "alloc::vec::Vec<S>"),
            ("outer", "Outer"),
            ("alias", "Option<Alias>"),
            ("dynamic", "Box<dyn T>"),
            ("n", "i32"),
            ("similar", "SS"),
        ];
        let all = ["alias", "list", "outer", "s"];
        for changes in [
            "struct S { a: u64 }",
            "enum S { A }",
            "#[repr(C)] struct S { a: u8 }",
        ] {
            assert_eq!(lost(&[first, changes], &existing), all, "{changes}");
        }
        assert_eq!(
            lost(&[first, "trait T { fn f(&self); fn g(&self); }"], &existing),
            ["dynamic"]
        );
        for same in [
            first,
            "#[derive(Debug)]\n// Another comment.\nstruct S{a:u8}",
            "impl S { fn f(&self) {} }",
            "fn S() {}",
            "fn f() -> S { S { a: 1 } }",
            "let S: u8 = 1;",
        ] {
            assert!(lost(&[first, same], &existing).is_empty(), "{same}");
        }
    }

    #[test]
    fn what_a_type_is_made_of_may_be_a_constant_or_in_a_module() {
        let cells = [
            "const N: usize = 2; struct S([u8; N]);",
            "const N: usize = 3;",
        ];
        assert_eq!(lost(&cells, &[("s", "S")]), ["s"]);
        let cells = [
            "mod m { pub struct S(u8); pub fn f() {} }",
            "mod m { pub struct S(u16); }",
        ];
        assert_eq!(lost(&cells, &[("s", "m::S")]), ["s"]);
        let cells = [cells[0], "mod m { pub struct S(u8); pub fn g() {} }"];
        assert!(lost(&cells, &[("s", "m::S")]).is_empty());
    }

    #[test]
    fn a_static_keeps_its_number_until_its_cell_or_its_type_comes_again() {
        let mut definitions = Definitions::default();
        let mut numbers = |cell: &str| {
            let prepared = definitions.prepare(cell, &[], &HashSet::new());
            definitions = prepared.after;
            let numbers = definitions.statics().iter().map(|item| item.number);
            (numbers.collect::<Vec<_>>(), prepared.restarted)
        };
        let first =
            "struct S(u8); static A: Mutex<S> = Mutex::new(S(1)); mod m { static B: u8 = 1; }";
        assert_eq!(numbers(first), (vec![1, 2], vec![]));
        assert_eq!(numbers("A.lock()"), (vec![1, 2], vec![]));
        assert_eq!(
            numbers("struct S(u16);"),
            (vec![3, 2], vec![("A".to_owned(), "S".to_owned())])
        );
        assert_eq!(numbers("static A: u8 = 2;").0, [2, 4]);
    }
}
