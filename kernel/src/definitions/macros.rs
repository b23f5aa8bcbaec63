//! Macros that make items: evcxr treats their calls as statements, whose items are lost after the
//! cell.
//!
//! A call becomes a module that contains the macro and the call; the names that the call may make
//! are imported from it (see `rewrite`). `thread_local!` and `lazy_static!` are known, and become
//! statics.

use std::collections::{BTreeSet, HashMap, HashSet};

use ra_ap_syntax::ast::HasName;
use ra_ap_syntax::{AstNode, NodeOrToken, SyntaxKind, SyntaxNode, SyntaxToken, TextRange, ast};

use super::generated::{MADE, tokens};

/// Macros whose input looks like items but is not.
const QUOTING: [&str; 6] = [
    "quote",
    "parse_quote",
    "quote_spanned",
    "stringify",
    "html",
    "rsx",
];
/// Every item begins with one of these.
const ITEMS: [&str; 14] = [
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

/// Items that are private by default.
const VISIBLE: [&str; 7] = ["const", "struct", "enum", "union", "fn", "static", "trait"];
/// Macros that make items, and the items that they have made.
#[derive(Debug, Clone, Default)]
pub(super) struct Macros {
    makers: HashMap<String, Maker>,
    /// Names made by macros.
    made: HashSet<String>,
}

/// A cell's macro that makes items.
#[derive(Debug, Clone)]
struct Maker {
    /// Its definition in one line: evcxr keeps items without order, but a macro must precede its
    /// use.
    text: String,
    /// The names of the items that it may make.
    names: BTreeSet<String>,
    /// Whether it makes only items without a name.
    makes_only_impls: bool,
}

impl Macros {
    /// Records a macro that may make items.
    pub(super) fn note(&mut self, rules: &ast::MacroRules) {
        let (Some(name), Some(tree)) = (rules.name(), rules.token_tree()) else {
            return;
        };
        let name = name.text().to_string();
        self.makers.remove(&name);
        let bodies: Vec<ast::TokenTree> = tree
            .syntax()
            .children()
            .filter_map(ast::TokenTree::cast)
            .skip(1)
            .step_by(2)
            .filter(begins_with_an_item)
            .collect();
        let names: Vec<BTreeSet<String>> =
            bodies.iter().map(|body| names_in(body.syntax())).collect();
        let ranges: Vec<TextRange> = bodies
            .iter()
            .map(|body| body.syntax().text_range())
            .collect();
        if !names.is_empty() {
            let maker = Maker {
                text: in_one_line(rules, &ranges),
                names: names.into_iter().flatten().collect(),
                makes_only_impls: bodies.iter().all(makes_only_impls),
            };
            self.makers.insert(name, maker);
        }
    }

    /// The items that a call makes, if it makes any.
    pub(super) fn items_of(
        &mut self,
        call: &ast::MacroCall,
        text: &str,
        defined: &HashSet<String>,
    ) -> Option<String> {
        let name = call.path()?.segment()?.name_ref()?.text().to_string();
        let tree = call.token_tree()?;
        match name.as_str() {
            "thread_local" => return statics(&tree, Form::ThreadLocal),
            "lazy_static" => return statics(&tree, Form::Lazy),
            _ if QUOTING.contains(&name.as_str()) => return None,
            _ => {}
        }
        let known = self.makers.get(&name).cloned();
        if known.is_none() && !begins_with_an_item(&tree) {
            return None;
        }
        let words = words(tree.syntax());
        let mut all: BTreeSet<String> =
            words.iter().filter(|w| !is_primitive(w)).cloned().collect();
        let is_nameless = known.as_ref().is_some_and(|known| known.makes_only_impls);
        let (maker, own_names) =
            known.map_or_else(Default::default, |known| (known.text, known.names));
        all.extend(own_names);
        all.retain(|name| !is_nameless && (self.made.contains(name) || !defined.contains(name)));
        self.made.extend(all.iter().cloned());
        let names: Vec<String> = all.into_iter().collect();
        // A call for the same thing replaces the earlier one. The subject of an `impl` may be
        // several words.
        let n_words = if is_nameless { words.len() } else { 1 };
        let of = words[..n_words.min(words.len())].join("_");
        let module = format!("{MADE}{name}_{of}").to_lowercase();
        let end = if text.trim_end().ends_with([';', '}']) {
            ""
        } else {
            ";"
        };
        let import = match names.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!(" use {module}::{{{names}}};"),
        };
        Some(format!(
            "mod {module} {{ use super::*; {maker}{text}{end} }}{import}"
        ))
    }
}

/// The call that a statement is.
pub(super) fn call(statement: &SyntaxNode) -> Option<ast::MacroCall> {
    let expression = match ast::ExprStmt::cast(statement.clone()) {
        Some(statement) => statement.expr()?,
        None => ast::Expr::cast(statement.clone())?,
    };
    match expression {
        ast::Expr::MacroExpr(expression) => expression.macro_call(),
        _ => None,
    }
}

/// A macro's definition, with everything in these bodies made public: rust-analyzer reads the
/// definition inside a module, and must find the items from outside.
fn in_one_line(rules: &ast::MacroRules, bodies: &[TextRange]) -> String {
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
        // Add no space where there was none: it could split an operator.
        if tokens
            .peek()
            .is_some_and(|next| next.text_range().start() > token.text_range().end())
        {
            text.push(' ');
        }
    }
    text + " "
}

/// Whether a macro's body, or its input, begins like an item, perhaps in a repetition, or after a
/// visibility that the call passes.
fn begins_with_an_item(tree: &ast::TokenTree) -> bool {
    use SyntaxKind::{COLON, DOLLAR, IDENT, L_BRACK, L_CURLY, L_PAREN, POUND};
    let inner: Vec<SyntaxToken> = tokens(tree.syntax()).skip(1).take(12).collect();
    let mut inner = &inner[..];
    let kind = |inner: &[SyntaxToken], at: usize| inner.get(at).map(SyntaxToken::kind);
    while (kind(inner, 0), kind(inner, 1)) == (Some(DOLLAR), Some(L_PAREN)) {
        inner = &inner[2..];
    }
    // Not a macro's parameter: `$name:ident`.
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
fn makes_only_impls(body: &ast::TokenTree) -> bool {
    body.syntax().children_with_tokens().all(|part| match part {
        NodeOrToken::Token(token) => !ITEMS.contains(&token.text()) || token.text() == "impl",
        // A repetition has items in parentheses; braces contain the inside of an item.
        NodeOrToken::Node(node) => ast::TokenTree::cast(node)
            .is_none_or(|tree| tree.l_paren_token().is_none() || makes_only_impls(&tree)),
    })
}

/// The names after a keyword that begins an item.
fn names_in(node: &SyntaxNode) -> BTreeSet<String> {
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

fn is_primitive(name: &str) -> bool {
    let is_number = name.len() > 1 && name[1..].chars().all(|c| c.is_ascii_digit());
    is_number || ["bool", "char", "str", "usize", "isize"].contains(&name)
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    ThreadLocal,
    Lazy,
}

/// The statics in a macro's input, each as a separate static, on the same lines.
fn statics(tree: &ast::TokenTree, form: Form) -> Option<String> {
    let text = tree.syntax().text().to_string();
    let start = usize::from(tree.syntax().text_range().start());
    let place = |token: &SyntaxToken| usize::from(token.text_range().start()) - start;
    // Only tokens outside further brackets.
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

#[cfg(test)]
mod tests {
    use super::super::rewrite::{Table, rewrite};
    use super::*;

    fn rewritten(table: &mut Table, code: &str) -> String {
        rewrite(table, code, &HashSet::new()).unwrap_or_else(|| code.to_owned())
    }

    #[test]
    fn statics_in_macros_become_statics_on_their_lines() {
        let mut table = Table::default();
        let code = "thread_local! {\n    /// Doc.\n    pub static A: RefCell<Vec<(u8, u8)>> = RefCell::new(vec![]);\n    static B: u8 = const { 1 }\n}";
        let new = rewritten(&mut table, code);
        assert_eq!(new.lines().count(), code.lines().count());
        for part in [
            "    /// Doc.\n    pub static A: ::forklore::store::Key< RefCell<Vec<(u8, u8)>> > = { thread_local! { static A: RefCell<Vec<(u8, u8)>> = RefCell::new(vec![]) }",
            "\n    static B: ::forklore::store::Key< u8 > = { thread_local! { static B: u8 = const { 1 }\n }",
        ] {
            assert!(new.contains(part), "{new}");
        }
        let new = rewritten(
            &mut table,
            "lazy_static! { static ref A: Box<dyn Fn() -> u8> = Box::new(|| { 1 }); }",
        );
        assert_eq!(
            new.trim(),
            "static A: ::std::sync::LazyLock< Box<dyn Fn() -> u8> > = ::std::sync::LazyLock::new(||  Box::new(|| { 1 }));"
        );
    }

    #[test]
    fn a_macro_that_makes_items_is_one() {
        let mut table = Table::default();
        let maker = "macro_rules! make { ($n:ident) => { struct $n; struct Fixed; }; }";
        assert_eq!(rewritten(&mut table, maker), maker);
        assert_eq!(
            rewritten(&mut table, "make!(Widget);"),
            "mod forklore_made_make_widget { use super::*; macro_rules! make { ($n:ident) => { pub struct $n; pub struct Fixed; }; } make!(Widget); } use forklore_made_make_widget::{Fixed, Widget};"
        );
        let flags = "bitflags! { struct Flags: u32 { const A = 1; } }";
        assert!(
            rewritten(&mut table, flags).contains("use forklore_made_bitflags_flags::{A, Flags};")
        );
        for (maker, call, made) in [
            (
                "macro_rules! consts { ($($n:ident),*) => { $(const $n: u8 = 1;)* } }",
                "consts!(AA, BB);",
                "consts!(AA, BB); } use forklore_made_consts_aa::{AA, BB};",
            ),
            (
                "macro_rules! with { ($v:vis $n:ident) => { $v struct $n(*const u8); } }",
                "with!(pub Raw);",
                "with!(pub Raw); } use forklore_made_with_raw::{Raw};",
            ),
            (
                "macro_rules! hello { ($t:ty) => { impl Hello for $t {} } }",
                "hello!(Vec<u8>);",
                "mod forklore_made_hello_vec_u8 { use super::*; macro_rules! hello { ($t:ty) => { impl Hello for $t {} } } hello!(Vec<u8>); }",
            ),
        ] {
            rewritten(&mut table, maker);
            let new = rewritten(&mut table, call);
            assert!(new.ends_with(made), "{new}");
        }
        for plain in [
            "println!(\"x\");",
            "quantity!(const { 3 });",
            "vec![1]",
            "let x = make!(Widget);",
            "quote! { struct X; }",
            "assert!(true);",
        ] {
            assert_eq!(rewritten(&mut table, plain), plain);
        }
    }
}
