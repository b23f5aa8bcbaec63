//! A value's parts, read from what `{:#?}` shows: derived `Debug`s and those of the standard
//! library put one part on a line, indented by four. Of a text in another form there are no parts,
//! or odd ones, which are only shown.

/// How many parts of one value are shown.
const N_PARTS: usize = 100;

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// A field's name, an index or a key.
    pub name: String,
    /// Its text, one part of its own a line.
    pub text: String,
}

impl Part {
    /// A value that has no parts, as its only one.
    pub fn value(line: &str) -> Part {
        Part {
            name: "value".to_owned(),
            text: line.to_owned(),
        }
    }

    /// The part in one line.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for piece in self.text.lines().map(str::trim) {
            let joins = line.is_empty() || line.ends_with(['(', '[']);
            let closes = piece.starts_with([')', ']']);
            if closes && line.ends_with(',') {
                line.pop();
            } else if piece.starts_with('}') && line.ends_with(',') {
                line.pop();
                line.push(' ');
            } else if !joins && !closes {
                line.push(' ');
            }
            line.push_str(piece);
        }
        line
    }
}

/// The parts of a value, the first ones if there are many.
pub fn parts(text: &str) -> Vec<Part> {
    let mut lines = text.lines();
    let Some(head) = lines.next().filter(|head| head.ends_with(['{', '[', '('])) else {
        return Vec::new();
    };
    let mut raw: Vec<String> = Vec::new();
    for line in lines {
        let Some(line) = line.strip_prefix("    ") else {
            // The end of the value, or that of a text that was cut.
            break;
        };
        // A line that closes a part, or is inside of one.
        let goes_on = line.starts_with([' ', '}', ']', ')']);
        match raw.last_mut() {
            Some(part) if goes_on => {
                part.push('\n');
                part.push_str(line);
            }
            _ => raw.push(line.to_owned()),
        }
        if raw.len() > N_PARTS {
            raw.pop();
            break;
        }
    }
    let is_struct = head.ends_with(" {");
    let is_map = head == "{";
    let parts = raw.into_iter().enumerate().map(|(index, text)| {
        let text = text.strip_suffix(',').unwrap_or(&text).to_owned();
        let named = match (is_struct, is_map) {
            (true, _) => text.split_once(": "),
            (_, true) => split_key(&text),
            _ => None,
        };
        match named {
            Some((name, text)) => Part {
                name: name.to_owned(),
                text: text.to_owned(),
            },
            None => Part {
                name: index.to_string(),
                text,
            },
        }
    });
    parts.collect()
}

/// Key and value of a map's entry; `None` for an entry of a set.
fn split_key(entry: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut is_text = false;
    let mut is_escaped = false;
    for (at, c) in entry.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            '(' | '[' | '{' if !is_text => depth += 1,
            ')' | ']' | '}' if !is_text => depth = depth.saturating_sub(1),
            ':' if !is_text && depth == 0 && entry[at..].starts_with(": ") => {
                return Some((&entry[..at], &entry[at + 2..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shown(value: &dyn std::fmt::Debug) -> Vec<(String, String)> {
        let parts = parts(&format!("{value:#?}")).into_iter();
        parts.map(|part| (part.name.clone(), part.line())).collect()
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Point {
        x: f64,
        label: &'static str,
        path: Vec<(i32, Option<i32>)>,
    }

    #[test]
    fn each_kind_of_value_has_its_parts() {
        let point = Point {
            x: 1.5,
            label: "a: {b",
            path: vec![(1, None), (2, Some(3))],
        };
        let of_point = [
            pair("x", "1.5"),
            pair("label", r#""a: {b""#),
            pair("path", "[(1, None), (2, Some(3))]"),
        ];
        assert_eq!(shown(&point), of_point);
        assert_eq!(shown(&Some(7)), [pair("0", "7")]);
        assert_eq!(
            shown(&vec!["x", "y"]),
            [pair("0", r#""x""#), pair("1", r#""y""#)]
        );
        let map = BTreeMap::from([("a: b", Some(1)), ("c\"", None)]);
        let of_map = [pair(r#""a: b""#, "Some(1)"), pair(r#""c\"""#, "None")];
        assert_eq!(shown(&map), of_map);
        let keys = BTreeMap::from([((1, 2), [Some(3)])]);
        assert_eq!(shown(&keys)[0].1, "[Some(3)]");
        let set = std::collections::BTreeSet::from([4]);
        assert_eq!(shown(&set), [pair("0", "4")]);
        let nested = vec![Point {
            x: 0.0,
            label: "",
            path: Vec::new(),
        }];
        assert_eq!(
            shown(&nested),
            [pair("0", r#"Point { x: 0.0, label: "", path: [] }"#)]
        );
    }

    #[test]
    fn what_has_no_parts_has_none_and_a_cut_text_has_what_is_there() {
        for text in ["", "7", "\"a\\nb\"", "Point", "]", "{", "[\n…", "a\nb\nc"] {
            assert!(parts(text).is_empty(), "{text}");
        }
        let cut = "[\n    Point {\n        x: 1,\n    },\n    Poi…";
        let texts: Vec<String> = parts(cut).iter().map(Part::line).collect();
        assert_eq!(texts, ["Point { x: 1 }", "Poi…"]);
        assert_eq!(shown(&vec![0; 1000]).len(), N_PARTS);
    }
}
