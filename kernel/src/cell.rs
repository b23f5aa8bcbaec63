//! From the text of a cell to what shall be run: commands that begin with `%`, and nothing else.
//!
//! What a learner wrote goes to evcxr as it is, so that lines and columns in compile errors are those of the cell.
//! Where a magic needs code around the learner's, that code takes the place of the magic itself (`%time ` has as many
//! characters as the call that replaces it), or stands at the end of an earlier line.
//!
//! That the value of the last expression is shown needs no rewriting: evcxr appends `.evcxr_display()` to it, and the
//! library's trait of that name (`forklore::display::cell`), which every session imports, gives it to all that
//! implements `Debug`. So one compile is enough where stock evcxr needs two, an own `evcxr_display` still wins
//! because it is inherent, and what has neither gets evcxr's second attempt with its usual error.
//!
//! evcxr's own `:commands` and `!shell` lines pass through untouched.

use std::fmt;

use ra_ap_syntax::{
    AstNode, Edition, NodeOrToken, SourceFile, SyntaxKind, SyntaxNode, SyntaxToken, TextSize, ast,
};

/// What a cell is wrapped in to be parsed: statements and items are those of a function.
const PROLOGUE: &str = "fn f(){";
const EPILOGUE: &str = "\n}";

/// What every session imports first: the trait that shows values, and the macros that measure.
pub const PRELUDE: &str =
    "use forklore::display::cell::{EvcxrDisplay as _, time as _t, timeit as _ti};";
/// A macro's call is so short that with a `&` it fits where its magic was.
const TIME_ONE: &str = "_t!(";
const TIMEIT_ONE: &str = "_ti!(";
/// (No `::` before the crate's name: evcxr takes a line that begins with a colon for a command.)
const CLOCK_START: &str = "forklore::display::cell::start!(_clock);";
const CLOCK_STOP: &str = "forklore::display::cell::stop!(_clock";
const TIMEIT_CELL: &str = "forklore::display::cell::timeit!({";

/// The magics there are, with what `%lsmagic` says of them.
const MAGICS: &[(&str, &str)] = &[
    ("%time", "run the rest of the line and say how long it took"),
    ("%%time", "the same for the whole cell"),
    (
        "%timeit",
        "run the rest of the line many times and say how long it takes",
    ),
    (
        "%%timeit",
        "the same for the whole cell, in a scope of its own",
    ),
    ("%lsmagic", "list these"),
];

/// What to do with a cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Text to show first.
    pub say: Option<String>,
    /// What evcxr shall run; lines and columns are the cell's.
    pub run: Option<String>,
}

/// A cell that cannot be planned: what is wrong, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name, as in a traceback.
    pub name: &'static str,
    /// The sentence.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// Plans a cell.
///
/// # Errors
///
/// A magic that does not exist, or that was given what it cannot use.
pub fn plan(text: &str) -> Result<Plan, Mistake> {
    let mut plan = Plan::default();
    let mut code = match cell_magic(text) {
        None => text.to_owned(),
        Some((name @ ("%%time" | "%%timeit"), "")) => {
            let (rest, from) = timed_lines(text, name)?;
            if name == "%%time" {
                time_cell(rest, from)
            } else {
                timeit_cell(rest, from)
            }
        }
        Some((name @ ("%%time" | "%%timeit"), arguments)) => {
            let line = &name[1..];
            return Err(usage(&format!(
                "`{name}` times the lines below it; to time one line, write `{line} {arguments}`"
            )));
        }
        Some((name, _)) => return Err(unknown(name)),
    };
    while let Some(magic) = next_line_magic(&code) {
        match &code[magic.start..magic.name_end] {
            "%time" | "%timeit" => code = time_statement(&code, &magic)?,
            "%lsmagic" => {
                plan.say.get_or_insert_default().push_str(&list());
                blank(&mut code, magic.start, magic.line_end);
            }
            name => return Err(unknown(name)),
        }
    }
    keep_leading_docs(&mut code);
    if !code.trim().is_empty() {
        plan.run = Some(code);
    }
    Ok(plan)
}

/// evcxr drops the lines that begin with `//` before the first Rust code, which the documentation of a cell's first
/// item also does. With a space before it, it stays.
fn keep_leading_docs(code: &mut String) {
    let end = commands_end(code);
    let mut start = 0;
    for line in code[..end].split_inclusive('\n') {
        if line.starts_with("///") && !line.starts_with("////") {
            code.insert(start, ' ');
            return;
        }
        start += line.len();
    }
}

/// A compiler's text about what was run, with the lines as the learner wrote them: lines were rewritten so that every
/// place in them is still the same.
pub fn as_written(text: &str, written: &str, run: &str) -> String {
    let mut text = text.to_owned();
    for (written, run) in written.lines().zip(run.lines()) {
        if written != run && !run.trim().is_empty() {
            text = text.replace(run, written);
        }
    }
    text
}

/// The cell with its magics blanked out, every other character where it was: for completion, inspection, and the
/// question whether a cell is complete.
pub fn without_magics(text: &str) -> String {
    let mut code = text.to_owned();
    if let Some((name, _)) = cell_magic(text) {
        let line_end = text.find('\n').unwrap_or(text.len());
        // What the other cell magics take is not Rust.
        let is_rust = name == "%%time" || name == "%%timeit";
        let end = if is_rust { line_end } else { text.len() };
        blank(&mut code, 0, end);
    }
    while let Some(magic) = next_line_magic(&code) {
        let end = match &code[magic.start..magic.name_end] {
            "%time" | "%timeit" => magic.name_end,
            _ => magic.line_end,
        };
        blank(&mut code, magic.start, end);
    }
    code
}

/// The names of the magics that begin with `prefix`.
pub fn magics_with_prefix(prefix: &str) -> impl Iterator<Item = &'static str> {
    MAGICS
        .iter()
        .map(|(name, _)| *name)
        .filter(move |name| name.starts_with(prefix))
}

/// `%%name arguments`, if that is what the cell's first line is.
fn cell_magic(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().next()?;
    let letters = line.strip_prefix("%%")?;
    let name_len = 2 + letters.find(|c: char| !is_name(c)).unwrap_or(letters.len());
    Some((&line[..name_len], line[name_len..].trim()))
}

/// A line magic: `%name arguments`, where a statement may begin.
struct LineMagic {
    /// Where the `%` is.
    start: usize,
    name_end: usize,
    line_end: usize,
}

/// Finds the first line magic. A `%` inside a string, a comment or an expression is none.
fn next_line_magic(code: &str) -> Option<LineMagic> {
    if !code.contains('%') {
        return None;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let mut depth = 0_usize;
    let mut may_begin = true;
    for token in body.tokens() {
        let kind = token.kind();
        let start = from + body.offset(token.text_range().start());
        if kind == SyntaxKind::PERCENT && depth == 0 && may_begin && begins_line(code, start) {
            let line_end = start + code[start..].find('\n').unwrap_or(code.len() - start);
            let letters = &code[start + 1..line_end];
            let name_len = letters.find(|c: char| !is_name(c)).unwrap_or(letters.len());
            if name_len > 0 {
                return Some(LineMagic {
                    start,
                    name_end: start + 1 + name_len,
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

/// `%time STATEMENT`: the same with the expression, or the initialiser of a `let`, inside the library's macro.
fn time_statement(code: &str, magic: &LineMagic) -> Result<String, Mistake> {
    let name = code[magic.start..magic.name_end].to_owned();
    let nothing = || {
        usage(&format!(
            "`{name}` needs something to time on its line: `{name} f(x)`"
        ))
    };
    if code[magic.name_end..magic.line_end].trim().is_empty() {
        return Err(nothing());
    }
    let mut code = code.to_owned();
    blank(&mut code, magic.start, magic.name_end);
    let from = commands_end(&code);
    let body = Body::parse(&code[from..]);
    let statement = body
        .statements()
        .find(|node| from + body.offset(node.text_range().end()) > magic.start)
        .ok_or_else(nothing)?;
    // What runs many times has no one value to keep.
    let is_repeated = name == "%timeit";
    let let_statement = ast::LetStmt::cast(statement.clone()).filter(|_| !is_repeated);
    let timed = match &let_statement {
        Some(let_statement) => let_statement.initializer(),
        None => expression(&statement),
    };
    let Some(timed) = timed else {
        let what = if is_repeated {
            "an expression"
        } else {
            "an expression or a `let` with a value"
        };
        return Err(usage(&format!(
            "`{name}` can time {what}; for more, begin the cell with `%{name}`"
        )));
    };
    let start = from + body.offset(timed.syntax().text_range().start());
    let end = from + body.offset(timed.syntax().text_range().end());
    // A `let` takes the value; to show it, a reference will do, and leaves a variable where it is.
    let borrow = if let_statement.is_none() && is_place(&timed) {
        "&"
    } else {
        ""
    };
    let call = format!(
        "{}{borrow}",
        if is_repeated { TIMEIT_ONE } else { TIME_ONE }
    );
    code.insert(end, ')');
    code.insert_str(start, &call);
    // The call takes the room that the magic had, if that is on the same line.
    if !code[magic.start..start].contains('\n') {
        code.replace_range(magic.start..magic.start + call.len(), "");
    }
    Ok(code)
}

/// The cell without its first line, and where the Rust in it begins after evcxr's commands.
fn timed_lines<'a>(text: &'a str, name: &str) -> Result<(&'a str, usize), Mistake> {
    let rest = &text[text.find('\n').unwrap_or(text.len())..];
    if rest.trim().is_empty() {
        return Err(usage(&format!(
            "`{name}` times the lines below it, and there are none"
        )));
    }
    if let Some(magic) = next_line_magic(rest) {
        let inner = &rest[magic.start..magic.name_end];
        return Err(usage(&format!("`{inner}` cannot be used inside `{name}`")));
    }
    let from = commands_end(rest);
    // Where no command comes first, the first line, which was the magic's, has room for what is inserted.
    Ok((rest, if commands_in(&rest[..from]) { from } else { 0 }))
}

/// `%%timeit`: the cell as the body of a closure.
fn timeit_cell(rest: &str, first: usize) -> String {
    let (commands, body) = rest.split_at(first);
    format!("{commands}{TIMEIT_CELL}{body}\n}})")
}

/// `%%time`: a clock is started in the first line's place and stopped around the last expression, or after the last statement.
fn time_cell(rest: &str, first: usize) -> String {
    let body = Body::parse(&rest[first..]);
    let mut statements: Vec<SyntaxNode> = body.statements().collect();
    let tail = statements.last().cloned().and_then(ast::Expr::cast);
    let mut code = rest.to_owned();
    match tail {
        Some(tail) => {
            statements.pop();
            let end = first + body.offset(tail.syntax().text_range().end());
            let before = match statements.last() {
                Some(node) => first + body.offset(node.text_range().end()),
                None => first,
            };
            let borrow = if is_place(&tail) { "&" } else { "" };
            code.insert(end, ')');
            code.insert_str(before, &format!("{CLOCK_STOP}, {borrow}"));
        }
        None => code.push_str(&format!("\n{CLOCK_STOP});")),
    }
    code.insert_str(first, CLOCK_START);
    code
}

/// The statements of a cell, parsed as the body of a function.
struct Body {
    root: SyntaxNode,
    len: usize,
}

impl Body {
    fn parse(code: &str) -> Body {
        let text = format!("{PROLOGUE}{code}{EPILOGUE}");
        Body {
            root: SourceFile::parse(&text, Edition::Edition2024).syntax_node(),
            len: code.len(),
        }
    }

    /// A place in the parsed text as a place in the code.
    fn offset(&self, size: TextSize) -> usize {
        usize::from(size)
            .saturating_sub(PROLOGUE.len())
            .min(self.len)
    }

    /// All tokens of the code, in order.
    fn tokens(&self) -> impl Iterator<Item = SyntaxToken> {
        let code = PROLOGUE.len()..PROLOGUE.len() + self.len;
        self.root
            .descendants_with_tokens()
            .filter_map(NodeOrToken::into_token)
            .filter(move |token| code.contains(&usize::from(token.text_range().start())))
    }

    /// The statements, items, and the last expression, without comments.
    fn statements(&self) -> impl Iterator<Item = SyntaxNode> {
        self.root
            .children()
            .find_map(ast::Fn::cast)
            .and_then(|function| function.body())
            .and_then(|body| body.stmt_list())
            .into_iter()
            .flat_map(|list| list.syntax().children())
    }
}

/// The expression of an expression statement, with or without its semicolon.
fn expression(statement: &SyntaxNode) -> Option<ast::Expr> {
    match ast::ExprStmt::cast(statement.clone()) {
        Some(statement) => statement.expr(),
        None => ast::Expr::cast(statement.clone()),
    }
}

/// Whether an expression names a place, so that to take its value would move a variable away.
fn is_place(expression: &ast::Expr) -> bool {
    match expression {
        ast::Expr::PathExpr(_) | ast::Expr::FieldExpr(_) | ast::Expr::IndexExpr(_) => true,
        ast::Expr::ParenExpr(inner) => inner.expr().is_some_and(|inner| is_place(&inner)),
        ast::Expr::PrefixExpr(prefix) => prefix.op_kind() == Some(ast::UnaryOp::Deref),
        _ => false,
    }
}

/// Where evcxr's leading `:commands` and `!shell` lines, comments and blank lines end.
fn commands_end(code: &str) -> usize {
    code.split_inclusive('\n')
        .take_while(|line| is_command(line) || line.trim().is_empty() || line.starts_with("//"))
        .map(str::len)
        .sum()
}

fn commands_in(lines: &str) -> bool {
    lines.lines().any(is_command)
}

fn is_command(line: &str) -> bool {
    line.starts_with('!') || line.trim_start_matches(' ').starts_with(':')
}

fn begins_line(code: &str, at: usize) -> bool {
    let line = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
    code[line..at].trim().is_empty()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Replaces characters by spaces, newlines excepted, so that all others stay where they are.
fn blank(code: &mut String, start: usize, end: usize) {
    let spaces: String = code[start..end]
        .chars()
        .flat_map(|c| {
            // As many bytes as before: places in the code are bytes.
            let space = if c == '\n' { '\n' } else { ' ' };
            std::iter::repeat_n(space, c.len_utf8())
        })
        .collect();
    code.replace_range(start..end, &spaces);
}

fn list() -> String {
    let width = MAGICS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, what) in MAGICS {
        text.push_str(&format!("{name:width$}  {what}\n"));
    }
    text.push_str("Commands of evcxr begin with a colon; `:help` lists them.\n");
    text
}

fn usage(message: &str) -> Mistake {
    Mistake {
        name: "UsageError",
        message: message.to_owned(),
    }
}

fn unknown(name: &str) -> Mistake {
    let nearest = MAGICS
        .iter()
        .map(|(known, _)| (edit_distance(name, known), *known))
        .min()
        .filter(|(distance, _)| *distance <= name.len().div_ceil(2))
        .map(|(_, known)| format!("did you mean `{known}`? "))
        .unwrap_or_default();
    Mistake {
        name: "UnknownMagic",
        message: format!("there is no `{name}`; {nearest}`%lsmagic` lists what there is"),
    }
}

/// How many characters must be inserted, removed or replaced to make one of the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
