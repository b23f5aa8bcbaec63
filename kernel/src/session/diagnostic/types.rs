//! Variables whose type evcxr could not write correctly: the `let` gets the type that rustc
//! suggests.
//!
//! evcxr asks rust-analyzer for the type of a `let`, and writes that type where the variable is
//! kept. Inside a `Box<dyn Error>` it omits the path, so rustc does not find the trait, but
//! suggests what to import.

use std::collections::BTreeMap;
use std::ops::Range;

use ra_ap_syntax::{AstNode, ast};
use serde_json::Value;

use super::message::array;
use super::source::Sources;
use super::words::stored_variable;
use super::{Cells, is_error};
use crate::cell;

/// The cell with the types of such variables, if rustc has no other complaints.
pub(in crate::session) fn with_types(
    said: &[Value],
    cells: Cells<'_>,
    generated: String,
) -> Option<String> {
    let sources = Sources::new(cells, generated);
    let mut paths: BTreeMap<String, Vec<(Range<usize>, String)>> = BTreeMap::new();
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    for error in said.iter().filter(is_error) {
        let (variable, line, found) = unknown_name(error, &sources)?;
        types.insert(variable.clone(), line);
        let paths = paths.entry(variable).or_default();
        if !paths.contains(&found) {
            paths.push(found);
        }
    }
    let mut code = cells.code.to_owned();
    for (variable, line) in types {
        let mut line = line;
        let mut found = paths.remove(&variable)?;
        found.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.start));
        for (bytes, path) in found {
            line.replace_range(bytes, &path);
        }
        let (_, rest) = line.split_once("put_variable::<")?;
        let (type_name, _) = rest.rsplit_once(">(stringify!(")?;
        let at = end_of_pattern(&code, &variable)?;
        code.insert_str(at, &format!(": {type_name}"));
    }
    (code != cells.code).then_some(code)
}

/// For a name that rustc does not know in a variable's type: the variable, the generated line, the
/// name's position in it, and the correct name.
fn unknown_name(
    error: &Value,
    sources: &Sources<'_>,
) -> Option<(String, String, (Range<usize>, String))> {
    let span = array(&error["spans"])
        .iter()
        .find(|span| span["is_primary"] == true)?;
    let column = |name: &str| usize::try_from(span[name].as_u64()?).ok()?.checked_sub(1);
    let line = sources.generated_line(usize::try_from(span["line_start"].as_u64()?).ok()?)?;
    let variable = stored_variable(line)?.to_owned();
    let place = column("column_start")?..column("column_end")?;
    let suggested = array(&error["children"])
        .iter()
        .flat_map(|child| array(&child["spans"]));
    let imports = suggested.filter_map(|span| {
        let import = span["suggested_replacement"].as_str()?.trim();
        import.strip_prefix("use ")?.strip_suffix(';')
    });
    let imports: Vec<&str> = imports.collect();
    let of_std = imports.iter().find(|path| path.starts_with("std::"));
    let path = of_std.or(imports.first())?;
    line.is_ascii()
        .then(|| (variable, line.to_owned(), (place, (*path).to_owned())))
}

/// Where a type can be inserted in the `let` of a variable that has none.
fn end_of_pattern(code: &str, variable: &str) -> Option<usize> {
    let from = cell::commands_end(code);
    let body = cell::Body::parse(&code[from..]);
    let lets = body.statements().filter_map(ast::LetStmt::cast);
    let own = lets.filter(|statement| {
        let name = match statement.pat() {
            Some(ast::Pat::IdentPat(pattern)) => ast::HasName::name(&pattern),
            _ => None,
        };
        statement.ty().is_none() && name.is_some_and(|name| name.text() == variable)
    });
    let pattern = own.last()?.pat()?;
    Some(from + body.offset(pattern.syntax().text_range().end()))
}
