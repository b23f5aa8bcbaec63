//! Reads what `Debug` shows, strictly: a text that no derived `Debug` and none of the standard
//! library's could have written is refused as a whole.
//!
//! The grammar covers `{:?}` and `{:#?}`, which differ only in blanks and in a last comma:
//!
//! ```text
//! value = word | "…" | '…' | b"…" | name? ( items ) | name? [ items ] | name? { items }
//! item  = value | value: value                            only braces have the second form
//! ```
//!
//! Only one level is returned, as slices of the text: of a vector of a million structs, there is
//! never a tree in memory.

/// Values nested deeper than this are refused. The reader recurses, and a text may consist of a
/// million brackets.
const DEPTH_MAX: usize = 64;

/// A bracketed value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// The name of the struct or variant, or nothing.
    pub(super) name: &'a str,
    pub(super) brackets: Brackets,
    pub(super) items: Vec<Item<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    Round,
    Square,
    Curly,
}

/// An item of a bracketed value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    /// The name of a field, or a map's key.
    pub(super) key: Option<&'a str>,
    pub(super) value: &'a str,
}

/// The bracketed value at the front of `text`, and what follows it.
pub(super) fn group(text: &str) -> Option<(Group<'_>, &str)> {
    let mut reader = Reader { text, at: 0 };
    let mut items = Vec::new();
    let (name, brackets) = reader.value(0, Some(&mut items))?;
    let group = Group {
        name,
        brackets: brackets?,
        items,
    };
    Some((group, &text[reader.at..]))
}

/// Whether `text` is a name, as structs, variants and fields have.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(is_part)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, expected: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(expected);
        self.at += if is_next { expected.len() } else { 0 };
        is_next
    }

    /// Skips blanks, and returns whether there were any.
    fn blanks(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    /// Reads a value. Its own items go to `items`; those of values in it are only checked.
    fn value(
        &mut self,
        depth: usize,
        items: Option<&mut Vec<Item<'a>>>,
    ) -> Option<(&'a str, Option<Brackets>)> {
        let word = self.word();
        match self.peek() {
            Some(quote @ b'"') if matches!(word, "" | "b") => self.quoted(quote)?,
            Some(quote @ b'\'') if word.is_empty() => self.quoted(quote)?,
            Some(b'"' | b'\'') => return None,
            _ => {
                if let Some(brackets) = self.open(word) {
                    self.items(brackets, depth, items)?;
                    return Some((word, Some(brackets)));
                }
                if word.is_empty() {
                    return None;
                }
            }
        }
        Some((word, None))
    }

    /// A name, a number, or what else has neither blanks nor brackets: a date, a range.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        while let Some(byte) = self.peek() {
            let ends = match byte {
                b':' => self.text[self.at..].starts_with(": "),
                b' ' | b'\n' | b',' | b'"' | b'\'' => true,
                _ => b"()[]{}".contains(&byte),
            };
            if ends {
                break;
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Reads the opening bracket of the value that begins with `word`.
    fn open(&mut self, word: &str) -> Option<Brackets> {
        let (round, square, curly) = match word {
            "" => ("(", "[", "{"),
            _ if is_name(word) => ("(", " [", " {"),
            _ => return None,
        };
        if self.eat(round) {
            Some(Brackets::Round)
        } else if self.eat(square) {
            Some(Brackets::Square)
        } else {
            self.eat(curly).then_some(Brackets::Curly)
        }
    }

    fn items(
        &mut self,
        brackets: Brackets,
        depth: usize,
        mut items: Option<&mut Vec<Item<'a>>>,
    ) -> Option<()> {
        if depth == DEPTH_MAX {
            return None;
        }
        let close = match brackets {
            Brackets::Round => ")",
            Brackets::Square => "]",
            Brackets::Curly => "}",
        };
        loop {
            self.blanks();
            if self.eat(close) {
                return Some(());
            }
            let item = self.item(brackets, depth)?;
            if let Some(items) = items.as_deref_mut() {
                items.push(item);
            }
            let goes_on = self.eat(",");
            let is_apart = self.blanks();
            if self.eat(close) {
                return Some(());
            }
            if !goes_on || !is_apart {
                return None;
            }
        }
    }

    fn item(&mut self, brackets: Brackets, depth: usize) -> Option<Item<'a>> {
        let start = self.at;
        self.value(depth + 1, None)?;
        let first = &self.text[start..self.at];
        if brackets != Brackets::Curly || !self.eat(": ") {
            return Some(Item {
                key: None,
                value: first,
            });
        }
        let start = self.at;
        self.value(depth + 1, None)?;
        Some(Item {
            key: Some(first),
            value: &self.text[start..self.at],
        })
    }

    /// Reads a string or a character. `Debug` escapes line breaks.
    fn quoted(&mut self, quote: u8) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'\n' => return None,
                // What follows is ASCII in all escapes.
                b'\\' => {
                    self.at += 1;
                    self.peek().filter(u8::is_ascii)?;
                }
                byte if byte == quote => {
                    self.at += 1;
                    return Some(());
                }
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Unit;
    #[derive(Debug)]
    #[allow(dead_code)]
    struct Pair(f64, Option<&'static str>);
    #[derive(Debug)]
    #[allow(dead_code)]
    enum Mixed {
        None,
        Many(Vec<Unit>, char),
        Named { path: (i32,), pair: Pair },
    }

    /// The items, in `{:?}` and, on one line, in `{:#?}`.
    fn items_of(value: &dyn Debug) -> Vec<(Option<String>, String)> {
        let of = |text: &str| {
            let (group, rest) = group(text).unwrap_or_else(|| panic!("not read: {text}"));
            assert_eq!(rest, "", "{text}");
            let line = |text: &str| super::super::Part::value(text).line();
            let items = group.items.iter();
            let items = items.map(|item| (item.key.map(line), line(item.value)));
            items.collect::<Vec<_>>()
        };
        let plain = of(&format!("{value:?}"));
        // `Part::line` drops the comma of a tuple of one item.
        let without_commas = |text: &str| text.replace(",)", ")");
        let pretty = of(&format!("{value:#?}"));
        for (plain, pretty) in plain.iter().zip(&pretty) {
            assert_eq!(without_commas(&plain.1), without_commas(&pretty.1));
        }
        assert_eq!(plain.len(), pretty.len());
        plain
    }

    fn values_of(value: &dyn Debug) -> Vec<String> {
        items_of(value).into_iter().map(|item| item.1).collect()
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        let texts = ["a, b", "}", "\"", "\\", "\n\t\u{7f}", "ä: 1", ""];
        assert_eq!(values_of(&texts).len(), texts.len());
        let chars = ['\'', '"', '\\', '\n', ',', '}', 'ä'];
        assert_eq!(values_of(&chars).len(), chars.len());
        let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300];
        assert_eq!(values_of(&floats), ["NaN", "inf", "-inf", "-0.0", "1e300"]);
        let mixed = [
            Mixed::None,
            Mixed::Many(vec![Unit, Unit], ')'),
            Mixed::Named {
                path: (-1,),
                pair: Pair(0.5, None),
            },
        ];
        assert_eq!(values_of(&mixed)[1], "Many([Unit, Unit], ')')");
        assert_eq!(items_of(&mixed[2])[0].0.as_deref(), Some("path"));
        let map = BTreeMap::from([((1, "a: b"), vec![1]), ((2, ""), Vec::new())]);
        assert_eq!(items_of(&map)[0].0.as_deref(), Some("(1, \"a: b\")"));
        let odd = (Duration::from_micros(1500), 0..5, (), "x".as_bytes());
        assert_eq!(values_of(&odd), ["1.5ms", "0..5", "()", "[120]"]);
        assert!(values_of(&[0_u8; 0]).is_empty());
    }

    #[test]
    fn what_no_debug_writes_is_refused() {
        let refused = [
            "",
            "7",
            "[",
            "[1",
            "[1,2]",
            "[1 2]",
            "[1, 2",
            "[1}",
            "[, 1]",
            "[\"a]",
            "[\"a\\",
            "[\"a\\ä\"]",
            "['a]",
            "[x\"a\"]",
            "[a: 1]",
            "{a: }",
            "{a:  1: 2}",
            "[P{ x: 1 }]",
            "[P  { x: 1 }]",
            "[a b]",
            "[<T> { x: 1 }]",
            "[1, 2]x]extra[",
            "[\"line\nbreak\"]",
        ];
        for text in refused {
            let whole = group(text).filter(|(_, rest)| rest.is_empty());
            assert_eq!(whole, None, "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(group(&deep), None);
        let nested = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
        assert!(group(&nested).is_some());
        assert_eq!(group(&format!("[{nested}]")), None);
    }
}
