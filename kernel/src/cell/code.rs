//! A cell's Rust, parsed by rust-analyzer's parser.

use std::ops::Range;

use ra_ap_syntax::ast::HasName;
use ra_ap_syntax::{
    AstNode, Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken, TextSize, ast,
};

use super::lines::commands_end;

/// The wrapper in which a cell is parsed: statements and items are those of a function.
const PROLOGUE: &str = "fn f(){";
pub(super) const EPILOGUE: &str = "\n}";

/// The statements of a cell, parsed as the body of a function.
pub(crate) struct Body {
    root: SyntaxNode,
    len: usize,
}

impl Body {
    pub(crate) fn parse(code: &str) -> Body {
        let text = format!("{PROLOGUE}{code}{EPILOGUE}");
        Body {
            root: SourceFile::parse(&text, Edition::Edition2024).syntax_node(),
            len: code.len(),
        }
    }

    /// Whether the code is a complete and correct body of a function.
    pub(super) fn is_correct(code: &str) -> bool {
        let text = format!("{PROLOGUE}{code}{EPILOGUE}");
        SourceFile::parse(&text, Edition::Edition2024)
            .errors()
            .is_empty()
    }

    /// Converts an offset in the parsed text to an offset in the code.
    pub(crate) fn offset(&self, size: TextSize) -> usize {
        usize::from(size)
            .saturating_sub(PROLOGUE.len())
            .min(self.len)
    }

    /// All nodes of the code, parents before children.
    pub(super) fn nodes(&self) -> impl Iterator<Item = SyntaxNode> {
        let code = PROLOGUE.len()..PROLOGUE.len() + self.len;
        self.root
            .descendants()
            .filter(move |node| code.contains(&usize::from(node.text_range().start())))
    }

    /// All tokens of the code, in order.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = SyntaxToken> {
        let code = PROLOGUE.len()..PROLOGUE.len() + self.len;
        self.root
            .descendants_with_tokens()
            .filter_map(NodeOrToken::into_token)
            .filter(move |token| code.contains(&usize::from(token.text_range().start())))
    }

    /// The statements, items, and the last expression, without comments.
    pub(crate) fn statements(&self) -> impl Iterator<Item = SyntaxNode> {
        self.root
            .children()
            .find_map(ast::Fn::cast)
            .and_then(|function| function.body())
            .and_then(|body| body.stmt_list())
            .into_iter()
            .flat_map(|list| list.syntax().children())
    }

    /// The statements, and the items among them.
    pub(crate) fn statements_and_items(&self) -> (Vec<SyntaxNode>, Vec<ast::Item>) {
        let statements: Vec<SyntaxNode> = self.statements().collect();
        let items = statements.iter().cloned().filter_map(ast::Item::cast);
        let items = items.collect();
        (statements, items)
    }
}

/// Whether a token belongs to the code itself, and not to an item, closure or `async` block inside
/// it.
pub(crate) fn is_own(token: &SyntaxToken) -> bool {
    let is_async_block = |node: &SyntaxNode| {
        ast::BlockExpr::cast(node.clone()).is_some_and(|block| block.async_token().is_some())
    };
    let mut around = token.parent_ancestors();
    let items = token
        .parent_ancestors()
        // To the parser, a macro call is an item, wherever it is.
        .filter(|node| ast::Item::can_cast(node.kind()) && node.kind() != SyntaxKind::MACRO_CALL);
    // The outermost is the function in which the code was wrapped to be parsed.
    items.count() <= 1
        && !around.any(|node| is_async_block(&node) || ast::ClosureExpr::can_cast(node.kind()))
}

/// The variables that a cell defines for later cells.
pub(crate) fn own_variables(code: &str) -> Vec<String> {
    if !code.contains("let ") {
        return Vec::new();
    }
    let body = Body::parse(&code[commands_end(code)..]);
    let lets = body.statements().filter_map(ast::LetStmt::cast);
    let patterns = lets.filter_map(|statement| statement.pat());
    let bindings = patterns.flat_map(|pattern| {
        let nodes = pattern.syntax().descendants();
        nodes.filter_map(ast::IdentPat::cast).collect::<Vec<_>>()
    });
    let names = bindings.filter_map(|binding| binding.name());
    let names = names.map(|name| name.text().to_string());
    names.filter(|name| !name.starts_with('_')).collect()
}

/// Whether a cell defines a variable for later cells without giving its type.
pub(crate) fn leaves_types_out(code: &str) -> bool {
    if !code.contains("let") {
        return false;
    }
    let body = Body::parse(&code[commands_end(code)..]);
    let mut lets = body.statements().filter_map(ast::LetStmt::cast);
    lets.any(|statement| {
        let Some(pattern) = statement.pat() else {
            return true;
        };
        let is_inferred = |node: SyntaxNode| node.kind() == SyntaxKind::INFER_TYPE;
        let is_whole = |of: ast::Type| !of.syntax().descendants().any(is_inferred);
        let says_it =
            matches!(pattern, ast::Pat::IdentPat(_)) && statement.ty().is_some_and(is_whole);
        let mut parts = pattern.syntax().descendants();
        !says_it && parts.any(|part| ast::IdentPat::can_cast(part.kind()))
    })
}

/// The byte range of a variable's name in a `let` of the cell: the last `let` with that name.
pub(crate) fn binding_of(code: &str, variable: &str) -> Option<Range<usize>> {
    if !code.contains(variable) {
        return None;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let lets = body.statements().filter_map(ast::LetStmt::cast);
    let patterns = lets.filter_map(|statement| statement.pat());
    let nodes = patterns.flat_map(|pattern| pattern.syntax().descendants().collect::<Vec<_>>());
    let names = nodes.filter_map(ast::Name::cast);
    let name = names.filter(|name| name.text() == variable).last()?;
    let range = name.syntax().text_range();
    Some(from + body.offset(range.start())..from + body.offset(range.end()))
}

/// The first line with a `return` that is in no function's body.
pub(super) fn line_of_return(code: &str) -> Option<usize> {
    if !code.contains("return") {
        return None;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let is_return = |token: &SyntaxToken| {
        token.kind() == SyntaxKind::RETURN_KW
            && token
                .parent()
                .is_some_and(|node| ast::ReturnExpr::can_cast(node.kind()))
            && is_own(token)
    };
    let found = body.tokens().find(is_return)?;
    let at = from + body.offset(found.text_range().start());
    Some(1 + code[..at].matches('\n').count())
}

/// The expression of an expression statement, with or without its semicolon.
pub(super) fn expression(statement: &SyntaxNode) -> Option<ast::Expr> {
    match ast::ExprStmt::cast(statement.clone()) {
        Some(statement) => statement.expr(),
        None => ast::Expr::cast(statement.clone()),
    }
}

/// Whether an expression names a place, so that taking its value would move a variable.
pub(super) fn is_place(expression: &ast::Expr) -> bool {
    match expression {
        ast::Expr::PathExpr(_) | ast::Expr::FieldExpr(_) | ast::Expr::IndexExpr(_) => true,
        ast::Expr::ParenExpr(inner) => inner.expr().is_some_and(|inner| is_place(&inner)),
        ast::Expr::PrefixExpr(prefix) => prefix.op_kind() == Some(ast::UnaryOp::Deref),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::leaves_types_out;

    #[test]
    fn a_let_that_says_its_type_needs_no_analysis() {
        for code in [
            "",
            "1 + 1",
            "use forklore::*;\nlet pool: Pool = Pool::new()?;\npool.map(|x: u64| { let y = x; y }, 0..3)",
            "let mut a: Vec<(u8, [i32; 3])> = Vec::new();",
            "let _ = f();",
            "fn f() { let a = 1; }",
            "if let Some(a) = f() { let b = a; }",
            ":dep rand\nlet a: u8 = 1;",
            "// let a = 1;",
        ] {
            assert!(!leaves_types_out(code), "{code}");
        }
        for code in [
            "let a = 1;",
            "let a: u8 = 1; let b = a;",
            "let a: Vec<_> = Vec::new();",
            "let (a, b): (u8, u8) = (1, 2);",
            "let [first, ..]: [u8; 3] = f();",
            "let Some(a) = f() else { panic!() };",
            ":dep rand\nlet a = 1;",
            "let a",
        ] {
            assert!(leaves_types_out(code), "{code}");
        }
    }
}
