//! Turns long lists of literals into constants, which the program then copies.
//!
//! To the compiler, each element of `vec![1, 2, …]` and `[1, 2, …]` is a separate store, and its
//! optimiser takes time quadratic in their number (20,000: over a minute); rust-analyzer expands
//! the macro, too. A reference to literals is a single constant.

use ra_ap_syntax::ast;
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode, SyntaxToken, TextRange};

use super::code::Body;
use super::lines::commands_end;

/// Shorter lists are not changed.
const N_ELEMENTS: usize = 500;

const VEC: (&str, &str) = ("<[_]>::to_vec(&[", "])");
const ARRAY: (&str, &str) = ("::core::clone::Clone::clone(&[", "])");

/// Rewrites the long lists of literals in a cell as copies of constants. No line moves.
pub(super) fn make_constant(code: &mut String) {
    // Each element takes at least two bytes, and most cells are shorter than such a list.
    if code.len() < 2 * N_ELEMENTS {
        return;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let mut lists: Vec<(TextRange, _)> = Vec::new();
    for list in body.nodes().filter_map(|node| list(&node)) {
        let is_inner = lists
            .last()
            .is_some_and(|(outer, _)| outer.contains_range(list.0));
        if !is_inner {
            lists.push(list);
        }
    }
    for (range, (open, close)) in lists.into_iter().rev() {
        let place = |size| from + body.offset(size);
        let (first, last) = (place(range.start()), place(range.end()));
        let bracket = first + code[first..last].find('[').unwrap_or_default();
        code.replace_range(last - 1..last, close);
        code.replace_range(first..=bracket, open);
    }
}

/// The range of a long list of literals, and the text to put around its elements.
fn list(node: &SyntaxNode) -> Option<(TextRange, (&'static str, &'static str))> {
    let (elements, around) = match node.kind() {
        SyntaxKind::MACRO_CALL => {
            let call = ast::MacroCall::cast(node.clone())?;
            let tree = call.token_tree()?;
            let is_vec = call.path()?.syntax().text() == "vec" && tree.l_brack_token().is_some();
            (is_vec.then(|| tree.syntax().clone())?, VEC)
        }
        SyntaxKind::ARRAY_EXPR => (node.clone(), ARRAY),
        _ => return None,
    };
    let mut tokens = elements
        .descendants_with_tokens()
        .filter_map(ra_ap_syntax::NodeOrToken::into_token);
    let mut n_elements = 0;
    if !tokens.all(|token| {
        n_elements += usize::from(is_literal(&token));
        is_of_a_list(&token)
    }) || n_elements < N_ELEMENTS
        || is_constant(node)
    {
        return None;
    }
    Some((node.text_range(), around))
}

fn is_literal(token: &SyntaxToken) -> bool {
    token.kind().is_literal() || matches!(token.kind(), SyntaxKind::TRUE_KW | SyntaxKind::FALSE_KW)
}

/// Whether a token may be part of a list of compile-time constants: literals, and tuples and arrays
/// of them.
fn is_of_a_list(token: &SyntaxToken) -> bool {
    is_literal(token)
        || token.kind().is_trivia()
        || ["-", ",", "(", ")", "[", "]"].contains(&token.text())
}

/// Whether the list is in a constant already, where no function can be called.
fn is_constant(node: &SyntaxNode) -> bool {
    node.ancestors().any(|around| match around.kind() {
        SyntaxKind::CONST | SyntaxKind::STATIC | SyntaxKind::CONST_ARG | SyntaxKind::VARIANT => {
            true
        }
        SyntaxKind::FN => ast::Fn::cast(around).is_some_and(|f| f.const_token().is_some()),
        SyntaxKind::BLOCK_EXPR => {
            ast::BlockExpr::cast(around).is_some_and(|block| block.const_token().is_some())
        }
        // A reference to it is already a constant.
        SyntaxKind::REF_EXPR => node.parent().as_ref() == Some(&around),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_constant(code: &str) -> String {
        let elements = |element: &str| vec![element; N_ELEMENTS].join(", ");
        let mut long = code.to_owned();
        for (name, element) in [("N", "1"), ("S", "\"a\""), ("T", "(-1.5,\n true)")] {
            long = long.replace(&format!("@{name}"), &elements(element));
        }
        let n_lines = long.lines().count();
        make_constant(&mut long);
        assert_eq!(long.lines().count(), n_lines);
        for (name, element) in [("N", "1"), ("S", "\"a\""), ("T", "(-1.5,\n true)")] {
            long = long.replace(&elements(element), &format!("@{name}"));
        }
        long
    }

    #[test]
    fn a_long_list_is_a_copy_of_a_constant() {
        for (code, expected) in [
            ("let v = vec![@N];", "let v = <[_]>::to_vec(&[@N]);"),
            (
                ":dep a\nlet v: Vec<&str> = vec! [ @S, ];\nlet w = vec![@T];",
                ":dep a\nlet v: Vec<&str> = <[_]>::to_vec(&[ @S, ]);\nlet w = <[_]>::to_vec(&[@T]);",
            ),
            (
                "fn f() -> u8 { [@N].iter().sum() }",
                "fn f() -> u8 { ::core::clone::Clone::clone(&[@N]).iter().sum() }",
            ),
            (
                "let a = [[@N], [@N]];",
                "let a = ::core::clone::Clone::clone(&[[@N], [@N]]);",
            ),
            (
                "let v = vec![vec![@N], vec![@N]];",
                "let v = vec![vec![@N], vec![@N]];",
            ),
        ] {
            assert_eq!(made_constant(code), expected);
        }
    }

    #[test]
    fn what_is_short_or_constant_or_no_list_of_literals_stays() {
        for code in [
            "let v = vec![1, 2, 3];",
            "const A: [u8; 500] = [@N];",
            "static A: [u8; 500] = [@N];",
            "const fn f() -> [u8; 500] { [@N] }",
            "let v = const { [@N] };",
            "let a = &[@N];",
            "let v = vec![f(1), @N];",
            "let v = vec![x, @N];",
            "println!(\"{:?}\", vec![@N]);",
        ] {
            assert_eq!(made_constant(code), code);
        }
    }
}
