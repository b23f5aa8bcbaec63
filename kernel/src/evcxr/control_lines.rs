//! Finds evcxr's control lines among what a cell writes to standard output.
//!
//! The code that evcxr generates around a cell prints some of its messages. Those are removed;
//! everything else is passed on, byte for byte and at once, except a tail that may turn out to be
//! the beginning of such a line.

use data_encoding::HEXLOWER;

use crate::protocol::Place;

const MARK: &[u8] = b"EVCXR_";
const PANIC: &[u8] = b"EVCXR_PANIC_NOTIFICATION\n";
const USER_ERROR: &[u8] = b"EVCXR_ERROR_OCCURRED\n";
/// The library's message, with line, column, text and file.
const TOLD_ERROR: &[u8] = b"EVCXR_ERROR_OCCURRED ";
/// The maximum length of such a line.
const TOLD_BYTES: usize = 16 << 10;
const CHANGED_TYPE: &[u8] = b"EVCXR_VARIABLE_CHANGED_TYPE:";
const NAME_BYTES: usize = 200;

/// A message of the code around the cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The cell panicked.
    Panic,
    /// A `?` in the cell met an error; the error is known if the library reported it.
    UserError(Option<UserError>),
    /// The type of this variable has been redefined: nothing has run, and evcxr tries again without
    /// it.
    ChangedType(String),
}

/// For these bytes evcxr returns an error, commits nothing, and keeps both the process and its
/// knowledge of the variables.
pub const NOT_UTF8: &[u8] = b"\xff the cell was rolled back\n";
/// The cell has run, unless other lines say something else.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE\n";

/// The lines that report the cell's end to evcxr, with these messages of the code around it.
pub fn ended(found: &[Control]) -> String {
    let lines = found.iter().map(|control| match control {
        Control::Panic => "EVCXR_PANIC_NOTIFICATION\n".to_owned(),
        Control::UserError(_) => "EVCXR_ERROR_OCCURRED\n".to_owned(),
        Control::ChangedType(name) => format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}\n"),
    });
    lines.chain([COMPLETE.to_owned()]).collect()
}

/// evcxr's request to its runtime in a line: the shared object to load, and the function to call.
pub fn request(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("LOAD_AND_RUN ")?.rsplit_once(' ')
}

/// Whether bytes may contain a message of the code around a cell.
pub fn may_have_control(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|window| window == b"EVCXR")
}

/// An error that ended a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    /// Its message; then the messages of its causes, each preceded by a zero byte.
    pub text: String,
    /// The position of the `?`.
    pub place: Place,
}

/// Removes the control lines: see the module's documentation.
#[derive(Debug, Default)]
pub struct Filter {
    /// The tail that may be the beginning of a control line.
    held: Vec<u8>,
    /// Whether the cell itself has written anything: from then on, types are no longer checked.
    has_output: bool,
}

enum Match {
    No,
    /// Incomplete: the rest has not arrived yet.
    Partly,
    Whole(Control, usize),
}

impl Filter {
    /// Resets the filter for the next cell. Flush it first.
    pub fn clear(&mut self) {
        debug_assert!(self.held.is_empty());
        self.has_output = false;
    }

    /// Whether a tail is held back.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes the written bytes and returns those to show. `believe` is called once for each control
    /// line that was found, and decides whether it can be one; otherwise it is the cell's own text.
    pub fn push(&mut self, bytes: &[u8], mut believe: impl FnMut(Control) -> bool) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(input.len());
        let mut rest = input.as_slice();
        while let Some(start) = rest.windows(MARK.len()).position(|window| window == MARK) {
            self.show(&mut shown, &rest[..start]);
            rest = &rest[start..];
            match control_line(rest, self.has_output) {
                Match::Partly => {
                    self.held = rest.to_vec();
                    return shown;
                }
                Match::Whole(control, length) if believe(control.clone()) => rest = &rest[length..],
                Match::Whole(..) | Match::No => {
                    self.show(&mut shown, &rest[..MARK.len()]);
                    rest = &rest[MARK.len()..];
                }
            }
        }
        let n_held = (1..MARK.len())
            .rev()
            .find(|n| rest.ends_with(&MARK[..*n]))
            .unwrap_or(0);
        let (now, later) = rest.split_at(rest.len() - n_held);
        self.show(&mut shown, now);
        self.held = later.to_vec();
        shown
    }

    /// Stops waiting, and returns the tail.
    pub fn flush(&mut self) -> Vec<u8> {
        self.has_output |= !self.held.is_empty();
        std::mem::take(&mut self.held)
    }

    fn show(&mut self, shown: &mut Vec<u8>, bytes: &[u8]) {
        self.has_output |= !bytes.is_empty();
        shown.extend_from_slice(bytes);
    }
}

fn control_line(text: &[u8], has_output: bool) -> Match {
    for (line, control) in [
        (PANIC, Control::Panic),
        (USER_ERROR, Control::UserError(None)),
    ] {
        if text.starts_with(line) {
            return Match::Whole(control, line.len());
        }
        if line.starts_with(text) {
            return Match::Partly;
        }
    }
    if let Some(told) = text.strip_prefix(TOLD_ERROR) {
        return match told.iter().position(|byte| *byte == b'\n') {
            Some(end) => match parse_told(&told[..end]) {
                Some(error) => {
                    Match::Whole(Control::UserError(Some(error)), TOLD_ERROR.len() + end + 1)
                }
                None => Match::No,
            },
            None if told.len() < TOLD_BYTES => Match::Partly,
            None => Match::No,
        };
    }
    if has_output {
        return Match::No;
    }
    let Some(name) = text.strip_prefix(CHANGED_TYPE) else {
        return if CHANGED_TYPE.starts_with(text) {
            Match::Partly
        } else {
            Match::No
        };
    };
    let is_name = |byte: &u8| {
        *byte == b'_' || *byte == b'#' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
    };
    match name.iter().position(|byte| !is_name(byte)) {
        Some(end) if end > 0 && name[end] == b'\n' => match std::str::from_utf8(&name[..end]) {
            Ok(name) => Match::Whole(
                Control::ChangedType(name.to_owned()),
                CHANGED_TYPE.len() + end + 1,
            ),
            Err(_) => Match::No,
        },
        None if name.len() < NAME_BYTES => Match::Partly,
        _ => Match::No,
    }
}

/// Parses `LINE COLUMN TEXT FILE`, the text in hexadecimal digits.
fn parse_told(told: &[u8]) -> Option<UserError> {
    let mut words = std::str::from_utf8(told).ok()?.splitn(4, ' ');
    let (line, column) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let text = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    let place = Place {
        file: words.next()?.to_owned(),
        line,
        column,
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(UserError { text, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything shown and found if `text` arrives in pieces of `n` bytes.
    fn run(text: &[u8], n: usize, believe: bool) -> (Vec<u8>, Vec<Control>) {
        let (mut filter, mut shown, mut found) = (Filter::default(), Vec::new(), Vec::new());
        for piece in text.chunks(n) {
            shown.extend(filter.push(piece, |control| {
                if believe {
                    found.push(control);
                }
                believe
            }));
        }
        shown.extend(filter.flush());
        (shown, found)
    }

    #[test]
    fn control_lines_are_found_in_any_pieces() {
        let text = b"EVCXR_VARIABLE_CHANGED_TYPE:x\nEVCXR_VARIABLE_CHANGED_TYPE:r#y\nabcEVCXR_PANIC_NOTIFICATION\nEVCXR_ERROR_OCCURRED\nend";
        let expected = vec![
            Control::ChangedType("x".to_owned()),
            Control::ChangedType("r#y".to_owned()),
            Control::Panic,
            Control::UserError(None),
        ];
        for n in 1..text.len() {
            assert_eq!(
                run(text, n, true),
                (b"abcend".to_vec(), expected.clone()),
                "pieces of {n}"
            );
        }
    }

    #[test]
    fn the_error_that_ended_a_cell_is_read_in_any_pieces() {
        let text = b"EVCXR_ERROR_OCCURRED 7 12 c3b6206e6f0a src/lib.rs\nend";
        let error = UserError {
            text: "\u{f6} no\n".to_owned(),
            place: Place {
                file: "src/lib.rs".to_owned(),
                line: 7,
                column: 12,
            },
        };
        for n in 1..text.len() {
            let found = vec![Control::UserError(Some(error.clone()))];
            assert_eq!(
                run(text, n, true),
                (b"end".to_vec(), found),
                "pieces of {n}"
            );
        }
        let other: &[u8] = b"EVCXR_ERROR_OCCURRED 7 12 zz src/lib.rs\n";
        assert_eq!(run(other, 5, true), (other.to_vec(), Vec::new()));
    }

    #[test]
    fn what_is_not_believed_is_shown() {
        let text = b"EVCXR_PANIC_NOTIFICATION\nEVCXR_EXECUTION_COMPLETE\n";
        for n in 1..text.len() {
            assert_eq!(run(text, n, false), (text.to_vec(), Vec::new()));
        }
    }

    #[test]
    fn everything_else_passes_byte_for_byte() {
        let texts: [&[u8]; 6] = [
            b"EVCXR_BEGIN_CONTENT text/plain\n42\nEVCXR_END_CONTENT\n",
            b"EVCXR_EVCXR_PANIC_NOTIFICATIO",
            b"EVCXR_PANIC_NOTIFICATION more\n",
            b"EVCXR_VARIABLE_CHANGED_TYPE:\n",
            b"x\nEVCXR_VARIABLE_CHANGED_TYPE:y\n",
            b"\xff\xfe E EV EVCXR EVCXR_",
        ];
        for text in texts {
            for n in 1..=text.len() {
                assert_eq!(
                    run(text, n, true),
                    (text.to_vec(), Vec::new()),
                    "{}",
                    String::from_utf8_lossy(text)
                );
            }
        }
    }

    #[test]
    fn text_without_a_mark_is_never_held() {
        let mut filter = Filter::default();
        assert_eq!(filter.push(b"no newline", |_| true), b"no newline");
        assert!(!filter.is_holding());
    }
}
