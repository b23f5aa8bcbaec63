//! The number of parts into which a cell's compile is divided.
//!
//! The optimiser works on four parts of a crate in parallel, and then once more on the relations
//! between the parts. For the code of most cells that takes longer than compiling in one part, even
//! on two processors, and even more so if other learners' cells are compiled at the same time.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// The profile's division of a crate (see `manifest`).
const DIVIDED: &str = "codegen-units=4";
const UNDIVIDED: &str = "-Ccodegen-units=1";
/// A cell's program that is longer, not counting spaces, may have work for all processors.
const SMALL_BYTES: usize = 1 << 14;

/// An additional argument for rustc, if `words` compile a cell whose program is this file. The same
/// program is always compiled in the same way, because `retrace` compares the machine code.
pub(super) fn argument(words: &[OsString], program: impl AsRef<Path>) -> Option<OsString> {
    let is_own = words.iter().any(|word| word == DIVIDED);
    let program = fs::read_to_string(program).ok().filter(|_| is_own)?;
    is_small(&program).then(|| UNDIVIDED.into())
}

fn is_small(program: &str) -> bool {
    let letters = program.bytes().filter(|byte| !byte.is_ascii_whitespace());
    letters.take(SMALL_BYTES + 1).count() <= SMALL_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cell_is_not_divided_whatever_space_is_in_it() {
        let letters = "a ".repeat(SMALL_BYTES);
        assert!(is_small(&letters));
        assert!(!is_small(&(letters + "b")));
    }

    #[test]
    fn another_profile_stays_and_a_program_has_to_be_there() {
        let words = |units: &str| ["rustc", "-C", units].map(OsString::from);
        let file = std::env::temp_dir().join(format!("forklore-units-{}", std::process::id()));
        fs::write(&file, "fn f() {}").unwrap();
        let given = [DIVIDED, "codegen-units=16"].map(|units| argument(&words(units), &file));
        fs::remove_file(&file).unwrap();
        assert_eq!(given, [Some(UNDIVIDED.into()), None]);
        assert_eq!(argument(&words(DIVIDED), &file), None);
    }
}
