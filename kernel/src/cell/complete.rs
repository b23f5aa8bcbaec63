//! Decides whether a cell is complete, and converts the front end's cursor to a byte offset.
//!
//! A console asks for the first when the user presses Enter, to decide whether to run the cell or
//! to open another line. rust-analyzer's parser, which evcxr brings along, decides: code is
//! incomplete if more code could fix it, that is, if a bracket, a string or a comment is open, or
//! if the only error is that the code ends too early.

use ra_ap_syntax::{Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxToken, TextSize};

use crate::cell::is_command;

/// What a console should do with a cell.
#[derive(Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Run it.
    Complete,
    /// Open another line with this indentation.
    Incomplete {
        /// Spaces.
        indent: String,
    },
    /// Run it and show the error: no further code can fix it.
    Invalid,
}

/// Judges a cell without its magics (see [`without_magics`](crate::cell::without_magics)).
pub fn completeness(code: &str) -> Completeness {
    let code = code.trim_end();
    if let Some(verdict) = brackets(code) {
        return verdict;
    }
    const PROLOGUE: &str = "fn f(){";
    let end = TextSize::new((PROLOGUE.len() + without_commands(code).trim_end().len()) as u32);
    let text = format!("{PROLOGUE}{}\n}}", without_commands(code));
    let errors = SourceFile::parse(&text, Edition::Edition2024).errors();
    if errors.is_empty() {
        Completeness::Complete
    } else if errors.iter().all(|error| error.range().start() >= end) {
        Completeness::Incomplete {
            indent: last_indent(code),
        }
    } else {
        Completeness::Invalid
    }
}

/// A verdict from brackets, strings and comments alone, if some are not closed.
fn brackets(code: &str) -> Option<Completeness> {
    let root = SourceFile::parse(code, Edition::Edition2024).syntax_node();
    let tokens = root
        .descendants_with_tokens()
        .filter_map(NodeOrToken::into_token);
    let mut open = Vec::new();
    for token in tokens {
        match token.kind() {
            SyntaxKind::L_CURLY => open.push(SyntaxKind::R_CURLY),
            SyntaxKind::L_PAREN => open.push(SyntaxKind::R_PAREN),
            SyntaxKind::L_BRACK => open.push(SyntaxKind::R_BRACK),
            kind @ (SyntaxKind::R_CURLY | SyntaxKind::R_PAREN | SyntaxKind::R_BRACK)
                if open.pop() != Some(kind) =>
            {
                return Some(Completeness::Invalid);
            }
            _ if is_open(&token) => {
                return Some(Completeness::Incomplete {
                    indent: String::new(),
                });
            }
            _ => {}
        }
    }
    (!open.is_empty()).then(|| {
        let closes_here = code.ends_with(['{', '(', '[']);
        let mut indent = last_indent(code);
        if closes_here {
            indent.push_str("    ");
        }
        Completeness::Incomplete { indent }
    })
}

/// Whether a token is a string or a block comment that is not closed.
fn is_open(token: &SyntaxToken) -> bool {
    let text = token.text();
    match token.kind() {
        SyntaxKind::STRING | SyntaxKind::BYTE_STRING | SyntaxKind::C_STRING => {
            match text.split_once('"') {
                Some((_, rest)) => {
                    let body = rest.strip_suffix('"');
                    // An escaped quote does not close the string.
                    body.is_none_or(|body| {
                        let slashes = body.len() - body.trim_end_matches('\\').len();
                        !text.starts_with(['r', 'b', 'c']) && slashes % 2 == 1
                    }) && !text.ends_with('#')
                }
                None => true,
            }
        }
        SyntaxKind::COMMENT => {
            text.starts_with("/*") && text.matches("/*").count() > text.matches("*/").count()
        }
        _ => false,
    }
}

/// The code with its leading `:command` and `!shell` lines blanked out.
fn without_commands(code: &str) -> String {
    let mut leading = true;
    let lines = code.split_inclusive('\n').map(|line| {
        let is_command = is_command(line);
        leading &= is_command || line.trim().is_empty() || line.starts_with("//");
        if leading && is_command { "\n" } else { line }
    });
    lines.collect()
}

/// The indentation of the last line.
fn last_indent(code: &str) -> String {
    let line = code.lines().next_back().unwrap_or_default();
    line.chars().take_while(|c| *c == ' ').collect()
}

/// The byte offset of the cursor; front ends count characters (Unicode code points).
pub fn byte_of_cursor(code: &str, cursor: usize) -> usize {
    code.char_indices()
        .nth(cursor)
        .map_or(code.len(), |(byte, _)| byte)
}

/// The cursor position of a byte offset: the inverse.
pub fn cursor_of_byte(code: &str, byte: usize) -> usize {
    code.char_indices().take_while(|(at, _)| *at < byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incomplete(indent: &str) -> Completeness {
        Completeness::Incomplete {
            indent: indent.to_owned(),
        }
    }

    #[test]
    fn complete_cells() {
        for code in [
            "",
            "1 + 1",
            "let x = 5;",
            "fn f() {\n    1\n}",
            "println!(\"}\")",
            ":dep rand = \"0.9\"\nuse rand::Rng;",
            "let s = r#\"{\"#;",
            "let c = '{';",
            "let s = \"a\\\\\";",
            "/* { /* nested */ */ 1",
            "// {",
        ] {
            assert_eq!(completeness(code), Completeness::Complete, "{code}");
        }
    }

    #[test]
    fn incomplete_cells_say_how_far_to_indent() {
        for (code, indent) in [
            ("fn f() {", "    "),
            ("fn f() {\n    if x {", "        "),
            ("fn f() {\n    g();", "    "),
            ("let x =", ""),
            ("1 +", ""),
            ("foo(1,", ""),
            ("let s = \"abc", ""),
            ("let s = \"abc\\\"", ""),
            ("/* comment", ""),
            ("let x = 5", ""),
        ] {
            assert_eq!(completeness(code), incomplete(indent), "{code}");
        }
    }

    #[test]
    fn invalid_cells() {
        for code in ["}", "f(]", "let = = 3;", "fn fn() {}", "1 + ) 2"] {
            assert_eq!(completeness(code), Completeness::Invalid, "{code}");
        }
    }

    #[test]
    fn cursors_count_characters() {
        let code = "let ä = \"🦀\"; x";
        for cursor in 0..=code.chars().count() {
            assert_eq!(cursor_of_byte(code, byte_of_cursor(code, cursor)), cursor);
        }
        assert_eq!(byte_of_cursor(code, 99), code.len());
    }
}
