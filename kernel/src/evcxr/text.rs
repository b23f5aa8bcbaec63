//! Completes the text of a cell's program with what evcxr does not know: see `build`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::awaited;
use super::build::{LIBRARY, SOURCE};
use crate::definitions::{lost, rewrite, statics};

/// Adds what evcxr does not know to the cell's text, and returns it.
pub(super) fn complete(tools: &Path) -> io::Result<String> {
    let mut text = fs::read_to_string(SOURCE)?;
    let mut is_new = false;
    let unwrap = |_: &Path, text: &str| rewrite::unwrap(text);
    for complete in [with_store_in_place, lost::answer, unwrap, statics::export] {
        if let Some(new) = complete(tools, &text) {
            (text, is_new) = (new, true);
        }
    }
    if is_new {
        fs::write(SOURCE, &text)?;
    }
    Ok(text)
}

/// Puts the library's store into the cell's text, if the cell is compiled with the library.
fn with_store_in_place(tools: &Path, text: &str) -> Option<String> {
    let library = fs::read(tools.join(LIBRARY)).unwrap_or_default();
    let library = Path::new(OsStr::from_bytes(&library));
    let manifest = fs::read_to_string("Cargo.toml").ok()?;
    let has_library = !library.as_os_str().is_empty()
        && manifest.contains(&format!("forklore = {{ path = {library:?} }}"));
    if has_library {
        with_library_s_store(text)
    } else {
        None
    }
}

const STORE_BEGINS: &str = "\nmod evcxr_internal_runtime {";
const STORE_ENDS: &str = "\n}\n#[unsafe(no_mangle)]\n";
const STORE: &str = "pub use ::forklore::store::*;";
/// evcxr's error type for a cell that ends with `?`, unless `:efmt` says otherwise. Checking it for
/// conflicts with every type that can become an error takes the compiler longer than finding it in
/// the library.
const ERROR: &str = r#"
            struct EvcxrUserCodeError {}
            impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
                fn from(error: T) -> Self {
                    eprintln!("{}", error);
                    println!("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED);
                    EvcxrUserCodeError {}
                }
            }
"#;
const LIBRARY_S_ERROR: &str = "use ::forklore::store::EvcxrUserCodeError;";

/// The text with the library's store in place of evcxr's; it has the same length and the same
/// number of lines.
fn with_library_s_store(text: &str) -> Option<String> {
    let begin = text.find(STORE_BEGINS)? + STORE_BEGINS.len();
    let end = begin + text[begin..].find(STORE_ENDS)?;
    if !text[begin..end].contains("pub fn put_variable<T: 'static>") {
        return None;
    }
    let mut text = text.to_owned();
    put(&mut text, begin..end, STORE)?;
    if let Some(begin) = text[..begin].find(ERROR) {
        put(&mut text, begin..begin + ERROR.len(), LIBRARY_S_ERROR)?;
    }
    let _ = put_catch(&mut text);
    if let Some((place, new)) = awaited::runtime(&text) {
        // If it does not fit, the cell uses a runtime of evcxr's.
        let _ = put(&mut text, place, new);
    }
    Some(text)
}

/// Replaces evcxr's code that catches the cell's panics by the library's; `None` if evcxr's is
/// missing.
fn put_catch(text: &mut String) -> Option<()> {
    const BEGINS: &str = "\npub extern \"C\" fn run_user_code_";
    const FORMS: [(&str, &str); 2] = [
        (
            "\nmatch std::panic::catch_unwind(\n",
            "\nmatch ::forklore::store::catch(",
        ),
        (
            "\nif std::panic::catch_unwind(||{\n",
            "\nif ::forklore::store::catch(||{",
        ),
    ];
    let begin = text.find(BEGINS)?;
    // The first is evcxr's: the cell's own are inside it.
    let found = FORMS.iter().filter_map(|(theirs, ours)| {
        let at = begin + text[begin..].find(theirs)?;
        Some((at..at + theirs.len() - 1, *ours))
    });
    let (place, ours) = found.min_by_key(|(place, _)| place.start)?;
    let spaces = " ".repeat(place.len().checked_sub(ours.len())?);
    text.replace_range(place, &[ours, &spaces].concat());
    Some(())
}

/// Replaces a longer part of the text by `new`. The text after it keeps its position.
fn put(text: &mut String, place: Range<usize>, new: &str) -> Option<()> {
    let n_lines = text[place.clone()].matches('\n').count();
    let spaces = " ".repeat(place.len().checked_sub(new.len() + n_lines)?);
    let lines = "\n".repeat(n_lines);
    text.replace_range(place, &[new, &spaces, &lines].concat());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_gets_the_store_and_keeps_its_places() {
        let text = [
            "use a;\n",
            ERROR,
            "mod evcxr_internal_runtime {\n// Ä comment that is long enough for what comes.\n",
            "pub fn put_variable<T: 'static>() {\n}\n}\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_1(\n) {\n",
            "match std::panic::catch_unwind(\n  std::panic::AssertUnwindSafe(||{\n",
            "let cell = 1;\nif std::panic::catch_unwind(||{\n}\n",
        ]
        .concat();
        let new = with_library_s_store(&text).unwrap();
        let place = |text: &str| {
            let at = text.find("let cell").unwrap();
            (at, text[..at].matches('\n').count())
        };
        for part in [
            "use a;\nuse ::forklore::store::EvcxrUserCodeError; ",
            "\nmod evcxr_internal_runtime {pub use ::forklore::store::*; ",
            "\nmatch ::forklore::store::catch(\n  std::panic::AssertUnwindSafe(||{\n",
            "let cell = 1;\nif std::panic::catch_unwind(||{\n",
        ] {
            assert!(new.contains(part), "{new}");
        }
        assert!(!new.contains("impl<T"));
        assert_eq!(place(&new), place(&text));
        assert_eq!(new.len(), text.len());
        assert!(!new.contains("put_variable"));
        assert!(with_library_s_store(&new).is_none());
    }

    #[test]
    fn other_texts_stay() {
        for text in [
            "",
            "fn f() {}",
            "\nmod evcxr_internal_runtime {\n}\n#[unsafe(no_mangle)]\n",
        ] {
            assert!(with_library_s_store(text).is_none(), "{text}");
        }
    }
}
