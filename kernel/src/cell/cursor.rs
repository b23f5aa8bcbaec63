//! The text at the cursor: the names that a front end may ask about, and the text that a completion
//! inserts.

use ra_ap_syntax::{Edition, SyntaxKind};

/// Keywords that a new name follows.
const DEFINE: [&str; 11] = [
    "let", "mut", "ref", "fn", "struct", "enum", "union", "trait", "type", "const", "static",
];

/// The word that begins or ends at the cursor, or contains it.
pub fn word_at(code: &str, at: usize) -> Option<(usize, usize)> {
    let start = word_start(code, at);
    let rest = &code[at..];
    let end = at + rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let is_name = !code[start..].starts_with(|c: char| c.is_ascii_digit());
    (start < end && is_name).then_some((start, end))
}

/// The beginning of the word that ends at the cursor.
pub fn word_start(code: &str, at: usize) -> usize {
    let before = &code[..at];
    before.rfind(|c: char| !is_word(c)).map_or(0, |last| {
        last + before[last..].chars().next().map_or(0, char::len_utf8)
    })
}

/// The name of the magic at the cursor, with its percent signs.
pub fn magic_at(code: &str, at: usize) -> Option<&str> {
    let sign_end = at + code[at..].len() - code[at..].trim_start_matches('%').len();
    let (start, end) = word_at(code, sign_end)?;
    let signs = code[..start].len() - code[..start].trim_end_matches('%').len();
    (signs > 0).then(|| &code[start - signs..end])
}

/// Texts that end with the name at the cursor, best first. Analysis looks at the end of a text.
pub fn subjects(code: &str, at: usize) -> Vec<String> {
    let whole = code.trim();
    let is_path = |c: char| is_word(c) || matches!(c, '.' | ':' | '!');
    // A front end that asks about a single name may leave the cursor before it.
    if at == 0 && !whole.is_empty() && whole.chars().all(is_path) {
        return subjects_of(code, word_start(code, trimmed_end(code)), trimmed_end(code));
    }
    match word_at(code, at).or_else(|| called_around(code, at)) {
        Some((start, end)) => subjects_of(code, start, end),
        None => Vec::new(),
    }
}

fn subjects_of(code: &str, start: usize, end: usize) -> Vec<String> {
    if start >= end {
        return Vec::new();
    }
    let (before, name) = (code[..start].trim_end(), &code[start..end]);
    let up_to = code[..end].to_owned();
    if before.ends_with('.') && !before.ends_with("..") {
        // Analysis finds a method only as a call, and a field only without one.
        let call = format!("{up_to}(");
        let is_call = code[end..].trim_start().starts_with(['(', ':']);
        return if is_call {
            vec![call, up_to]
        } else {
            vec![up_to, call]
        };
    }
    let all = format!("{};\n{name}", code.trim_end());
    let path_start = code[..start]
        .rfind(|c: char| !is_word(c) && c != ':')
        .map_or(0, |last| {
            last + code[last..].chars().next().map_or(0, char::len_utf8)
        });
    let path = code[path_start..end].trim_start_matches(':').to_owned();
    let last_word = &before[word_start(before, before.len())..];
    if before.ends_with("::") {
        vec![up_to, path]
    } else if DEFINE.contains(&last_word) {
        vec![all, path]
    } else {
        vec![up_to, all, path]
    }
}

/// The name of the function, method or macro whose parentheses contain the cursor.
fn called_around(code: &str, at: usize) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    for (place, c) in code[..at].char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth > 0 => depth -= 1,
            '(' => {
                let end = code[..place].trim_end_matches('!').len();
                return word_at(code, end).filter(|(_, its_end)| *its_end == end);
            }
            ';' | '{' | '}' => return None,
            _ => {}
        }
    }
    None
}

fn trimmed_end(code: &str) -> usize {
    code.trim_end().trim_end_matches('!').len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether an incomplete word is already a keyword: analysis takes `enum` in `list.iter().enum` for
/// one.
pub fn is_keyword(word: &str) -> bool {
    SyntaxKind::from_keyword(word, Edition::Edition2024).is_some()
}

/// The text that a completion inserts: rust-analyzer's, without the parts that a reader would have
/// to fill in.
pub fn inserted(text: &str, kind: &str, label: &str) -> String {
    if kind == "keyword" {
        return label.to_owned();
    }
    let text = without_stops(text);
    // `push_str(string)` and `Point { x, y }`: the label shows the parts to fill in.
    let filled = [("(…)", "(", "()"), ("{…}", "{", ""), (" {…}", "{", "")];
    for (mark, open, instead) in filled {
        if label.ends_with(mark)
            && let Some((name, _)) = text.split_once(open)
        {
            return format!("{}{instead}", name.trim_end());
        }
    }
    text
}

/// A snippet without its tab stops: `$1`, `${2:name}`.
fn without_stops(snippet: &str) -> String {
    let mut text = String::new();
    let mut rest = snippet;
    while let Some(at) = rest.find(['$', '\\']) {
        text.push_str(&rest[..at]);
        let (sign, after) = rest[at..].split_at(1);
        let n_digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest = match after.strip_prefix('{') {
            _ if sign == "\\" => {
                let kept = after.chars().next().map_or(0, char::len_utf8);
                text.push_str(&after[..kept]);
                &after[kept..]
            }
            Some(stop) => stop.split_once('}').map_or("", |(_, rest)| rest),
            None if n_digits > 0 => &after[n_digits..],
            None => {
                text.push_str(sign);
                after
            }
        };
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_the_cursor_is_in_it() {
        let code = "let a = println(silver);";
        for at in 8..=15 {
            assert_eq!(word_at(code, at), Some((8, 15)), "{at}");
        }
        assert_eq!(word_at("a  b", 2), None);
        assert_eq!(word_at("x + 12", 5), None);
        assert_eq!(word_at("äö.x", 2), Some((0, 4)));
    }

    #[test]
    fn the_last_name_of_what_is_asked_is_the_one_at_the_cursor() {
        for (code, at, first) in [
            ("println", 3, "println"),
            ("println", 0, "println"),
            ("std::vec::Vec", 0, "std::vec::Vec"),
            ("std::vec::Vec", 6, "std::vec"),
            ("let silver = 1; silver + s", 18, "let silver = 1; silver"),
            ("let silver = 1;", 6, "let silver = 1;;\nsilver"),
            ("v.iter().enumerate()", 12, "v.iter().enumerate("),
            ("v.len", 0, "v.len"),
            ("println!(\"{}\", x)", 10, "println"),
            ("f(1, g(2), ", 11, "f"),
            ("f(1, g(2), ", 7, "f(1, g"),
        ] {
            let subjects = subjects(code, at);
            assert_eq!(
                subjects.first().map(String::as_str),
                Some(first),
                "{code} at {at}"
            );
        }
        assert!(subjects("    ", 2).is_empty());
        assert!(subjects("1 + 2", 0).is_empty());
    }

    #[test]
    fn a_magic_is_found_by_its_signs_and_letters() {
        for at in 0..=6 {
            assert_eq!(magic_at("%%time\nf()", at), Some("%%time"), "{at}");
        }
        assert_eq!(magic_at("a % b", 4), None);
    }

    #[test]
    fn completions_leave_nothing_to_delete() {
        for (text, kind, label, expected) in [
            ("Some($1)", "instance", "Some(…)", "Some()"),
            ("push_str(string)", "function", "push_str(…)", "push_str()"),
            (
                "insert(${1:index}, ${2:e|f})$0",
                "function",
                "insert(…)",
                "insert()",
            ),
            ("len()", "function", "len()", "len()"),
            ("Point { x: $1, y: $2 }$0", "class", "Point {…}", "Point"),
            ("for $1 in $2 {\n    $0\n}", "keyword", "for", "for"),
            ("println!()", "function", "println!(…)", "println!()"),
            ("vec![$0]", "function", "vec![…]", "vec![]"),
            ("cost\\$", "instance", "cost$", "cost$"),
            ("price_in_$", "instance", "price_in_$", "price_in_$"),
        ] {
            assert_eq!(inserted(text, kind, label), expected);
        }
    }

    #[test]
    fn keywords_are_not_names_yet() {
        assert!(
            is_keyword("in") && is_keyword("enum") && !is_keyword("enumerate") && !is_keyword("")
        );
    }
}
