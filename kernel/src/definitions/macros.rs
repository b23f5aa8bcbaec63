//! Macros that make items: what their definitions and their inputs say of these.

use std::collections::BTreeSet;

use ra_ap_syntax::ast;
use ra_ap_syntax::{AstNode, NodeOrToken, SyntaxKind, SyntaxNode, SyntaxToken, TextRange};

/// Macros whose input looks like items, and is none.
pub(super) const QUOTING: [&str; 6] = [
    "quote",
    "parse_quote",
    "quote_spanned",
    "stringify",
    "html",
    "rsx",
];
/// An item begins with one of these.
pub(super) const ITEMS: [&str; 14] = [
    "const",
    "struct",
    "enum",
    "union",
    "fn",
    "static",
    "mod",
    "trait",
    "type",
    "impl",
    "use",
    "pub",
    "extern",
    "macro_rules",
];

/// Items that are private unless they say that they are not.
pub(super) const VISIBLE: [&str; 7] = ["const", "struct", "enum", "union", "fn", "static", "trait"];

/// A macro's definition, with everything public that it makes in these bodies: rust-analyzer reads it in a module, and
/// has to find what is made from outside.
pub(super) fn in_one_line(rules: &ast::MacroRules, bodies: &[TextRange]) -> String {
    let mut text = String::new();
    let (mut is_public, mut is_pointer) = (false, false);
    let mut tokens = tokens(rules.syntax()).peekable();
    while let Some(token) = tokens.next() {
        let is_in_body = bodies
            .iter()
            .any(|body| body.contains_range(token.text_range()));
        let names = tokens
            .peek()
            .is_some_and(|next| matches!(next.kind(), SyntaxKind::IDENT | SyntaxKind::DOLLAR));
        if is_in_body && names && !is_public && !is_pointer && VISIBLE.contains(&token.text()) {
            text.push_str("pub ");
        }
        is_public = matches!(token.text(), "pub" | ")");
        is_pointer = token.text() == "*";
        text.push_str(token.text());
        // Where there was none before, a space could take signs apart.
        if tokens
            .peek()
            .is_some_and(|next| next.text_range().start() > token.text_range().end())
        {
            text.push(' ');
        }
    }
    text + " "
}

/// Whether a macro's body, or its input, begins as an item does: perhaps in a repetition, or behind a visibility that the
/// call gives.
pub(super) fn begins_with_an_item(tree: &ast::TokenTree) -> bool {
    use SyntaxKind::{COLON, DOLLAR, IDENT, L_BRACK, L_CURLY, L_PAREN, POUND};
    let inner: Vec<SyntaxToken> = tokens(tree.syntax()).skip(1).take(12).collect();
    let mut inner = &inner[..];
    let kind = |inner: &[SyntaxToken], at: usize| inner.get(at).map(SyntaxToken::kind);
    while (kind(inner, 0), kind(inner, 1)) == (Some(DOLLAR), Some(L_PAREN)) {
        inner = &inner[2..];
    }
    // Not what a macro takes: `$name:ident`.
    if (kind(inner, 0), kind(inner, 1)) == (Some(DOLLAR), Some(IDENT))
        && kind(inner, 2) != Some(COLON)
    {
        inner = &inner[2..];
    }
    let is_attribute = (kind(inner, 0), kind(inner, 1)) == (Some(POUND), Some(L_BRACK));
    // `const { … }` is an expression.
    let is_item = |first: &SyntaxToken| {
        ITEMS.contains(&first.text())
            && (first.text() != "const" || kind(inner, 1) != Some(L_CURLY))
    };
    is_attribute || inner.first().is_some_and(is_item)
}

/// Whether all items in a macro's body are `impl` blocks.
pub(super) fn makes_only_impls(body: &ast::TokenTree) -> bool {
    body.syntax().children_with_tokens().all(|part| match part {
        NodeOrToken::Token(token) => !ITEMS.contains(&token.text()) || token.text() == "impl",
        // A repetition has items in parentheses; what is in braces is an item's inside.
        NodeOrToken::Node(node) => ast::TokenTree::cast(node)
            .is_none_or(|tree| tree.l_paren_token().is_none() || makes_only_impls(&tree)),
    })
}

/// The names that stand behind a word that begins an item.
pub(super) fn names_in(node: &SyntaxNode) -> BTreeSet<String> {
    let words: Vec<SyntaxToken> = tokens(node).collect();
    let threes = words.windows(3).filter(|three| {
        three[0].text() != "*"
            && ITEMS.contains(&three[1].text())
            && three[2].kind() == SyntaxKind::IDENT
    });
    threes.map(|three| three[2].text().to_owned()).collect()
}

/// All names in a macro's input, in order.
pub(super) fn words(node: &SyntaxNode) -> Vec<String> {
    let names = tokens(node).filter(|token| token.kind() == SyntaxKind::IDENT);
    names.map(|token| token.text().to_owned()).collect()
}

pub(super) fn is_primitive(name: &str) -> bool {
    let is_number = name.len() > 1 && name[1..].chars().all(|c| c.is_ascii_digit());
    is_number || ["bool", "char", "str", "usize", "isize"].contains(&name)
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    ThreadLocal,
    Lazy,
}

/// The statics in a macro's input, each as a static of its own, on the same lines.
pub(super) fn statics(tree: &ast::TokenTree, form: Form) -> Option<String> {
    let text = tree.syntax().text().to_string();
    let start = usize::from(tree.syntax().text_range().start());
    let place = |token: &SyntaxToken| usize::from(token.text_range().start()) - start;
    // Only what is not within further brackets.
    let outer: Vec<SyntaxToken> = tree
        .syntax()
        .children_with_tokens()
        .filter_map(NodeOrToken::into_token)
        .filter(|token| !token.kind().is_trivia())
        .collect();
    let mut new = String::new();
    let mut from = 1;
    let end = text.len() - 1;
    let mut rest = outer.iter().peekable();
    while let Some(word) = rest.find(|token| token.kind() == SyntaxKind::STATIC_KW) {
        let mut name = rest.next()?;
        if form == Form::Lazy {
            name = rest.next()?;
        }
        let colon = rest
            .next()
            .filter(|token| token.kind() == SyntaxKind::COLON)?;
        let mut depth = 0;
        let equals = rest.find(|token| {
            match token.text() {
                "<" => depth += 1,
                ">" if !text[..place(token)].ends_with('-') => depth -= 1,
                _ => {}
            }
            depth == 0 && token.text() == "="
        })?;
        let stop = rest.find(|token| token.kind() == SyntaxKind::SEMICOLON);
        let stop = stop.map_or(end, place);
        let of = &text[place(colon) + 1..place(equals)];
        let value = &text[place(equals) + 1..stop];
        new += &text[from..place(word)];
        new += &match form {
            Form::ThreadLocal => {
                let flat = of.replace('\n', " ");
                format!(
                    "static {name}: ::forklore::store::Key<{flat}> = {{ thread_local! {{ static {name}:{of}={value} }} ::forklore::store::Key::new({name}) }};"
                )
            }
            Form::Lazy => format!(
                "static {name}: ::std::sync::LazyLock<{of}> = ::std::sync::LazyLock::new(|| {value});"
            ),
        };
        from = (stop + 1).min(end);
    }
    new += &text[from.min(end)..end];
    (!new.trim().is_empty()).then_some(new)
}

/// All tokens but comments and space.
pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.descendants_with_tokens()
        .filter_map(NodeOrToken::into_token)
        .filter(|token| !token.kind().is_trivia())
}
