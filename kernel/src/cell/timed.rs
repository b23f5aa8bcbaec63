//! `%time` and related magics: the learner's code inside the library's macros.

use ra_ap_syntax::{AstNode, SyntaxNode, ast};

use super::code::{Body, expression, is_place};
use super::lines::{LineMagic, blank, commands_end, is_command};
use super::program;
use super::steps::{Mistake, usage};

/// The first import of every session: the trait that shows values, and the macros that measure.
pub const PRELUDE: &str = "use forklore::display::cell::names::*;";
/// The macro's call is so short that, with a `&`, it fits where its magic was.
const TIME_ONE: &str = "_t!(";
const TIMEIT_ONE: &str = "_ti!(";
/// (No `::` before the crate's name: evcxr takes a line that begins with a colon for a command.)
const CLOCK_START: &str = "forklore::display::cell::start!(_clock);";
const CLOCK_STOP: &str = "forklore::display::cell::stop!(_clock";
const TIMEIT_CELL: &str = "forklore::display::cell::timeit!({";

/// The number of runs of `%timeit` without `-r`.
const N_RUNS: usize = 7;

/// `%%time` and `%%timeit`: times the lines below.
pub(super) fn cell(text: &str, name: &str, arguments: &str) -> Result<String, Mistake> {
    let options = Options::of(name, arguments);
    if options.len < arguments.len() {
        let line = &name[1..];
        return Err(usage(&format!(
            "`{name}` times the lines below it; to time one line, write `{line} {arguments}`"
        )));
    }
    let (rest, from) = timed_lines(text, name)?;
    Ok(if name == "%%time" {
        let mut rest = rest.to_owned();
        program::add_call(&mut rest);
        time_cell(&rest, from)
    } else {
        timeit_cell(rest, from, &options)
    })
}

/// `%time STATEMENT`: the same statement with its expression, or the initialiser of its `let`,
/// inside the library's macro.
pub(super) fn statement(code: &str, magic: &LineMagic) -> Result<String, Mistake> {
    let name = code[magic.start..magic.name_end].to_owned();
    let nothing = || {
        usage(&format!(
            "`{name}` needs something to time on its line: `{name} f(x)`"
        ))
    };
    let options = Options::of(&name, &code[magic.name_end..magic.line_end]);
    let code_start = magic.name_end + options.len;
    if code[code_start..magic.line_end].trim().is_empty() {
        return Err(nothing());
    }
    let mut code = code.to_owned();
    blank(&mut code, magic.start, code_start);
    let from = commands_end(&code);
    let body = Body::parse(&code[from..]);
    let statement = body
        .statements()
        .find(|node| from + body.offset(node.text_range().end()) > magic.start)
        .ok_or_else(nothing)?;
    // Code that runs many times has no single value to keep.
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
    // Code that follows a name without a semicolon continues it: `f` and, on the next line, `(3)`
    // is a call.
    if start < magic.start {
        return Err(usage(&format!(
            "`{name}` has to begin a statement; end the one before it with a semicolon"
        )));
    }
    // A `let` takes the value; to show it, a reference is enough, and does not move a variable.
    let borrow = if let_statement.is_none() && is_place(&timed) {
        "&"
    } else {
        ""
    };
    let call = format!(
        "{}{borrow}",
        if is_repeated { TIMEIT_ONE } else { TIME_ONE }
    );
    code.insert_str(end, &format!("{})", options.as_arguments()));
    code.insert_str(start, &call);
    // The call fits in the space of the magic, if both are on the same line.
    if !code[magic.start..start].contains('\n') {
        code.replace_range(magic.start..magic.start + call.len(), "");
    }
    Ok(code)
}

/// IPython's options of `%timeit`: `-n LOOPS` and `-r RUNS`.
#[derive(Default)]
struct Options {
    loops: Option<u32>,
    n_runs: Option<usize>,
    /// The length of their text.
    len: usize,
}

impl Options {
    fn of(name: &str, text: &str) -> Options {
        let mut options = Options::default();
        if !name.ends_with("timeit") {
            return options;
        }
        while options.take_one(text).is_some() {}
        options
    }

    /// Reads the next option, if there is one.
    fn take_one(&mut self, text: &str) -> Option<()> {
        let rest = text[self.len..].trim_start();
        let after = rest.strip_prefix("-n").or(rest.strip_prefix("-r"))?;
        let digits = after.trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let (number, behind) = digits.split_at(end.unwrap_or(digits.len()));
        // `-n * 2` is Rust.
        let is_option = behind.is_empty() || behind.starts_with(char::is_whitespace);
        let number: u32 = number.parse().ok().filter(|_| is_option)?;
        match rest.starts_with("-n") {
            true => self.loops = Some(number),
            false => self.n_runs = Some(number as usize),
        }
        self.len = text.len() - behind.len();
        Some(())
    }

    /// The arguments of the library's macro after the expression.
    fn as_arguments(&self) -> String {
        let Options { loops, n_runs, .. } = self;
        match (loops, n_runs) {
            (None, None) => String::new(),
            _ => format!(", {loops:?}, {}", n_runs.unwrap_or(N_RUNS)),
        }
    }
}

/// The cell without its first line, and where its Rust begins after evcxr's commands.
fn timed_lines<'a>(text: &'a str, name: &str) -> Result<(&'a str, usize), Mistake> {
    let rest = &text[text.find('\n').unwrap_or(text.len())..];
    if rest.trim().is_empty() {
        return Err(usage(&format!(
            "`{name}` times the lines below it, and there are none"
        )));
    }
    let from = commands_end(rest);
    // If no command comes first, the first line, which held the magic, has space for the inserted
    // code.
    Ok((
        rest,
        if rest[..from].lines().any(is_command) {
            from
        } else {
            0
        },
    ))
}

/// `%%timeit`: the cell as the body of a closure.
fn timeit_cell(rest: &str, first: usize, options: &Options) -> String {
    let (commands, body) = rest.split_at(first);
    let arguments = options.as_arguments();
    format!("{commands}{TIMEIT_CELL}{body}\n}}{arguments})")
}

/// `%%time`: starts a clock in place of the first line, and stops it around the last expression, or
/// after the last statement.
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
