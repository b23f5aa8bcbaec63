//! A program pasted into a cell: items with a `main`, which is then what the cell runs.
//!
//! The items are those of the session, as they are in any cell. What runs is a call of `main`
//! behind them, so `main`'s error is the cell's, and a cell that calls `main` itself is none of
//! this.

use ra_ap_syntax::ast::{self, HasAttrs, HasGenericParams, HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile};

use super::lines::{blank, commands_end};

/// Attributes of a crate that say what kind of crate it is: the cells' is another, and would stay
/// so.
const OF_A_CRATE: [&str; 5] = [
    "crate_name",
    "crate_type",
    "no_main",
    "no_std",
    "windows_subsystem",
];

/// The standard library's macros that are no items, though they may stand where an item may.
const EXPRESSIONS: [&str; 19] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "eprint",
    "eprintln",
    "format",
    "matches",
    "panic",
    "print",
    "println",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "writeln",
];

/// If the cell is a program: makes it one that runs.
pub(super) fn add_call(code: &mut String) {
    let from = commands_end(code);
    let parsed = SourceFile::parse(&code[from..], Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return;
    }
    let file = parsed.tree();
    if file.items().any(|item| is_expression(&item)) {
        return;
    }
    let mut functions = file.items().filter_map(|item| match item {
        ast::Item::Fn(function) => Some(function),
        _ => None,
    });
    let Some(call) = functions.find_map(|function| call_of(&function)) else {
        return;
    };
    for attribute in file.attrs() {
        let name = attribute.path().map(|path| path.syntax().to_string());
        if name.is_some_and(|name| OF_A_CRATE.contains(&&*name)) {
            let range = attribute.syntax().text_range();
            let place = |size| from + usize::from(size);
            blank(code, place(range.start()), place(range.end()));
        }
    }
    code.push('\n');
    code.push_str(&call);
}

/// Whether this can only be meant as a statement: then the cell is no program.
fn is_expression(item: &ast::Item) -> bool {
    let ast::Item::MacroCall(call) = item else {
        return false;
    };
    let name = call.path().map(|path| path.syntax().to_string());
    name.is_some_and(|name| EXPRESSIONS.contains(&&*name))
}

/// The statement that calls a function, if it is a program's `main`.
fn call_of(function: &ast::Fn) -> Option<String> {
    let name = function.name()?;
    let parameters = function.param_list()?;
    let has_parameters = parameters.params().next().is_some() || parameters.self_param().is_some();
    let is_generic = function.generic_param_list().is_some() || function.where_clause().is_some();
    if name.text() != "main" || has_parameters || is_generic {
        return None;
    }
    // `#[tokio::main]` and its like make an ordinary function of it.
    let is_made_ordinary = function.attrs().any(|attribute| {
        let last = attribute.path().and_then(|path| path.segment());
        last.is_some_and(|segment| segment.syntax().text() == "main")
    });
    let is_async = function.async_token().is_some() && !is_made_ordinary;
    let call = if is_async { "main().await" } else { "main()" };
    let returned = function.ret_type().and_then(|returned| returned.ty());
    Some(match returned {
        // No error can come of it, and a session without the library runs it too.
        None | Some(ast::Type::NeverType(_)) => format!("{call};"),
        Some(_) => format!("forklore::display::cell::ended({call})?;"),
    })
}
