//! The cells of this session, and the three kinds of history requests of a front end.

use jupyter_protocol::HistoryRequest;
use serde_json::{Value, json};

/// Sessions are not stored, so there is only this one.
const SESSION: usize = 1;

/// The cells that ran, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Execution count and text.
    cells: Vec<(usize, String)>,
}

impl History {
    pub(super) fn push(&mut self, execution_count: usize, code: &str) {
        self.cells.push((execution_count, code.to_owned()));
    }

    /// The content of a `history_reply`.
    pub(super) fn reply(&self, request: &HistoryRequest) -> Value {
        let (with_output, found) = match request {
            HistoryRequest::Range {
                session,
                start,
                stop,
                output,
                ..
            } => (*output, self.range(session.unwrap_or(0), *start, *stop)),
            HistoryRequest::Tail { n, output, .. } => (*output, last(self.cells.iter(), *n)),
            HistoryRequest::Search {
                pattern,
                unique,
                output,
                n,
                ..
            } => (*output, self.search(pattern, *unique, *n)),
        };
        let entries: Vec<Value> = found
            .into_iter()
            .map(|(count, code)| {
                if with_output {
                    json!([SESSION, count, [code, null]])
                } else {
                    json!([SESSION, count, code])
                }
            })
            .collect();
        json!({"status": "ok", "history": entries})
    }

    /// Cells by number; 0 is the current session, and earlier ones are not stored.
    fn range(&self, session: i32, start: i32, stop: i32) -> Vec<&(usize, String)> {
        if session != 0 && session != SESSION as i32 {
            return Vec::new();
        }
        let start = usize::try_from(start).unwrap_or(0);
        let stop = usize::try_from(stop).ok().filter(|stop| *stop > 0);
        let within = |count: usize| count >= start && stop.is_none_or(|stop| count < stop);
        self.cells
            .iter()
            .filter(|(count, _)| within(*count))
            .collect()
    }

    /// The last `n` that match a pattern with `*` and `?`; if `unique`, only the last of equal
    /// ones.
    fn search(&self, pattern: &str, unique: bool, n: i32) -> Vec<&(usize, String)> {
        let pattern: Vec<char> = pattern.chars().collect();
        let mut found: Vec<&(usize, String)> = Vec::new();
        for cell in &self.cells {
            if matches(&pattern, &cell.1) {
                if unique {
                    found.retain(|earlier| earlier.1 != cell.1);
                }
                found.push(cell);
            }
        }
        last(found.into_iter(), n)
    }
}

/// The last `n`, in order; all if `n` is not positive.
fn last<'a>(
    cells: impl ExactSizeIterator<Item = &'a (usize, String)>,
    n: i32,
) -> Vec<&'a (usize, String)> {
    let n = usize::try_from(n)
        .ok()
        .filter(|n| *n > 0)
        .unwrap_or(usize::MAX);
    let n_skipped = cells.len().saturating_sub(n);
    cells.skip(n_skipped).collect()
}

/// Shell-style matching of the whole text; each `*` takes time linear in the text's length.
fn matches(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                // The last star matches one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for (i, code) in ["let a = 1;", "a + 1", "let b = 2;", "a + 1"]
            .iter()
            .enumerate()
        {
            history.push(i + 1, code);
        }
        history
    }

    fn counts(reply: &Value) -> Vec<u64> {
        let entries = reply["history"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry[1].as_u64().unwrap())
            .collect()
    }

    fn search(pattern: &str, unique: bool, n: i32) -> HistoryRequest {
        HistoryRequest::Search {
            pattern: pattern.to_owned(),
            unique,
            output: false,
            raw: true,
            n,
        }
    }

    #[test]
    fn a_range_is_half_open() {
        let range = |session, start, stop| HistoryRequest::Range {
            session,
            start,
            stop,
            output: true,
            raw: true,
        };
        let reply = history().reply(&range(Some(0), 2, 4));
        assert_eq!(counts(&reply), [2, 3]);
        assert_eq!(reply["history"][0], json!([1, 2, ["a + 1", null]]));
        assert_eq!(counts(&history().reply(&range(None, 3, 0))), [3, 4]);
        assert_eq!(counts(&history().reply(&range(Some(-1), 1, 9))), [0_u64; 0]);
    }

    #[test]
    fn the_tail_is_the_last_ones() {
        let tail = |n| HistoryRequest::Tail {
            n,
            output: false,
            raw: true,
        };
        assert_eq!(counts(&history().reply(&tail(2))), [3, 4]);
        assert_eq!(counts(&history().reply(&tail(99))), [1, 2, 3, 4]);
    }

    #[test]
    fn a_search_knows_stars_and_question_marks() {
        assert_eq!(counts(&history().reply(&search("let*", false, 9))), [1, 3]);
        assert_eq!(counts(&history().reply(&search("*+ ?", false, 9))), [2, 4]);
        assert_eq!(counts(&history().reply(&search("*+ ?", true, 9))), [4]);
        assert_eq!(counts(&history().reply(&search("*", false, 1))), [4]);
        assert_eq!(counts(&history().reply(&search("a", false, 9))), [0_u64; 0]);
    }
}
