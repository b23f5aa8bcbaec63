//! Brings a learner's notebook up to date, cell by cell.
//!
//! ```text
//!  base (as it was written last) ─┬─▶ theirs (the new edition) ─┐
//!                                 └─▶ mine (the learner's)     ─┴─▶ merged
//! ```
//!
//! Cells are the same if they have the same id (nbformat 4.5). A cell that the learner has not
//! changed becomes the new one. One that the learner has changed or added stays, whatever the new
//! edition says of it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// A notebook that was brought up to date.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The notebook.
    pub notebook: Value,
    /// The number of changed cells of the learner's of which the new edition has another version.
    pub n_kept: usize,
}

/// Merges the changes from `base` to `theirs` into `mine`; `None` if one of them has no cells.
pub fn merge(base: &Value, theirs: &Value, mine: &Value) -> Option<Merged> {
    let (base, new, own) = (Cells::of(base)?, Cells::of(theirs)?, Cells::of(mine)?);
    let mut n_kept = 0;
    let mut merged: Vec<(&str, Value)> = Vec::new();
    for &(id, cell) in &new.all {
        match (base.get(id), own.get(id)) {
            (_, Some(mine)) if text(mine) == text(cell) => {
                merged.push((id, with_outputs(cell, mine)))
            }
            (Some(old), Some(mine)) if text(mine) == text(old) => merged.push((id, cell.clone())),
            (old, Some(mine)) => {
                n_kept += usize::from(old.is_none_or(|old| text(old) != text(cell)));
                merged.push((id, mine.clone()));
            }
            (None, None) => merged.push((id, cell.clone())),
            // The learner has removed it.
            (Some(_), None) => {}
        }
    }
    // What the new edition lacks comes behind the cell that it was behind.
    let is_there: HashSet<&str> = merged.iter().map(|(id, _)| *id).collect();
    let mut before = None;
    for &(id, cell) in &own.all {
        let is_the_editions = base.get(id).is_some_and(|old| text(old) == text(cell));
        if !is_there.contains(id) {
            if is_the_editions {
                continue;
            }
            let place = before.and_then(|before| merged.iter().position(|(id, _)| *id == before));
            merged.insert(place.map_or(0, |place| place + 1), (id, cell.clone()));
        }
        before = Some(id);
    }
    let mut notebook = theirs.clone();
    notebook["cells"] = merged.into_iter().map(|(_, cell)| cell).collect();
    notebook["metadata"] = metadata(theirs, mine);
    Some(Merged { notebook, n_kept })
}

/// The cells of a notebook.
struct Cells<'a> {
    /// In order, each with its id, or with an empty one if it has none or another cell has it.
    all: Vec<(&'a str, &'a Value)>,
    by_id: HashMap<&'a str, &'a Value>,
}

impl<'a> Cells<'a> {
    fn of(notebook: &'a Value) -> Option<Cells<'a>> {
        let mut by_id = HashMap::new();
        let all = notebook["cells"].as_array()?.iter().map(|cell| {
            let id = cell["id"].as_str().unwrap_or_default();
            let is_first = !id.is_empty() && !by_id.contains_key(id);
            if is_first {
                by_id.insert(id, cell);
            }
            (if is_first { id } else { "" }, cell)
        });
        Some(Cells {
            all: all.collect(),
            by_id,
        })
    }

    fn get(&self, id: &str) -> Option<&'a Value> {
        self.by_id.get(id).copied()
    }
}

/// What a cell is, and its text, which is a string or a list of lines.
fn text(cell: &Value) -> (Option<&str>, String) {
    let text = match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    };
    (cell["cell_type"].as_str(), text)
}

/// The new cell, with what the learner's run of the same text has left.
fn with_outputs(cell: &Value, mine: &Value) -> Value {
    let mut cell = cell.clone();
    for part in ["outputs", "execution_count"] {
        if let (Some(cell), Some(left)) = (cell.as_object_mut(), mine.get(part)) {
            cell.insert(part.to_owned(), left.clone());
        }
    }
    cell
}

/// The learner's metadata of the notebook, with the new edition's over it.
fn metadata(theirs: &Value, mine: &Value) -> Value {
    let of = |notebook: &Value| notebook["metadata"].as_object().cloned();
    let mut merged: Map<String, Value> = of(mine).unwrap_or_default();
    merged.extend(of(theirs).unwrap_or_default());
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A notebook of code cells: an id and a text each, and an output that shows who ran it.
    fn notebook(ran_by: &str, cells: &[(&str, &str)]) -> Value {
        let cells = cells.iter().map(|(id, text)| {
            json!({"id": id, "cell_type": "code", "source": text, "outputs": [ran_by]})
        });
        json!({"cells": cells.collect::<Vec<_>>(), "metadata": {"by": ran_by}, "nbformat": 4})
    }

    /// The merged cells, as `id=text@output`, and how many were kept against a newer version.
    fn merged(
        base: &[(&str, &str)],
        theirs: &[(&str, &str)],
        mine: &[(&str, &str)],
    ) -> (Vec<String>, usize) {
        let (base, theirs) = (notebook("", base), notebook("", theirs));
        let merged = merge(&base, &theirs, &notebook("me", mine)).unwrap();
        let cells = merged.notebook["cells"].as_array().unwrap();
        let shown = cells.iter().map(|cell| {
            let part = |name: &str| cell[name].as_str().unwrap().to_owned();
            let output = cell["outputs"][0].as_str().unwrap();
            format!("{}={}@{output}", part("id"), part("source"))
        });
        (shown.collect(), merged.n_kept)
    }

    #[test]
    fn what_the_learner_has_not_changed_is_new_and_the_rest_stays() {
        let base = [("a", "1"), ("b", "2"), ("c", "3")];
        for (what, theirs, mine, expected, n_kept) in [
            (
                "nothing new",
                &base[..],
                &base[..],
                &["a=1@me", "b=2@me", "c=3@me"][..],
                0,
            ),
            (
                "a new text",
                &[("a", "1"), ("b", "20"), ("c", "3")],
                &base,
                &["a=1@me", "b=20@", "c=3@me"],
                0,
            ),
            (
                "a changed cell",
                &base,
                &[("a", "1"), ("b", "x"), ("c", "3")],
                &["a=1@me", "b=x@me", "c=3@me"],
                0,
            ),
            (
                "both",
                &[("a", "1"), ("b", "20"), ("c", "3")],
                &[("a", "1"), ("b", "x"), ("c", "3")],
                &["a=1@me", "b=x@me", "c=3@me"],
                1,
            ),
            (
                "both the same",
                &[("a", "1"), ("b", "x"), ("c", "3")],
                &[("a", "1"), ("b", "x"), ("c", "3")],
                &["a=1@me", "b=x@me", "c=3@me"],
                0,
            ),
            (
                "a new cell",
                &[("a", "1"), ("n", "9"), ("b", "2"), ("c", "3")],
                &base,
                &["a=1@me", "n=9@", "b=2@me", "c=3@me"],
                0,
            ),
            (
                "an own cell",
                &base,
                &[("a", "1"), ("o", "7"), ("b", "2"), ("c", "3")],
                &["a=1@me", "o=7@me", "b=2@me", "c=3@me"],
                0,
            ),
            (
                "an own cell at the top",
                &base,
                &[("o", "7"), ("a", "1"), ("b", "2"), ("c", "3")],
                &["o=7@me", "a=1@me", "b=2@me", "c=3@me"],
                0,
            ),
            (
                "two own cells behind a removed one",
                &[("a", "1"), ("c", "3")],
                &[("a", "1"), ("b", "2"), ("o", "7"), ("p", "8"), ("c", "3")],
                &["a=1@me", "o=7@me", "p=8@me", "c=3@me"],
                0,
            ),
            (
                "a changed cell that is gone",
                &[("a", "1"), ("c", "3")],
                &[("a", "1"), ("b", "x"), ("c", "3")],
                &["a=1@me", "b=x@me", "c=3@me"],
                0,
            ),
            (
                "a removed cell",
                &base,
                &[("a", "1"), ("c", "3")],
                &["a=1@me", "c=3@me"],
                0,
            ),
        ] {
            let (cells, n) = merged(&base, theirs, mine);
            assert_eq!(
                (cells.as_slice(), n),
                (
                    &expected
                        .iter()
                        .map(|text| (*text).to_owned())
                        .collect::<Vec<_>>()[..],
                    n_kept
                ),
                "{what}"
            );
        }
    }

    /// Cells without ids, or with one that is there twice, are the learner's own.
    #[test]
    fn cells_without_ids_stay() {
        let base = [("a", "1")];
        let (cells, _) = merged(&base, &[("a", "10")], &[("", "x"), ("a", "1"), ("a", "y")]);
        assert_eq!(cells, ["=x@me", "a=10@", "a=y@me"]);
    }

    #[test]
    fn a_text_may_be_a_list_of_lines() {
        let lines = json!({"cells": [{"id": "a", "cell_type": "code", "source": ["1\n", "2"]}]});
        let one = notebook("", &[("a", "1\n2")]);
        let merged = merge(&lines, &notebook("", &[("a", "3")]), &one).unwrap();
        assert_eq!(merged.notebook["cells"][0]["source"], "3");
        assert_eq!(merge(&json!({}), &one, &one), None);
    }

    #[test]
    fn metadata_is_the_new_editions_and_what_else_the_learner_has() {
        let (mut theirs, mut mine) = (notebook("", &[]), notebook("me", &[]));
        theirs["metadata"] = json!({"lesson": 2});
        mine["metadata"] = json!({"lesson": 1, "own": true});
        let merged = merge(&notebook("", &[]), &theirs, &mine).unwrap();
        assert_eq!(
            merged.notebook["metadata"],
            json!({"lesson": 2, "own": true})
        );
    }
}
