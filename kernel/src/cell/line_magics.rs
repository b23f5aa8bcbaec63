//! Finds the line magics in a cell.

use ra_ap_syntax::SyntaxKind;

use super::code::Body;
use super::lines::{LineMagic, blank, commands_end, is_name};
use super::magics;

/// Finds the line magics. A `%` inside a string, a comment or an expression is not one.
pub(super) fn line_magics(code: &str) -> Vec<LineMagic> {
    let mut found = Vec::new();
    if !code.contains('%') {
        return found;
    }
    let mut rest = code.to_owned();
    while let Some(magic) = first_line_magic(&rest) {
        // The rest of its line may or may not be Rust, so it is not parsed together with the lines
        // after it.
        let end = match magics::find(&rest[magic.start..magic.name_end]) {
            Some(known) if known.takes_rust() => magic.name_end,
            _ => magic.line_end,
        };
        blank(&mut rest, magic.start, end);
        found.push(magic);
    }
    found
}

fn first_line_magic(code: &str) -> Option<LineMagic> {
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let mut depth = 0_usize;
    let mut may_begin = true;
    for token in body.tokens() {
        let kind = token.kind();
        let start = from + body.offset(token.text_range().start());
        if kind == SyntaxKind::PERCENT && depth == 0 && begins_line(code, start) {
            let line_end = start + code[start..].find('\n').unwrap_or(code.len() - start);
            let letters = &code[start + 1..line_end];
            let name_len = letters.find(|c: char| !is_name(c)).unwrap_or(letters.len());
            let name_end = start + 1 + name_len;
            // After an expression without a semicolon, only its name shows that it is not an
            // operator.
            let at_margin = start == 0 || code[..start].ends_with('\n');
            let is_known = at_margin && magics::find(&code[start..name_end]).is_some();
            if name_len > 0 && (may_begin || is_known) {
                return Some(LineMagic {
                    start,
                    name_end,
                    line_end,
                });
            }
        }
        match kind {
            SyntaxKind::L_CURLY | SyntaxKind::L_PAREN | SyntaxKind::L_BRACK => depth += 1,
            SyntaxKind::R_CURLY | SyntaxKind::R_PAREN | SyntaxKind::R_BRACK => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if !kind.is_trivia() {
            may_begin = matches!(kind, SyntaxKind::SEMICOLON | SyntaxKind::R_CURLY);
        }
    }
    None
}

fn begins_line(code: &str, at: usize) -> bool {
    let line = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
    code[line..at].trim().is_empty()
}
