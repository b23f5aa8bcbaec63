//! Rewrites positions in a program's output: `dbg!`, a thread's panic and the like name lines of
//! the generated file.
//!
//! They go to standard error; on their way to the front end, they become lines of the cell.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::diagnostic::{self, Cells};

/// The compiler's name for the generated file.
const FILE: &[u8] = b"src/lib.rs";

/// Rewrites the positions in standard error.
#[derive(Default)]
pub(super) struct Places(Mutex<State>);

#[derive(Default)]
struct State {
    cell: Cell,
    /// The end of the last bytes, if it may be the beginning of a position.
    held: Vec<u8>,
    /// The last byte that was passed on.
    before: u8,
    known: HashMap<(u32, u32), Option<String>>,
}

/// The running cell.
#[derive(Default)]
struct Cell {
    /// The path of the compiled file.
    generated: PathBuf,
    code: String,
    written: String,
    earlier: Vec<String>,
    /// Their numbers, as the user counts them.
    numbers: Vec<u32>,
}

impl Places {
    /// A cell begins: from now on, positions are in its program.
    pub(super) fn begin(&self, cells: Cells<'_>, generated: PathBuf) {
        let mut state = self.lock();
        state.cell = Cell {
            generated,
            code: cells.code.to_owned(),
            written: cells.written.to_owned(),
            earlier: cells.earlier.to_vec(),
            numbers: cells.numbers.to_vec(),
        };
        state.known.clear();
    }

    /// Rewrites these bytes for the learner. Holds back an incomplete position until more bytes
    /// arrive.
    pub(super) fn reword(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut state = self.lock();
        if state.held.is_empty() && !contains(&bytes, FILE) {
            state.before = bytes.last().copied().unwrap_or(state.before);
            return bytes;
        }
        let mut text = std::mem::take(&mut state.held);
        text.extend(bytes);
        state.reword(&text)
    }

    /// Returns the bytes that were held back: no more bytes will arrive.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut state = self.lock();
        let mut held = std::mem::take(&mut state.held);
        if !held.is_empty() {
            // A byte that ends a number also ends the position.
            held.push(b' ');
            held = state.reword(&held);
            held.pop();
        }
        held
    }

    /// Rewrites a complete text for the learner.
    pub(super) fn reword_whole(&self, text: &str) -> String {
        let mut state = self.lock();
        state.before = b'\n';
        // A byte that ends a number also ends the position.
        let reworded = state.reword(format!("{text}\n").as_bytes());
        String::from_utf8_lossy(&reworded)
            .trim_end_matches('\n')
            .to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reword(&mut self, text: &[u8]) -> Vec<u8> {
        let mut reworded = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = find(&text[at..], FILE) {
            let start = at + found;
            let before = text[..start].last().copied().unwrap_or(self.before);
            reworded.extend_from_slice(&text[at..start]);
            at = start + FILE.len();
            // A file of that name in another crate.
            let is_path = before.is_ascii_alphanumeric() || b"/_-.".contains(&before);
            match parse(&text[at..]) {
                _ if is_path => reworded.extend_from_slice(FILE),
                Parsed::Place { line, column, len } => {
                    match self.name(line, column) {
                        Some(name) => reworded.extend_from_slice(name.as_bytes()),
                        None => reworded.extend_from_slice(&text[start..at + len]),
                    }
                    at += len;
                }
                Parsed::Other => reworded.extend_from_slice(FILE),
                Parsed::Incomplete => {
                    self.held = text[start..].to_vec();
                    at = text.len();
                }
            }
        }
        reworded.extend_from_slice(&text[at..]);
        self.before = reworded.last().copied().unwrap_or(self.before);
        reworded
    }

    fn name(&mut self, line: u32, column: u32) -> Option<String> {
        let cell = &self.cell;
        let find = || {
            let generated = std::fs::read_to_string(&cell.generated).ok()?;
            let cells = Cells {
                code: &cell.code,
                written: &cell.written,
                earlier: &cell.earlier,
                numbers: &cell.numbers,
                gone: &HashMap::new(),
            };
            diagnostic::name(cells, generated, line, column)
        };
        self.known
            .entry((line, column))
            .or_insert_with(find)
            .clone()
    }
}

enum Parsed {
    Place { line: u32, column: u32, len: usize },
    Other,
    Incomplete,
}

/// Parses `:12:5` at the beginning of a text.
fn parse(text: &[u8]) -> Parsed {
    let Some((line, after_line)) = number(text) else {
        return unfinished(text);
    };
    let Some((column, len)) = number(&text[after_line..]) else {
        return unfinished(&text[after_line..]);
    };
    let len = after_line + len;
    if len == text.len() {
        return Parsed::Incomplete;
    }
    Parsed::Place { line, column, len }
}

/// Parses `:12`, which must be followed by another byte; also returns where it ends.
fn number(text: &[u8]) -> Option<(u32, usize)> {
    let digits = text.strip_prefix(b":")?;
    let n_digits = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = std::str::from_utf8(&digits[..n_digits])
        .ok()?
        .parse()
        .ok()?;
    Some((number, 1 + n_digits))
}

fn unfinished(text: &[u8]) -> Parsed {
    match text {
        [] | [b':'] => Parsed::Incomplete,
        _ => Parsed::Other,
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    find(text, wanted).is_some()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program whose second line is the cell's first, in a file of its own.
    fn places(name: &str) -> Places {
        let name = format!("forklore-places-{name}-{}", std::process::id());
        let generated = std::env::temp_dir().join(name);
        std::fs::write(&generated, "fn run() {\ndbg!(1);\n}\n").unwrap();
        let cells = Cells {
            code: "dbg!(1);",
            written: "dbg!(1);",
            earlier: &[],
            numbers: &[],
            gone: &HashMap::new(),
        };
        let places = Places::default();
        places.begin(cells, generated);
        places
    }

    #[test]
    fn a_place_is_the_cell_s_in_whatever_pieces_it_comes() {
        let places = places("pieces");
        let shown = |pieces: &[&str]| {
            let reworded = pieces
                .iter()
                .map(|piece| places.reword(piece.as_bytes().to_vec()));
            let shown: Vec<u8> = reworded.flatten().collect();
            String::from_utf8([shown, places.end()].concat()).unwrap()
        };
        // In the pieces that the standard library writes.
        let pieces = [
            "[",
            "src/lib.rs",
            ":",
            "2",
            ":",
            "1",
            "] ",
            "1",
            " = ",
            "1",
            "\n",
        ];
        assert_eq!(shown(&pieces), "[cell:1:1] 1 = 1\n");
        assert_eq!(shown(&[&pieces.concat()]), "[cell:1:1] 1 = 1\n");
        assert_eq!(shown(&["at src/lib.rs:2:1"]), "at cell:1:1");
        assert_eq!(places.reword_whole("at src/lib.rs:2:1"), "at cell:1:1");
        for other in [
            "/x/src/lib.rs:2:1 ",
            "src/lib.rs",
            "src/lib.rs:2",
            "src/lib.rs is a file\n",
            "src/lib.rs:99:1\n",
        ] {
            assert_eq!(shown(&[other]), other);
        }
        assert_eq!(shown(&["/x/", "src/lib.rs", ":2:1 "]), "/x/src/lib.rs:2:1 ");
        std::fs::remove_file(&places.lock().cell.generated).unwrap();
    }
}
