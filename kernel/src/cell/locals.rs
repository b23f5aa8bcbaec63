//! Variables that only their own cell can use: closures, iterators that contain closures, and
//! values that borrow from other variables.
//!
//! evcxr moves every variable of a top-level `let` out of the cell, into a store of values that
//! live as long as the session. A value whose type has no name, or that borrows, cannot be moved
//! there. The library's macro in place of `let` makes a variable that evcxr does not see. `_l!(` is
//! as long as `let `, so that everything else keeps its position.
//!
//! A non-capturing closure can be kept as a function pointer, whose type has a name.

use std::collections::HashSet;

use ra_ap_syntax::ast::{self, HasName};
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode, TextSize};

use super::code::Body;
use super::lines::{blank, commands_end};

const LET: &str = "let";
/// The library's macro that replaces `let`.
const LOCAL_LET: &str = "_l!(";

/// A cell some of whose variables are not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unkept {
    /// The code that runs instead.
    pub(crate) code: String,
    /// The variables that no later cell sees, in the order of the cell.
    pub(crate) names: Vec<String>,
}

/// A cell that defines closures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closures {
    /// The cell with its non-capturing closures as function pointers, if there are any.
    pub(crate) as_pointers: Option<Unkept>,
    /// The cell with all closures as local variables.
    pub(crate) as_locals: Unkept,
}

/// Finds the closures that the cell binds to names. `known` are the session's variables.
pub(crate) fn closures<'a>(
    code: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<Closures> {
    if !code.contains('|') {
        return None;
    }
    let mut visible: HashSet<String> = known.into_iter().map(str::to_owned).collect();
    let cell = Cell::of(code);
    let names: Vec<String> = cell.lets.iter().flat_map(names_of).collect();
    let (mut all, mut pointers) = (Vec::new(), Vec::new());
    for statement in &cell.lets {
        if let Some((name, closure)) = named_closure(statement) {
            all.push(name.text().to_string());
            if !captures(&closure, &visible) {
                let end = cell.place(name.syntax().text_range().end());
                pointers.push((name.text().to_string(), end, pointer_type(&closure)));
            }
        }
        visible.extend(names_of(statement));
    }
    // If a name is bound twice, only the last binding counts: the compiler handles that.
    let is_once = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    if !all.iter().all(is_once) {
        return None;
    }
    let as_locals = as_locals(code, &all)?;
    let as_pointers = (!pointers.is_empty()).then(|| {
        let mut annotated = code.to_owned();
        for (_, end, pointer) in pointers.iter().rev() {
            annotated.insert_str(*end, &format!(": {pointer}"));
        }
        all.retain(|name| pointers.iter().all(|(kept, ..)| kept != name));
        as_locals_or(annotated, &all)
    });
    Some(Closures {
        as_pointers,
        as_locals,
    })
}

/// The cell with these variables as local variables, if it defines any of them.
pub(crate) fn as_locals(code: &str, names: &[String]) -> Option<Unkept> {
    let cell = Cell::of(code);
    let mut unkept = Unkept {
        code: code.to_owned(),
        names: Vec::new(),
    };
    for statement in cell.lets.iter().rev() {
        let own: Vec<String> = names_of(statement).collect();
        let (Some(start), Some(end)) = (statement.let_token(), statement.semicolon_token()) else {
            continue;
        };
        if !own.iter().any(|name| names.contains(name)) {
            continue;
        }
        let (start, end) = (
            cell.place(start.text_range().start()),
            cell.place(end.text_range().start()),
        );
        unkept.code.insert(end, ')');
        let after = start + LET.len();
        // The space after `let` makes room for the last character.
        let spaces = usize::from(code[after..].starts_with(' '));
        unkept.code.replace_range(start..after + spaces, LOCAL_LET);
        unkept.names.splice(0..0, own);
    }
    let mut seen = HashSet::new();
    unkept.names.retain(|name| seen.insert(name.clone()));
    (!unkept.names.is_empty()).then_some(unkept)
}

fn as_locals_or(code: String, names: &[String]) -> Unkept {
    as_locals(&code, names).unwrap_or(Unkept {
        code,
        names: Vec::new(),
    })
}

/// The cell without the commands that already ran in the first attempt, and would run a second
/// time.
pub(crate) fn once_more(code: &str) -> String {
    let mut new = code.to_owned();
    let mut start = 0;
    for line in code[..commands_end(code)].split_inclusive('\n') {
        if line.starts_with('!') || line.trim() == ":timing" {
            blank(&mut new, start, start + line.len());
        }
        start += line.len();
    }
    new
}

/// The cell with these variables dropped at its end, before evcxr moves what they borrow from.
pub(crate) fn with_drops(code: &str, names: &[String]) -> String {
    let cell = Cell::of(code);
    let mut new = code.to_owned();
    let mut before = String::new();
    // The value is shown before that: its statement is no longer the last.
    if let Some(tail) = &cell.tail {
        let range = tail.text_range();
        new.insert_str(cell.place(range.end()), ").evcxr_display();");
        new.insert(cell.place(range.start()), '(');
    } else {
        before.push('\n');
    }
    for name in names {
        before.push_str(&format!(" drop({name});"));
    }
    new.push_str(&before);
    new
}

/// A cell's own `let` statements, and its last expression.
struct Cell {
    body: Body,
    from: usize,
    lets: Vec<ast::LetStmt>,
    tail: Option<SyntaxNode>,
}

impl Cell {
    fn of(code: &str) -> Cell {
        let from = commands_end(code);
        let body = Body::parse(&code[from..]);
        let statements: Vec<SyntaxNode> = body.statements().collect();
        let tail = statements
            .last()
            .filter(|last| ast::Expr::can_cast(last.kind()))
            .cloned();
        let lets = statements.into_iter().filter_map(ast::LetStmt::cast);
        Cell {
            lets: lets.collect(),
            body,
            from,
            tail,
        }
    }

    fn place(&self, size: TextSize) -> usize {
        self.from + self.body.offset(size)
    }
}

/// The variables that a `let` defines.
fn names_of(statement: &ast::LetStmt) -> impl Iterator<Item = String> {
    let pattern = statement.pat();
    let parts = pattern
        .into_iter()
        .flat_map(|pattern| pattern.syntax().descendants().collect::<Vec<_>>());
    parts
        .filter_map(ast::IdentPat::cast)
        .filter_map(|pattern| pattern.name())
        .map(|name| name.text().to_string())
}

/// The closure that a `let` without a type binds to a name.
fn named_closure(statement: &ast::LetStmt) -> Option<(ast::Name, ast::ClosureExpr)> {
    let ast::Pat::IdentPat(pattern) = statement.pat()? else {
        return None;
    };
    let ast::Expr::ClosureExpr(closure) = statement.initializer()? else {
        return None;
    };
    (statement.ty().is_none()).then_some((pattern.name()?, closure))
}

/// Whether a closure may use one of these variables. A variable of the same name counts too.
fn captures(closure: &ast::ClosureExpr, variables: &HashSet<String>) -> bool {
    let parameters = closure.param_list().into_iter();
    let own: HashSet<String> = parameters
        .flat_map(|list| list.syntax().descendants().collect::<Vec<_>>())
        .filter_map(ast::IdentPat::cast)
        .filter_map(|pattern| Some(pattern.name()?.text().to_string()))
        .collect();
    let is_captured = |name: &str| variables.contains(name) && !own.contains(name);
    let Some(body) = closure.body() else {
        return true;
    };
    body.syntax()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .any(|token| match token.kind() {
            SyntaxKind::IDENT => is_captured(token.text()),
            // `{name}` in a format string.
            SyntaxKind::STRING => token.text().split('{').skip(1).any(|part| {
                let end = part.find(|c: char| !c.is_alphanumeric() && c != '_');
                is_captured(&part[..end.unwrap_or(part.len())])
            }),
            _ => false,
        })
}

/// The pointer type, as in `fn(i32, _) -> _`: types that the closure leaves out are inferred.
fn pointer_type(closure: &ast::ClosureExpr) -> String {
    let parameters = closure.param_list().into_iter();
    let types: Vec<String> = parameters
        .flat_map(|list| list.params().collect::<Vec<_>>())
        .map(|parameter| {
            let its_type = parameter.ty();
            its_type.map_or("_".to_owned(), |its_type| its_type.syntax().to_string())
        })
        .collect();
    let returned = closure
        .ret_type()
        .and_then(|returned| returned.ty())
        .map_or("_".to_owned(), |its_type| its_type.syntax().to_string());
    format!("fn({}) -> {returned}", types.join(", "))
}
