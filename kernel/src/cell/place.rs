//! What can be completed at a cursor other than Rust: a crate, one of its versions or features, or
//! the path of a file.

/// The thing to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A crate's name, after `:dep`.
    Crate(&'a str),
    /// A version of this crate.
    Version(&'a str, &'a str),
    /// A feature of this crate.
    Feature(&'a str, &'a str),
    /// A file's path, in a string or after a magic.
    Path(&'a str),
}

impl<'a> Place<'a> {
    /// The thing before byte `at`, if it is one of these.
    pub fn at(code: &'a str, at: usize) -> Option<Place<'a>> {
        let line = &code[code[..at].rfind('\n').map_or(0, |newline| newline + 1)..at];
        if let Some(rest) = line.trim_start().strip_prefix(":dep ") {
            return in_dependency(rest.trim_start());
        }
        let magics = ["%%writefile ", "%export "];
        if let Some(rest) = magics.iter().find_map(|magic| line.strip_prefix(magic)) {
            let path = rest.trim_start().trim_start_matches("-a ");
            return Some(Place::Path(path.trim_start_matches(['"', '\''])));
        }
        let text = open_text(line)?;
        // A string counts as a path if it looks like one.
        let is_path = text.contains('/') && !text.contains([' ', '{', '\\']);
        is_path.then_some(Place::Path(text))
    }

    /// The word that a completion replaces.
    pub fn word(&self) -> &'a str {
        match *self {
            Place::Crate(word) | Place::Version(_, word) | Place::Feature(_, word) => word,
            // The folder is not replaced.
            Place::Path(path) => path.rsplit('/').next().unwrap_or(path),
        }
    }
}

/// After `:dep `: `name`, `name = "version"` or `name = { version = "…", features = ["…"] }`.
fn in_dependency(rest: &str) -> Option<Place<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name_end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(name_end);
    if behind.is_empty() {
        return Some(Place::Crate(name));
    }
    let text = open_text(behind)?;
    let before = behind[..behind.len() - text.len() - 1].trim_end();
    let key = before.rsplit(['{', ',']).find(|part| part.contains('='));
    let key = key
        .and_then(|part| part.split('=').next())
        .unwrap_or_default();
    match key.trim() {
        "" | "version" => Some(Place::Version(name, text)),
        "features" => Some(Place::Feature(name, text)),
        "path" => Some(Place::Path(text)),
        _ => None,
    }
}

/// The string that is open at the end of a line, if any.
fn open_text(line: &str) -> Option<&str> {
    let mut open = None;
    let mut is_escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = open.is_some(),
            '"' => open = if open.is_some() { None } else { Some(at + 1) },
            _ => {}
        }
    }
    open.map(|at| &line[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(code: &str) -> Option<Place<'_>> {
        Place::at(code, code.len())
    }

    #[test]
    fn each_part_of_a_dependency_is_known_for_what_it_is() {
        for (code, place) in [
            (":dep iter", Place::Crate("iter")),
            (":dep ", Place::Crate("")),
            ("use a;\n  :dep serde_j", Place::Crate("serde_j")),
            (":dep rand = \"0.", Place::Version("rand", "0.")),
            (":dep rand = { version = \"", Place::Version("rand", "")),
            (
                ":dep tokio = { version = \"1\", features = [\"rt\", \"mac",
                Place::Feature("tokio", "mac"),
            ),
            (":dep mine = { path = \"../mi", Place::Path("../mi")),
        ] {
            assert_eq!(at_end(code), Some(place), "{code}");
        }
        for code in [
            ":dep rand = \"0.9\"",
            ":dep rand =",
            ":dep x = { git = \"ht",
            ":de",
        ] {
            assert_eq!(at_end(code), None, "{code}");
        }
    }

    #[test]
    fn a_path_is_a_text_with_a_slash_or_what_a_magic_takes() {
        for (code, path, word) in [
            ("let t = read(\"data/cit", "data/cit", "cit"),
            ("f(\"a\", \"/tmp/", "/tmp/", ""),
            ("%%writefile src/ma", "src/ma", "ma"),
            ("%%writefile -a \"my fi", "my fi", "my fi"),
            ("%export fol", "fol", "fol"),
        ] {
            let place = at_end(code);
            assert_eq!(place, Some(Place::Path(path)), "{code}");
            assert_eq!(place.unwrap().word(), word);
        }
        for code in [
            "a / b",
            "\"plain",
            "\"a/b\"",
            "println!(\"{}/",
            "let x = 1 / x",
        ] {
            assert_eq!(at_end(code), None, "{code}");
        }
    }
}
