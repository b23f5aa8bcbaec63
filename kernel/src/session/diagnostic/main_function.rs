//! Errors that rustc reports only for a program's `main`: in the crate of a cell, `main` is a
//! function like any other.

use ra_ap_syntax::ast::{self, HasGenericParams, HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile, SyntaxNode};

use super::message::{Label, Message, Place};
use super::source::Sources;
use super::{Cells, in_a_line, render};
use crate::cell;
use crate::session::CellError;

/// The error for a cell that would be a program, but has a wrong `main`.
pub(in crate::session) fn wrong_main(cells: Cells<'_>) -> Option<CellError> {
    if !cells.code.contains("fn main") {
        return None;
    }
    let from = cell::commands_end(cells.code);
    let parsed = SourceFile::parse(&cells.code[from..], Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return None;
    }
    let mut functions = parsed.tree().items().filter_map(|item| match item {
        ast::Item::Fn(function) => Some(function),
        _ => None,
    });
    let main =
        functions.find(|function| function.name().is_some_and(|name| name.text() == "main"))?;
    let (node, code, title, label) = mistake(&main)?;
    let sources = Sources::new(cells, String::new());
    let range = node.text_range();
    let bytes = from + usize::from(range.start())..from + usize::from(range.end());
    let mut message = Message::new("error", title);
    message.code = Some(code.to_owned());
    message.labels.push(Label {
        place: Place::Cell(sources.in_cell(bytes)),
        is_primary: true,
        text: Some(label.to_owned()),
    });
    Some(CellError {
        ename: "CompileError".to_owned(),
        evalue: in_a_line(&message),
        traceback: vec![render::render(&message, &sources)],
    })
}

/// The mistake in a `main`, as rustc reports it: its position, the code, and the texts.
fn mistake(main: &ast::Fn) -> Option<(SyntaxNode, &'static str, &'static str, &'static str)> {
    if let Some(list) = main.generic_param_list() {
        return Some((
            list.syntax().clone(),
            "E0131",
            "`main` function is not allowed to have generic parameters",
            "`main` cannot have generic parameters",
        ));
    }
    if let Some(clause) = main.where_clause() {
        return Some((
            clause.syntax().clone(),
            "E0646",
            "`main` function is not allowed to have a `where` clause",
            "`main` cannot have a `where` clause",
        ));
    }
    let list = main.param_list()?;
    list.params().next().is_some().then(|| {
        (
            list.syntax().clone(),
            "E0580",
            "`main` function has wrong type",
            "`main` has no parameters",
        )
    })
}
