//! A value as an HTML table, read from the text that `Debug` has written: lists of structs, tuples,
//! maps or lists of one shape, and maps.
//!
//! The text is what every cell's value has anyway, so a table costs a cell no compile time, and a
//! type nothing but its `Debug`. A text of any other form has no table.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::notation::{Brackets, Group, Item, group, is_name};
use super::parts::Part;

/// The number of rows, and of columns, that are shown.
const N_SHOWN: usize = 20;
/// The number of characters of a cell that are shown.
const N_CELL_CHARS: usize = 60;
/// What `ndarray` writes for the items that it leaves out.
const LEFT_OUT: &str = "...";

/// Adds the table to a value that has only a text.
pub(super) fn add_table(data: &mut Map<String, Value>) {
    if let (1, Some(Value::String(text))) = (data.len(), data.get("text/plain"))
        && let Some(html) = table(text)
    {
        data.insert("text/html".to_owned(), Value::String(html));
    }
}

/// The table of a value with this text, if it is one.
pub(super) fn table(text: &str) -> Option<String> {
    // `:types` puts the type first.
    let value = text
        .strip_prefix(": ")
        .and_then(|typed| typed.split_once(" = "));
    let text = value.map_or(text, |(_, value)| value);
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let (outer, rest) = group(text)?;
    let table = match (rest, outer.brackets) {
        ("", Brackets::Curly) if outer.items.iter().all(|item| item.key.is_some()) => {
            Table::of_map(&outer.items)?
        }
        ("", _) => Table::of_rows(&outer)?,
        (rest, _) => Table::of_array(&outer, shape(rest)?)?,
    };
    Some(table.html())
}

/// The numbers of rows and columns that `ndarray` writes behind an array of two dimensions.
fn shape(rest: &str) -> Option<(usize, usize)> {
    let (shape, rest) = rest.strip_prefix(", shape=[")?.split_once(']')?;
    let (n_rows, n_columns) = shape.split_once(", ")?;
    rest.starts_with(", strides=[").then_some(())?;
    Some((n_rows.parse().ok()?, n_columns.parse().ok()?))
}

/// A table of which only the first rows and columns are kept.
struct Table<'a> {
    /// What the table has, for its caption.
    title: String,
    /// The heads of all columns.
    heads: Vec<Cow<'a, str>>,
    /// The first rows, each with its head, if the rows have heads.
    rows: Vec<(Option<String>, Vec<&'a str>)>,
    n_rows: usize,
}

impl<'a> Table<'a> {
    fn of_map(entries: &[Item<'a>]) -> Option<Table<'a>> {
        if entries.is_empty() {
            return None;
        }
        let noun = if entries.len() == 1 {
            "entry"
        } else {
            "entries"
        };
        let shown = entries.iter().take(N_SHOWN);
        Some(Table {
            title: format!("{} {noun}", entries.len()),
            heads: vec!["key".into(), "value".into()],
            rows: shown
                .map(|entry| (None, entry.key.into_iter().chain([entry.value]).collect()))
                .collect(),
            n_rows: entries.len(),
        })
    }

    /// The table of a list or set, if all of its items have one shape.
    fn of_rows(outer: &Group<'a>) -> Option<Table<'a>> {
        let mut items = outer.items.iter();
        let first = row(items.next()?)?;
        let heads = heads(&first)?;
        let is_ordered = outer.brackets == Brackets::Square;
        let cells_of_first = first.items.iter().map(|item| item.value).collect();
        let mut rows = vec![(is_ordered.then(|| "0".to_owned()), cells_of_first)];
        for (index, item) in (1..).zip(items) {
            let cells = cells(row(item)?, &first)?;
            if index < N_SHOWN {
                rows.push((is_ordered.then(|| index.to_string()), cells));
            }
        }
        let n_rows = outer.items.len();
        let noun = if n_rows == 1 { "row" } else { "rows" };
        let of = match first.name {
            "" => String::new(),
            name => format!(" of {name}"),
        };
        Some(Table {
            title: format!("{n_rows} {noun}{of}"),
            heads,
            rows,
            n_rows,
        })
    }

    /// The table of an `ndarray`, from which that crate may have left out the middle.
    fn of_array(outer: &Group<'a>, (n_rows, n_columns): (usize, usize)) -> Option<Table<'a>> {
        let n_items = outer.items.len();
        let mut heads = Vec::new();
        let mut rows = Vec::new();
        let mut is_behind_gap = false;
        for (at, item) in outer.items.iter().enumerate() {
            let is_gap = item.value == LEFT_OUT;
            let (head, cells) = if is_gap {
                (LEFT_OUT.to_owned(), vec![LEFT_OUT; heads.len()])
            } else {
                let row = row(item).filter(|row| row.brackets == Brackets::Square)?;
                let cells: Vec<&str> = row.items.iter().map(|item| item.value).collect();
                if heads.is_empty() {
                    heads = numbers(&cells, n_columns)?;
                }
                if cells.is_empty() || cells.len() != heads.len() {
                    return None;
                }
                // After the gap, the rows count from the end.
                let from_end = n_rows.checked_sub(n_items - at);
                let index = if is_behind_gap { from_end } else { Some(at) };
                (index?.to_string(), cells)
            };
            is_behind_gap |= is_gap;
            if at < N_SHOWN {
                rows.push((Some(head), cells));
            }
        }
        (!heads.is_empty()).then(|| Table {
            title: format!("{n_rows} × {n_columns}"),
            heads,
            rows,
            n_rows: n_items,
        })
    }

    fn html(&self) -> String {
        let n_columns = self.heads.len().min(N_SHOWN);
        let has_heads = self.rows.iter().any(|(head, _)| head.is_some());
        let is_wide = self.heads.len() > N_SHOWN;
        let is_right: Vec<bool> = (0..n_columns).map(|at| self.is_numeric(at)).collect();
        let mut is_shortened = false;
        let mut body = String::new();
        for (head, cells) in &self.rows {
            body.push_str("<tr>");
            if let Some(head) = head {
                body.push_str(&tagged("th scope=\"row\"", false, head));
            }
            for (cell, is_right) in cells.iter().zip(&is_right) {
                let (text, is_whole) = cell_text(cell);
                is_shortened |= !is_whole;
                body.push_str(&tagged("td", *is_right, &text));
            }
            body.push_str(if is_wide {
                "<td>…</td></tr>"
            } else {
                "</tr>"
            });
        }
        let n_more = self.n_rows - self.rows.len();
        if n_more > 0 {
            let span = usize::from(has_heads) + n_columns + usize::from(is_wide);
            let style = "text-align: center";
            let _ = write!(
                body,
                "<tr><td colspan=\"{span}\" style=\"{style}\">… {n_more} more</td></tr>"
            );
        }
        let mut head = if has_heads { "<td></td>" } else { "" }.to_owned();
        for (name, is_right) in self.heads.iter().zip(&is_right) {
            let (text, is_whole) = cell_text(name);
            is_shortened |= !is_whole;
            head.push_str(&tagged("th scope=\"col\"", *is_right, &text));
        }
        if is_wide {
            head.push_str("<th>…</th>");
        }
        let caption = self.caption(is_shortened);
        format!(
            "<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>\
             <tbody>{body}</tbody></table>"
        )
    }

    /// Everything that the table does not show is said here.
    fn caption(&self, is_shortened: bool) -> String {
        let mut caption = escaped(&self.title);
        if self.rows.len() < self.n_rows {
            let _ = write!(caption, ", the first {N_SHOWN} are shown");
        }
        if self.heads.len() > N_SHOWN {
            let _ = write!(
                caption,
                ", the first {N_SHOWN} of {} columns",
                self.heads.len()
            );
        }
        let is_left_out = |cells: &[&str]| cells.contains(&LEFT_OUT);
        if self.rows.iter().any(|(_, cells)| is_left_out(cells)) {
            caption.push_str(", the middle is left out");
        }
        if is_shortened {
            let _ = write!(caption, ", cells have at most {N_CELL_CHARS} characters");
        }
        caption
    }

    fn is_numeric(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(column));
        let mut cells = cells.filter(|cell| **cell != LEFT_OUT).peekable();
        cells.peek().is_some() && cells.all(|cell| is_number(cell))
    }
}

/// An item that may be a row: it has brackets, and nothing else.
fn row<'a>(item: &Item<'a>) -> Option<Group<'a>> {
    let (row, rest) = group(item.value)?;
    (item.key.is_none() && rest.is_empty()).then_some(row)
}

/// The columns' heads, if the row has columns: a single part is none.
fn heads<'a>(row: &Group<'a>) -> Option<Vec<Cow<'a, str>>> {
    let n = row.items.len();
    if row.brackets != Brackets::Curly {
        let is_wide = n > 1 && (row.brackets == Brackets::Round || row.name.is_empty());
        return is_wide.then(|| (0..n).map(|at| at.to_string().into()).collect());
    }
    // A map's keys are looked up in every row, which takes too long for many.
    if n == 0 || (row.name.is_empty() && n > N_SHOWN) {
        return None;
    }
    let keys = row.items.iter().map(|item| item.key);
    let keys = keys.map(|key| key.filter(|key| row.name.is_empty() || is_name(key)));
    keys.map(|key| key.map(Cow::from)).collect()
}

/// The cells of a row, in the order of the first row, if the two have one shape.
fn cells<'a>(row: Group<'a>, first: &Group<'_>) -> Option<Vec<&'a str>> {
    let is_alike = (row.name, row.brackets) == (first.name, first.brackets);
    if !is_alike || row.items.len() != first.items.len() {
        return None;
    }
    let mut cells = Vec::with_capacity(row.items.len());
    for (at, column) in first.items.iter().enumerate() {
        let item = match &row.items[at] {
            item if item.key == column.key => item,
            // The order of a `HashMap` differs from map to map.
            _ if row.name.is_empty() => row.items.iter().find(|item| item.key == column.key)?,
            _ => return None,
        };
        cells.push(item.value);
    }
    Some(cells)
}

/// The indices of an array's columns. After a gap, they count from the end.
fn numbers(cells: &[&str], n_columns: usize) -> Option<Vec<Cow<'static, str>>> {
    let gap = cells.iter().position(|cell| *cell == LEFT_OUT);
    let number = |at: usize| match gap {
        Some(gap) if at == gap => Some(LEFT_OUT.into()),
        Some(gap) if at > gap => Some(n_columns.checked_sub(cells.len() - at)?.to_string().into()),
        _ => Some(at.to_string().into()),
    };
    (0..cells.len()).map(number).collect()
}

fn is_number(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || "+-.e".contains(c);
    matches!(text, "NaN" | "inf" | "-inf")
        || text.chars().all(is_digit) && text.parse::<f64>().is_ok()
}

/// What a cell shows of a value, and whether that is all of it.
fn cell_text(value: &str) -> (String, bool) {
    let line = match value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
    {
        // Line breaks and the like stay escaped.
        Some(text) => text.replace("\\\"", "\"").replace("\\'", "'"),
        None if value.contains('\n') => Part::value(value).line(),
        None => value.to_owned(),
    };
    match line.char_indices().nth(N_CELL_CHARS) {
        Some(_) => {
            let start = line.chars().take(N_CELL_CHARS - 1).chain(['…']);
            (start.collect(), false)
        }
        None => (line, true),
    }
}

fn tagged(tag: &str, is_right: bool, text: &str) -> String {
    let (name, _) = tag.split_once(' ').unwrap_or((tag, ""));
    let side = if is_right { "right" } else { "left" };
    let text = escaped(text);
    format!("<{tag} style=\"text-align: {side}\">{text}</{name}>")
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
