//! Maps positions in the generated file to positions in the cells.
//!
//! evcxr copies each statement and item of a cell as a whole into the file that is compiled, on
//! separate lines, among code that it generates and the items of earlier cells. So a statement is
//! found by its text, and a position in it by its distance from the statement's beginning. A `use`
//! with several names is the exception: each name gets a line.

use std::ops::Range;

use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode, ast};

use super::cells::Cells;
use super::written::{as_written, nth_line};
use crate::cell;
use crate::definitions::statics::{EXPORT_BEGINS, EXPORT_ENDS};

/// A text that the learner wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// The cell that is compiled.
    Cell,
    /// An earlier cell, by its index.
    Earlier(usize),
}

/// A line of a cell, and a character in it, both counted from 1.
pub(super) struct Position<'a> {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: &'a str,
}

/// A position in such a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) text: Text,
    pub(super) bytes: Range<usize>,
}

/// A position in the generated file as rustc reports it, and its lines as rustc saw them.
#[derive(Debug, Clone)]
pub(super) struct Generated<'a> {
    /// The first line, counted from 1.
    pub(super) line: usize,
    /// From the beginning of the first line to the start of the position, and from the beginning of
    /// the last line to its end, in characters.
    pub(super) columns: Range<usize>,
    pub(super) lines: Vec<&'a str>,
}

/// The generated file, and which parts of it come from the cells.
pub(super) struct Sources<'a> {
    cells: Cells<'a>,
    generated: String,
    /// The offset at which each line begins.
    lines: Vec<usize>,
    pieces: Vec<Piece>,
    imports: Vec<Import>,
}

/// A statement or item of the cell in the generated file.
#[derive(Debug)]
struct Piece {
    generated: Range<usize>,
    /// Its offset in the cell.
    cell: usize,
}

/// The line that evcxr writes for one name of a `use`.
#[derive(Debug)]
struct Import {
    line: String,
    /// The words of the path, and their positions in the cell.
    path: Vec<(String, Range<usize>)>,
    whole: Range<usize>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(cells: Cells<'a>, generated: String) -> Sources<'a> {
        let ends = generated.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        let mut sources = Sources {
            cells,
            lines,
            pieces: Vec::new(),
            imports: Vec::new(),
            generated,
        };
        sources.find_pieces();
        sources
    }

    /// For a file whose bytes are the cell's, at the same offsets.
    pub(super) fn of_file(cells: Cells<'a>, file: String) -> Sources<'a> {
        let mut sources = Sources::new(cells, file);
        sources.pieces = vec![Piece {
            generated: 0..sources.generated.len(),
            cell: 0,
        }];
        sources
    }

    fn find_pieces(&mut self) {
        let code = self.cells.code;
        let from = cell::commands_end(code);
        let body = cell::Body::parse(&code[from..]);
        let nodes: Vec<SyntaxNode> = body.statements().collect();
        let starts = nodes
            .iter()
            .skip(1)
            .map(|node| from + body.offset(node.text_range().start()));
        let starts: Vec<usize> = std::iter::once(from).chain(starts).collect();
        // After this offset, the cell's statements are in their order.
        let mut behind = 0;
        for (at, node) in nodes.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(code.len());
            if let Some(tree) = ast::Use::cast(node.clone()).and_then(|item| item.use_tree()) {
                let offset = |size| from + body.offset(size);
                collect_imports(&tree, &[], &offset, &mut self.imports);
            }
            let Some(found) = self.find_piece(&code[starts[at]..end], behind) else {
                continue;
            };
            if !ast::Item::can_cast(node.kind()) {
                behind = found.end;
            }
            self.pieces.push(Piece {
                generated: found,
                cell: starts[at],
            });
        }
    }

    /// Finds a statement's text: the first occurrence after an offset, or else the last.
    fn find_piece(&self, text: &str, behind: usize) -> Option<Range<usize>> {
        if text.trim().is_empty() {
            return None;
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        let is_free = |range: &Range<usize>| {
            let begins_line = self.lines.binary_search(&range.start).is_ok();
            // Its last character ends the line; otherwise the text belongs to the next item.
            let rest = &self.generated[range.end - 1..];
            let ends_line = rest.starts_with('\n') || rest.starts_with(EXPORT_BEGINS);
            let taken = &self.pieces;
            begins_line && ends_line && taken.iter().all(|piece| piece.generated != *range)
        };
        let found = self.generated.match_indices(text);
        let found: Vec<Range<usize>> = found
            .map(|(at, text)| at..at + text.len() + 1)
            .filter(|range| range.end <= self.generated.len())
            .filter(is_free)
            .collect();
        let first_behind = found.iter().find(|range| range.start >= behind);
        first_behind.or(found.last()).cloned()
    }

    /// The position in a cell of a position in the generated file; `None` for code that no learner
    /// wrote.
    pub(super) fn find(&self, place: &Generated<'_>) -> Option<Spot> {
        if !self.is_as_compiled(place) {
            return self.find_by_text(place);
        }
        let begin = self.lines[place.line - 1];
        let last = self.lines[place.line - 1 + place.lines.len().saturating_sub(1)];
        let start = begin + self.bytes_of_column(begin, place.columns.start);
        let end = (last + self.bytes_of_column(last, place.columns.end)).max(start);
        let piece = self
            .pieces
            .iter()
            .find(|piece| piece.generated.contains(&start));
        if let Some(piece) = piece {
            let in_cell =
                |at: usize| (piece.cell + at - piece.generated.start).min(self.cells.code.len());
            let bytes = in_cell(start)..in_cell(end.min(piece.generated.end));
            return Some(self.in_cell(bytes));
        }
        // A message about generated code around a statement is about that statement.
        let is_inside =
            |piece: &&Piece| start <= piece.generated.start && piece.generated.end <= end;
        if let Some(piece) = self.pieces.iter().find(is_inside) {
            let text = &self.cells.code[piece.cell..];
            let len = piece.generated.len().min(text.len());
            return Some(self.in_cell(piece.cell..piece.cell + text[..len].trim_end().len()));
        }
        let line = place.lines.first()?;
        if let Some(import) = self
            .imports
            .iter()
            .find(|import| import.line == line.trim())
        {
            let columns = start - begin..end - begin;
            return Some(self.in_cell(import.find(columns, self.cells.code)));
        }
        self.find_by_text(place)
    }

    /// Whether a position begins in code that no learner wrote.
    pub(super) fn is_generated(&self, place: &Generated<'_>) -> bool {
        let begin = self
            .lines
            .get(place.line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let start = begin + self.bytes_of_column(begin, place.columns.start);
        let pieces = &self.pieces;
        self.is_as_compiled(place) && pieces.iter().all(|piece| !piece.generated.contains(&start))
    }

    /// Whether the lines that rustc saw are those of the generated file.
    fn is_as_compiled(&self, place: &Generated<'_>) -> bool {
        let lines = self.generated.lines().skip(place.line.saturating_sub(1));
        place.line > 0
            && place.line <= self.lines.len()
            && place.lines.len() == lines.zip(&place.lines).filter(|(a, b)| a == *b).count()
    }

    fn bytes_of_column(&self, line: usize, column: usize) -> usize {
        bytes_of_column(&self.generated[line..], column)
    }

    /// Finds a position by its lines, in the cell first, then in the latest cell that has them.
    fn find_by_text(&self, place: &Generated<'_>) -> Option<Spot> {
        let place = &Generated {
            lines: place.lines.iter().copied().map(own_part).collect(),
            ..place.clone()
        };
        let earlier = (0..self.cells.earlier.len()).rev().map(Text::Earlier);
        std::iter::once(Text::Cell).chain(earlier).find_map(|text| {
            let bytes = find_lines(self.compiled_text(text), place)?;
            Some(match text {
                Text::Cell => self.in_cell(bytes),
                Text::Earlier(_) => Spot { text, bytes },
            })
        })
    }

    fn compiled_text(&self, text: Text) -> &'a str {
        match text {
            Text::Cell => self.cells.code,
            Text::Earlier(index) => &self.cells.earlier[index],
        }
    }

    /// The text that the learner reads.
    pub(super) fn text(&self, text: Text) -> &'a str {
        match text {
            Text::Cell => self.cells.written,
            Text::Earlier(index) => &self.cells.earlier[index],
        }
    }

    /// The name under which the learner knows a text.
    pub(super) fn name(&self, text: Text) -> String {
        match text {
            Text::Cell => "cell".to_owned(),
            Text::Earlier(index) => self.cells.name(index),
        }
    }

    /// The position of the `let` of a variable in an earlier cell.
    pub(super) fn definition(&self, variable: &str) -> Option<Spot> {
        let (index, bytes) = self.cells.definition(variable)?;
        let text = Text::Earlier(index);
        Some(Spot { text, bytes })
    }

    /// Converts a position in the compiled code to one in the written code: magics were rewritten,
    /// each on its line.
    pub(super) fn in_cell(&self, bytes: Range<usize>) -> Spot {
        let len = self.cells.written.len();
        let bytes = as_written(self.cells.code, self.cells.written, bytes);
        Spot {
            text: Text::Cell,
            bytes: bytes.start.min(len)..bytes.end.min(len),
        }
    }

    /// A variable that no longer exists, and the index of the cell that moved it.
    pub(super) fn gone<'n>(&self, name: &'n str) -> Option<(&'n str, usize)> {
        let cell = *self.cells.gone.get(name)?;
        (cell < self.cells.earlier.len()).then_some((name, cell))
    }

    /// The position of a line inserted before the cell's first one.
    pub(super) fn beginning(&self) -> Spot {
        let at = cell::commands_end(self.cells.code);
        self.in_cell(at..at)
    }

    /// The name and the cell's line for a position in the generated file, as a program prints it.
    pub(super) fn position(&self, line: usize, column: usize) -> Option<Position<'a>> {
        let text = self.generated_line(line)?;
        let columns = column.saturating_sub(1)..column.saturating_sub(1);
        let spot = self.find(&Generated {
            line,
            columns,
            lines: vec![text],
        })?;
        let text = self.text(spot.text);
        let begin = text[..spot.bytes.start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        Some(Position {
            name: self.name(spot.text),
            line: text[..begin].matches('\n').count() + 1,
            column: text[begin..spot.bytes.start].chars().count() + 1,
            text: text[begin..].lines().next().unwrap_or_default(),
        })
    }

    /// Whether a position is in the code that evcxr writes around the cell's statements.
    pub(super) fn is_around(&self, line: usize, column: usize) -> bool {
        let Some(begin) = line.checked_sub(1).and_then(|line| self.lines.get(line)) else {
            return false;
        };
        let at = begin + self.bytes_of_column(*begin, column.saturating_sub(1));
        let function = self.generated.find("\npub extern \"C\" fn run_user_code_");
        let is_behind = function.is_some_and(|function| at > function);
        let has_pieces = !self.pieces.is_empty();
        is_behind
            && has_pieces
            && self
                .pieces
                .iter()
                .all(|piece| !piece.generated.contains(&at))
    }

    /// The first delimiter of the cell without a counterpart.
    pub(super) fn unbalanced(&self) -> Option<(Spot, SyntaxKind)> {
        let code = self.cells.code;
        let from = cell::commands_end(code);
        let body = cell::Body::parse(&code[from..]);
        let mut open: Vec<(usize, SyntaxKind)> = Vec::new();
        let spot = |at: usize| self.in_cell(at..at + 1);
        for token in body.tokens() {
            let (at, kind) = (from + body.offset(token.text_range().start()), token.kind());
            let closed = match kind {
                SyntaxKind::L_CURLY | SyntaxKind::L_PAREN | SyntaxKind::L_BRACK => {
                    open.push((at, kind));
                    continue;
                }
                SyntaxKind::R_CURLY => SyntaxKind::L_CURLY,
                SyntaxKind::R_PAREN => SyntaxKind::L_PAREN,
                SyntaxKind::R_BRACK => SyntaxKind::L_BRACK,
                _ => continue,
            };
            match open.pop() {
                Some((_, kind)) if kind == closed => {}
                // rustc reports more precisely which of the two is wrong.
                Some(_) => return None,
                None => return Some((spot(at), kind)),
            }
        }
        open.pop().map(|(at, kind)| (spot(at), kind))
    }

    /// A line of the generated file.
    pub(super) fn generated_line(&self, line: usize) -> Option<&str> {
        let begin = *self.lines.get(line.checked_sub(1)?)?;
        self.generated[begin..].lines().next()
    }

    /// The end of the cell's last statement, if the line comes after it.
    pub(super) fn end_before(&self, line: usize) -> Option<Spot> {
        let at = *self.lines.get(line.checked_sub(1)?)?;
        let before = |piece: &&Piece| piece.generated.end <= at;
        let last = self
            .pieces
            .iter()
            .filter(before)
            .max_by_key(|piece| piece.cell)?;
        let len = last.generated.len();
        let end = (last.cell + len).min(self.cells.code.len());
        let end = self.cells.code[..end].trim_end().len();
        Some(self.in_cell(end..end))
    }
}

impl Import {
    /// The position in the cell of a position in the line that evcxr wrote.
    fn find(&self, columns: Range<usize>, code: &str) -> Range<usize> {
        let mut at = "use ".len();
        let is_whole = columns.start < at;
        let mut found: Vec<&(String, Range<usize>)> = Vec::new();
        for part in &self.path {
            let here = at..at + part.0.len();
            if here.start < columns.end && columns.start < here.end {
                found.push(part);
            }
            at = here.end + "::".len();
        }
        let (Some((_, first)), Some((_, last)), false) = (found.first(), found.last(), is_whole)
        else {
            return self.whole.clone();
        };
        // After a brace, a path is not contiguous.
        let words: Vec<&str> = found.iter().map(|(word, _)| word.as_str()).collect();
        let is_together = code.get(first.start..last.end) == Some(&*words.join("::"));
        if is_together {
            first.start..last.end
        } else {
            last.clone()
        }
    }
}

/// The line that evcxr writes for each name of a `use`: with the whole path.
fn collect_imports(
    tree: &ast::UseTree,
    prefix: &[(String, Range<usize>)],
    offset: &dyn Fn(ra_ap_syntax::TextSize) -> usize,
    imports: &mut Vec<Import>,
) {
    let bytes = |node: &SyntaxNode| {
        let range = node.text_range();
        offset(range.start())..offset(range.end())
    };
    let mut path = prefix.to_vec();
    let mut is_self = false;
    let segments = tree.path().map(|path| path.segments().collect::<Vec<_>>());
    for segment in segments.unwrap_or_default() {
        let text = segment.syntax().text().to_string();
        is_self = text == "self" && !path.is_empty();
        if !is_self {
            path.push((text, bytes(segment.syntax())));
        }
    }
    if let Some(list) = tree.use_tree_list() {
        for subtree in list.use_trees() {
            collect_imports(&subtree, &path, offset, imports);
        }
        return;
    }
    if let Some(star) = tree.star_token() {
        let range = star.text_range();
        path.push(("*".to_owned(), offset(range.start())..offset(range.end())));
    }
    let words: Vec<&str> = path.iter().map(|(word, _)| word.as_str()).collect();
    let rename = tree.rename().filter(|_| !is_self);
    let rename = rename
        .map(|rename| format!(" {}", rename.syntax().text()))
        .unwrap_or_default();
    imports.push(Import {
        line: format!("use {}{rename};", words.join("::")),
        whole: bytes(tree.syntax()),
        path,
    });
}

/// Finds lines in a text; the first may begin in the middle of a line there, because two statements
/// may share a line.
fn find_lines(text: &str, place: &Generated<'_>) -> Option<Range<usize>> {
    let first = place.lines.first()?;
    if first.trim().is_empty() {
        return None;
    }
    let mut begin = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let in_line = line.trim_end_matches('\n').find(first.trim_end());
        if let Some(at) = in_line.map(|at| begin + at) {
            let is_same = text[at..]
                .lines()
                .zip(&place.lines)
                .all(|(line, wanted)| line.starts_with(wanted.trim_end()));
            let is_whole = in_line == Some(0);
            if is_same && (found.is_none() || is_whole) {
                found = Some(at);
                if is_whole {
                    break;
                }
            }
        }
        begin += line.len();
    }
    let at = found?;
    let last = nth_line(&text[at..], place.lines.len().saturating_sub(1))?;
    let start = at + bytes_of_column(&text[at..], place.columns.start);
    let end = at + last + bytes_of_column(&text[at + last..], place.columns.end);
    Some(start..end.max(start))
}

/// A line without the text at its end that belongs to the static after it.
fn own_part(line: &str) -> &str {
    let export = line
        .find(EXPORT_BEGINS)
        .filter(|_| line.ends_with(EXPORT_ENDS));
    export.map_or(line, |at| &line[..at])
}

/// The number of bytes of the first characters of a line.
fn bytes_of_column(line: &str, column: usize) -> usize {
    let line = line.lines().next().unwrap_or_default();
    line.char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at)
}
