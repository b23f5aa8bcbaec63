//! Separates evcxr's commands from the Rust in a cell.

use super::code::Body;

/// A line magic: `%name arguments`, at a position where a statement may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineMagic {
    /// The offset of the `%`.
    pub(super) start: usize,
    pub(super) name_end: usize,
    pub(super) line_end: usize,
}

/// The offset of the first line that is not blank.
pub(super) fn first_line(text: &str) -> usize {
    text.split_inclusive('\n')
        .take_while(|line| line.trim().is_empty())
        .map(str::len)
        .sum()
}

/// The name and arguments of a cell magic, if the cell's first line is `%%name arguments`.
pub(super) fn cell_magic(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().next()?;
    let letters = line.strip_prefix("%%")?;
    let name_len = 2 + letters.find(|c: char| !is_name(c)).unwrap_or(letters.len());
    Some((&line[..name_len], line[name_len..].trim()))
}

/// Where the first code that is not a comment begins, and where the last ends. evcxr's commands do
/// not count, because they need not come first.
pub(super) fn extent(code: &str) -> (usize, usize) {
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let tokens = body.tokens().filter(|token| !token.kind().is_trivia());
    let places = tokens.map(|token| {
        let range = token.text_range();
        (
            from + body.offset(range.start()),
            from + body.offset(range.end()),
        )
    });
    places.fold((code.len(), 0), |(first, last), (start, end)| {
        (first.min(start), last.max(end))
    })
}

/// The end of evcxr's leading `:commands` and `!shell` lines, comments and blank lines.
pub(crate) fn commands_end(code: &str) -> usize {
    code.split_inclusive('\n')
        .take_while(|line| is_command(line) || line.trim().is_empty() || line.starts_with("//"))
        .map(str::len)
        .sum()
}

/// Whether a leading line belongs to evcxr or the shell, and is not Rust: `::std::mem::swap(…)` is
/// a path, `!true` a negation.
pub(crate) fn is_command(line: &str) -> bool {
    if let Some(negated) = line.strip_prefix('!') {
        return !is_expression(negated);
    }
    let line = line.trim_start_matches(' ');
    line.starts_with(':') && !line.starts_with("::")
}

/// Whether the text after a `!` is Rust. `ls` and `script.sh` would be valid Rust too, so the text
/// must not look like anything else.
fn is_expression(text: &str) -> bool {
    let text = text.trim();
    let word_len = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(word_len);
    let is_literal =
        matches!(word, "true" | "false") || text.starts_with(|c: char| c.is_ascii_digit());
    let is_call = !word.is_empty()
        && (rest.starts_with(['(', '['])
            || rest.starts_with("::")
            || (rest.starts_with('.') && rest.contains('(')));
    let is_rust = is_literal || is_call || text.starts_with(['(', '!', '*']);
    is_rust && Body::is_correct(text)
}

/// If the cell's first line negates a variable: the cell with a space that distinguishes it from a
/// line for the shell; otherwise `None`. `is_variable` gets the name, and whether the variable
/// itself is negated, rather than one of its fields.
///
/// `!done` could be either: the session's variables decide. `! done` always belongs to the shell.
pub(crate) fn shield_negation(
    code: &str,
    is_variable: impl Fn(&str, bool) -> bool,
) -> Option<String> {
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let Some(text) = line.strip_prefix('!') else {
            if !line.trim().is_empty() && !line.starts_with("//") && !is_command(line) {
                return None;
            }
            at += line.len();
            continue;
        };
        let (word, rest) = text.split_at(text.find(|c: char| !is_name(c)).unwrap_or(text.len()));
        let is_field = rest.starts_with('.');
        let rest = rest
            .trim_start_matches(|c: char| c == '.' || is_name(c))
            .trim();
        let operators = ["&", "|", "^", "==", "!=", ";", "//"];
        let goes_on =
            rest.is_empty() || operators.iter().any(|operator| rest.starts_with(operator));
        let is_negation = goes_on && is_variable(word, !is_field) && Body::is_correct(text.trim());
        if is_negation {
            return Some(format!("{} {}", &code[..at], &code[at..]));
        }
        at += line.len();
    }
    None
}

/// Puts a space before a leading line of Rust that evcxr would otherwise take for a command.
pub(super) fn shield_first_line(code: &mut String) {
    let start = commands_end(code);
    let rest = &code[start..];
    if rest.starts_with('!') {
        code.insert(start, ' ');
    } else if rest.trim_start_matches(' ').starts_with("::") {
        code.insert(start, '\t');
    }
}

pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Replaces characters by spaces, except newlines, so that all others keep their position.
pub(super) fn blank(code: &mut String, start: usize, end: usize) {
    let spaces: String = code[start..end]
        .chars()
        .flat_map(|c| {
            // As many bytes as before, because positions in the code are byte offsets.
            let space = if c == '\n' { '\n' } else { ' ' };
            std::iter::repeat_n(space, c.len_utf8())
        })
        .collect();
    code.replace_range(start..end, &spaces);
}
