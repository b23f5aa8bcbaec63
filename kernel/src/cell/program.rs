//! A program pasted into a cell: items with a `main`, which the cell then runs.
//!
//! The items become the session's, as in any cell. The code that runs is a call of `main` after
//! them, so `main`'s error is the cell's. A cell that calls `main` itself is not treated as a
//! program.

use ra_ap_syntax::ast::{self, HasAttrs, HasGenericParams, HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile};

use super::lines::{blank, commands_end};

/// Attributes that say what kind of crate a program is: the cells' crate is of another kind, and
/// the attributes would stay in force.
const OF_A_CRATE: [&str; 5] = [
    "crate_name",
    "crate_type",
    "no_main",
    "no_std",
    "windows_subsystem",
];

/// The standard library's macros that are not items, although they may be where an item may be.
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

/// If the cell is a program: adds the call of its `main`.
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

/// Whether this can only be a statement: then the cell is not a program.
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
    // `#[tokio::main]` and similar attributes make it an ordinary function.
    let is_made_ordinary = function.attrs().any(|attribute| {
        let last = attribute.path().and_then(|path| path.segment());
        last.is_some_and(|segment| segment.syntax().text() == "main")
    });
    let is_async = function.async_token().is_some() && !is_made_ordinary;
    let call = if is_async { "main().await" } else { "main()" };
    let returned = function.ret_type().and_then(|returned| returned.ty());
    Some(match returned {
        // It cannot return an error, and this form also runs in a session without the library.
        None | Some(ast::Type::NeverType(_)) => format!("{call};"),
        Some(_) => format!("forklore::display::cell::ended({call})?;"),
    })
}
