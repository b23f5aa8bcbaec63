//! From the text of a cell to the steps to run: magics, which begin with `%`, questions (`?name`),
//! and Rust.
//!
//! The learner's code goes to evcxr unchanged, so that lines and columns in compile errors are
//! those of the cell. If a magic needs code around the learner's, that code replaces the magic
//! itself (`%time ` has as many characters as the call that replaces it), or goes to the end of an
//! earlier line.
//!
//! Showing the value of the last expression needs no rewriting: evcxr appends `.evcxr_display()` to
//! it, and the library's trait of that name (`forklore::display::cell`), which every session
//! imports, implements it for every type that implements `Debug`. So one compile is enough where
//! stock evcxr needs two. A type's own `evcxr_display` still takes precedence because it is
//! inherent, and a type that has neither gets evcxr's second attempt with its usual error.
//!
//! evcxr's own `:commands` pass through unchanged, except those in `commands`.
//!
//! This module runs nothing: a [`Plan`] lists the steps, and `session` runs them. A cell's Rust is
//! a single step, because a cell is one transaction.

mod code;
mod commands;
pub mod complete;
pub mod cursor;
mod file;
mod items;
mod line_magics;
mod lines;
mod literals;
mod locals;
mod magics;
mod place;
mod program;
mod steps;
mod timed;

use line_magics::line_magics;
use lines::{LineMagic, blank, cell_magic};
use magics::{Form, list, unknown};
use steps::usage;

pub(crate) use code::{Body, binding_of, is_own, leaves_types_out, own_variables};
pub(crate) use commands::opt_level;
pub(crate) use file::{HIDDEN_ERRORS, doubtful_items, without_own_crates};
pub(crate) use lines::{commands_end, is_command, shield_negation};
pub(crate) use locals::{as_locals, closures, once_more, with_drops};
pub use magics::{bytes_in_words, magic_help, magics_with_prefix, words_for};
pub use place::Place;
pub use steps::{Action, Captured, MemoryLimit, Mistake, Plan, Profile, Script, Step};
pub use timed::PRELUDE;

/// Plans a cell.
///
/// # Errors
///
/// A magic that does not exist, or that has an argument that it cannot use.
pub fn plan(text: &str) -> Result<Plan, Mistake> {
    if let Some(name) = question(text) {
        return Ok(Plan {
            steps: vec![describe(name)],
        });
    }
    let (blank_lines, cell) = text.split_at(lines::first_line(text));
    let rust = match cell_magic(cell) {
        None => text.to_owned(),
        Some((name, arguments)) => match magics::find(name).map(|magic| &magic.form) {
            Some(Form::Rust(rewrite)) => {
                let rust = rewrite(cell, name, arguments)?;
                refuse_magics_below(cell, name)?;
                blank_lines.to_owned() + &rust
            }
            Some(Form::Text(steps)) => {
                let body = cell.split_once('\n').map_or("", |(_, body)| body);
                let steps = steps(name, arguments, body)?;
                return Ok(Plan { steps });
            }
            Some(Form::Around(steps)) => {
                let [before, after] = steps(name, arguments)?;
                let mut below = text.to_owned();
                let line_end = blank_lines.len() + cell.find('\n').unwrap_or(cell.len());
                blank(&mut below, blank_lines.len(), line_end);
                let mut plan = plan(&below)?;
                plan.steps.insert(0, before);
                plan.steps.push(after);
                return Ok(plan);
            }
            _ => return Err(unknown(name)),
        },
    };
    plan_lines(rust)
}

/// The code around the lines below a cell magic has no position for other magics.
fn refuse_magics_below(cell: &str, name: &str) -> Result<(), Mistake> {
    let below = &cell[cell.find('\n').unwrap_or(cell.len())..];
    match line_magics(below).first() {
        None => Ok(()),
        Some(magic) => {
            let inner = &below[magic.start..magic.name_end];
            Err(usage(&format!("`{inner}` cannot be used inside `{name}`")))
        }
    }
}

/// Plans a cell whose first line does not select another language.
fn plan_lines(mut code: String) -> Result<Plan, Mistake> {
    lines::shield_first_line(&mut code);
    let asks_for_help = code.trim() == ":help";
    let mut doings = Vec::new();
    for found in line_magics(&code) {
        let name = &code[found.start..found.name_end];
        match magics::find(name).map(|magic| &magic.form) {
            Some(Form::Line(step)) => {
                let arguments = code[found.name_end..found.line_end].trim();
                doings.push((found.start, name.to_owned(), step(name, arguments)?));
                blank(&mut code, found.start, found.line_end);
            }
            Some(Form::Code(_)) => {}
            _ => return Err(unknown(name)),
        }
    }
    // Decided before any rewriting, because that moves the code after it.
    let (first, last) = lines::extent(&code);
    let mut plan = Plan {
        steps: commands::take(&mut code)?,
    };
    let mut after = Vec::new();
    for (at, name, step) in doings {
        if at < first {
            plan.steps.push(step);
        } else if at >= last {
            after.push(step);
        } else {
            return Err(usage(&format!(
                "`{name}` stands before the cell's code or after it, not in its middle"
            )));
        }
    }
    while let Some((found, rewrite)) = first_to_rewrite(&code) {
        code = rewrite(&code, &found)?;
    }
    if let Some(line) = code::line_of_return(&code) {
        return Err(Mistake {
            name: "CompileError",
            message: format!(
                "`return` on line {line} leaves a function, and a cell is none: use `if` and `else`, or write a function and call it"
            ),
        });
    }
    keep_leading_docs(&mut code);
    items::configure(&mut code);
    items::export_macros(&mut code);
    items::escape_gen(&mut code);
    literals::make_constant(&mut code);
    program::add_call(&mut code);
    if !code.trim().is_empty() {
        plan.steps.push(Step::Run(code));
    }
    plan.steps.extend(after);
    if asks_for_help {
        plan.steps.push(Step::Say(list()));
    }
    Ok(plan)
}

/// The next magic that Rust replaces.
fn first_to_rewrite(code: &str) -> Option<(LineMagic, magics::Rewrite)> {
    line_magics(code).into_iter().find_map(|found| {
        match magics::find(&code[found.start..found.name_end])?.form {
            Form::Code(rewrite) => Some((found, rewrite)),
            _ => None,
        }
    })
}

/// The name in a cell that only asks for one: `?name` or `name?`, or with two marks, as in IPython.
///
/// `name?` is Rust too: to unwrap an `Ok` in a cell of its own, write `name?;` or `(name)?`.
fn question(text: &str) -> Option<&str> {
    let text = text.trim();
    let name = text.trim_matches('?').trim();
    let is_asked = text.starts_with('?') != text.ends_with('?');
    let is_name_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '%' | '!');
    (is_asked && !name.is_empty() && name.chars().all(is_name_part)).then_some(name)
}

fn describe(name: &str) -> Step {
    match magics::find(name) {
        Some(magic) => Step::Say(magic.help()),
        // A macro's name does not include its `!`.
        None => Step::Do(Action::Describe(name.trim_end_matches('!').to_owned())),
    }
}

/// evcxr drops the lines that begin with `//` before the first Rust code, and that includes the
/// documentation of a cell's first item. With a space before it, a line stays.
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

/// The cell with its magics blanked out and every other character in its position: for completion,
/// inspection, and the check whether a cell is complete.
pub fn without_magics(text: &str) -> String {
    let mut code = text.to_owned();
    if question(text).is_some() {
        return code.replace('?', " ");
    }
    let first_line = lines::first_line(text);
    if let Some((name, _)) = cell_magic(&text[first_line..]) {
        let line_end = text[first_line..]
            .find('\n')
            .map_or(text.len(), |end| first_line + end);
        // The lines below other cell magics are not Rust.
        let is_rust = matches!(
            magics::find(name).map(|magic| &magic.form),
            Some(Form::Rust(_) | Form::Around(_))
        );
        let end = if is_rust { line_end } else { text.len() };
        blank(&mut code, 0, end);
    }
    for LineMagic {
        start,
        name_end,
        line_end,
    } in line_magics(&code)
    {
        let end = match magics::find(&code[start..name_end]) {
            Some(magic) if magic.takes_rust() => name_end,
            _ => line_end,
        };
        blank(&mut code, start, end);
    }
    code
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timed_tests;
