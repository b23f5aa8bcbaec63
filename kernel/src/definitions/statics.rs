//! One instance of each static for all cells.
//!
//! Every cell has its own copy of the earlier items, and so of their statics. A static that is
//! exported from the cell's shared object is resolved by the loader, which binds to the first
//! loaded one of a name. So each static gets a unique name when the cell is compiled:
//!
//! ```text
//! static HITS: AtomicUsize = …        as the session has it
//!
//! #[unsafe(export_name = "forklore.static.3.0")]       at the end of the line before: every character of the
//! static HITS: AtomicUsize = …                         cell's stays where it was, for the compiler's messages
//! ```
//!
//! The number is unique in the session: running a cell again makes new statics, and a failed cell
//! leaves none. This module does not see statics that a macro makes, except those of
//! `thread_local!` (see [`crate::cell`]).
//!
//! All cells also share the statics of crates that cells have added (see `evcxr::crates`).
//!
//! Other processes have their own statics. A forked worker has the owner's values as of the fork; a
//! worker from a fork server or spawn starts with the initial values, and so does any worker for a
//! static of a cell that ran after the worker had started. To share data between processes, use
//! `forklore::Value` or `SharedArray`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use ra_ap_syntax::ast::{HasAttrs, HasName};
use ra_ap_syntax::{AstNode, Edition, NodeOrToken, SourceFile, SyntaxNode, ast};
use serde::{Deserialize, Serialize};

/// The file with the numbers, in a session's tools.
const FILE: &str = "statics";
/// The attribute's parts, with the static's number in between. It is inserted before a static, at
/// the end of the previous line.
pub(crate) const EXPORT_BEGINS: &str = " #[unsafe(export_name = \"forklore.static.";
pub(crate) const EXPORT_ENDS: &str = "\")] ";
/// Exported by a cell that exports statics.
pub(crate) const MARK: &str = "FORKLORE_STATICS";

/// An item that contains statics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbered {
    /// The item's text.
    pub(super) text: String,
    /// The item's own name, if it has one.
    pub(super) item: Option<String>,
    /// The statics in it.
    pub(super) names: Vec<String>,
    /// The number in their exported names.
    pub(super) number: u64,
}

/// Writes the statics for the compile of the cells.
pub(crate) fn write(tools: &Path, statics: &[Numbered]) -> io::Result<()> {
    let file = tools.join(FILE);
    if statics.is_empty() && !file.exists() {
        return Ok(());
    }
    fs::write(file, serde_json::to_vec(statics)?)
}

/// An item's text without the comments before it, which in another file may belong to the previous
/// item.
pub(super) fn text(item: &SyntaxNode) -> String {
    let mut tokens = item
        .descendants_with_tokens()
        .filter_map(NodeOrToken::into_token);
    let first = tokens.find(|token| !token.kind().is_trivia());
    let start = first.map_or(0.into(), |token| {
        token.text_range().start() - item.text_range().start()
    });
    item.text().slice(start..).to_string()
}

/// The names of the statics in an item.
pub(super) fn names(item: &SyntaxNode) -> Vec<String> {
    let names = statics_in(item).filter_map(|item| Some(item.name()?.text().to_string()));
    names.collect()
}

fn statics_in(item: &SyntaxNode) -> impl Iterator<Item = ast::Static> {
    item.descendants()
        .filter_map(ast::Static::cast)
        .filter(|item| item.body().is_some() && !has_own_name(item))
}

/// Whether it is already exported.
fn has_own_name(item: &ast::Static) -> bool {
    item.attrs().any(|attribute| {
        let text = attribute.syntax().text().to_string();
        text.contains("no_mangle") || text.contains("export_name")
    })
}

/// The text of a cell with its statics exported; `None` if there are none.
pub(crate) fn export(tools: &Path, text: &str) -> Option<String> {
    if !text.contains("static ") {
        return None;
    }
    let statics: Vec<Numbered> = serde_json::from_slice(&fs::read(tools.join(FILE)).ok()?).ok()?;
    exported(&statics, text)
}

fn exported(statics: &[Numbered], text: &str) -> Option<String> {
    let numbers: HashMap<&str, u64> = statics
        .iter()
        .map(|item| (item.text.as_str(), item.number))
        .collect();
    if numbers.is_empty() {
        return None;
    }
    let file = SourceFile::parse(text, Edition::Edition2024).syntax_node();
    let mut places = Vec::new();
    for item in file.children() {
        let Some(number) = numbers.get(self::text(&item).as_str()) else {
            continue;
        };
        for (index, found) in statics_in(&item).enumerate() {
            let start = usize::from(found.syntax().text_range().start());
            let attribute = format!("{EXPORT_BEGINS}{number}.{index}{EXPORT_ENDS}");
            places.push((before(text, start), attribute));
        }
    }
    let mut text = text.to_owned();
    for (at, attribute) in places.iter().rev() {
        text.insert_str(*at, attribute);
    }
    let mark = format!("#[allow(warnings)] #[unsafe(no_mangle)] pub static {MARK}: u8 = 0;\n");
    text.push_str(&mark);
    (!places.is_empty()).then_some(text)
}

/// Where an attribute for the item at `start` moves nothing: at the end of the previous line, if
/// only white space is in between, and that line does not end with a comment.
fn before(text: &str, start: usize) -> usize {
    let Some(line_end) = text[..start].rfind('\n') else {
        return start;
    };
    let line = text[..line_end].rfind('\n').map_or(0, |end| end + 1);
    let is_free = text[line_end..start].trim().is_empty() && !text[line..line_end].contains("//");
    if is_free { line_end } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statics_of_items_are_exported_and_no_line_moves() {
        let item = "mod m {\n  /// Doc.\n  pub static A: u8 = 1;\n  fn f() { static B: u8 = 2; } // last\n  static C: u8 = 3;\n}";
        let statics = [Numbered {
            text: item.to_owned(),
            item: None,
            names: Vec::new(),
            number: 7,
        }];
        let text = format!("#![allow(warnings)]\n{item}\nfn run() {{ static OWN: u8 = 1; }}\n");
        let new = exported(&statics, &text).unwrap();
        let name = |index| format!(" #[unsafe(export_name = \"forklore.static.7.{index}\")] ");
        let expected = [
            "#![allow(warnings)]\n".to_owned(),
            format!("mod m {{{}\n", name(0)),
            "  /// Doc.\n  pub static A: u8 = 1;\n".to_owned(),
            format!(
                "  fn f() {{ {}static B: u8 = 2; }} {}// last\n",
                name(1),
                name(2)
            ),
            "  static C: u8 = 3;\n}\n".to_owned(),
            "fn run() { static OWN: u8 = 1; }\n".to_owned(),
        ];
        assert!(new.starts_with(&expected.concat()), "{new}");
        assert!(new.ends_with(&format!("pub static {MARK}: u8 = 0;\n")));
    }

    #[test]
    fn what_has_a_name_already_or_no_value_is_left_alone() {
        for item in [
            "#[unsafe(no_mangle)] static A: u8 = 1;",
            "unsafe extern \"C\" { static environ: *const u8; }",
            "fn f() -> &'static str { \"static x\" }",
        ] {
            let file = SourceFile::parse(item, Edition::Edition2024).syntax_node();
            assert!(names(&file).is_empty(), "{item}");
        }
    }
}
